"""A certificate authority of our own, for stand-ins that speak TLS.

    authority = Authority(folder)
    with BedrockServer("Hello.", tls=authority.server_context()) as bedrock:
        client = boto3.client("bedrock-runtime", endpoint_url=bedrock.url, verify=str(authority.bundle))

Another process trusts it by ``AWS_CA_BUNDLE``, and serves with ``authority.server_file``.
"""

import datetime as dt
import ipaddress
import ssl
from pathlib import Path

import botocore.httpsession
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOST = "127.0.0.1"
_DAY = dt.timedelta(days=1)


class Authority:
    """Made anew each time; its key is forgotten once it has signed for this machine's loopback address.

    Args:
        folder: An existing folder for its files.

    Attributes:
        bundle: What a client is to trust: the authorities that botocore brings, and this one. A client reads the whole
            file before its first handshake, so a file with one authority would make it look cheaper than it is.
        server_file: The server's certificate and key.
    """

    def __init__(self, folder: Path) -> None:
        self.bundle = folder / "authorities.pem"
        self.server_file = folder / "server.pem"
        key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        name = _name("Stand-in authority")
        authority = (
            _certificate(name, name, key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        server = (
            _certificate(_name("Stand-in"), name, server_key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        trusted = Path(botocore.httpsession.where()).read_bytes()
        self.bundle.write_bytes(trusted.rstrip() + b"\n" + authority.public_bytes(serialization.Encoding.PEM))
        private = server_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self.server_file.write_bytes(server.public_bytes(serialization.Encoding.PEM) + private)

    def server_context(self) -> ssl.SSLContext:
        """What a server in this process needs."""
        return server_context(self.server_file)


def server_context(server_file: Path) -> ssl.SSLContext:
    """What a server needs.

    Args:
        server_file: See :class:`Authority`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_file)
    return context


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return x509.CertificateBuilder(
        issuer, subject, key.public_key(), x509.random_serial_number(), now - _DAY, now + 30 * _DAY
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
