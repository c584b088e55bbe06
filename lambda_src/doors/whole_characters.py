"""Text that arrives in pieces, passed on in whole characters.

Some providers send an emoji as two halves in two events, each of which is an unpaired surrogate; others send the parts
that one visible sign is joined of. Half of either would be shown as a replacement character, or as another sign.
"""

from __future__ import annotations

_HIGH, _LOW, _END = "\ud800", "\udc00", "\ue000"
_JOINER = "\u200d"


class WholeCharacters:
    """Holds back what may be the first half of a character."""

    def __init__(self) -> None:
        self._held = ""

    def add(self, piece: str) -> str:
        """What can be shown now."""
        text = _paired(self._held + piece)
        end = len(text)
        while end and (text[end - 1] == _JOINER or _HIGH <= text[end - 1] < _LOW):
            end -= 1
            # What is joined to something is held back with its joiner.
            end -= 1 if end and text[end] == _JOINER else 0
        self._held = text[end:]
        return text[:end]

    def rest(self) -> str:
        """What was held back, when nothing comes after it."""
        text, self._held = self._held, ""
        return text


def _paired(text: str) -> str:
    """Text whose surrogates are one character where they are two halves of one."""
    if not any(_HIGH <= character < _END for character in text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
