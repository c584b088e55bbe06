"""What somebody types, as a prompt: words, and files that are named as ``@path``."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import click

IMAGES = {"png": "png", "jpg": "jpeg", "jpeg": "jpeg", "gif": "gif", "webp": "webp"}
DOCUMENTS = ("pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md")
_FILE = re.compile(r"(?:(?<=\s)|^)@(\S+)")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9 ()\[\]-]+")


def prompt_of(line: str) -> str | list[dict[str, Any]]:
    """The prompt of a line: its text, or blocks when it names files.

    Raises:
        click.UsageError: A file is not there, or is of a kind that models do not take.
    """
    paths = [Path(found).expanduser() for found in _FILE.findall(line)]
    if not paths:
        return line
    return [{"text": line}, *(_block_of(path) for path in paths)]


def _block_of(path: Path) -> dict[str, Any]:
    kind = path.suffix.removeprefix(".").lower()
    if kind not in IMAGES and kind not in DOCUMENTS:
        allowed = ", ".join(sorted({*IMAGES, *DOCUMENTS}))
        raise click.UsageError(f"@{path} is none of {allowed}.")
    try:
        source = {"bytes": base64.b64encode(path.read_bytes()).decode("ascii")}
    except OSError as error:
        raise click.UsageError(f"@{path} cannot be read: {error.strerror}.") from None
    if kind in IMAGES:
        return {"image": {"format": IMAGES[kind], "source": source}}
    # Providers take letters, digits, spaces, hyphens and brackets in a name.
    name = _NOT_IN_NAMES.sub(" ", path.stem).strip() or "document"
    return {"document": {"format": kind, "name": name, "source": source}}
