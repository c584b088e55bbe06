"""Which part of the store belongs to whom."""

import base64
import hashlib


def owner_prefix(issuer: str, subject: str) -> str:
    """The key prefix under which one owner's sessions are kept.

    The prefix is a SHA-256 digest, because issuers and subjects hold characters that keys should not, and because a
    prefix that can be listed should not name people. It is in Base32, because some stores compare keys without regard
    to case.

    Args:
        issuer: Who vouches for the subject: an AWS account id, an identity provider's URL, ``local``.
        subject: The owner within the issuer: with IAM the *unique id* (``AROA...``), which survives renames.

    Returns:
        ``o_`` and 52 characters, without a trailing slash.

    Raises:
        ValueError: When either is empty or contains NUL, which would let two owners share one prefix.
    """
    for name, value in (("issuer", issuer), ("subject", subject)):
        if not value or "\0" in value:
            raise ValueError(f"{name}={value!r} | must not be empty or contain NUL")
    digest = hashlib.sha256(f"{issuer}\0{subject}".encode()).digest()
    return "o_" + base64.b32encode(digest).decode("ascii").rstrip("=").lower()
