"""Which form of an answer a caller wants: the ``Accept`` header (RFC 9110, 12.5.1)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lambda_src.answers.errors import NotAcceptableError

if TYPE_CHECKING:
    from collections.abc import Sequence

JSON = "application/json"
EVENTS = "text/event-stream"

_WORD = r"[!#$%&'+.^_`|~0-9A-Za-z-]+"
_ANYTHING = "*/*"
_RANGE = re.compile(rf"(\*/\*|({_WORD})/(\*|{_WORD}))", re.ASCII)
_QUALITY = re.compile(r"[0-9]+\.?[0-9]*|\.[0-9]+")


def chosen(accept: str | None, offered: Sequence[str]) -> str:
    """The media type to answer with.

    It is the one the caller likes best. Among equals it is the one named most exactly, and among those the one offered
    last: a caller that names a stream of events can read one.

    Args:
        accept: The header's value. Without one, everything is acceptable.
        offered: What there is, the usual one first.

    Raises:
        NotAcceptableError: The caller takes none of them.
    """
    if accept is None or not accept.strip():
        return offered[0]
    ranges = [found for part in _split(accept, ",") if (found := _range(part)) is not None]
    best: tuple[float, int] = (0.0, 0)
    choice = None
    for media_type in offered:
        exactness, quality = _judged(media_type, ranges)
        # A caller that takes anything gets the usual one.
        if quality > 0 and ((quality, exactness) > best or ((quality, exactness) == best and exactness)):
            best, choice = (quality, exactness), media_type
    if choice is None:
        raise NotAcceptableError(f"The answer can be {' or '.join(offered)}; Accept names neither.", offered=offered)
    return choice


def _judged(media_type: str, ranges: list[tuple[str, float]]) -> tuple[int, float]:
    """How exactly a media type is named, and how much it is wanted: the most exact range counts."""
    by_exactness = (f"{media_type.partition('/')[0]}/*", media_type)
    judged = (0, 0.0)
    for named, quality in ranges:
        exactness = 0 if named == _ANYTHING else 1 + by_exactness.index(named) if named in by_exactness else None
        if exactness is not None and (exactness, quality) >= judged:
            judged = (exactness, quality)
    return judged


def _range(text: str) -> tuple[str, float] | None:
    """A media range and its quality; ``None`` if the text is no media range.

    Java's ``HttpURLConnection`` sends ``text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2`` unless it is told
    otherwise. A quality that cannot be read counts as 1, as if it were not there.
    """
    named, *parameters = (part.strip().lower() for part in _split(text, ";"))
    named = _ANYTHING if named == "*" else named
    if not _RANGE.fullmatch(named):
        return None
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q" and _QUALITY.fullmatch(value.strip()):
            quality = min(float(value), 1.0)
    return named, quality


def _split(text: str, separator: str) -> list[str]:
    """The parts of a header's value. A separator within quotes separates nothing."""
    parts, begin, is_quoted, is_escaped = [], 0, False, False
    for position, character in enumerate(text):
        if is_escaped:
            is_escaped = False
        elif is_quoted and character == "\\":
            is_escaped = True
        elif character == '"':
            is_quoted = not is_quoted
        elif character == separator and not is_quoted:
            parts.append(text[begin:position])
            begin = position + 1
    return [*parts, text[begin:]]
