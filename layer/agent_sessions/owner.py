"""Which part of the store belongs to whom."""

import base64
import hashlib

MAX_NAME_BYTES = 200
"""How long the name of somebody may be, on whose behalf an owner acts; in UTF-8."""


def owner_prefix(issuer: str, subject: str, on_behalf_of: str | None = None) -> str:
    """The key prefix under which one owner's sessions are kept.

    The prefix is a SHA-256 digest, because issuers and subjects hold characters that keys should not, and because a
    prefix that can be listed should not name people. It is in Base32, because some stores compare keys without regard
    to case.

    Args:
        issuer: Who vouches for the subject: an AWS account id, an identity provider's URL, ``local``.
        subject: The owner within the issuer: with IAM the *unique id* (``AROA...``), which survives renames.
        on_behalf_of: Somebody that the owner speaks for, as in the header ``Session-Owner``: see :func:`part_prefix`.

    Returns:
        ``o_`` and 52 characters, without a trailing slash; with ``on_behalf_of`` two of these with a slash between.

    Raises:
        ValueError: Issuer or subject is empty or contains NUL, which would let two owners share one prefix; or what
            :func:`part_prefix` raises.
    """
    for name, value in (("issuer", issuer), ("subject", subject)):
        if not value or "\0" in value:
            raise ValueError(f"{name}={value!r} | must not be empty or contain NUL")
    own = _digest(f"{issuer}\0{subject}".encode())
    return own if on_behalf_of is None else part_prefix(own, on_behalf_of)


def part_prefix(owner: str, name: str) -> str:
    """The key prefix of somebody that an owner speaks for: a part of the owner's own space, and of nobody else's.

    Names are compared byte by byte. The same name under two owners has two digests, so that nobody who lists keys
    learns that it is the same.

    Args:
        owner: The owner's prefix, from :func:`owner_prefix`.
        name: Any text, 1 to 200 bytes in UTF-8.

    Returns:
        The owner's prefix, a slash, ``o_`` and 52 characters.

    Raises:
        ValueError: The name is empty or too long, or no text: it holds an unpaired surrogate.
    """
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        raise ValueError("name | must not contain unpaired surrogates") from None
    if not 1 <= len(encoded) <= MAX_NAME_BYTES:
        raise ValueError(f"name | has {len(encoded)} bytes in UTF-8; allowed: 1 to {MAX_NAME_BYTES}")
    # A prefix holds no NUL, so that a name that holds one cannot stand for two pairs.
    return f"{owner}/" + _digest(owner.encode() + b"\0" + encoded)


def _digest(text: bytes) -> str:
    return "o_" + base64.b32encode(hashlib.sha256(text).digest()).decode("ascii").rstrip("=").lower()
