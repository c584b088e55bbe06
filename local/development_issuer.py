"""An issuer of tokens for trying out ``auth=jwt``: two people, a real key of this run, and nobody to sign in with.

Whoever can read the output of ``make run`` has the tokens. They are good for this run only, on this machine only.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from local.refusals import HOST

# The same in each run and at each port: the sessions of yesterday's Ada are today's Ada's.
ISSUER: Final = "http://development.localhost"
AUDIENCE: Final = "agent-session-kit"
PEOPLE: Final = ("ada", "ben")
LIFETIME_SECONDS: Final = 12 * 3600
_ALGORITHM: Final = "ES256"
_PATH: Final = "/keys"


class DevelopmentIssuer:
    """Makes tokens, and serves the key that checks them."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._key_id = secrets.token_hex(8)
        public = {**ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True), "kid": self._key_id, "use": "sig"}
        self._server = _serve({"keys": [{**public, "alg": _ALGORITHM}]})

    @property
    def settings(self) -> dict[str, str]:
        """The endpoint's settings for tokens of this issuer."""
        keys = f"http://{HOST}:{self._server.server_address[1]}{_PATH}"
        return {"JWT_ISSUER": ISSUER, "JWT_AUDIENCES": AUDIENCE, "JWT_JWKS_URL": keys}

    def token(self, subject: str) -> str:
        """An access token (RFC 9068) of somebody."""
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + LIFETIME_SECONDS}
        return jwt.encode(claims, self._key, _ALGORITHM, {"kid": self._key_id, "typ": "at+jwt"})

    def close(self) -> None:
        """Stop serving the key."""
        self._server.shutdown()
        self._server.server_close()


def _serve(document: object) -> ThreadingHTTPServer:
    content = json.dumps(document).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == _PATH
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content) if found else 0))
            self.end_headers()
            self.wfile.write(content if found else b"")

        def log_request(self, code: object = "-", size: object = "-") -> None:
            """Nothing: the handler's own log says what was asked of the endpoint."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="development-issuer", daemon=True).start()
    return server
