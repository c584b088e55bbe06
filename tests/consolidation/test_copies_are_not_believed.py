"""A derived copy that is not exactly what it should be is not believed: the messages are the truth."""

import json
from collections.abc import Callable

import pytest

from agent_sessions.s3_session_manager import S3SessionManager
from tests.consolidation.session import BUCKET, KitSession
from tests.doubles.s3.faults import Fault

TURNS = 12


def _with(**changes: object) -> Callable[[KitSession], None]:
    def change(session: KitSession) -> None:
        session.put("history.json", json.dumps({**session.history(), **changes}).encode())

    return change


def _remove(session: KitSession) -> None:
    session.remove("history.json")


def _truncate(session: KitSession) -> None:
    body = session.objects()[f"{session.folder}/history.json"]
    session.put("history.json", body[: len(body) // 2])


def _replace_by_the_one_before(session: KitSession) -> None:
    before = session.objects()[f"{session.folder}/history.json"]
    while session.objects()[f"{session.folder}/history.json"] == before:
        session.turn("one more")
    session.put("history.json", before)


def _take_from_another_session(session: KitSession) -> None:
    other = KitSession(session.server, "s2")
    for turn in range(TURNS):
        other.turn(f"of another session {turn}")
    session.put("history.json", other.objects()[f"{other.folder}/history.json"])


def _take_from_an_earlier_life(session: KitSession) -> None:
    body = session.objects()[f"{session.folder}/history.json"]
    S3SessionManager("s1", BUCKET, client=session.client).delete_session("s1")
    for turn in range(TURNS):
        session.turn(f"in the next life {turn}")
    session.put("history.json", body)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(_remove, id="deleted"),
        pytest.param(_truncate, id="truncated"),
        pytest.param(_replace_by_the_one_before, id="stale"),
        pytest.param(_take_from_another_session, id="from another session"),
        pytest.param(_take_from_an_earlier_life, id="from an earlier life"),
        pytest.param(_with(format=2), id="of an unknown version"),
        pytest.param(_with(messages=[]), id="with fewer messages than it says"),
        pytest.param(_with(runs=[["a", "b"]]), id="with ids that are none"),
        pytest.param(_with(nonce="another"), id="named by nobody"),
        pytest.param(lambda session: session.put("history.json", b"[]"), id="no object"),
        pytest.param(lambda session: session.put("history.json", b"\xff\xfe"), id="no text"),
    ],
)
@pytest.mark.parametrize("durability", ["message", "turn"])
def test_a_base_that_is(damage: Callable[[KitSession], None], durability: str, session: KitSession) -> None:
    for turn in range(TURNS):
        session.turn(f"prompt {turn}", with_tool=turn % 3 == 0)
    assert session.has_history()

    damage(session)

    restored = session.open(durability=durability)  # type: ignore[arg-type] # a parameter
    assert restored.messages == session.log()
    agent = session.turn("and then?", durability)  # type: ignore[arg-type] # a parameter
    assert agent.messages == session.log()
    assert session.ids() == list(range(len(session.ids())))
    # The next restore is one round trip again, and as right.
    session.server.log.take()
    again = session.open()
    assert again.messages == session.log()


@pytest.mark.parametrize(
    "log",
    [
        pytest.param(None, id="missing"),
        pytest.param({"format": 99}, id="of an unknown version"),
        pytest.param(
            {"format": 1, "first_id": 0, "next_id": 7, "base": None, "tail": [], "unconfirmed": None}, id="short"
        ),
        pytest.param("nonsense", id="no object"),
    ],
)
def test_a_tail_that_is(log: object, session: KitSession) -> None:
    for turn in range(3):
        session.turn(f"prompt {turn}")
    record = json.loads(session.objects()[f"{session.folder}/agent.json"])
    record["kit"]["log"] = log
    session.put("agent.json", json.dumps(record).encode())

    agent = session.turn("and then?")

    assert agent.messages == session.log()
    assert session.ids() == list(range(8))


def test_a_long_restore_waits_for_three_names_and_lists_nothing(session: KitSession) -> None:
    for turn in range(TURNS):
        session.turn(f"prompt {turn}")
    session.open()
    # Whether there is a message behind the conversation is asked for beside the restore.
    behind = session.server.faults.add(Fault("hold", verb="GET", key=f"*/message_{2 * TURNS}.json", times=None))
    session.server.log.take()

    session.open()

    asked = [(entry.verb, entry.key.rpartition("/")[2]) for entry in session.server.log.take()]
    assert sorted(asked) == [("GET", "agent.json"), ("GET", "history.json"), ("GET", "session.json")]
    behind.release()


def test_a_turn_of_strands_in_between_is_noticed_and_its_messages_are_restored(session: KitSession) -> None:
    for turn in range(TURNS):
        session.turn(f"prompt {turn}")
    session.turn_of_strands("a guest's question", with_tool=True)

    agent = session.turn("who asked?")

    assert agent.messages == session.log()
    assert session.open_with_strands().messages == session.log()
    assert [message["content"][0].get("text") for message in agent.messages[-6:-5]] == ["a guest's question"]
