"""Checks every identifier before it becomes part of a key or a path."""

import re
import unicodedata

from agent_sessions.exceptions import InvalidIdentifierError

MAX_IDENTIFIER_BYTES = 240
"""A file name may hold 255 bytes; ``multi_agent_`` and a temporary file's suffix need the rest."""


_RECORD_NAME = re.compile(
    r"(session|agent|multi_agent|lease|history|cancel|message_(0|[1-9][0-9]*)|turn_[0-9a-f-]+)\.json\Z"
)


def check_identifier(kind: str, value: str) -> str:
    """Return the identifier unchanged when it may become part of a key.

    Args:
        kind: What the identifier names, for the error: ``session``, ``agent``, ``multi-agent``.
        value: The identifier. Any text of 1 to 240 bytes in UTF-8 without path separators and control characters.

    Raises:
        InvalidIdentifierError: Says which rule the identifier breaks. It is a ``ValueError`` too, as with Strands.
    """
    problem = _problem(value)
    if problem:
        raise InvalidIdentifierError(f"{kind}_id={value!r} | {problem}")
    return value


def check_message_id(value: int) -> int:
    """Return the message id unchanged when it is an index.

    Raises:
        InvalidIdentifierError: When it is not an integer, or negative.
    """
    # In Python bool is an int, but no message is stored as message_True.json.
    given: object = value
    if not isinstance(given, int) or isinstance(given, bool):
        raise InvalidIdentifierError(f"message_id={value!r} | message id must be an integer")
    if value < 0:
        raise InvalidIdentifierError(f"message_id={value!r} | message id must not be negative")
    return value


def is_record_name(name: str) -> bool:
    """Whether the last part of a key is a record's. No folder of a session has such a name, whatever its ids are."""
    return _RECORD_NAME.match(name) is not None


def look_alike(one: str, other: str) -> bool:
    """Whether some file system takes two ids for the same name.

    Many ignore letter case, some the form of composed characters (``é`` as one or as two), and Windows' drop dots and
    blanks at the end of a name.
    """
    return _folded(one) == _folded(other)


def _folded(value: str) -> str:
    # Upper case first: two small letters may share one capital.
    folded = unicodedata.normalize("NFKD", value).upper().casefold()
    return unicodedata.normalize("NFKD", folded).rstrip(" .")


def _problem(value: object) -> str | None:  # noqa: PLR0911 - a rule a line
    if not isinstance(value, str):
        return "id must be a string"
    if not value.strip():
        return "id cannot be blank"
    if "/" in value or "\\" in value:
        return "id cannot contain path separators"
    if value in {".", ".."}:
        return "id cannot be a relative path"
    if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in value):
        return "id cannot contain control characters"
    if len(value.encode()) > MAX_IDENTIFIER_BYTES:
        return f"id cannot be longer than {MAX_IDENTIFIER_BYTES} bytes in UTF-8"
    return None
