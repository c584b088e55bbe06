"""How people sign in at the development issuer: authorization code with PKCE, refresh tokens, signing out.

Values in, values out; ``development_issuer`` serves them. There are no passwords: whoever can reach this machine's own
address is whom they choose to be.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import secrets
import threading
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PEOPLE: Final = ("ada", "ben")
CLIENT_ID: Final = "agent-session-kit-page"
CODE_SECONDS: Final = 60.0
STYLE: Final = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
body { max-width: 26rem; margin: 12vh auto; padding: 0 1.5rem; background: light-dark(#f7f6f3, #161618); color: light-dark(#1f1e1d, #ececea) }
h1 { font-size: 1.25rem; font-weight: 600 }
a { display: block; padding: .75rem 1rem; border-radius: .75rem; text-align: center; text-decoration: none; background: light-dark(#1f1e1d, #ececea); color: light-dark(#fff, #161618) }
a:focus-visible { outline: 3px solid #3b82f6; outline-offset: 2px }
"""  # noqa: E501 - a rule of the stylesheet is a line
"""How the issuer's pages look. Their policy names its digest."""

_SESSION_COOKIE: Final = "development-issuer"


@dataclass(frozen=True)
class Answer:
    """What a browser or the page gets.

    Attributes:
        status: The status code.
        body: HTML of a page; empty for a redirect.
        location: Where a redirect leads.
        cookie: A ``Set-Cookie``; empty for none.
    """

    status: int
    body: str = ""
    location: str = ""
    cookie: str = ""


@dataclass(frozen=True)
class Grant:
    """Somebody who has signed in at the page.

    Attributes:
        person: Who.
        nonce: Of the request, for the ID token.
        scope: What was asked for.
    """

    person: str
    nonce: str
    scope: str


@dataclass(frozen=True)
class _Code:
    grant: Grant
    redirect_uri: str
    challenge: str
    expires_at: float


class TokenRefusedError(ValueError):
    """The token endpoint gives nothing (RFC 6749, 5.2).

    Args:
        code: ``invalid_grant`` and the like.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class DevelopmentSignIn:
    """Who has signed in, and which codes and refresh tokens are good. Safe to share between threads.

    Args:
        redirect_uris: Where a browser may be sent with a code, letter by letter.
        clock: Tells the time in seconds.
    """

    def __init__(self, redirect_uris: tuple[str, ...], clock: Callable[[], float] = time.monotonic) -> None:
        self._redirect_uris = redirect_uris
        self._clock = clock
        self._lock = threading.Lock()
        self._codes: dict[str, _Code] = {}
        self._refresh_tokens: dict[str, Grant] = {}
        self._signed_in: dict[str, str] = {}

    def authorize(self, query: Mapping[str, str], cookies: Mapping[str, str]) -> Answer:
        """Show who there is to sign in as, or send the browser back with a code.

        Args:
            query: The request's parameters (RFC 6749, 4.1.1; RFC 7636, 4.3), and ``person`` when one was chosen.
            cookies: The browser's.
        """
        redirect_uri = query.get("redirect_uri", "")
        if query.get("client_id") != CLIENT_ID or redirect_uri not in self._redirect_uris:
            return Answer(HTTPStatus.BAD_REQUEST, _page("<p>This client or this redirect_uri is not known here.</p>"))
        state = {"state": query["state"]} if query.get("state") else {}
        if query.get("response_type") != "code" or query.get("code_challenge_method") != "S256":
            return _redirect(redirect_uri, {"error": "invalid_request", **state})
        if not query.get("code_challenge"):
            return _redirect(redirect_uri, {"error": "invalid_request", **state})
        with self._lock:
            person = query.get("person") or self._signed_in.get(cookies.get(_SESSION_COOKIE, ""))
            if person not in PEOPLE:
                if query.get("prompt") == "none":
                    return _redirect(redirect_uri, {"error": "login_required", **state})
                return Answer(HTTPStatus.OK, _choice(query))
            grant = Grant(person, query.get("nonce", ""), query.get("scope", ""))
            code, session = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
            self._codes[code] = _Code(grant, redirect_uri, query["code_challenge"], self._clock() + CODE_SECONDS)
            self._signed_in[session] = person
        cookie = f"{_SESSION_COOKIE}={session}; HttpOnly; SameSite=Lax; Path=/"
        return _redirect(redirect_uri, {"code": code, **state}, cookie)

    def redeem(self, form: Mapping[str, str]) -> tuple[Grant, str]:
        """Take a code, or a refresh token, for what it stands for. Either is good once.

        Args:
            form: The token request (RFC 6749, 4.1.3 and 6; RFC 7636, 4.5).

        Returns:
            Who has signed in, and the next refresh token.

        Raises:
            TokenRefusedError: It is good for nothing.
        """
        if form.get("client_id") != CLIENT_ID:
            raise TokenRefusedError("invalid_client")
        with self._lock:
            match form.get("grant_type"):
                case "authorization_code":
                    grant = self._of_code(form)
                case "refresh_token":
                    found = self._refresh_tokens.pop(form.get("refresh_token", ""), None)
                    if found is None:
                        raise TokenRefusedError("invalid_grant")
                    grant = found
                case _:
                    raise TokenRefusedError("unsupported_grant_type")
            refresh_token = secrets.token_urlsafe(24)
            self._refresh_tokens[refresh_token] = grant
        return grant, refresh_token

    def revoke(self, form: Mapping[str, str]) -> None:
        """Take a refresh token back (RFC 7009). One that is not known is none of the caller's concern.

        Args:
            form: The request: ``token`` and ``client_id``.
        """
        with self._lock:
            if form.get("client_id") == CLIENT_ID:
                self._refresh_tokens.pop(form.get("token", ""), None)

    def end_session(self, query: Mapping[str, str], cookies: Mapping[str, str]) -> Answer:
        """Sign somebody out (RP-Initiated Logout 1.0).

        Args:
            query: The request's parameters.
            cookies: The browser's.
        """
        with self._lock:
            person = self._signed_in.pop(cookies.get(_SESSION_COOKIE, ""), None)
            left = {token: grant for token, grant in self._refresh_tokens.items() if grant.person != person}
            self._refresh_tokens = left
        back = query.get("post_logout_redirect_uri", "")
        cookie = f"{_SESSION_COOKIE}=; Max-Age=0; HttpOnly; SameSite=Lax; Path=/"
        if back in self._redirect_uris:
            return Answer(HTTPStatus.SEE_OTHER, location=back, cookie=cookie)
        return Answer(HTTPStatus.OK, _page("<p>You are signed out.</p>"), cookie=cookie)

    def _of_code(self, form: Mapping[str, str]) -> Grant:
        code = self._codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            code is None
            or self._clock() >= code.expires_at
            or form.get("redirect_uri") != code.redirect_uri
            or not hmac.compare_digest(challenge, code.challenge)
        ):
            raise TokenRefusedError("invalid_grant")
        return code.grant


def _redirect(uri: str, parameters: Mapping[str, str], cookie: str = "") -> Answer:
    return Answer(HTTPStatus.SEE_OTHER, location=f"{uri}?{urlencode(parameters)}", cookie=cookie)


def _choice(query: Mapping[str, str]) -> str:
    asked = {name: value for name, value in query.items() if name != "person"}
    links = "".join(
        f'<p><a role="button" href="/authorize?{html.escape(urlencode({**asked, "person": person}))}">'
        f"Sign in as {person.capitalize()}</a></p>"
        for person in PEOPLE
    )
    return _page(f"<p>There are two people on this machine, and no passwords.</p>{links}")


def _page(content: str) -> str:
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Development issuer</title><style>{STYLE}</style>"
        f"<main><h1>Development issuer</h1>{content}</main></html>"
    )
