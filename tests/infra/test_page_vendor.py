"""What the chat page has from others is what package-lock.json names."""

import hashlib
import json

import pytest

from infra.commands.page_vendor import COPIED, MANIFEST, MODULES, USED_OF_OAUTH4WEBAPI, VENDOR, differences, locked

ENTRIES = json.loads((VENDOR / MANIFEST).read_text(encoding="utf-8"))


def test_every_file_is_named_with_its_package_and_its_content() -> None:
    present = {path.name for path in VENDOR.iterdir()} - {MANIFEST, "dompurify.js"}

    assert present == ENTRIES.keys() == COPIED.keys() | {"oauth4webapi.js"}
    for name, entry in ENTRIES.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == entry["sha256"], name


def test_the_packages_are_those_of_the_lock() -> None:
    for name, entry in ENTRIES.items():
        assert (entry["version"], entry["integrity"]) == locked(entry["package"]), f"{name}: make page-vendor"
    assert ENTRIES["oauth4webapi.js"]["exports"] == list(USED_OF_OAUTH4WEBAPI)
    assert f"esbuild {locked('esbuild')[0]} " in ENTRIES["oauth4webapi.js"]["made_with"]


def test_every_package_has_its_licence_beside_it() -> None:
    packages = {entry["package"] for entry in ENTRIES.values()}

    assert {f"LICENSE-{package}.txt" for package in packages} <= ENTRIES.keys()


@pytest.mark.skipif(
    not (MODULES / "esbuild").is_dir(), reason="without node_modules nobody can make the page's files again: npm ci"
)
def test_making_them_again_changes_nothing() -> None:
    assert differences() == []
