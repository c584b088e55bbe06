"""The contract for turns that were accepted and have not begun: a record each, and no use of the session."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agent_sessions.accepted_turns import AcceptedTurn
from agent_sessions.exceptions import InvalidIdentifierError, SessionCorruptError, SessionNotFoundError
from agent_sessions.session_store import FileSessionStore, S3SessionStore, SessionStore
from tests.contract.agents import open_agent, texts
from tests.contract.places import BucketPlace, FolderPlace
from tests.contract.subjects import Subject, file_subject, s3_subject

TURN = AcceptedTurn("one", "default", "body", 1_773_342_238.25)
KEY = "session_chat/turns/turn_one.json"


class Stored:
    """A store, and what lies in it."""

    def __init__(self, store: SessionStore, strands: Subject) -> None:
        self.store = store
        self.strands = strands

    def names(self) -> list[str]:
        return [key for key in self.strands.stored.keys() if key.startswith("session_")]  # noqa: SIM118 - a method of Place


@pytest.fixture(params=["file", "s3", "s3-kms"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Stored:
    if request.param == "file":
        return Stored(FileSessionStore(tmp_path), file_subject("strands-file", tmp_path))
    client = request.getfixturevalue("kms_client" if request.param == "s3-kms" else "s3_client")
    bucket = request.getfixturevalue("bucket")
    return Stored(S3SessionStore(client, bucket, "kit"), s3_subject("strands-s3", client, bucket, prefix="kit"))


def test_what_was_accepted_is_read_by_anybody_until_it_begins(stored: Stored) -> None:
    promised = stored.store.accepted_turns("chat").accept(TURN, begins_session=True)
    others = stored.store.accepted_turns("chat")

    read = others.read("one")
    removed = others.remove("one")

    assert promised == (TURN, True)
    assert read == removed == TURN
    assert stored.store.accepted_turns("chat").read("one") is None
    assert stored.store.accepted_turns("chat").remove("one") is None
    assert KEY not in stored.names()


def test_accepting_begins_a_session_only_if_it_is_said_to(stored: Stored) -> None:
    with pytest.raises(SessionNotFoundError):
        stored.store.accepted_turns("chat").accept(TURN)
    assert stored.names() == []

    stored.store.accepted_turns("chat").accept(TURN, begins_session=True)

    assert stored.store.describe("chat").agents == ()
    assert list(stored.store.sessions().session_ids) == ["chat"]


def test_of_many_that_accept_a_turn_at_once_one_has_promised_it(stored: Stored) -> None:
    def accept(number: int) -> tuple[AcceptedTurn, bool]:
        turn = TURN._replace(body=str(number))
        return stored.store.accepted_turns("chat").accept(turn, begins_session=True)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(accept, range(8)))

    assert [new for _, new in answers].count(True) == 1
    assert len({turn for turn, _ in answers}) == 1


def test_an_earlier_promise_is_replaced_only_when_it_is_over(stored: Stored) -> None:
    turns = stored.store.accepted_turns("chat")
    turns.accept(TURN, begins_session=True)
    turns.refuse("one", {"kind": "session-busy"})
    later = TURN._replace(accepted_at=TURN.accepted_at + 60)

    kept = turns.accept(later)
    replaced = stored.store.accepted_turns("chat").accept(later, replaces=lambda turn: turn.refusal is not None)

    assert kept == (TURN._replace(refusal={"kind": "session-busy"}), False)
    assert replaced == (later, True)
    assert turns.read("one") == later


def test_wishes_and_refusals_of_several_callers_are_all_kept(stored: Stored) -> None:
    stored.store.accepted_turns("chat").accept(TURN, begins_session=True)

    done = [
        stored.store.accepted_turns("chat").ask_to_cancel("one"),
        stored.store.accepted_turns("chat").refuse("one", {"kind": "session-busy", "more": {"a": [1]}}),
        stored.store.accepted_turns("chat").note_taken_as("one", "another"),
    ]

    assert done == [True] * 3
    assert stored.store.accepted_turns("chat").read("one") == TURN._replace(
        is_cancelled=True, refusal={"kind": "session-busy", "more": {"a": [1]}}, taken_as="another"
    )


def test_what_comes_after_its_beginning_is_told_so(stored: Stored) -> None:
    turns = stored.store.accepted_turns("chat")
    turns.accept(TURN, begins_session=True)
    turns.remove("one")

    assert turns.ask_to_cancel("one") is False
    assert turns.refuse("one", {"kind": "session-busy"}) is False
    assert KEY not in stored.names()


def test_it_is_erased_with_its_session_and_means_nothing_to_the_next_life(stored: Stored) -> None:
    early = stored.store.accepted_turns("chat")
    early.accept(TURN, begins_session=True)
    early.read("one")
    stored.store.delete_session("chat")
    gone = stored.names()
    stored.store.accepted_turns("chat").accept(TURN._replace(turn_id="two"), begins_session=True)

    assert gone == []
    assert early.refuse("one", {"kind": "session-busy"}) is False
    assert early.read("two") is None  # it is of another life
    assert stored.store.accepted_turns("chat").read("one") is None


def test_strands_managers_and_ours_do_not_see_it(stored: Stored) -> None:
    turns = stored.store.accepted_turns("conversation")
    turns.accept(TURN, begins_session=True)
    theirs = open_agent(stored.strands, "Hi, Ada.")
    theirs("I am Ada.")

    assert texts(open_agent(stored.strands).messages) == ["I am Ada.", "Hi, Ada."]
    page = stored.store.messages("conversation")
    assert [record.message["role"] for record in page.messages] == ["user", "assistant"]
    assert turns.read("one") == TURN


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"format": 1, "turn_id": 1}', b'{"format": 2}'])
def test_what_is_no_accepted_turn_is_named(tmp_path: Path, content: bytes) -> None:
    store = FileSessionStore(tmp_path)
    store.accepted_turns("chat").accept(TURN, begins_session=True)
    FolderPlace(tmp_path).write(KEY, content)

    with pytest.raises(SessionCorruptError, match="turn_one"):
        store.accepted_turns("chat").read("one")


@pytest.mark.parametrize("turn_id", ["", "a/b", "..", "x" * 241])
def test_a_turn_id_that_cannot_be_a_name_is_refused(tmp_path: Path, turn_id: str) -> None:
    turns = FileSessionStore(tmp_path).accepted_turns("chat")

    with pytest.raises(InvalidIdentifierError, match="turn_id"):
        turns.accept(TURN._replace(turn_id=turn_id), begins_session=True)

    assert not list(tmp_path.iterdir())


def test_in_a_session_that_is_there_accepting_costs_a_read_and_a_write(s3_client: Any, bucket: str) -> None:
    store = S3SessionStore(s3_client, bucket, "kit")
    store.accepted_turns("chat").accept(TURN, begins_session=True)
    sent: list[str] = []

    def note(model: Any, **_: Any) -> None:
        sent.append(model.name)

    s3_client.meta.events.register("before-call.s3", note)
    try:
        turns = store.accepted_turns("chat")
        turns.accept(TURN._replace(turn_id="two"))
        turns.read("two")
    finally:
        s3_client.meta.events.unregister("before-call.s3", note)

    assert sent == ["GetObject", "PutObject", "GetObject"]
    assert "session_chat/turns/turn_two.json" in BucketPlace(s3_client, bucket, "kit/").keys()  # noqa: SIM118 - a method of Place
