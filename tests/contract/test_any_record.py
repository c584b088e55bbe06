"""The contract for what is stored: whatever it is, it opens or is named as corrupt; nothing raw leaves the library.

``tests.contract.damaged_records`` lists every way to drop, null, retype and nest any field of every record. A part of
them, another one each time, is tried here; ``RECORDS_FACTOR=100`` tries most.
"""

import os
import random
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_sessions.exceptions import SessionCorruptError
from tests.conftest import TOTAL
from tests.contract.agents import open_agent
from tests.contract.damaged_records import (
    AGENT,
    SESSION,
    Damage,
    Records,
    agent_with,
    damages,
    folder_with,
    memory_with,
    use_everything,
    written_by_strands,
    written_by_us,
)
from tests.contract.pairing import pairing_errors
from tests.contract.subjects import custom_subject

FACTOR = int(os.environ.get("RECORDS_FACTOR", "1"))
KINDS = ["sliding", "summarizing"]


@cache
def written(writer: str, kind: str, pending: bool) -> Records:
    if writer == "ours":
        return written_by_us(pending=pending, kind=kind)
    with TemporaryDirectory() as folder:
        return written_by_strands(Path(folder), pending=pending, kind=kind)


@pytest.mark.timeout(240 + 60 * FACTOR)
@pytest.mark.parametrize("pending", [False, True], ids=["answered", "pending"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("writer", ["ours", "strands"])
@pytest.mark.parametrize("place", ["memory", "folder"])
def test_a_damaged_record_opens_or_is_named_as_corrupt(
    writer: str, kind: str, pending: bool, place: str, tmp_path: Path, record_property: Any
) -> None:
    records = written(writer, kind, pending)
    tried = {"records": 0, "verbs": 0}

    @settings(max_examples=20 * FACTOR, deadline=None, suppress_health_check=list(HealthCheck))
    @given(key=st.sampled_from(sorted(records)), choice=st.integers(0, 10**9))
    def check(key: str, choice: int) -> None:
        every = list(damages(key, records[key]))
        damage = random.Random(choice).choice(every)
        raw, verbs = use_everything(_store(records, damage, place, tmp_path / str(tried["records"])), kind)
        tried["records"] += 1
        tried["verbs"] += verbs
        assert raw == [], (damage.key, damage.what)

    check()
    for what, count in tried.items():
        record_property(f"{TOTAL}damaged records, {what}", count)
    record_property(f"{TOTAL}damaged records, raw exceptions", 0)


def _store(records: Records, damage: Damage, place: str, folder: Path) -> Any:
    changed = {key: body for key, body in records.items() if key != damage.key}
    body = damage.make()
    if body is not None:
        changed[damage.key] = body
    return memory_with(changed) if place == "memory" else folder_with(changed, folder)


def test_what_nobody_has_damaged_opens_and_goes_on() -> None:
    for writer in ("ours", "strands"):
        for kind in KINDS:
            for pending in (False, True):
                raw, verbs = use_everything(memory_with(written(writer, kind, pending)), kind)
                assert raw == []
                assert verbs > 10


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        (SESSION, b'"session_id"', b'"no_id"'),
        (AGENT, b'"state"', b'"no_state"'),
        (AGENT, b'"activated": false', b'"activated": "x"'),
        (AGENT, b'"removed_message_count": ', b'"removed_message_count": -'),
        ("session_s/agents/agent_a1/messages/message_1.json", b'"text"', b'"text": null, "x"'),
        ("session_s/agents/agent_a1/messages/message_0.json", b'"role": "user"', b'"role": 1'),
    ],
)
def test_the_error_names_the_key_of_what_cannot_be_understood(key: str, old: bytes, new: bytes) -> None:
    records = written("strands", "sliding", False)
    assert old in records[key]
    store = memory_with({**records, key: records[key].replace(old, new, 1)})

    with pytest.raises(SessionCorruptError) as caught:
        agent_with(store.session_manager("s"))

    assert caught.value.key == key


def calls(*ids: Any) -> list[Any]:
    """A conversation with calls of these ids, and the result of each."""
    return [
        {"role": "user", "content": [{"text": "go"}]},
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": i, "name": "add", "input": {}}} for i in ids]},
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": i, "status": "success", "content": [{"text": f"result {number}"}]}}
                for number, i in enumerate(ids)
            ],
        },
        {"role": "assistant", "content": [{"text": "done"}]},
    ]


IDS: list[tuple[Any, ...]] = [
    (None,),
    (None, None),
    ("x", "x"),
    ("x", "x", "x"),
    (1, "a"),
    (1, "1"),
    (None, "None"),
    ("", " "),
    ({}, []),
    (True, 1.5),
    ("call_0", None, "call_0"),
]


@pytest.mark.parametrize("ids", IDS, ids=repr)
def test_tool_calls_whose_ids_no_provider_would_take_open_with_their_results(ids: tuple[Any, ...]) -> None:
    subject = custom_subject()
    repository, types = subject.repository(), subject.types
    repository.create_session(types.Session(session_id="conversation", session_type=types.SessionType.AGENT))
    state = open_agent(custom_subject()).conversation_manager.get_state()
    repository.create_agent("conversation", types.SessionAgent("a1", {}, state))
    for number, message in enumerate(calls(*ids)):
        repository.create_message("conversation", "a1", types.SessionMessage.from_message(message, number))
    before = dict(repository.records)

    agent = open_agent(subject, "fine")

    shown = [block["toolUse"]["toolUseId"] for block in agent.messages[1]["content"]]
    assert all(call.strip() for call in shown)
    assert len(set(shown)) == len(ids)
    assert pairing_errors(list(agent.messages)) == []
    results = [block["toolResult"] for block in agent.messages[2]["content"]]
    assert [result["content"] for result in results] == [[{"text": f"result {n}"}] for n in range(len(ids))]
    agent("next")
    assert len(agent.messages) == 6
    assert {key: body for key, body in repository.records.items() if key in before and key[0] == "message"} == {
        key: body for key, body in before.items() if key[0] == "message"
    }
    assert len(open_agent(subject).messages) == 6
