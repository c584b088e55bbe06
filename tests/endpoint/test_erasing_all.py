"""DELETE /sessions: everything of the caller, with a receipt, in as many requests as it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from agent_sessions._storage import s3_deletions
from agent_sessions.owner import owner_prefix
from tests.bounds.stored import session_objects
from tests.doubles.s3_server import Fault, S3Server
from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.function import ALICE, BOB, Answer, Context, Function

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKET = "sessions"
OURS = owner_prefix(ALICE.account, ALICE.unique_id)


@dataclass
class World:
    """A function, and the S3 under it."""

    s3: S3Server
    function: Function

    def put(self, session_id: str, messages: int = 2, owner: str = OURS) -> None:
        for key, body in session_objects(session_id, messages=messages):
            self.s3.store.put(BUCKET, f"p/{owner}/{key}", body)

    def stored(self, owner: str = OURS) -> list[str]:
        return list(self.s3.store.current_objects(BUCKET, f"p/{owner}/session_"))

    def delete(self, remaining_seconds: float = 60) -> Answer:
        return self.function.http("DELETE", "/sessions", context=Context(remaining_seconds=remaining_seconds))


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server(buckets=[BUCKET]) as s3:
        yield s3


@pytest.fixture
def world(server: S3Server) -> Iterator[World]:
    server.reset()
    environment = {
        **CREDENTIALS,
        "AWS_ACCESS_KEY_ID": "somebody",
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


def test_everything_of_the_caller_goes_and_the_answer_is_the_receipt(world: World) -> None:
    world.put("one")
    world.put("two", messages=5)
    bobs = owner_prefix(BOB.account, BOB.unique_id)
    world.put("one", owner=bobs)
    below = f"{OURS}/{bobs}"
    world.put("one", owner=below)

    answer = world.delete()

    assert answer.status == 200, answer.text
    counts = {name: answer.json[name] for name in ("sessions", "objects", "versions", "markers")}
    assert counts == {"sessions": 2, "objects": 11, "versions": 0, "markers": 0}
    assert answer.json["bytes"] > 1_000
    assert (answer.json["complete"], answer.json["left"]) == (True, [])
    assert answer.json["began_at"] <= answer.json["ended_at"]
    assert world.stored() == []
    assert len(world.stored(bobs)) == len(world.stored(below)) == 4
    assert world.delete().json == answer.json, "sent again, the same receipt"


def test_a_caller_without_sessions_gets_an_empty_receipt(world: World) -> None:
    answer = world.delete()

    assert (answer.status, answer.json["sessions"], answer.json["complete"]) == (200, 0, True)


def test_what_there_is_no_time_for_is_gone_on_with_when_it_is_sent_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_deletions, "DELETE_BATCH", 10)
    for number in range(8):
        world.put(f"s{number}")

    answers = [world.delete(remaining_seconds=20)]
    while answers[-1].status == 202:
        assert answers[-1].headers["retry-after"] == "1"
        assert (answers[-1].json["complete"], answers[-1].json["ended_at"]) == (False, None)
        answers.append(world.delete(remaining_seconds=20))

    assert len(answers) > 3
    assert answers[-1].status == 200
    assert (answers[-1].json["sessions"], answers[-1].json["objects"]) == (8, 32)
    assert {answer.json["began_at"] for answer in answers} == {answers[0].json["began_at"]}


def test_what_may_not_be_deleted_is_a_refusal_that_names_it_and_holds_the_receipt(world: World) -> None:
    world.put("one")
    world.put("two")
    world.s3.faults.add(Fault("key_error", key="*session_one*message_1.json", times=None, code="AccessDenied"))

    refused = world.delete()

    assert (refused.status, refused.problem) == (500, "storage-refused")
    receipt = refused.json["receipt"]
    name = "session_one/agents/agent_default/messages/message_1.json"
    assert receipt["left"] == [{"name": name, "code": "AccessDenied"}]
    assert (receipt["sessions"], receipt["complete"]) == (1, False)
    assert world.function.http("GET", "/sessions").json["session_ids"] == []
    world.s3.faults.clear()
    assert world.delete().json["sessions"] == 2


def test_a_storage_that_fails_in_the_middle_is_told_with_the_totals(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_deletions, "DELETE_BATCH", 4)
    for number in range(3):
        world.put(f"s{number}")
    world.s3.faults.add(Fault("error", verb="DELETE_OBJECTS", nth=2, times=None, code="InternalError"))

    failed = world.delete()
    world.s3.faults.clear()

    assert (failed.status, failed.problem) == (503, "storage-failed")
    assert failed.json["receipt"]["objects"] > 0
    assert world.delete().json["objects"] == 12


@pytest.mark.parametrize(("verb", "nth", "status"), [("LIST_VERSIONS", 1, 504), ("DELETE_OBJECTS", 1, 202)])
def test_when_the_storage_hangs_the_answer_comes_in_time(world: World, verb: str, nth: int, status: int) -> None:
    world.put("one")
    silent = world.s3.faults.add(Fault("hold", verb=verb, nth=nth, times=None))

    late = world.delete(remaining_seconds=12)
    world.s3.faults.clear()

    assert silent.fired
    # What hung takes effect now.
    assert world.s3.log.wait_for(lambda log: sum(entry.fault == "hold" for entry in log) == silent.fired)
    assert late.status == status, late.text
    if status == 202:
        assert (late.json["complete"], late.json["objects"]) == (False, 0)
    receipt = world.delete()
    assert (receipt.status, receipt.json["objects"]) == (200, 4)


def test_while_a_turn_runs_its_session_is_closed_and_goes_when_it_is_sent_again(world: World) -> None:
    world.put("one")
    lease = {"format": 1, "lease_id": "other", "holder": "request 7", "duration_seconds": 30, "nonce": "n"}
    world.s3.store.put(BUCKET, f"p/{OURS}/session_one/lease.json", _json(lease))

    first = world.delete()
    read = world.function.http("GET", "/sessions/one")
    world.s3.store.delete(BUCKET, f"p/{OURS}/session_one/lease.json")
    second = world.delete()

    assert (first.status, read.status, second.status) == (202, 404, 200)
    assert first.json["left"] == [{"name": "session_one/lease.json", "code": "InUse"}]
    assert (second.json["sessions"], second.json["objects"]) == (1, 4)


def _json(value: Any) -> bytes:
    import json

    return json.dumps(value).encode()


@pytest.mark.parametrize("path", ["/sessions/", "//sessions", "/sessions//", "/Sessions"])
def test_an_empty_session_id_erases_nothing(world: World, path: str) -> None:
    world.put("one")

    refused = world.function.http("DELETE", path)

    assert refused.status in {404, 405, 422}, refused.text
    assert len(world.stored()) == 4
