"""A request's body: aws-chunked framing undone, checksums verified.

Sources: "Signature calculations: transferring payload in multiple chunks" and "Checking object integrity" in the S3
documentation. Signatures are not checked: there are no secrets here.
"""

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable, Mapping

from tests.doubles.s3.errors import S3Error

_CRC32C_POLYNOMIAL = 0x82F63B78
_CRC64NVME_POLYNOMIAL = 0x9A6C9329AC4BC9B5


def _reflected_crc(polynomial: int, bits: int) -> Callable[[bytes], bytes]:
    """Build a table-driven CRC with inverted register in and out, as all CRCs of S3 are."""
    table: list[int] = []
    for value in range(256):
        register = value
        for _ in range(8):
            register = (register >> 1) ^ polynomial if register & 1 else register >> 1
        table.append(register)
    ones = (1 << bits) - 1

    def crc(data: bytes) -> bytes:
        register = ones
        for byte in data:
            register = table[(register ^ byte) & 0xFF] ^ (register >> 8)
        return (register ^ ones).to_bytes(bits // 8, "big")

    return crc


_DIGESTS: Mapping[str, Callable[[bytes], bytes]] = {
    "x-amz-checksum-crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "x-amz-checksum-crc32c": _reflected_crc(_CRC32C_POLYNOMIAL, 32),
    "x-amz-checksum-crc64nvme": _reflected_crc(_CRC64NVME_POLYNOMIAL, 64),
    "x-amz-checksum-sha1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    "x-amz-checksum-sha256": lambda data: hashlib.sha256(data).digest(),
}


def read_payload(headers: Mapping[str, str], body: bytes) -> tuple[bytes, dict[str, str]]:
    """Undo the framing of a request's body and verify what it says about itself.

    Args:
        headers: Request headers, names in lower case.
        body: The body as it came.

    Returns:
        The content, and the checksums it was verified with by header name.

    Raises:
        S3Error: ``IncompleteBody``, ``BadDigest``, ``InvalidDigest`` or ``InvalidRequest``.
    """
    claims = {name: value for name, value in headers.items() if name in _DIGESTS}
    if headers.get("x-amz-content-sha256", "").startswith("STREAMING-"):
        body, trailers = _decode_chunks(body)
        declared = headers.get("x-amz-decoded-content-length")
        if declared is not None and declared != str(len(body)):
            raise S3Error("IncompleteBody")
        claims |= {name: value for name, value in trailers.items() if name in _DIGESTS}
        promised = headers.get("x-amz-trailer", "").lower()
        if promised and promised not in trailers:
            raise S3Error("InvalidRequest", f"The trailer {promised} was announced and not sent.")
    for name, claim in claims.items():
        if base64.b64encode(_DIGESTS[name](body)).decode() != claim:
            label = name.removeprefix("x-amz-checksum-").upper()
            raise S3Error("BadDigest", f"The {label} you specified did not match the calculated checksum.")
    if "content-md5" in headers:
        _verify_md5(headers["content-md5"], body)
    return body, claims


def has_integrity_header(headers: Mapping[str, str]) -> bool:
    """Tell whether a request carries the digest that DeleteObjects insists on."""
    return (
        "content-md5" in headers
        or headers.get("x-amz-trailer", "").lower() in _DIGESTS
        or any(name in _DIGESTS for name in headers)
    )


def _verify_md5(claim: str, body: bytes) -> None:
    try:
        digest = base64.b64decode(claim, validate=True)
    except binascii.Error:
        raise S3Error("InvalidDigest") from None
    expected = hashlib.md5(body, usedforsecurity=False).digest()
    if len(digest) != len(expected):
        raise S3Error("InvalidDigest")
    if digest != expected:
        raise S3Error("BadDigest")


def _decode_chunks(body: bytes) -> tuple[bytes, dict[str, str]]:
    """Undo aws-chunked: ``size[;chunk-signature=…]CRLF data CRLF``, a chunk of size 0, trailers."""
    content = bytearray()
    position = 0
    while True:
        line_end = body.find(b"\r\n", position)
        if line_end < 0:
            raise S3Error("IncompleteBody")
        try:
            size = int(body[position:line_end].split(b";", 1)[0], 16)
        except ValueError:
            raise S3Error("IncompleteBody") from None
        position = line_end + 2
        if size == 0:
            break
        if len(body) < position + size + 2:
            raise S3Error("IncompleteBody")
        content += body[position : position + size]
        position += size + 2
    trailers: dict[str, str] = {}
    for line in body[position:].decode("latin-1").split("\r\n"):
        name, separator, value = line.partition(":")
        if separator:
            trailers[name.strip().lower()] = value.strip()
    return bytes(content), trailers
