"""DELETE /sessions/{id}: answered within the function's time, whatever the storage does, and told how far it came."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.bounds.stored import session_objects
from tests.doubles.s3_server import Fault
from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.erasing_world import PATH
from tests.endpoint.function import ALICE, Context, Function, text_of

if TYPE_CHECKING:
    from tests.endpoint.erasing_world import ErasingWorld


def test_a_session_that_is_erased_in_time_is_answered_without_a_body(erasing: ErasingWorld) -> None:
    erasing.put(messages=2_500)

    erased = erasing.delete()

    assert (erased.status, erased.text) == (204, "")
    assert erasing.stored() == []
    assert erasing.delete().problem == "not-found"


def test_what_there_is_no_time_for_is_closed_and_the_request_sent_again_goes_on(erasing: ErasingWorld) -> None:
    # Given: a function whose time is over when the first step has been taken
    erasing.put(messages=2_500)

    answers = [erasing.delete(remaining_seconds=20)]
    while answers[-1].status == 202:
        assert erasing.nobody_reads_it()
        answers.append(erasing.delete(remaining_seconds=20))

    assert [answer.status for answer in answers] == [202, 202, 204]
    assert answers[0].json == {"session_id": "chat", "erased_objects": 1_000, "objects_left": 1_000}
    assert answers[1].json == {"session_id": "chat", "erased_objects": 1_000, "objects_left": 501}
    assert answers[0].headers["retry-after"] == "1"
    assert erasing.stored() == []


def test_a_turn_on_a_session_that_is_being_erased_begins_anew_or_is_told_to_come_back(erasing: ErasingWorld) -> None:
    erasing.put(messages=2_500)
    assert erasing.delete(remaining_seconds=20).status == 202

    reply = erasing.function.reply("Hello?")

    assert (text_of(reply), reply["restored_messages"]) == ("Fine.", 0)
    messages = erasing.function.http("GET", f"{PATH}/messages").json["messages"]
    assert [message["message"]["content"][0]["text"] for message in messages] == ["Hello?", "Fine."]


def test_a_turn_that_finds_too_much_of_an_erased_session_is_told_that_it_is_busy(
    erasing: ErasingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agent_sessions._life import erasure

    monkeypatch.setattr(erasure, "SWEEP_SECONDS", 0)
    erasing.put(messages=2_500)
    assert erasing.delete(remaining_seconds=20).status == 202

    answers = [erasing.function.say("Hello?") for _ in range(2)]

    assert [answer.status for answer in answers] == [409, 200]
    assert answers[0].problem == "session-busy"
    assert "erasure" in answers[0].json["detail"]
    assert answers[0].headers["retry-after"] == "1"
    assert answers[1].json["restored_messages"] == 0


@pytest.mark.parametrize(
    ("verb", "key", "status", "known"),
    [
        ("GET", "*/session.json", 504, "open"),
        ("PUT", "*/session.json", 504, "closing"),
        ("LIST_VERSIONS", "*", 202, None),
        ("DELETE_OBJECTS", "*", 202, None),
    ],
)
def test_when_the_storage_hangs_the_answer_comes_in_time_and_says_what_is_known(
    erasing: ErasingWorld, verb: str, key: str, status: int, known: str | None
) -> None:
    # Given: an S3 that takes a request and says nothing
    erasing.put(messages=40)
    silent = erasing.s3.faults.add(Fault("hold", verb=verb, key=key, times=None))
    began = time.monotonic()

    # When
    late = erasing.delete(remaining_seconds=8)
    took = time.monotonic() - began

    # Then
    assert silent.fired
    assert took < 8
    assert late.status == status, late.text
    if known is None:
        assert late.json == {"session_id": "chat", "erased_objects": 0, "objects_left": None}
    else:
        assert late.problem == "out-of-time"
        assert late.json["erasure"] == known

    # And: sent again, when the storage answers, it comes to its end
    erasing.s3.faults.clear()
    if known == "open":
        assert not erasing.nobody_reads_it()
    assert erasing.delete().status in ({204} if known != "closing" else {204, 404})
    assert erasing.stored() == []


def test_an_erasure_that_the_function_gave_up_is_not_gone_on_with_in_a_later_invocation(erasing: ErasingWorld) -> None:
    # Given: an erasure that was given up before it had changed anything
    erasing.put(messages=40)
    silent = erasing.s3.faults.add(Fault("hold", verb="GET", key="*/session.json"))
    assert erasing.delete(remaining_seconds=8).json["erasure"] == "open"

    # When: the process goes on, and the storage's answer comes at last
    silent.release()
    reply = erasing.function.reply("Still there?")

    # Then
    assert reply["restored_messages"] == 40
    assert not erasing.nobody_reads_it()
    written = [entry for entry in erasing.s3.log.take() if entry.verb == "PUT" and entry.key.endswith("session.json")]
    assert len(written) == 1  # the title that the turn gave it
    assert erasing.function.http("GET", "/sessions/chat").json["title"]


def test_a_storage_that_fails_in_the_middle_is_told_with_what_is_known(erasing: ErasingWorld) -> None:
    erasing.put(messages=40)
    erasing.s3.faults.add(Fault("error", verb="DELETE_OBJECTS", times=None, code="InternalError"))

    failed = erasing.delete()
    closed = erasing.nobody_reads_it()
    erasing.s3.faults.clear()

    assert (failed.status, failed.problem) == (503, "storage-failed")
    assert failed.json["erasure"] == "closed"
    assert failed.headers["retry-after"]
    assert closed
    assert erasing.delete().status == 204


def test_what_may_not_be_deleted_is_told_as_permanent_and_the_session_is_closed(erasing: ErasingWorld) -> None:
    erasing.put(messages=40)
    erasing.s3.faults.add(Fault("key_error", key="*message_7.json", times=None, code="AccessDenied"))

    refused = erasing.delete()

    assert (refused.status, refused.problem) == (500, "storage-refused")
    assert "retry-after" not in refused.headers
    assert refused.json["erasure"] == "closed"
    assert erasing.nobody_reads_it()


def test_an_erasure_without_time_left_tells_how_far_it_came(erasing: ErasingWorld) -> None:
    erasing.put(messages=40)

    late = erasing.delete(remaining_seconds=0.2)

    assert late.status in {202, 204, 504}
    if late.status == 504:
        assert late.json["erasure"] in {"open", "closing"}


def test_deleting_on_disk_is_answered_alike(tmp_path: Any) -> None:
    from agent_sessions.owner import owner_prefix

    environment = {"SESSION_STORE": f"file://{tmp_path}", "AGENT_MODEL": "scripted:script"}
    function = Function({**environment, "DEADLINE_MARGIN_SECONDS": "20"})
    function.models["script"] = ScriptedModel(otherwise="Fine.")
    folder = tmp_path / owner_prefix(ALICE.account, ALICE.unique_id)
    for key, body in session_objects("chat", messages=1_100):
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(body)

    answers = [function.http("DELETE", PATH, context=Context(remaining_seconds=20)) for _ in range(2)]

    assert [answer.status for answer in answers] == [202, 204]
    assert function.http("DELETE", PATH).status == 404
    assert not (folder / "session_chat").exists()
