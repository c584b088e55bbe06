"""Looking a session over finds every damage that a caller would meet, and mending loses nothing."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from agent_sessions.exceptions import SessionCorruptError, SessionException
from agent_sessions.findings import Finding, Kind, Severity
from agent_sessions.inspection import inspect_session
from agent_sessions.mending import mend
from agent_sessions.object_store import Absent
from tests.concurrency.killing import EVERYTHING
from tests.contract.damaged_records import (
    AGENT,
    HISTORY,
    SESSION,
    Damage,
    MemoryStore,
    Orchestra,
    Records,
    agent_with,
    damages,
    memory_with,
    written_by_us,
)

MESSAGE = "session_s/agents/agent_a1/messages/message_3.json"
ORCHESTRATOR = "session_s/multi_agents/multi_agent_o1/multi_agent.json"


@pytest.fixture(scope="module")
def records() -> Records:
    return {key: body for key, body in written_by_us().items() if not key.endswith("lease.json")}


def bodies(store: MemoryStore) -> Records:
    return {key: body for key, (body, _) in store.objects.bodies.items()}


def mend_all(store: MemoryStore) -> list[Finding]:
    """Mend what can be mended, as long as something can; what is left."""
    for _ in range(5):
        found = inspect_session(store, "s")
        if not [finding for finding in found if finding.is_mendable and mend(store, finding)]:
            return found
    raise AssertionError("mending does not end")


def refused(store: MemoryStore) -> str | None:
    """The key that keeps a caller from reading the session or its agent, or from restoring it."""
    repository: Any = store._repository()
    try:
        repository.read_session("s")
        repository.read_agent("s", "a1")
        repository.list_messages("s", "a1")
        repository.read_multi_agent("s", "o1")
        agent_with(store.session_manager("s"))
    except SessionCorruptError as error:
        return error.key
    except SessionException:
        return None
    return None


def test_a_whole_session_has_nothing(records: Records) -> None:
    store = memory_with(records)

    assert inspect_session(store, "s") == []
    assert bodies(store) == records


def some(key: str, body: bytes) -> Iterator[Damage]:
    return islice(damages(key, body), 0, None, 1 if EVERYTHING else 97)


@pytest.mark.parametrize("key", [SESSION, AGENT, MESSAGE, ORCHESTRATOR, HISTORY])
def test_what_refuses_a_caller_is_named_and_mended_and_every_byte_is_kept(records: Records, key: str) -> None:
    tried = mended = 0
    unnamed: list[str] = []
    for damage in some(key, records[key]):
        body = damage.make()
        damaged = {**records, key: body} if body is not None else {k: b for k, b in records.items() if k != key}
        store = memory_with(damaged)
        refusing = refused(memory_with(damaged))
        found = inspect_session(store, "s")
        if refusing is not None and (refusing, Severity.BROKEN) not in [(each.key, each.severity) for each in found]:
            unnamed.append(damage.what)

        left = mend_all(store)

        kept = set(bodies(store).values())
        lost = {name for name, stored in damaged.items() if stored not in kept}
        assert lost <= {HISTORY}, damage.what  # which only repeats what is stored
        assert not [finding for finding in left if finding.is_mendable], damage.what
        if damage.what not in unnamed:
            assert refused(store) is None, damage.what
        tried += 1
        mended += refusing is not None
    assert tried
    assert unnamed == []
    assert mended or key == HISTORY


def test_records_of_which_none_is_of_the_sessions_life_are_told_before_a_use_erases_them(records: Records) -> None:
    session = json.loads(records[SESSION])
    session["kit"]["incarnation"] = "another"
    store = memory_with({**records, SESSION: json.dumps(session).encode()})

    found = {finding.kind: finding for finding in mend_all(store)}

    assert (found[Kind.STRAY].severity, found[Kind.STRAY].key) == (Severity.LOST, SESSION)
    assert "restore it before the session is used" in found[Kind.STRAY].remedy
    assert records.items() - {(SESSION, records[SESSION])} <= bodies(store).items()


def test_a_lost_session_record_is_written_for_the_life_that_the_others_name(records: Records) -> None:
    store = memory_with({key: body for key, body in records.items() if key != SESSION})

    (finding,) = inspect_session(store, "s")
    assert (finding.kind, finding.severity, finding.key) == (Kind.NO_SESSION_RECORD, Severity.BROKEN, SESSION)
    assert store.sessions().session_ids == ()
    assert mend(store, finding)

    assert store.sessions().session_ids == ("s",)
    assert (
        json.loads(bodies(store)[SESSION])["kit"]["incarnation"] == json.loads(records[SESSION])["kit"]["incarnation"]
    )
    assert {key: bodies(store)[key] for key in records if key != SESSION} == {
        key: body for key, body in records.items() if key != SESSION
    }
    assert agent_with(store.session_manager("s")).messages


@pytest.mark.parametrize("body", [b"{", None], ids=["unreadable", "missing"])
@pytest.mark.parametrize("other", [MESSAGE, HISTORY])
def test_a_session_record_is_not_made_up_when_the_others_are_of_several_lives(
    records: Records, body: bytes | None, other: str
) -> None:
    record = json.loads(records[other])
    of_life = record if other == HISTORY else record["kit"]
    of_life["incarnation"] = "another"
    damaged = {**records, other: json.dumps(record).encode()}
    if body is None:
        del damaged[SESSION]
    else:
        damaged[SESSION] = body
    store = memory_with(damaged)

    (finding,) = [found for found in mend_all(store) if found.key == SESSION]

    assert (finding.severity, finding.is_mendable) == (Severity.BROKEN, False)
    assert "Restore it" in finding.remedy
    assert bodies(store).get(SESSION) == body


def test_an_unreadable_session_record_is_replaced_and_never_missing(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = memory_with({**records, SESSION: b"{"})
    (finding,) = inspect_session(store, "s")
    monkeypatch.setattr(type(store.objects), "delete_version", lambda *_: pytest.fail("it was deleted"))

    assert finding.puts_aside
    assert mend(store, finding)

    life = json.loads(records[SESSION])["kit"]["incarnation"]
    assert json.loads(bodies(store)[SESSION])["kit"]["incarnation"] == life
    assert b"{" in bodies(store).values()
    assert agent_with(store.session_manager("s")).messages


def test_messages_that_an_erased_life_has_left_do_not_come_back(records: Records) -> None:
    store = memory_with({key: body for key, body in records.items() if "/messages/" in key})

    assert [finding.kind for finding in mend_all(store)] == [Kind.NO_AGENT_RECORD, Kind.STRAY]
    assert SESSION not in bodies(store)


def test_gaps_are_counted_and_a_message_that_was_put_aside_is_none(records: Records) -> None:
    store = memory_with(records)
    store._repository().quarantine_message("s", "a1", 2)
    del store.objects.bodies[MESSAGE]
    del store.objects.bodies[MESSAGE.replace("_3", "_5")]

    (gap,) = [finding for finding in mend_all(store) if finding.kind is Kind.GAP]

    assert (gap.severity, gap.key, gap.is_mendable) == (Severity.LOST, MESSAGE, False)
    assert gap.what == "2 messages are missing: 3, 5"


def test_a_message_with_a_huge_number_is_counted_in_no_time(records: Records) -> None:
    store = memory_with(records)
    huge = 99_999_999_999
    record = {**json.loads(records[MESSAGE]), "message_id": huge}
    store.objects.put(MESSAGE.replace("_3", f"_{huge}"), json.dumps(record).encode(), Absent())
    whole = sum("/messages/" in key for key in records)

    (gap,) = [finding for finding in inspect_session(store, "s") if finding.kind is Kind.GAP]

    assert gap.what.startswith(f"{huge - whole} messages are missing: {whole}, {whole + 1}, ")


def test_a_base_that_holds_the_only_copy_of_a_message_is_kept(records: Records) -> None:
    other = {**json.loads(records[AGENT])}
    other["kit"]["log"]["base"] = "another"
    without = memory_with({**records, AGENT: json.dumps(other).encode()})
    in_base = json.loads(records[HISTORY])["runs"][0][0]
    del without.objects.bodies[MESSAGE.replace("_3", f"_{in_base}")]
    whole = memory_with({**records, AGENT: json.dumps(other).encode()})

    kept = [finding for finding in mend_all(without) if finding.kind is Kind.UNUSED_BASE]
    gone = mend_all(whole)

    assert "their only copy" in kept[0].remedy
    assert HISTORY in bodies(without)
    assert HISTORY not in bodies(whole)
    assert gone == []


def test_records_of_an_earlier_life_are_noticed_and_left(records: Records) -> None:
    store = memory_with(records)
    late = json.loads(records[MESSAGE])
    late["kit"]["incarnation"] = "an earlier life"
    last = max(int(key.rpartition("_")[2].removesuffix(".json")) for key in records if "/messages/" in key)
    key = MESSAGE.replace("_3", f"_{last + 1}")
    store.objects.put(key, json.dumps({**late, "message_id": last + 1}).encode(), Absent())

    (finding,) = mend_all(store)

    assert (finding.kind, finding.severity, finding.key) == (Kind.STRAY, Severity.NOTICE, key)
    assert key in bodies(store)


def test_a_lease_that_nobody_renews_an_unfinished_erasure_and_foreign_objects_are_noticed(records: Records) -> None:
    with_lease = written_by_us()
    store = memory_with(with_lease)
    for _ in range(40):
        store.objects.clock()  # each look at it is a second
    store.objects.put("session_s/notes.txt", b"mine", Absent())

    assert [finding.kind for finding in inspect_session(store, "s")] == [Kind.LEFT_LEASE, Kind.FOREIGN]

    closed = json.loads(records[SESSION])
    closed["kit"]["erased"] = True
    (finding,) = inspect_session(memory_with({**records, SESSION: json.dumps(closed).encode()}), "s")
    assert finding.kind is Kind.CLOSED


def test_what_has_changed_since_it_was_inspected_is_left_alone(records: Records) -> None:
    store = memory_with({**records, MESSAGE: b"{"})
    (finding,) = [found for found in inspect_session(store, "s") if found.key == MESSAGE]
    store.objects.bodies[MESSAGE] = (records[MESSAGE], store.objects._now())

    assert not mend(store, finding)
    assert bodies(store) == records


def test_the_orchestrator_is_the_one_of_the_suite(records: Records) -> None:
    assert json.loads(records[ORCHESTRATOR])["id"] == Orchestra.id
