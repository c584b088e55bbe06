"""A process is killed at every single write of a turn, one after the other; then the next turn is compared.

``AGENT_SESSIONS_CRASHES=all`` tries every point with every kind of turn; without it, every point of the kinds that
differ.
"""

import itertools
from typing import Any

import pytest

from tests.concurrency.killing import (
    EVERYTHING,
    LEASE_RUNS_OUT_SECONDS,
    Bucket,
    Folder,
    Job,
    Report,
    batches,
)
from tests.concurrency.reference import Shape, closed, is_prefix, repaired, shape, stored_in, whole_turn

CASES = [
    pytest.param(kind, durability, begun, id=f"{kind}-{durability}-{'second' if begun else 'first'} turn")
    for kind, durability, begun in itertools.product(("plain", "tools"), ("message", "turn", "effects"), (False, True))
]


def seen_by_the_model(told: Any) -> list[Shape]:
    return [shape(message) for message in told["seen"]]


@pytest.mark.parametrize(("kind", "durability", "begun"), CASES)
def test_the_turn_after_a_crash_works_with_everything_that_was_durable(
    place: Bucket | Folder, kind: str, durability: str, begun: bool, report: Report
) -> None:
    if not EVERYTHING and begun != (
        (kind, durability) in {("plain", "message"), ("tools", "turn"), ("plain", "effects")}
    ):
        pytest.skip("each kind is tried with one turn of a session, the first or the second")
    if durability == "effects" and isinstance(place, Folder):
        pytest.skip("on a disk nothing goes beside the model")
    name = f"{place.name}, {durability}, {kind}: "
    before = whole_turn("prompt 0", kind) if begun else []
    crashed = [*before, *whole_turn("prompt 1", kind)]
    tried, ids = 0, itertools.count()
    for batch in batches(place.points()):
        # given: as many sessions as there are points to die at
        # Those that go on in a session do it without the lease, and at once.
        common: Job = {**place.place, "kind": kind, "durability": durability, "lease": not begun}
        jobs: list[Job] = [{**common, "session_id": f"s{next(ids)}", "prompts": ["prompt 1"]} for _ in batch]
        if begun:
            place.zygote.run([{**job, "prompts": ["prompt 0"]} for job in jobs])

        # when: each caller dies at its point, and others take the next turns
        died = place.crash(jobs, batch, seconds=0 if begun else LEASE_RUNS_OUT_SECONDS)
        durable = [stored_in(place.objects(), job["session_id"]) for job in jobs]
        results = place.zygote.run([{**job, "prompts": ["prompt 2", "prompt 3"]} for job in jobs])

        # then: nothing durable is lost, and nothing else is there
        objects = place.objects()
        for job, dead, kept, result in zip(jobs, died, durable, results, strict=True):
            if not dead:
                continue
            tried += 1
            assert is_prefix(kept, crashed), f"{job}: not what the turn wrote: {kept}"
            assert is_prefix(before, kept), f"{job}: lost an earlier turn"
            assert result is not None
            refused = [told for told in result["turns"] if "refused" in told]
            assert not refused, f"{job}: the session is lost: {refused}"
            assert "crashed" not in result, result
            second, third = result["turns"]
            begun_with = repaired(kept)
            expected = [*begun_with, *whole_turn("prompt 2", kind), *whole_turn("prompt 3", kind)]
            stored = stored_in(objects, job["session_id"])
            assert is_prefix(kept, stored), f"{job}: a durable message is lost"
            assert stored == _renamed(expected, stored), f"{job}: wrong: {stored}"
            assert is_prefix(seen_by_the_model(second), stored), f"{job}: the model was shown something else"
            assert is_prefix(seen_by_the_model(third), stored), f"{job}: the model was shown something else"
            assert len(seen_by_the_model(third)) == len(stored) - 1
            assert not any(f"session_{job['session_id']}/lease.json" in key for key in objects)
        if not all(died) and isinstance(place, Folder):
            break  # beyond the last change of the turn
    assert tried > len(crashed), "no process was killed"
    report(f"{name}points tried", tried)
    for what in ("sessions lost", "durable messages lost", "wrong"):
        report(f"{name}{what}", 0)


def _renamed(expected: list[Shape], stored: list[Shape]) -> list[Shape]:
    """Tool calls are numbered by each process; the numbers are no matter as long as they pair."""
    renamed = []
    for want, have in zip(expected, stored, strict=False):
        number = have[1].partition('"tooluse_')[2].partition('"')[0]
        renamed.append((want[0], want[1].replace('"tooluse_1"', f'"tooluse_{number}"')) if number else want)
    return [*renamed, *expected[len(renamed) :]]


@pytest.mark.parametrize("kind", ["plain", "tools"])
def test_a_keyed_request_sent_again_after_a_crash_ends_as_one_whole_turn(
    place: Bucket | Folder, kind: str, report: Report
) -> None:
    expected = whole_turn("prompt 1", kind)
    tried, ids = 0, itertools.count()
    points = place.points() if EVERYTHING or isinstance(place, Bucket) else place.points()[::2]
    for batch in batches(points):
        common: Job = {**place.place, "kind": kind, "key": "request-1", "prompts": ["prompt 1"]}
        jobs: list[Job] = [{**common, "session_id": f"s{next(ids)}"} for _ in batch]

        died = place.crash(jobs, batch)
        again = place.zygote.run(jobs)
        once_more = place.zygote.run(jobs)

        for job, dead, second, third in zip(jobs, died, again, once_more, strict=True):
            if not dead:
                continue
            tried += 1
            assert second is not None
            assert third is not None
            (told,), (repeated,) = second["turns"], third["turns"]
            assert told.get("reply") == "reply to prompt 1", f"{job}: {told}"
            assert repeated["whole"] == told["whole"]
            assert repeated["model_calls"] == 0
            folder = place.objects()
            owned = {key: body for key, body in folder.items() if f"session_{job['session_id']}/" in key}
            assert stored_in(owned, job["session_id"]) == expected, f"{job}: not once and whole"
        if not all(died) and isinstance(place, Folder):
            break
    assert tried > len(expected)
    report(f"{place.name}, {kind}, the same keyed request again: points tried", tried)
    report(f"{place.name}, {kind}, the same keyed request again: not exactly once", 0)


@pytest.mark.parametrize("kind", ["plain", "tools"])
def test_another_request_after_a_crash_finds_a_conversation_that_any_model_accepts(
    place: Bucket | Folder, kind: str, report: Report
) -> None:
    tried, ids = 0, itertools.count()
    points = place.points() if EVERYTHING or isinstance(place, Bucket) else place.points()[1::2]
    for batch in batches(points):
        common: Job = {**place.place, "kind": kind}
        jobs: list[Job] = [
            {**common, "session_id": f"s{next(ids)}", "key": "request-1", "prompts": ["prompt 1"]} for _ in batch
        ]

        died = place.crash(jobs, batch)
        durable = [stored_in(place.objects(), job["session_id"]) for job in jobs]
        others = place.zygote.run([{**job, "key": "request-2", "prompts": ["prompt 2"]} for job in jobs])

        for job, dead, kept, result in zip(jobs, died, durable, others, strict=True):
            if not dead:
                continue
            tried += 1
            assert result is not None
            assert result["turns"][0].get("reply") == "reply to prompt 2", f"{job}: {result}"
            stored = stored_in(place.objects(), job["session_id"])
            expected = [*closed(kept), *whole_turn("prompt 2", kind)]
            assert stored == _renamed(expected, stored), f"{job}: wrong: {stored}"
            roles = [role for role, _ in stored]
            assert all(role != following for role, following in itertools.pairwise(roles))
        if not all(died) and isinstance(place, Folder):
            break
    assert tried > len(whole_turn("prompt 1", kind))
    report(f"{place.name}, {kind}, another request: points tried", tried)
    report(f"{place.name}, {kind}, another request: wrong", 0)
