"""An OpenID Connect issuer on this machine: real keys, tokens of any kind, and a server that can misbehave."""

import base64
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tests.planted import plant

AUDIENCE = "https://agent.example.com"
SUBJECT = "subject-frotz1"
CONFIGURATION = "/.well-known/openid-configuration"
KEYS = "/keys"


@cache
def private_key(name: str) -> Any:
    """A key of this name; a name that begins with ``ec`` is one of an elliptic curve."""
    if name.startswith("ec"):
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def published(name: str) -> dict[str, Any]:
    """The public half, as an issuer publishes it."""
    algorithm: Any = ECAlgorithm if name.startswith("ec") else RSAAlgorithm
    return {**algorithm.to_jwk(private_key(name).public_key(), as_dict=True), "kid": name, "use": "sig"}


class Issuer:
    """An issuer.

    Attributes:
        url: Its identifier.
        keys: The names of the keys that it publishes.
        asked: The paths that it was asked for, in order.
        answer: What a request for a path gets instead of what the issuer has: status, headers and body.
    """

    def __init__(self, base: str, path: str = "") -> None:
        self.base = base
        self.url = base + path
        self.path = path.rstrip("/")
        self.keys: list[Any] = ["rsa-1", "ec-1"]
        self.asked: list[str] = []
        self.answer: Callable[[str], tuple[int, dict[str, str], bytes] | None] = lambda path: None
        self.configuration: dict[str, Any] = {"issuer": self.url, "jwks_uri": base + KEYS}

    def fetches(self) -> int:
        """How often its keys were fetched."""
        return self.asked.count(KEYS)

    def token(self, subject: Any = SUBJECT, *, key: str = "rsa-1", header: Any = None, **claims: Any) -> str:
        """A token. A claim that is None is left out."""
        plant(subject)
        now = int(time.time())
        says = {"iss": self.url, "sub": subject, "aud": AUDIENCE, "iat": now, "exp": now + 600, **claims}
        says = {name: value for name, value in says.items() if value is not None}
        algorithm = "ES256" if key.startswith("ec") else "RS256"
        named = {"kid": key, **(header or {})}
        named = {"alg": algorithm, **named}
        # Signed as bytes: of claims, PyJWT encodes only those that it would take.
        return jwt.api_jws.encode(json.dumps(says).encode(), private_key(key), algorithm=named["alg"], headers=named)

    def unsigned(self, header: dict[str, Any], **claims: Any) -> str:
        """A token whose header is as given, without a signature."""
        now = int(time.time())
        says = {"iss": self.url, "sub": SUBJECT, "aud": AUDIENCE, "exp": now + 600, **claims}
        says = {name: value for name, value in says.items() if value is not None}
        return f"{_base64(header)}.{_base64(says)}."

    def with_public_key(self, **claims: Any) -> str:
        """A token that is signed with HS256, and the issuer's public key as the secret."""
        import hashlib
        import hmac

        public = private_key("rsa-1").public_key()
        secret = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        signed = self.unsigned({"alg": "HS256", "typ": "JWT", "kid": "rsa-1"}, **claims).rstrip(".")
        digest = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
        return f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"

    def found(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """What is at a path."""
        if path == self.path + CONFIGURATION:
            return 200, {}, json.dumps(self.configuration).encode()
        if path == KEYS:
            keys = [published(key) if isinstance(key, str) else key for key in self.keys]
            return 200, {}, json.dumps({"keys": keys}).encode()
        return 404, {}, b""


def certificate_of_this_machine(folder: Path) -> Path:
    """A file with the key and the certificate of ``localhost``, signed by itself.

    Whoever is told to believe it (``SSL_CERT_FILE``) reaches an issuer on this machine as one anywhere else: over TLS.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = built.serial_number(x509.random_serial_number())
    built = built.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    built = built.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    pem = serialization.Encoding.PEM
    file = folder / "localhost.pem"
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + built.sign(key, hashes.SHA256()).public_bytes(pem)
    )
    return file


@contextmanager
def running(path: str = "", *, certificate: Path | None = None) -> Iterator[Issuer]:
    """An issuer that listens, at a path of its server.

    Args:
        path: The path.
        certificate: Of ``localhost``, with its key, for TLS.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            status, headers, body = issuer.answer(self.path) or issuer.found(self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: object = "-", size: object = "-") -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    address = f"http://127.0.0.1:{server.server_address[1]}"
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        address = f"https://localhost:{server.server_address[1]}"
    issuer = Issuer(address, path)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()


def _base64(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
