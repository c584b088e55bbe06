"""The ``Prefer`` header (RFC 7240): what a caller would like, and gets where it can be had."""

from __future__ import annotations

import re

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PREFERENCE = re.compile(rf"[ \t]*({_WORD})[ \t]*(?:=[ \t]*(?:{_WORD}|{_QUOTED})?)?[ \t]*(?:;[^,]*)?(?:,|$)")

RESPOND_ASYNC = "respond-async"


def prefers_async(prefer: str | None) -> bool:
    """Whether the caller would rather not wait. Other preferences, and misspelt ones, are ignored."""
    return any(found[1].lower() == RESPOND_ASYNC for found in _PREFERENCE.finditer(prefer or ""))
