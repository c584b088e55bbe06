"""One cold start: a fresh process under the Lambda runtime client, its init, its first turn, and one more."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.deploy.runtime_api import Outcome, RuntimeApi

if TYPE_CHECKING:
    from tests.deploy.lambda_process import DeployedFunction

_HTTP_OK = 200
_PATIENCE_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a process's life, in seconds.

    Attributes:
        seconds: By the clock.
        cpu_seconds: Of the processor; ``None`` where the system does not say.
    """

    seconds: float
    cpu_seconds: float | None


@dataclass(frozen=True, slots=True)
class ColdStart:
    """One process.

    Attributes:
        variant: Which package.
        init: From the start of the process to its first request for an event: interpreter, runtime client, imports.
        first: The first event: a turn that restores the session.
        warm: The same again.
        peak_bytes: The most memory it held; ``None`` where the system does not say.
        s3_connections: TLS connections to S3 that were ready before the first turn's model was called; ``None`` for a
            process that calls none.
    """

    variant: str
    init: Phase
    first: Phase
    warm: Phase
    peak_bytes: int | None
    s3_connections: int | None = None

    @property
    def total_seconds(self) -> float:
        """What the caller of a cold function waits for it."""
        return self.init.seconds + self.first.seconds

    def to_dict(self) -> dict[str, Any]:
        """Return a form for JSON."""
        return asdict(self)


class _WatchedApi(RuntimeApi):
    """Notes when the process asks for an event and when it answers, and its CPU time at both.

    Attributes:
        asked: Monotonic and CPU seconds when it asked for the first event, the second ...
        began: The same when it was handed each.
        answered: The same when it answered each.
    """

    def __init__(self, function_arn: str, timeout_seconds: float) -> None:
        super().__init__(function_arn, timeout_seconds)
        self.pid = 0
        self.asked: list[tuple[float, float | None]] = []
        self.began: list[tuple[float, float | None]] = []
        self.answered: list[tuple[float, float | None]] = []

    def next_event(self) -> tuple[dict[str, str], bytes] | None:
        self.asked.append(self._now())
        found = super().next_event()
        self.began.append(self._now())
        return found

    def report(self, outcome: Outcome) -> None:
        self.answered.append(self._now())
        super().report(outcome)

    def _now(self) -> tuple[float, float | None]:
        return time.monotonic(), cpu_seconds(self.pid)


def measure_cold_start(variant: str, function: DeployedFunction, event: Any, *, answers: bool = True) -> ColdStart:
    """Start a process, hand it the event twice, and end it.

    Args:
        variant: Its name.
        function: What to start.
        event: A request whose answer's status is 200.
        answers: Whether to insist on that status.

    Raises:
        RuntimeError: When the process does not answer, or answers with an error: such times mean nothing.
    """
    timeout = float(function.configuration["Timeout"])
    with _WatchedApi(function.configuration["FunctionArn"], timeout) as api:
        api.offer(event)
        start = time.monotonic()
        process = function.start(api.address)
        api.pid = process.pid
        try:
            problem = _problem(api.outcome(_PATIENCE_SECONDS), answers=answers)
            if problem is None:
                api.offer(event)
                problem = _problem(api.outcome(_PATIENCE_SECONDS), answers=answers)
            peak = peak_bytes(process.pid)
        finally:
            process.kill()
            output, _ = process.communicate()
    if problem is not None:
        raise RuntimeError(f"{problem} | the function's output: {output.decode(errors='replace')}")
    return ColdStart(
        variant=variant,
        init=_between((start, 0.0), api.asked[0]),
        first=_between(api.began[0], api.answered[0]),
        warm=_between(api.began[1], api.answered[1]),
        peak_bytes=peak,
    )


def cpu_seconds(pid: int) -> float | None:
    """Return the CPU time of a running process so far, its threads included; ``None`` where there is no ``/proc``."""
    with suppress(OSError):
        # After the name in parentheses, which may hold blanks: state is the first, utime and stime are 12th and 13th.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return None


def peak_bytes(pid: int) -> int | None:
    """Return the most memory a running process held; ``None`` where there is no ``/proc``."""
    with suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        # A process that has ended holds nothing.
        return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), None)
    return None


def _between(start: tuple[float, float | None], end: tuple[float, float | None]) -> Phase:
    cpu = None if start[1] is None or end[1] is None else end[1] - start[1]
    return Phase(end[0] - start[0], cpu)


def _problem(outcome: Outcome | None, *, answers: bool) -> str | None:
    """Say what is wrong with an outcome, if anything."""
    if outcome is None:
        return "no answer"
    if outcome.error is not None or (answers and outcome.value.get("statusCode") != _HTTP_OK):
        return f"{outcome.error or 'answer'}: {outcome.value}"
    return None
