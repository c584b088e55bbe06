"""An issuer of tokens for trying out ``auth=jwt``: two people, a real key of this run, and a page to sign in at.

Whoever can read the output of ``make run`` has the tokens, and whoever can reach this machine's own address can sign
in. Both are good for this run only, on this machine only.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from local.development_sign_in import CLIENT_ID, PEOPLE, STYLE, Answer, DevelopmentSignIn, TokenRefusedError
from local.refusals import HOST, is_local

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AUDIENCE", "ISSUER", "PEOPLE", "DevelopmentIssuer"]

# The same in each run and at each port: the sessions of yesterday's Ada are today's Ada's.
ISSUER: Final = "http://development.localhost"
AUDIENCE: Final = "agent-session-kit"
LIFETIME_SECONDS: Final = 12 * 3600
PAGE_LIFETIME_SECONDS: Final = 600.0
"""Of a token that the page gets. It renews them."""

_ALGORITHM: Final = "ES256"
_MAX_FORM_BYTES: Final = 16 * 1024
_MAX_DIGITS: Final = 10
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'"


class DevelopmentIssuer:
    """Makes tokens, serves the key that checks them, and signs people in at the chat page.

    Args:
        pages: The origins under which the chat page can be opened.
        page_lifetime_seconds: How long a token of the page is good.
    """

    def __init__(self, pages: tuple[str, ...] = (), page_lifetime_seconds: float = PAGE_LIFETIME_SECONDS) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._key_id = secrets.token_hex(8)
        self._page_lifetime_seconds = page_lifetime_seconds
        self.pages = pages
        self.sign_in = DevelopmentSignIn(tuple(f"{origin}/" for origin in pages))
        self._server = _Server((HOST, 0), _Handler)
        self._server.issuer = self
        threading.Thread(target=self._server.serve_forever, name="development-issuer", daemon=True).start()
        self.url = f"http://{HOST}:{self._server.server_address[1]}"

    @property
    def settings(self) -> dict[str, str]:
        """The endpoint's settings for tokens of this issuer."""
        return {
            "JWT_ISSUER": ISSUER,
            "JWT_AUDIENCES": AUDIENCE,
            "JWT_CONFIGURATION_URL": f"{self.url}/.well-known/openid-configuration",
            "PAGE_CLIENT_ID": CLIENT_ID,
        }

    @property
    def documents(self) -> dict[str, Any]:
        """What it publishes, by path."""
        public = {**ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True), "kid": self._key_id, "use": "sig"}
        configuration = {
            "issuer": ISSUER,
            "jwks_uri": f"{self.url}/keys",
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "end_session_endpoint": f"{self.url}/end-session",
            "revocation_endpoint": f"{self.url}/revoke",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [_ALGORITHM],
            "code_challenge_methods_supported": ["S256"],
        }
        return {"/keys": {"keys": [{**public, "alg": _ALGORITHM}]}, "/.well-known/openid-configuration": configuration}

    def token(self, subject: str, lifetime_seconds: float = LIFETIME_SECONDS) -> str:
        """An access token (RFC 9068) of somebody."""
        return self._signed({"aud": AUDIENCE, "sub": subject, "jti": secrets.token_hex(8)}, lifetime_seconds, "at+jwt")

    def tokens(self, form: Mapping[str, str]) -> dict[str, Any]:
        """What the token endpoint answers.

        Raises:
            TokenRefusedError: Nothing.
        """
        grant, refresh_token = self.sign_in.redeem(form)
        seconds = self._page_lifetime_seconds
        about = {"aud": CLIENT_ID, "sub": grant.person, "name": grant.person.capitalize()}
        nonce = {"nonce": grant.nonce} if grant.nonce else {}
        return {
            "access_token": self.token(grant.person, seconds),
            "token_type": "Bearer",
            "expires_in": int(seconds),
            "refresh_token": refresh_token,
            "id_token": self._signed({**about, **nonce}, seconds, "JWT"),
            "scope": grant.scope,
        }

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    def _signed(self, claims: Mapping[str, Any], lifetime_seconds: float, kind: str) -> str:
        now = int(time.time())
        times = {"iat": now, "exp": now + max(1, int(lifetime_seconds))}
        return jwt.encode({"iss": ISSUER, **claims, **times}, self._key, _ALGORITHM, {"kid": self._key_id, "typ": kind})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    issuer: DevelopmentIssuer


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        if not self._is_asked_here():
            return
        issuer, parts = self.server.issuer, urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        if parts.path in issuer.documents:
            self._send_json(200, issuer.documents[parts.path])
        elif parts.path == "/authorize":
            self._send_page(issuer.sign_in.authorize(query, self._cookies()))
        elif parts.path == "/end-session":
            self._send_page(issuer.sign_in.end_session(query, self._cookies()))
        else:
            self._send_json(404, {})

    def do_POST(self) -> None:
        if not self._is_asked_here():
            return
        form = self._form()
        if form is None:
            return
        if self.path == "/token":
            try:
                self._send_json(200, self.server.issuer.tokens(form))
            except TokenRefusedError as refusal:
                self._send_json(400, {"error": refusal.code})
        elif self.path == "/revoke":
            self.server.issuer.sign_in.revoke(form)
            self._send_json(200, {})
        else:
            self._send_json(404, {})

    def _is_asked_here(self) -> bool:
        """Refuse who names another host: a name that somebody has made to resolve to this machine."""
        if is_local(self.headers.get("Host", "")):
            return True
        self._refuse(403, "Only this machine's own programs and pages may ask.")
        return False

    def _form(self) -> dict[str, str] | None:
        """The body, which is a form; None when it was refused."""
        length = self.headers.get("Content-Length")
        if length is None:
            self._refuse(411, "Send the body with a Content-Length.")
        elif not (length.isascii() and length.isdecimal()):
            self._refuse(400, "The Content-Length is no number of bytes.")
        elif len(length) > _MAX_DIGITS or int(length) > _MAX_FORM_BYTES:
            self._refuse(413, f"A form can have {_MAX_FORM_BYTES} bytes.")
        else:
            return dict(parse_qsl(self.rfile.read(int(length)).decode("latin-1")))
        return None

    def _refuse(self, status: int, why: str) -> None:
        self.close_connection = True  # what comes behind the head is not read
        self._send_json(status, {"error": "invalid_request", "error_description": why})

    def _cookies(self) -> dict[str, str]:
        try:
            cookies = SimpleCookie(self.headers.get("Cookie", ""))
        except CookieError:
            return {}
        return {name: morsel.value for name, morsel in cookies.items()}

    def _send_json(self, status: int, document: Any) -> None:
        origin = self.headers.get("Origin")
        allowed = {"Access-Control-Allow-Origin": origin} if origin in self.server.issuer.pages else {}
        self._send(status, "application/json", json.dumps(document), {"Vary": "Origin", **allowed})

    def _send_page(self, answer: Answer) -> None:
        headers = {"Location": answer.location, "Set-Cookie": answer.cookie}
        policy = {"Content-Security-Policy": _POLICY}
        present = {name: value for name, value in headers.items() if value}
        self._send(answer.status, "text/html; charset=utf-8", answer.body, {**policy, **present})

    def _send(self, status: int, content_type: str, body: str, headers: Mapping[str, str]) -> None:
        content = body.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", content_type)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Nothing: the handler's own log says what was asked of the endpoint, and a code belongs in no log."""
