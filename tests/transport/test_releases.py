"""Which releases of the runtime client are run."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.transport.releases import LOCK, ROOT, locked, newer

NOW = datetime(2026, 11, 28, tzinfo=UTC)
LOCKED = locked(LOCK.read_text(encoding="utf-8"), "awslambdaric")


def wheel(uploaded: str, *, yanked: bool = False, name: str = "x.whl") -> dict[str, Any]:
    return {"filename": name, "upload_time": uploaded, "yanked": yanked, "digests": {"sha256": "ab" * 32}}


def test_the_lock_has_a_hash_for_each_and_the_release_that_the_tests_have() -> None:
    dev = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")

    assert all("--hash=sha256:" in block for block in LOCKED.values())
    assert set(locked(dev, "awslambdaric")) <= set(LOCKED)


def test_the_makefile_locks_what_is_run() -> None:
    listed = re.search(r"^RUNTIME_CLIENTS \?= (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)

    assert listed is not None
    assert listed[1].split() == list(LOCKED)


def test_a_release_that_the_lock_does_not_have_is_run_with_the_indexs_hashes() -> None:
    index = {"releases": {"9.0.0": [wheel("2026-11-01T10:00:00")]}}

    assert newer(index, LOCKED, NOW) == {"9.0.0": f"awslambdaric==9.0.0 \\\n    --hash=sha256:{'ab' * 32}"}


@pytest.mark.parametrize(
    ("version", "files"),
    [
        ("4.2.2", [wheel("2026-10-15T16:44:43")]),
        ("2.0.0", [wheel("2021-09-29T19:44:23")]),
        ("9.0.0", [wheel("2026-11-01T10:00:00", yanked=True)]),
        ("9.0.0", [wheel("2026-11-01T10:00:00", name="x.tar.gz")]),
        ("9.0.0", []),
        ("9.0.0rc1", [wheel("2026-11-01T10:00:00")]),
    ],
    ids=["locked", "old", "yanked", "no wheel", "no file", "candidate"],
)
def test_a_release_that_is_locked_older_or_withdrawn_is_no_news(version: str, files: list[dict[str, Any]]) -> None:
    assert newer({"releases": {version: files}}, LOCKED, NOW) == {}
