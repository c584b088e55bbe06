"""The files of the chat page, as they lie in ``lambda_src/page``: read once, and named by a digest of all of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path(__file__).parents[1] / "page"
DOCUMENT = "index.html"
ASSETS = "/assets/"

CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
}
"""What is served. Licences and whatever else lies in the folder is not."""

_DIGEST_LENGTH = 20


@dataclass(frozen=True)
class Asset:
    """A file that the page loads.

    Attributes:
        text: What is in it.
        content_type: What it is.
        etag: Its name for caches, quotes included.
    """

    text: str
    content_type: str
    etag: str


class PageFiles:
    """The page's files.

    Args:
        folder: Where they are.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self.document = (folder / DOCUMENT).read_text(encoding="utf-8")
        self._assets: Mapping[str, Asset] = {
            path.relative_to(folder).as_posix(): _asset(path)
            for path in sorted(folder.rglob("*"))
            if path.suffix in CONTENT_TYPES and path.is_file()
        }

    @cached_property
    def digest(self) -> str:
        """Names the assets together: a module's relative import leads to the module it was written for."""
        digest = hashlib.sha256()
        for name, asset in self._assets.items():
            digest.update(f"{name}\0{asset.etag}\n".encode())
        return digest.hexdigest()[:_DIGEST_LENGTH]

    @property
    def assets_path(self) -> str:
        """Where the assets are, without a slash at the end."""
        return f"{ASSETS}{self.digest}"

    def asset(self, path: str) -> Asset | None:
        """What is served at a path; ``None`` when nothing is. A path is a name in a table, and opens no file.

        Args:
            path: As it was requested, percent-encoded.
        """
        prefix = f"{self.assets_path}/"
        return self._assets.get(path.removeprefix(prefix)) if path.startswith(prefix) else None


@lru_cache(maxsize=1)
def page_files() -> PageFiles:
    """The files of this package, read when the page is asked for first."""
    return PageFiles()


def etag_of(text: str) -> str:
    """A weak entity tag (RFC 9110, 8.8.3)."""
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def _asset(path: Path) -> Asset:
    text = path.read_text(encoding="utf-8")
    return Asset(text, CONTENT_TYPES[path.suffix], etag_of(text))
