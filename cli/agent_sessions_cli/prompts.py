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
_BEGINS_PATH = ("/", "./", "../", "~/")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9 ()\[\]-]+")


def prompt_of(line: str) -> str | list[dict[str, Any]]:
    """The prompt of a line: its text, or blocks when it names files.

    ``@name`` names a file when one of this name is there, or when it looks like one: it begins as a path does, or ends
    as an image or a document. Any other stays text.

    Raises:
        click.UsageError: A file is not there, or is of a kind that models do not take.
    """
    paths = [_path_of(name) for name in _FILE.findall(line) if _names_file(name)]
    if not paths:
        return line
    return [{"text": line}, *(_block_of(path) for path in paths)]


def names_sent_as_text(line: str) -> list[str]:
    """The words of a line that begin with ``@`` and name no file."""
    return [f"@{name}" for name in _FILE.findall(line) if not _names_file(name)]


def _names_file(name: str) -> bool:
    path = _path_of(name)
    if name.startswith(_BEGINS_PATH) or path.suffix.removeprefix(".").lower() in {*IMAGES, *DOCUMENTS}:
        return True
    try:
        return path.is_file()
    except (OSError, ValueError):  # no file system takes such a name
        return False


def _path_of(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:  # nobody has this home
        return Path(name)


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
