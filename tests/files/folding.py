"""A file system that takes names for one another, as macOS', Windows' and many shared ones do, within this process."""

import contextlib
import os
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

Fold = Callable[[str], str]


def ignoring_case(name: str) -> str:
    return name.casefold()


def ignoring_composition(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def dropping_the_end(name: str) -> str:
    """As Windows does."""
    return name.rstrip(" .")


@contextlib.contextmanager
def folding(folder: Path, fold: Fold) -> Iterator[None]:
    """Below the folder a name is found under every other that folds to the same; it keeps the one it was made under."""
    root = str(folder)
    listdir = os.listdir

    def found(path: Any) -> Any:
        """The path with each name as it is spelled on the disk."""
        if isinstance(path, int) or not str(path).startswith(f"{root}/"):
            return path
        at = root
        for part in str(path)[len(root) + 1 :].split("/"):
            try:
                spelled = {fold(name): name for name in listdir(at)}
            except OSError:
                spelled = {}
            at = f"{at}/{spelled.get(fold(part), part)}"
        return at

    def first(real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda path, *rest, **options: real(found(path), *rest, **options)

    def both(real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda one, other, **options: real(found(one), found(other), **options)

    with contextlib.ExitStack() as patches:
        for name in ("open", "stat", "lstat", "mkdir", "rmdir", "unlink", "scandir"):
            patches.enter_context(mock.patch.object(os, name, first(getattr(os, name))))
        for name in ("link", "replace", "rename"):
            patches.enter_context(mock.patch.object(os, name, both(getattr(os, name))))
        yield
