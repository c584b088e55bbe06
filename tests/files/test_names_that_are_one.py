"""Two ids that differ are two sessions, or the second is refused, on file systems that take them for one, too."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_sessions._storage.file_objects import FileObjects
from agent_sessions.exceptions import InvalidIdentifierError, SessionCorruptError, SessionNotFoundError
from agent_sessions.file_session_manager import FileSessionManager
from agent_sessions.identifiers import look_alike
from agent_sessions.lease import SessionLease
from agent_sessions.session_store import FileSessionStore
from agent_sessions.types import Session, SessionAgent, SessionType
from tests.files.conversation import agent_in, restored
from tests.files.folding import dropping_the_end, folding, ignoring_case, ignoring_composition

PAIRS = [
    pytest.param(ignoring_case, "Ada", "ada", id="Ada, ada"),
    pytest.param(ignoring_case, "ada", "aDa", id="ada, aDa"),
    pytest.param(ignoring_case, "STRASSE", "straße", id="STRASSE, straße"),
    pytest.param(ignoring_composition, "caf\u00e9", "cafe\u0301", id="é, e and its accent"),
    pytest.param(ignoring_composition, "cafe\u0301", "caf\u00e9", id="e and its accent, é"),
    pytest.param(dropping_the_end, "ada", "ada.", id="ada, ada."),
    pytest.param(dropping_the_end, "ada", "ada ", id="ada, ada and a blank"),
]
on_such_a_disk = pytest.mark.parametrize(("fold", "hers", "other"), PAIRS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


@pytest.fixture(autouse=True)
def _disk(folder: Path, request: pytest.FixtureRequest) -> Iterator[None]:
    """The disk that the test's parameters name; this machine's where they name none."""
    parameters = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    if "fold" not in parameters:
        yield
        return
    folder.mkdir()
    with folding(folder, parameters["fold"]):
        agent_in(folder, "Hi Ada.", session_id=parameters["hers"])("It is me")
        yield


def hers_is_whole(folder: Path, hers: str) -> None:
    assert restored(folder, hers) == ["It is me", "Hi Ada."]
    assert FileSessionStore(folder).sessions().session_ids == (hers,)


@on_such_a_disk
def test_an_id_that_is_taken_for_another_one_begins_no_session(
    folder: Path, fold: Callable[[str], str], hers: str, other: str
) -> None:
    with pytest.raises(InvalidIdentifierError, match="choose another") as caught:
        agent_in(folder, session_id=other)

    assert hers not in str(caught.value).replace(repr(other), "")
    hers_is_whole(folder, hers)


@on_such_a_disk
def test_it_reads_nothing_of_the_other_session(folder: Path, fold: Callable[[str], str], hers: str, other: str) -> None:
    store = FileSessionStore(folder)

    for read in (lambda: store.describe(other), lambda: store.messages(other)):
        with pytest.raises(SessionNotFoundError):
            read()
    assert FileSessionManager("mine", str(folder)).read_session(other) is None


@on_such_a_disk
def test_it_erases_nothing_of_the_other_session(
    folder: Path, fold: Callable[[str], str], hers: str, other: str
) -> None:
    with pytest.raises(SessionNotFoundError):
        FileSessionStore(folder).delete_session(other)

    hers_is_whole(folder, hers)


@on_such_a_disk
@pytest.mark.parametrize("left", ["no record", "a damaged record"])
def test_a_similar_id_neither_erases_nor_opens_a_session_with_a_missing_or_damaged_record(
    folder: Path, fold: Callable[[str], str], hers: str, other: str, left: str
) -> None:
    record = folder / f"session_{hers}" / "session.json"
    if left == "no record":
        record.unlink()
    else:
        record.write_bytes(b"{")
    before = sorted(path for path in folder.rglob("*") if path.is_file() and ".locks" not in path.parts)

    with pytest.raises(SessionNotFoundError):
        FileSessionStore(folder).delete_session(other)
    with pytest.raises((InvalidIdentifierError, SessionCorruptError)):
        agent_in(folder, session_id=other)

    after = sorted(path for path in folder.rglob("*") if path.is_file() and ".locks" not in path.parts)
    assert after == before


@on_such_a_disk
def test_create_session_refuses_it_as_well(folder: Path, fold: Callable[[str], str], hers: str, other: str) -> None:
    manager = FileSessionManager("mine", str(folder))

    with pytest.raises(InvalidIdentifierError):
        manager.create_session(Session(session_id=other, session_type=SessionType.AGENT))

    assert restored(folder, hers) == ["It is me", "Hi Ada."]


@on_such_a_disk
def test_a_lease_under_it_ends_without_a_trace(folder: Path, fold: Callable[[str], str], hers: str, other: str) -> None:
    with SessionLease(FileSessionStore(folder), other, holder="test") as lease:
        assert lease.held

    hers_is_whole(folder, hers)


@on_such_a_disk
def test_once_hers_is_erased_the_other_id_is_free(
    folder: Path, fold: Callable[[str], str], hers: str, other: str
) -> None:
    FileSessionStore(folder).delete_session(hers)

    agent_in(folder, "Hi.", session_id=other)("Me")

    assert restored(folder, other) == ["Me", "Hi."]


class Orchestrator:
    """Says nothing of its id in its state."""

    def __init__(self, orchestrator_id: str) -> None:
        self.id = orchestrator_id

    def serialize_state(self) -> dict[str, Any]:
        return {"step": 1, "of": self.id}


@pytest.mark.parametrize("fold", [ignoring_case], ids=[""])
@pytest.mark.parametrize("hers", ["chat"])
def test_agents_and_orchestrators_of_a_session_are_told_apart_too(
    folder: Path, fold: Callable[[str], str], hers: str
) -> None:
    manager = FileSessionManager(hers, str(folder))
    manager.create_agent(hers, SessionAgent("Planner", {"who": "Planner"}, {}))
    manager.create_multi_agent(hers, Orchestrator("Graph"))

    found = manager.read_agent(hers, "Planner")
    assert found is not None
    assert found.state == {"who": "Planner"}
    assert manager.read_multi_agent(hers, "Graph") == {"step": 1, "of": "Graph"}
    for read in (lambda: manager.read_agent(hers, "planner"), lambda: manager.read_multi_agent(hers, "graph")):
        with pytest.raises(InvalidIdentifierError, match="choose another"):
            read()


# --- records that say that they are another's, on any disk ------------------------------------------------------


def rewrite(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_session_that_was_copied_by_hand_is_damaged_until_its_record_is_changed(folder: Path) -> None:
    agent_in(folder, "Hi.", session_id="one")("Hello")
    (folder / "session_one").rename(folder / "session_two")

    with pytest.raises(SessionCorruptError, match="'one'") as caught:
        agent_in(folder, session_id="two")
    assert caught.value.key == "session_two/session.json"

    rewrite(folder / "session_two" / "session.json", session_id="two")
    assert restored(folder, "two") == ["Hello", "Hi."]


def test_it_can_be_erased_for_its_folder_is_named_as_it_was_asked_for(folder: Path) -> None:
    agent_in(folder, "Hi.", session_id="one")("Hello")
    (folder / "session_one").rename(folder / "session_two")

    FileSessionStore(folder).delete_session("two")

    assert not (folder / "session_two").exists()


def test_a_folder_that_was_renamed_to_a_look_alike_is_another_sessions(folder: Path) -> None:
    agent_in(folder, "Hi.", session_id="Ada")("Hello")
    (folder / "session_Ada").rename(folder / "session_ada")

    with pytest.raises(SessionNotFoundError):
        FileSessionStore(folder).delete_session("ada")
    with pytest.raises(InvalidIdentifierError):
        agent_in(folder, session_id="ada")


def test_an_agents_record_in_anothers_place_is_damage(folder: Path) -> None:
    agent_in(folder, "Hi.")("Hello")
    rewrite(folder / "session_chat/agents/agent_a/agent.json", agent_id="b")

    for read in (
        lambda: agent_in(folder),
        lambda: FileSessionManager("chat", str(folder)).read_agent("chat", "a"),
    ):
        with pytest.raises(SessionCorruptError, match="'b'") as caught:
            read()
        assert caught.value.key == "session_chat/agents/agent_a/agent.json"


@pytest.mark.parametrize(
    ("state", "is_refused"),
    [
        ({"type": "graph", "id": "other"}, True),
        ({"type": "swarm", "id": "other"}, True),
        ({"type": "mine", "id": "run-17"}, False),
        ({"step": 1}, False),
    ],
)
def test_an_orchestrators_record_is_anothers_when_strands_says_so(
    folder: Path, state: dict[str, Any], is_refused: bool
) -> None:
    manager = FileSessionManager("chat", str(folder))
    place = folder / "session_chat/multi_agents/multi_agent_mine"
    place.mkdir(parents=True)
    (place / "multi_agent.json").write_text(json.dumps(state))

    if not is_refused:
        assert manager.read_multi_agent("chat", "mine") == state
        return
    with pytest.raises(SessionCorruptError, match="'other'"):
        manager.read_multi_agent("chat", "mine")


# --- which names are alike ----------------------------------------------------------------------------------------


@given(st.text(max_size=12))
def test_a_name_is_like_itself_in_any_case_and_form(name: str) -> None:
    for other in (name, name.upper(), name.lower(), name.casefold(), ignoring_composition(name), name + "."):
        assert look_alike(name, other)


@pytest.mark.parametrize(("one", "other"), [("ada", "adb"), ("user1", "user10"), ("a-b", "a_b"), ("é", "e")])
def test_names_that_every_file_system_tells_apart_are_not_alike(one: str, other: str) -> None:
    assert not look_alike(one, other)


def test_on_this_disk_a_folder_is_named_as_it_was_made(folder: Path) -> None:
    objects = FileObjects(folder)
    objects.make_folder("session_Ada/")

    assert objects.is_named_exactly("session_Ada/")
    assert not objects.is_named_exactly("session_ada/")
