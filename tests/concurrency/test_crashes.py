"""A process is killed at every single write of a turn, one after the other; then the next turn is compared.

``AGENT_SESSIONS_CRASHES=all`` tries every point with every kind of turn; without it, every point of the kinds that
differ.
"""

import itertools
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.concurrency.conftest import BUCKET
from tests.concurrency.reference import Shape, closed, is_prefix, repaired, shape, stored_in, whole_turn
from tests.concurrency.zygote import Zygote
from tests.conftest import TOTAL
from tests.doubles.s3.messages import Request
from tests.doubles.s3_server import Fault, S3Server

EVERYTHING = os.environ.get("AGENT_SESSIONS_CRASHES") == "all"
LEASE_RUNS_OUT_SECONDS = 32
MOST_POINTS = 150
BATCH = 8

Job = dict[str, Any]
Report = Callable[[str, int], None]


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Report:
    return lambda name, value: record_property(f"{TOTAL}crashes {name}", value)


class KilledError(Exception):
    """The server's side of a killed caller: the request does not take effect."""


class Bucket:
    """Kills callers at their writes to S3, before or after the write has taken effect."""

    name = "on S3"

    def __init__(self, s3: S3Server, zygote: Zygote) -> None:
        self.s3 = s3
        self.zygote = zygote
        self.place = {"url": f"s3://{BUCKET}/p", "endpoint": s3.url}

    def points(self) -> list[tuple[str, bool, int]]:
        """Verb, whether it takes effect, and which one of them; more than any turn has."""
        puts = [("PUT", applied, number) for number in range(1, 14) for applied in (False, True)]
        return [*puts, ("DELETE", False, 1), ("DELETE", True, 1)]

    def crash(self, jobs: list[Job], points: list[Any], *, seconds: float = LEASE_RUNS_OUT_SECONDS) -> list[bool]:
        """Run each job in a process that dies at its point, and let time pass. Returns who did."""
        pids: dict[str, int] = {}

        def killer(session_id: str, applied: bool) -> Callable[[Request], None]:
            def kill(_request: Request) -> None:
                os.kill(pids[session_id], signal.SIGKILL)
                if not applied:
                    raise KilledError

            return kill

        for job, (verb, applied, nth) in zip(jobs, points, strict=True):
            key = f"*session_{job['session_id']}/*"
            callback = killer(job["session_id"], applied)
            self.s3.faults.add(Fault("call", verb=verb, key=key, nth=nth, applied=applied, callback=callback))
        started = self.zygote.start(jobs)
        pids |= {job["session_id"]: pid for job, pid in zip(jobs, started, strict=True)}
        self.zygote.go()
        died = [result is None for result in self.zygote.results()]
        self.s3.faults.clear()
        self.s3.clock.advance(seconds)
        return died

    def objects(self) -> dict[str, bytes]:
        return self.s3.objects(BUCKET)


class Folder:
    """Kills callers just before a change of the file system."""

    name = "on disk"

    def __init__(self, folder: Path, zygote: Zygote) -> None:
        self.folder = folder
        self.zygote = zygote
        self.place = {"url": f"file://{folder}"}

    def points(self) -> list[int]:
        return list(range(1, MOST_POINTS))

    def crash(self, jobs: list[Job], points: list[Any], *, seconds: float = 0) -> list[bool]:
        results = self.zygote.run([{**job, "kill_at": point} for job, point in zip(jobs, points, strict=True)])
        return [result is None for result in results]

    def objects(self) -> dict[str, bytes]:
        names = [path for path in self.folder.rglob("*") if path.is_file() and not path.name.startswith(".writing-")]
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in names}


@pytest.fixture(params=["bucket", "folder"])
def place(
    request: pytest.FixtureRequest, zygote: Zygote, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> Bucket | Folder:
    # A killed caller's request ends in an exception inside the server, which asyncio reports.
    caplog.set_level(logging.CRITICAL, logger="asyncio")
    if request.param == "bucket":
        return Bucket(request.getfixturevalue("s3"), zygote)
    return Folder(tmp_path / "sessions", zygote)


CASES = [
    pytest.param(kind, durability, begun, id=f"{kind}-{durability}-{'second' if begun else 'first'} turn")
    for kind, durability, begun in itertools.product(("plain", "tools"), ("message", "turn"), (False, True))
]


def batches(points: list[Any]) -> list[list[Any]]:
    return [points[start : start + BATCH] for start in range(0, len(points), BATCH)]


def seen_by_the_model(told: Any) -> list[Shape]:
    return [shape(message) for message in told["seen"]]


@pytest.mark.parametrize(("kind", "durability", "begun"), CASES)
def test_the_turn_after_a_crash_works_with_everything_that_was_durable(
    place: Bucket | Folder, kind: str, durability: str, begun: bool, report: Report
) -> None:
    if not EVERYTHING and begun != ((kind, durability) in {("plain", "message"), ("tools", "turn")}):
        pytest.skip("each kind is tried with one turn of a session, the first or the second")
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
