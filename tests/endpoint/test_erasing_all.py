"""DELETE /sessions: everything of the caller, with a receipt, in as many requests as it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from agent_sessions._storage import s3_deletions
from agent_sessions.owner import owner_prefix
from tests.doubles.s3_server import Fault
from tests.endpoint.erasing_world import BUCKET, OURS
from tests.endpoint.function import BOB

if TYPE_CHECKING:
    from tests.endpoint.erasing_world import ErasingWorld


def test_everything_of_the_caller_goes_and_the_answer_is_the_receipt(erasing: ErasingWorld) -> None:
    erasing.put("one")
    erasing.put("two", messages=5)
    bobs = owner_prefix(BOB.account, BOB.unique_id)
    erasing.put("one", owner=bobs)
    below = f"{OURS}/{bobs}"
    erasing.put("one", owner=below)

    answer = erasing.delete_all()

    assert answer.status == 200, answer.text
    counts = {name: answer.json[name] for name in ("sessions", "objects", "versions", "markers")}
    assert counts == {"sessions": 2, "objects": 11, "versions": 0, "markers": 0}
    assert answer.json["bytes"] > 1_000
    assert (answer.json["complete"], answer.json["left"]) == (True, [])
    assert answer.json["began_at"] <= answer.json["ended_at"]
    assert erasing.stored() == []
    assert len(erasing.stored(bobs)) == len(erasing.stored(below)) == 4
    assert erasing.delete_all().json == answer.json, "sent again, the same receipt"


def test_a_caller_without_sessions_gets_an_empty_receipt(erasing: ErasingWorld) -> None:
    answer = erasing.delete_all()

    assert (answer.status, answer.json["sessions"], answer.json["complete"]) == (200, 0, True)


def test_what_there_is_no_time_for_is_gone_on_with_when_it_is_sent_again(
    erasing: ErasingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_deletions, "DELETE_BATCH", 10)
    for number in range(8):
        erasing.put(f"s{number}")

    answers = [erasing.delete_all(remaining_seconds=20)]
    while answers[-1].status == 202:
        assert answers[-1].headers["retry-after"] == "1"
        assert (answers[-1].json["complete"], answers[-1].json["ended_at"]) == (False, None)
        answers.append(erasing.delete_all(remaining_seconds=20))

    assert len(answers) > 3
    assert answers[-1].status == 200
    assert (answers[-1].json["sessions"], answers[-1].json["objects"]) == (8, 32)
    assert {answer.json["began_at"] for answer in answers} == {answers[0].json["began_at"]}


def test_what_may_not_be_deleted_is_a_refusal_that_names_it_and_holds_the_receipt(erasing: ErasingWorld) -> None:
    erasing.put("one")
    erasing.put("two")
    erasing.s3.faults.add(Fault("key_error", key="*session_one*message_1.json", times=None, code="AccessDenied"))

    refused = erasing.delete_all()

    assert (refused.status, refused.problem) == (500, "storage-refused")
    receipt = refused.json["receipt"]
    name = "session_one/agents/agent_default/messages/message_1.json"
    assert receipt["left"] == [{"name": name, "code": "AccessDenied"}]
    assert (receipt["sessions"], receipt["complete"]) == (1, False)
    assert erasing.function.http("GET", "/sessions").json["session_ids"] == []
    erasing.s3.faults.clear()
    assert erasing.delete_all().json["sessions"] == 2


def test_a_storage_that_fails_in_the_middle_is_told_with_the_totals(
    erasing: ErasingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_deletions, "DELETE_BATCH", 4)
    for number in range(3):
        erasing.put(f"s{number}")
    erasing.s3.faults.add(Fault("error", verb="DELETE_OBJECTS", nth=2, times=None, code="InternalError"))

    failed = erasing.delete_all()
    erasing.s3.faults.clear()

    assert (failed.status, failed.problem) == (503, "storage-failed")
    assert failed.json["receipt"]["objects"] > 0
    assert erasing.delete_all().json["objects"] == 12


@pytest.mark.parametrize(("verb", "nth", "status"), [("LIST_VERSIONS", 1, 504), ("DELETE_OBJECTS", 1, 202)])
def test_when_the_storage_hangs_the_answer_comes_in_time(
    erasing: ErasingWorld, verb: str, nth: int, status: int
) -> None:
    erasing.put("one")
    silent = erasing.s3.faults.add(Fault("hold", verb=verb, nth=nth, times=None))

    late = erasing.delete_all(remaining_seconds=12)
    erasing.s3.faults.clear()

    assert silent.fired
    # What hung takes effect now.
    assert erasing.s3.log.wait_for(lambda log: sum(entry.fault == "hold" for entry in log) == silent.fired)
    assert late.status == status, late.text
    if status == 202:
        assert (late.headers["location"], late.headers["retry-after"]) == ("/sessions", "1")
        assert (late.json["complete"], late.json["objects"]) == (False, 0)
    receipt = erasing.delete_all()
    assert (receipt.status, receipt.json["objects"]) == (200, 4)


def test_while_a_turn_runs_its_session_is_closed_and_goes_when_it_is_sent_again(erasing: ErasingWorld) -> None:
    erasing.put("one")
    lease = {"format": 1, "lease_id": "other", "holder": "request 7", "duration_seconds": 30, "nonce": "n"}
    erasing.s3.store.put(BUCKET, f"p/{OURS}/session_one/lease.json", _json(lease))

    first = erasing.delete_all()
    read = erasing.function.http("GET", "/sessions/one")
    erasing.s3.store.delete(BUCKET, f"p/{OURS}/session_one/lease.json")
    second = erasing.delete_all()

    assert (first.status, read.status, second.status) == (202, 404, 200)
    assert first.json["left"] == [{"name": "session_one/lease.json", "code": "InUse"}]
    assert (second.json["sessions"], second.json["objects"]) == (1, 4)


def _json(value: Any) -> bytes:
    import json

    return json.dumps(value).encode()


@pytest.mark.parametrize("path", ["/sessions/", "//sessions", "/sessions//", "/Sessions"])
def test_an_empty_session_id_erases_nothing(erasing: ErasingWorld, path: str) -> None:
    erasing.put("one")

    refused = erasing.function.http("DELETE", path)

    assert refused.status in {404, 405, 422}, refused.text
    assert len(erasing.stored()) == 4
