"""The page on custom stores: its code is taken out of it and used."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_sessions import store_url
from agent_sessions.exceptions import SessionBusyError, SessionNotFoundError
from agent_sessions.lease import SessionLease
from agent_sessions.session_store import SessionStore
from tests.docs.documents import ROOT, files
from tests.docs.test_custom_repository import run
from tests.doubles.scripted_model import ScriptedModel

PAGE = ROOT / "docs" / "CUSTOM_STORE.md"
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null")
MODULES = ("memory_store", "conversation", "memory_url")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The page's files as a user would save them."""
    for name, code in files(PAGE.read_text()).items():
        (tmp_path / name).write_text(code)
    return tmp_path


@pytest.fixture
def page(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Makes the page's files importable, and forgets them again."""
    monkeypatch.syspath_prepend(str(folder))
    before = dict(store_url.STORAGES)
    yield
    store_url.STORAGES.clear()
    store_url.STORAGES.update(before)
    for name in MODULES:
        sys.modules.pop(name, None)


def test_the_documented_store_passes_the_suites_that_are_shipped(folder: Path) -> None:
    finished = run(
        folder,
        *["-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null"],
        str(folder / "test_memory_store.py"),
    )

    assert finished.returncode == 0, finished.stdout
    passed = re.search(r"(\d+) passed", finished.stdout)
    assert passed
    assert int(passed[1]) >= 70


@pytest.mark.usefixtures("page")
def test_a_conversation_goes_on_where_the_last_agent_was() -> None:
    from conversation import open_agent  # type: ignore[import-not-found] # the page's
    from memory_store import MemoryStore  # type: ignore[import-not-found] # the page's

    objects = MemoryStore()
    open_agent(objects, "s1", ScriptedModel("Hello Ada."))("I am Ada.")
    model = ScriptedModel("Ada.")
    open_agent(objects, "s1", model)("Who am I?")

    assert model.requests[-1].texts == ["I am Ada.", "Hello Ada.", "Who am I?"]


@pytest.mark.usefixtures("page")
def test_a_url_opens_the_documented_store_with_everything_a_session_store_does() -> None:
    import memory_url  # type: ignore[import-not-found] # noqa: F401 - it registers its URL

    store: Any = SessionStore.from_url("memory://notes", ttl_days=1)
    store.session_manager("s1")
    again: Any = SessionStore.from_url("memory://notes", ttl_days=1)

    assert again.sessions().session_ids == ("s1",)
    assert again.for_owner("o_ada/").sessions().session_ids == ()
    with SessionLease(store, "s1", holder="one"), pytest.raises(SessionBusyError):
        SessionLease(again, "s1", holder="two").acquire()
    again.delete_session("s1")
    with pytest.raises(SessionNotFoundError):
        store.describe("s1")


def test_a_store_whose_conditions_do_not_hold_does_not_pass(folder: Path) -> None:
    """The suite can fail: a store that takes every write is found out."""
    code = (folder / "memory_store.py").read_text().replace("if not is_expected:", "if False:")
    (folder / "memory_store.py").write_text(code)

    finished = run(
        folder,
        *["-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null"],
        str(folder / "test_memory_store.py"),
    )

    failed = re.search(r"(\d+) failed", finished.stdout)
    assert failed
    assert int(failed[1]) >= 4
