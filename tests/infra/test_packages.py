"""What is shipped does not depend on who builds it: the same files, modes and hash for everybody."""

import contextlib
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.packaging.python_package import copy_package
from infra.packaging.runtime_layer_build import LayerTarget, build_runtime_layer
from infra.packaging.shipped_files import PackageError, fingerprint, normalise
from tests.infra.test_layer_build import HERE, lock  # noqa: F401 - a fixture


@contextlib.contextmanager
def umask(value: int) -> Iterator[None]:
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


def write_sources(folder: Path) -> Path:
    """A package as a user has it, with a prompt, a nested module, a script and a program."""
    package = folder / "bot"
    (package / "tools").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "handler.py").write_text("NAMES = frozenset({'a', 'b', 'c'})\ndef lambda_handler(e, c): return NAMES\n")
    (package / "prompt.md").write_text("Be helpful: ä€\n")
    (package / "tools" / "__init__.py").write_text("X = {'one': 1}\n")
    (package / "tools" / "convert").write_text("#!/bin/sh\necho converted\n")
    (package / "tools" / "native").write_bytes(b"\x7fELF\x02\x01\x01\x00")
    return package


def packaged(package: Path, output: Path) -> Path:
    output.mkdir(parents=True)
    copy_package(package, output, python_version=HERE, installed_as="/var/task")
    return output


def modes(folder: Path) -> dict[str, int]:
    return {p.relative_to(folder).as_posix(): stat.S_IMODE(p.stat().st_mode) for p in folder.rglob("*")}


def everybody_can_read(folder: Path) -> None:
    found = modes(folder)
    assert {mode for name, mode in found.items() if (folder / name).is_dir()} <= {0o755}
    assert {mode for name, mode in found.items() if (folder / name).is_file()} <= {0o644, 0o755}
    assert found


def set_all(folder: Path, file_mode: int, folder_mode: int) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.chmod(folder_mode if path.is_dir() else file_mode)
    folder.chmod(folder_mode)


@pytest.fixture
def expected(tmp_path: Path) -> str:
    """The hash of the package, built the ordinary way."""
    with umask(0o022):
        return fingerprint(packaged(write_sources(tmp_path / "ordinary"), tmp_path / "ordinary-output"))


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o022, 0o027, 0o077])
def test_the_builders_umask_does_not_matter(mask: int, expected: str, tmp_path: Path) -> None:
    with umask(mask):
        output = packaged(write_sources(tmp_path / "theirs"), tmp_path / "output")

    everybody_can_read(output / "bot")
    assert list(output.rglob("*.pyc"))
    assert fingerprint(output) == expected


@pytest.mark.parametrize(
    ("file_mode", "folder_mode"),
    [(0o600, 0o700), (0o664, 0o775), (0o666, 0o777), (0o777, 0o777), (0o444, 0o555), (0o640, 0o2750), (0o4755, 0o1777)],
)
def test_the_modes_of_the_sources_do_not_matter(
    file_mode: int, folder_mode: int, expected: str, tmp_path: Path
) -> None:
    package = write_sources(tmp_path / "theirs")
    set_all(package, file_mode, folder_mode)

    output = packaged(package, tmp_path / "output")

    everybody_can_read(output / "bot")
    assert fingerprint(output) == expected
    set_all(package, 0o644, 0o755)


def test_what_the_kernel_can_start_can_be_started_and_nothing_else(tmp_path: Path) -> None:
    package = write_sources(tmp_path)
    set_all(package, 0o666, 0o777)
    (package / "handler.py").chmod(0o777)

    found = modes(packaged(package, tmp_path / "output"))

    files = {name: mode for name, mode in found.items() if (tmp_path / "output" / name).is_file()}
    assert {name for name, mode in files.items() if mode == 0o755} == {"bot/tools/convert", "bot/tools/native"}


def test_the_time_of_the_checkout_does_not_matter(expected: str, tmp_path: Path) -> None:
    package = write_sources(tmp_path / "theirs")
    for age, path in enumerate(sorted(package.rglob("*"))):
        os.utime(path, (age, 86_400 * age))

    assert fingerprint(packaged(package, tmp_path / "output")) == expected


class _Backwards:
    """``os.scandir`` of a file system that lists in another order."""

    def __init__(self, entries: Iterator[Any]) -> None:
        self._entries = entries

    def __enter__(self) -> Iterator[Any]:
        with self._entries as entries:  # type: ignore[attr-defined] # what scandir returns is a context manager
            return iter(list(entries)[::-1])

    def __exit__(self, *_: object) -> None: ...

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._entries)[::-1])


def test_the_order_of_the_file_system_does_not_matter(
    expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = write_sources(tmp_path / "theirs")
    scandir, listdir = os.scandir, os.listdir
    monkeypatch.setattr(os, "scandir", lambda path: _Backwards(scandir(path)))
    monkeypatch.setattr(os, "listdir", lambda path: listdir(path)[::-1])

    output = packaged(package, tmp_path / "output")
    found = fingerprint(output)

    assert found == expected


STRAYS = [
    "__pycache__/handler.cpython-39.pyc",
    "tools/__pycache__/x.pyc",
    "handler.pyc",
    "old_room/__pycache__/gone.cpython-311.pyc",
    "empty/",
    "empty/deeper/",
    ".DS_Store",
    "tools/.DS_Store",
    "._handler.py",
    ".handler.py.swp",
    ".handler.py.swo",
    "handler.py.swp",
    "handler.py~",
    "#handler.py#",
    "4913",
    "handler.py___jb_tmp___",
    "handler.py.orig",
    "handler.py.rej",
    "handler.py.bak",
    "Thumbs.db",
    "desktop.ini",
    ".git/HEAD",
    ".idea/workspace.xml",
    ".venv/bin/python",
    ".mypy_cache/x.json",
    ".pytest_cache/README.md",
    ".env",
    "bot.egg-info/PKG-INFO",
]


@pytest.mark.parametrize("stray", STRAYS)
def test_what_lies_beside_the_sources_is_not_shipped(stray: str, expected: str, tmp_path: Path) -> None:
    package = write_sources(tmp_path / "theirs")
    path = package / stray
    path.parent.mkdir(parents=True, exist_ok=True)
    if stray.endswith("/"):
        path.mkdir(exist_ok=True)
    else:
        path.write_bytes(b"\x00stray")

    assert fingerprint(packaged(package, tmp_path / "output")) == expected
    assert not (tmp_path / "output" / "bot" / stray).exists() or stray.startswith("tools")


def test_an_editors_lock_and_a_pipe_are_not_shipped(expected: str, tmp_path: Path) -> None:
    package = write_sources(tmp_path / "theirs")
    (package / ".#handler.py").symlink_to("ada@machine.1234:1700000000")
    os.mkfifo(package / "pipe")

    assert fingerprint(packaged(package, tmp_path / "output")) == expected


def test_a_link_ships_what_it_leads_to(expected: str, tmp_path: Path) -> None:
    package = write_sources(tmp_path / "theirs")
    prompt = (package / "prompt.md").rename(tmp_path / "elsewhere.md")
    (package / "prompt.md").symlink_to(prompt)

    assert fingerprint(packaged(package, tmp_path / "output")) == expected


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    package = write_sources(tmp_path / "theirs")
    (package / "data.csv").symlink_to(tmp_path / "gone.csv")

    with pytest.raises(PackageError, match=r"data\.csv"):
        packaged(package, tmp_path / "output")


def git(folder: Path, *arguments: str) -> None:
    settings = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *settings, *arguments], cwd=folder, check=True, capture_output=True)


def test_a_clone_and_an_export_give_the_same_package(expected: str, tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    write_sources(origin)
    git(origin, "init", "-q")
    git(origin, "add", "-A")
    git(origin, "commit", "-qm", "first")
    with umask(0o077):
        git(tmp_path, "clone", "-q", str(origin), "clone")
    export = tmp_path / "export"
    export.mkdir()
    git(origin, "archive", "-o", str(tmp_path / "export.tar"), "HEAD")
    with umask(0o000):
        shutil.unpack_archive(tmp_path / "export.tar", export)

    assert fingerprint(packaged(tmp_path / "clone" / "bot", tmp_path / "a")) == expected
    assert fingerprint(packaged(export / "bot", tmp_path / "b")) == expected


def test_every_mode_name_and_byte_counts(expected: str, tmp_path: Path) -> None:
    output = packaged(write_sources(tmp_path / "theirs"), tmp_path / "output")
    handler = output / "bot" / "handler.py"

    def changed(change: Callable[[], object], back: Callable[[], object]) -> bool:
        change()
        found = fingerprint(output)
        back()
        assert fingerprint(output) == expected
        return found != expected

    text = handler.read_bytes()
    assert changed(lambda: handler.chmod(0o600), lambda: handler.chmod(0o644))
    assert changed(lambda: handler.chmod(0o640), lambda: handler.chmod(0o644))
    assert changed(lambda: handler.write_bytes(text.replace(b"\n", b"\r\n")), lambda: handler.write_bytes(text))
    assert changed(lambda: handler.rename(output / "x.py"), lambda: (output / "x.py").rename(handler))


def test_a_file_system_that_keeps_no_modes_is_refused_when_lambda_could_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = write_sources(tmp_path / "theirs")
    set_all(package, 0o600, 0o700)
    monkeypatch.setattr(Path, "chmod", lambda *_: None)

    with pytest.raises(PackageError, match="Build on another one"):
        normalise(package)
    monkeypatch.undo()
    set_all(package, 0o777, 0o777)
    monkeypatch.setattr(Path, "chmod", lambda *_: None)
    normalise(package)


# --- the runtime layer and its cache --------------------------------------------------------------------------


def layer(lock: Path, folder: Path, cache: Path) -> Path:  # noqa: F811 - pytest passes the fixture on
    output = folder / "output"
    output.mkdir(parents=True)
    build_runtime_layer(lock, LayerTarget(HERE, "arm64"), output, cache)
    return output


def test_a_cache_made_under_another_umask_does_not_leak(lock: Path, tmp_path: Path) -> None:  # noqa: F811
    with umask(0o022):
        ordinary = layer(lock, tmp_path / "a", tmp_path / "cache-a")
    with umask(0o077):
        private = layer(lock, tmp_path / "b", tmp_path / "cache-b")
        from_the_cache = layer(lock, tmp_path / "c", tmp_path / "cache-b")

    for output in (ordinary, private, from_the_cache):
        everybody_can_read(output)
        assert fingerprint(output) == fingerprint(ordinary)


def test_a_cache_whose_modes_were_changed_does_not_leak_and_is_not_written_to(lock: Path, tmp_path: Path) -> None:  # noqa: F811
    cache = tmp_path / "cache"
    ordinary = layer(lock, tmp_path / "a", cache)
    expected = fingerprint(ordinary)
    shutil.rmtree(ordinary)
    set_all(cache, 0o600, 0o700)

    again = layer(lock, tmp_path / "b", cache)

    everybody_can_read(again)
    assert fingerprint(again) == expected
    assert {stat.S_IMODE(path.stat().st_mode) for path in cache.rglob("*") if path.is_file()} == {0o600}


def test_another_user_can_read_what_was_kept(lock: Path, tmp_path: Path) -> None:  # noqa: F811
    with umask(0o077):
        layer(lock, tmp_path / "a", tmp_path / "cache")

    (kept,) = (tmp_path / "cache").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o755
    everybody_can_read(kept)


def test_where_nothing_can_be_kept_the_layer_is_built_all_the_same(lock: Path, tmp_path: Path) -> None:  # noqa: F811
    ordinary = layer(lock, tmp_path / "a", tmp_path / "cache")
    (tmp_path / "file").write_text("in the way")

    assert fingerprint(layer(lock, tmp_path / "b", tmp_path / "file" / "cache")) == fingerprint(ordinary)
