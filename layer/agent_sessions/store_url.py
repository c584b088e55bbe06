"""The URL that names a place for sessions. It is read here only, and refused if it could mean two things.

    s3://bucket            s3://bucket/prefix            file:///absolute/folder

The settings of the endpoint, ``make run`` and ``SessionStore.from_url`` all read it here. To add another storage, write
one line in :data:`STORAGES`, and a ``SessionStore`` that says which address it opens.

A URL that was accepted once names the same place for ever, so nothing is guessed. A query, a fragment, a port or
credentials are refused, not dropped, and two spellings of one place are refused, not merged.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_PREFIX_BYTES = 300
"""S3 allows keys of 1,024 bytes; the longest ids need the rest."""

# What botocore accepts as a bucket's name. It begins with a letter or digit, so that a relative path is not one.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}\Z")
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<rest>.*)\Z", re.DOTALL
)
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class StoreUrlError(ValueError):
    """The text names no place for sessions. The message says which forms are allowed.

    Attributes:
        problem: What is wrong with it, to follow "it"; empty when it is not a store's URL at all.
    """

    def __init__(self, problem: str = "") -> None:
        super().__init__(f"must be {' or '.join(allowed_forms())}{f'; it {problem}' if problem else ''}")
        self.problem = problem


class StoreAddress(Protocol):
    """A place that a URL names."""

    @property
    def needs_aws(self) -> bool:
        """Whether this place needs AWS credentials."""


class BucketAddress(NamedTuple):
    """Sessions in a bucket.

    Attributes:
        bucket: Its name.
        prefix: What every key begins with, without slashes around it; empty for the whole bucket.
    """

    bucket: str
    prefix: str

    @property
    def needs_aws(self) -> bool:
        """See :attr:`StoreAddress.needs_aws`."""
        return True


class FolderAddress(NamedTuple):
    """Sessions in a folder.

    Attributes:
        folder: Its absolute path.
    """

    folder: Path

    @property
    def needs_aws(self) -> bool:
        """See :attr:`StoreAddress.needs_aws`."""
        return False


class Storage(NamedTuple):
    """A kind of place.

    Attributes:
        form: The form of its URL, for the error about another one.
        read: Makes the address of the URL's authority and path, or raises ``ValueError`` with what is wrong.
    """

    form: str
    read: Callable[[str, str], StoreAddress]


def parse_store_url(text: str) -> StoreAddress:
    """Read a store's URL.

    Raises:
        StoreUrlError: It is no such URL, or it says more than the place.
    """
    try:
        return _parsed(text)
    except ValueError as error:
        raise StoreUrlError(str(error)) from None


def allowed_forms() -> list[str]:
    """The URLs that are understood."""
    return [storage.form for storage in STORAGES.values()]


def shown(text: str) -> str:
    """The text as a message may show it, without any credentials in it."""
    before, at, after = text.rpartition("@")
    if not at:
        return text
    scheme, slashes, _ = before.partition("://")
    return f"{scheme if slashes else ''}{slashes}***@{after}"


def _parsed(text: str) -> StoreAddress:
    if _has_controls(text) or text != text.strip():
        raise ValueError("has control characters, or spaces around it")
    found = _URL.match(text)
    if found is None:
        raise ValueError  # the allowed forms say it all
    scheme, authority, path, rest = found.groups()
    storage = STORAGES.get(scheme.lower())
    if storage is None:
        raise ValueError(f"begins with {scheme}:")
    if rest:
        raise ValueError(f"has a {'query' if rest[0] == '?' else 'fragment'}, which names no place")
    if "@" in authority:
        raise ValueError("has credentials, which belong into the environment")
    if "\\" in text:
        raise ValueError("has a backslash")
    if "//" in path:
        raise ValueError("has an empty part (//)")
    return storage.read(authority, path)


def _bucket(authority: str, path: str) -> BucketAddress:
    name, colon, _ = authority.partition(":")
    if colon:
        raise ValueError("has a port, which belongs into AWS_ENDPOINT_URL_S3")
    if not _BUCKET.match(name):
        raise ValueError("names no bucket")
    if "%" in path:
        raise ValueError("has a percent sign, which other tools for S3 take literally and URLs do not")
    prefix = path.removeprefix("/").removesuffix("/")
    _refuse_relative(prefix)
    if len(prefix.encode()) > MAX_PREFIX_BYTES:
        raise ValueError(f"has a prefix longer than {MAX_PREFIX_BYTES} bytes")
    return BucketAddress(name, prefix)


def _folder(authority: str, path: str) -> FolderAddress:
    if authority:
        raise ValueError("names a host")
    if _ESCAPE.search(path):
        raise ValueError("has a percent sign that begins no %XX")
    names = path.removeprefix("/").removesuffix("/")
    if not names:
        raise ValueError("names no folder")
    decoded = [unquote_to_bytes(name) for name in names.split("/")]
    if any(b"/" in name or b"\\" in name for name in decoded):
        raise ValueError("has a path separator in percent-encoding")
    try:
        folder = b"/".join(decoded).decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 in its percent-encoding") from None
    if _has_controls(folder):
        raise ValueError("has control characters in percent-encoding")
    _refuse_relative(folder)
    return FolderAddress(Path(f"/{folder}"))


def _has_controls(text: str) -> bool:
    return any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in text)


def _refuse_relative(path: str) -> None:
    if {".", ".."} & set(path.split("/")):
        raise ValueError("has a relative part (. or ..)")


STORAGES: dict[str, Storage] = {
    "s3": Storage("s3://bucket/prefix", _bucket),
    "file": Storage("file:///absolute/folder", _folder),
}
"""The storages that a URL can name, by its scheme. Add your own here: see ``docs/CUSTOM_STORE.md``."""
