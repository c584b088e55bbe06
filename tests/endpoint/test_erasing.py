"""DELETE /sessions/{id}: answered within the function's time, whatever the storage does, and told how far it came."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.bounds.stored import session_objects
from tests.doubles.s3_server import Fault, S3Server
from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.function import ALICE, Answer, Context, Function, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKET = "sessions"
PATH = "/sessions/chat"


@dataclass
class World:
    """A function on an S3 that a test makes slow or silent.

    Attributes:
        s3: The server.
        function: The function; twenty seconds before its end it stops, five seconds before it nobody waits any more.
    """

    s3: S3Server
    function: Function

    @property
    def folder(self) -> str:
        """Where the session lies."""
        from agent_sessions.owner import owner_prefix

        return f"p/{owner_prefix(ALICE.account, ALICE.unique_id)}/"

    def put(self, messages: int) -> None:
        """Put a session there."""
        for key, body in session_objects("chat", messages=messages):
            self.s3.store.put(BUCKET, f"{self.folder}{key}", body)

    def stored(self) -> list[str]:
        """What is left of the session."""
        return list(self.s3.store.current_objects(BUCKET, f"{self.folder}session_chat/"))

    def delete(self, remaining_seconds: float = 60) -> Answer:
        """Ask for the erasure."""
        return self.function.http("DELETE", PATH, context=Context(remaining_seconds=remaining_seconds))

    def nobody_reads_it(self) -> bool:
        """Whether the session is gone to readers."""
        statuses = {self.function.http("GET", path).status for path in (PATH, f"{PATH}/messages")}
        return statuses == {404} and self.function.http("GET", "/sessions").json["session_ids"] == []


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server(buckets=[BUCKET]) as s3:
        yield s3


@pytest.fixture
def world(server: S3Server) -> Iterator[World]:
    server.reset()
    environment = {
        **CREDENTIALS,
        "AWS_ACCESS_KEY_ID": "somebody",  # not the deployed role: to judge thousands of keys takes minutes
        "SESSION_STORE": f"s3://{BUCKET}/p",
        "AWS_ENDPOINT_URL_S3": server.url,
        "AGENT_MODEL": "scripted:script",
        "LEASE_WAIT_SECONDS": "0",
        "DEADLINE_MARGIN_SECONDS": "20",
    }
    function = Function(environment)
    function.models["script"] = ScriptedModel(otherwise="Fine.")
    function.cold_start()
    yield World(server, function)
    server.faults.clear()


def test_a_session_that_is_erased_in_time_is_answered_without_a_body(world: World) -> None:
    world.put(messages=2_500)

    erased = world.delete()

    assert (erased.status, erased.text) == (204, "")
    assert world.stored() == []
    assert world.delete().problem == "not-found"


def test_what_there_is_no_time_for_is_closed_and_the_request_sent_again_goes_on(world: World) -> None:
    # Given: a function whose time is over when the first step has been taken
    world.put(messages=2_500)

    answers = [world.delete(remaining_seconds=20)]
    while answers[-1].status == 202:
        assert world.nobody_reads_it()
        answers.append(world.delete(remaining_seconds=20))

    assert [answer.status for answer in answers] == [202, 202, 204]
    assert answers[0].json == {"session_id": "chat", "erased_objects": 1_000, "objects_left": 1_000}
    assert answers[1].json == {"session_id": "chat", "erased_objects": 1_000, "objects_left": 501}
    assert answers[0].headers["retry-after"] == "1"
    assert world.stored() == []


def test_a_turn_on_a_session_that_is_being_erased_begins_anew_or_is_told_to_come_back(world: World) -> None:
    world.put(messages=2_500)
    assert world.delete(remaining_seconds=20).status == 202

    reply = world.function.reply("Hello?")

    assert (text_of(reply), reply["restored_messages"]) == ("Fine.", 0)
    messages = world.function.http("GET", f"{PATH}/messages").json["messages"]
    assert [message["message"]["content"][0]["text"] for message in messages] == ["Hello?", "Fine."]


def test_a_turn_that_finds_too_much_of_an_erased_session_is_told_that_it_is_busy(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agent_sessions._life import erasure

    monkeypatch.setattr(erasure, "SWEEP_SECONDS", 0)
    world.put(messages=2_500)
    assert world.delete(remaining_seconds=20).status == 202

    answers = [world.function.say("Hello?") for _ in range(2)]

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
    world: World, verb: str, key: str, status: int, known: str | None
) -> None:
    # Given: an S3 that takes a request and says nothing
    world.put(messages=40)
    silent = world.s3.faults.add(Fault("hold", verb=verb, key=key, times=None))
    began = time.monotonic()

    # When
    late = world.delete(remaining_seconds=8)
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
    world.s3.faults.clear()
    if known == "open":
        assert not world.nobody_reads_it()
    assert world.delete().status in ({204} if known != "closing" else {204, 404})
    assert world.stored() == []


def test_an_erasure_that_the_function_gave_up_is_not_gone_on_with_in_a_later_invocation(world: World) -> None:
    # Given: an erasure that was given up before it had changed anything
    world.put(messages=40)
    silent = world.s3.faults.add(Fault("hold", verb="GET", key="*/session.json"))
    assert world.delete(remaining_seconds=8).json["erasure"] == "open"

    # When: the process goes on, and the storage's answer comes at last
    silent.release()
    reply = world.function.reply("Still there?")

    # Then
    assert reply["restored_messages"] == 40
    assert not world.nobody_reads_it()
    written = [entry for entry in world.s3.log.take() if entry.verb == "PUT" and entry.key.endswith("session.json")]
    assert written == []


def test_a_storage_that_fails_in_the_middle_is_told_with_what_is_known(world: World) -> None:
    world.put(messages=40)
    world.s3.faults.add(Fault("error", verb="DELETE_OBJECTS", times=None, code="InternalError"))

    failed = world.delete()
    closed = world.nobody_reads_it()
    world.s3.faults.clear()

    assert (failed.status, failed.problem) == (503, "storage-failed")
    assert failed.json["erasure"] == "closed"
    assert failed.headers["retry-after"]
    assert closed
    assert world.delete().status == 204


def test_what_may_not_be_deleted_is_told_as_permanent_and_the_session_is_closed(world: World) -> None:
    world.put(messages=40)
    world.s3.faults.add(Fault("key_error", key="*message_7.json", times=None, code="AccessDenied"))

    refused = world.delete()

    assert (refused.status, refused.problem) == (500, "storage-refused")
    assert "retry-after" not in refused.headers
    assert refused.json["erasure"] == "closed"
    assert world.nobody_reads_it()


def test_an_erasure_without_time_left_tells_how_far_it_came(world: World) -> None:
    world.put(messages=40)

    late = world.delete(remaining_seconds=0.2)

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
