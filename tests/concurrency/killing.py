"""Kills callers at their writes: to S3 before or after the write has taken effect, on disk just before a change."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.concurrency.zygote import Zygote
from tests.doubles.s3.messages import Request
from tests.doubles.s3_server import Fault, S3Server

BUCKET = "sessions"
EVERYTHING = os.environ.get("AGENT_SESSIONS_CRASHES") == "all"
LEASE_RUNS_OUT_SECONDS = 32
MOST_POINTS = 150
BATCH = 8

Job = dict[str, Any]
Report = Callable[[str, int], None]
"""Adds a number to what the run prints at its end."""


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


def batches(points: list[Any]) -> list[list[Any]]:
    return [points[start : start + BATCH] for start in range(0, len(points), BATCH)]
