"""What commands print: lines for people, coloured on a terminal alone, and lines of JSON for scripts."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import click
from rich.console import Console
from rich.text import Text

_KEPT = "\n\t"


def clean(text: str) -> str:
    """A text that cannot drive a terminal: control and direction characters are shown as their escapes."""
    return "".join(
        character
        if character in _KEPT or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        else _escape(character)
        for character in text
    )


def _escape(character: str) -> str:
    # Joiners make emoji and whole scripts readable, and move nothing.
    if character in "\u200c\u200d":
        return character
    return character.encode("unicode_escape").decode("ascii")


class Printer:
    """Prints lines. On a terminal they are coloured, unless ``NO_COLOR`` is set; nothing is cut to its width."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)

    def line(self, text: str = "", style: str = "") -> None:
        """Print a text that may have been stored by anybody."""
        self._console.print(Text(clean(text), style=style))

    def piece(self, text: str, style: str = "", *, end: str = "") -> None:
        """Print a part of a line."""
        self._console.print(Text(clean(text), style=style), end=end)
        self._console.file.flush()


def print_json(value: Any) -> None:
    """Print a JSON object as one line of ASCII."""
    click.echo(json.dumps(value))


def minute(timestamp: str | None) -> str:
    """An ISO 8601 timestamp to the minute, as a table shows it; a dash when there is none."""
    return "-" if timestamp is None else timestamp[:16].replace("T", " ")
