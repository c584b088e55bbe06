"""The header ``Session-Owner``: a caller that IAM knows speaks for somebody it knows."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from agent_sessions.owner import MAX_NAME_BYTES, part_prefix
from lambda_src.answers.errors import OnBehalfRefusedError

HEADER = "session-owner"
ALLOWED = (
    f"a name of 1 to {MAX_NAME_BYTES} bytes, percent-encoded UTF-8 (RFC 3986): letters, digits, other printable ASCII "
    "except comma and percent as they are, everything else as %XX"
)
# A comma may have come from two headers that something on the way has joined (RFC 9110, 5.3).
_VALUE = re.compile(r"(?:[ -$&-+\--~]|%[0-9A-Fa-f]{2})+")


def on_behalf(owner: str, header: str | None) -> str:
    """The key prefix of whom a caller speaks for: the caller itself, unless the header names somebody.

    Args:
        owner: The caller's own prefix.
        header: The value of ``Session-Owner``, if the request has one.

    Raises:
        OnBehalfRefusedError: The header holds no name.
    """
    if header is None:
        return owner
    value = header.strip(" \t")
    if not _VALUE.fullmatch(value):
        raise _no_name("is empty, or holds what has to be percent-encoded")
    try:
        return part_prefix(owner, unquote_to_bytes(value).decode())
    except UnicodeDecodeError:
        raise _no_name("stands for bytes that are not UTF-8") from None
    except ValueError:
        raise _no_name("is too long") from None


def refuse_on_behalf(header: str | None) -> None:
    """Refuse the header where nobody can speak for others. To ignore it would show a caller somebody else's sessions.

    Raises:
        OnBehalfRefusedError: There is a header.
    """
    if header is not None:
        raise OnBehalfRefusedError(
            "Session-Owner: only callers that sign with IAM can speak for others. Leave the header out."
        )


def _no_name(problem: str) -> OnBehalfRefusedError:
    return OnBehalfRefusedError(f"Session-Owner {problem}. Allowed: {ALLOWED}.")
