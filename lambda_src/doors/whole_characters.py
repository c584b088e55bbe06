"""Text that arrives in pieces, passed on in whole characters.

Some providers send an emoji as two halves in two events, each an unpaired surrogate. Others split the parts that make
up one visible sign. Half of either would be shown as a replacement character, or as another sign.
"""

from __future__ import annotations

_HIGH, _LOW, _END = "\ud800", "\udc00", "\ue000"
_JOINER = "\u200d"


class WholeCharacters:
    """Holds back what may be the first half of a character."""

    def __init__(self) -> None:
        self._held = ""

    def add(self, piece: str) -> str:
        """Add a piece; returns what can be shown now."""
        text = _paired(self._held + piece)
        end = len(text)
        while end and (text[end - 1] == _JOINER or _HIGH <= text[end - 1] < _LOW):
            end -= 1
            # A joiner is held back together with what it joins.
            end -= 1 if end and text[end] == _JOINER else 0
        self._held = text[end:]
        return text[:end]

    def rest(self) -> str:
        """What was held back, if nothing comes after it."""
        text, self._held = self._held, ""
        return text


def _paired(text: str) -> str:
    """The text, with each pair of surrogate halves made one character."""
    if not any(_HIGH <= character < _END for character in text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
