"""Real processes on one session: every turn is wholly in the history once, or its caller was refused.

``AGENT_SESSIONS_RACES=20`` runs so many times more rounds.
"""

import os
import signal
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.concurrency.killing import BUCKET
from tests.concurrency.reference import Shape, shape, stored_in, whole_turn
from tests.concurrency.zygote import Zygote
from tests.conftest import TOTAL
from tests.contract.places import BucketPlace, s3_client_for
from tests.doubles.s3_server import Fault, S3Server

ROUNDS = int(os.environ.get("AGENT_SESSIONS_RACES", "1"))
TURNS = 3

KNOWN_REFUSALS = {"SessionConflictError", "SessionBusyError"}


@pytest.fixture(params=["bucket", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path, other_s3: str) -> dict[str, Any]:
    if request.param == "folder":
        return {"url": f"file://{tmp_path / 'sessions'}", "name": "on disk"}
    if other_s3:
        bucket = f"races-{uuid.uuid4().hex}"
        s3_client_for(other_s3).create_bucket(Bucket=bucket)
        return {"url": f"s3://{bucket}/p", "endpoint": other_s3, "asks": True, "name": "on another S3"}
    s3: S3Server = request.getfixturevalue("s3")
    s3.clock.set(None)  # leases are waited for in real seconds
    return {"url": f"s3://{BUCKET}/p", "endpoint": s3.url, "name": "on S3"}


def objects_of(place: dict[str, Any], request: pytest.FixtureRequest) -> dict[str, bytes]:
    if place.get("asks"):
        bucket = BucketPlace(s3_client_for(place["endpoint"]), place["url"].split("/")[2])
        return {key: bucket.read(key) for key in bucket.keys()}  # noqa: SIM118 - a method of Place
    if "endpoint" in place:
        s3: S3Server = request.getfixturevalue("s3")
        return s3.objects(BUCKET)
    folder = Path(place["url"].removeprefix("file://"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.json")}


def times_whole(prompt: str, kind: str, stored: list[Shape]) -> int:
    """How often the turn stands in the history, all of it and in one piece."""
    turn = whole_turn(prompt, kind)
    return sum(
        all(_same(want, have) for want, have in zip(turn, stored[start : start + len(turn)], strict=False))
        for start in range(len(stored) - len(turn) + 1)
    )


def _same(want: Shape, have: Shape) -> bool:
    # Each process numbers its tool calls by itself.
    number = have[1].partition('"tooluse_')[2].partition('"')[0]
    return want == (have[0], have[1].replace(f'"tooluse_{number}"', '"tooluse_1"') if number else have[1])


CALLERS = [
    pytest.param(2, "plain", "message", False, False, id="2 overlapping"),
    pytest.param(8, "tools", "turn", False, False, id="8 overlapping, with tools"),
    pytest.param(16, "plain", "turn", False, False, id="16 overlapping"),
    pytest.param(8, "tools", "message", False, True, id="8 stale, with tools"),
    pytest.param(4, "tools", "turn", True, False, id="4 with the lease"),
    pytest.param(16, "plain", "message", True, False, id="16 with the lease"),
]


@pytest.mark.parametrize(("callers", "kind", "durability", "lease", "stale"), CALLERS)
def test_every_turn_is_whole_in_the_history_or_refused(
    place: dict[str, Any],
    zygote: Zygote,
    callers: int,
    kind: str,
    durability: str,
    lease: bool,
    stale: bool,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    kept = refused = 0
    for number in range(ROUNDS):
        session_id = f"race{number}"
        common = {
            **place,
            "kind": kind,
            "durability": durability,
            "lease": lease,
            "stale": stale,
            "wait_seconds": 2,
            "session_id": session_id,
        }
        zygote.run([{**common, "stale": False, "prompts": ["prompt begin"]}])
        jobs = [
            {**common, "prompts": [f"prompt {caller}-{turn}" for turn in range(TURNS)]} for caller in range(callers)
        ]

        results = zygote.run(jobs)
        results += zygote.run([{**common, "lease": True, "stale": False, "prompts": ["prompt end"]}])

        stored = stored_in(objects_of(place, request), session_id)
        told = [turn for result in results if result is not None for turn in result["turns"]]
        assert len(told) == callers * TURNS + 1
        for turn in told:
            if "refused" in turn:
                refused += 1
                assert turn["refused"] in KNOWN_REFUSALS, turn
                # What landed before it was refused stays, as after a crash; it is there once.
                assert sum(have == shape_of(turn["prompt"]) for have in stored) <= 1
            else:
                kept += 1
                assert times_whole(turn["prompt"], kind, stored) == 1, f"lost or mixed: {turn['prompt']} in {stored}"
        assert times_whole("prompt begin", kind, stored) == 1
        # Without the lease, callers may refuse each other for ever; the session is none the worse for it.
        assert times_whole("prompt end", kind, stored) == 1
        assert kept > 1 or not lease, "nobody got through"
    how = "stale" if stale else "with the lease" if lease else "overlapping"
    for what, value in (("turns kept", kept), ("turns refused", refused), ("turns lost", 0)):
        record_property(f"{TOTAL}races {place['name']}, {how}: {what}", value)


def shape_of(prompt: str) -> Shape:
    return shape({"role": "user", "content": [{"text": prompt}]})


def test_a_holder_that_is_paused_for_longer_than_its_lease_is_refused(zygote: Zygote, s3: S3Server) -> None:
    # given: a session, and a caller that is stopped when the first message of its turn has been stored
    common = {
        "url": f"s3://{BUCKET}/p",
        "endpoint": s3.url,
        "kind": "tools",
        "durability": "turn",
        "lease": True,
        "session_id": "paused",
    }
    zygote.run([{**common, "prompts": ["prompt begin"]}])
    with Zygote() as other:
        (pid,) = other.start([{**common, "prompts": ["prompt slow"]}])
        stop = Fault(
            "call",
            verb="PUT",
            key="*/message_4.json",
            applied=True,
            callback=lambda _: os.kill(pid, signal.SIGSTOP),
        )
        s3.faults.add(stop)
        other.go()
        assert stop.arrived.wait(20)

        # when: others wait in vain, then one takes the lease over once it has run out by the storage's clock
        (early,) = zygote.run([{**common, "prompts": ["prompt early"]}])
        s3.clock.advance(32)
        (quick,) = zygote.run([{**common, "prompts": ["prompt 1", "prompt 2"]}])
        os.kill(pid, signal.SIGCONT)
        (slow,) = other.results()

    # then: the paused caller learns that it was too late; what it had stored by then stays
    assert early is not None
    assert quick is not None
    assert slow is not None
    assert early["turns"][0]["refused"] == "SessionBusyError"
    assert f"process {pid}" in early["turns"][0]["why"]
    assert [told.get("reply") for told in quick["turns"]] == ["reply to prompt 1", "reply to prompt 2"]
    assert slow["turns"][0]["refused"] == "SessionConflictError"
    stored = stored_in(s3.objects(BUCKET), "paused")
    expected = [*whole_turn("prompt begin", "tools"), shape_of("prompt slow")]
    expected += [*whole_turn("prompt 1", "tools"), *whole_turn("prompt 2", "tools")]
    assert len(stored) == len(expected)
    assert all(_same(want, have) for want, have in zip(expected, stored, strict=True))
    assert "paused/lease.json" not in str(s3.objects(BUCKET).keys())
