"""Many real processes, quickly: one process imports everything and is forked for each caller.

    with Zygote() as zygote:
        first, second = zygote.start([job, job])
        zygote.go()
        zygote.results()          # what each returned; None for one that was killed

The test's own process is not forked: it has threads.
"""

import gc
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]


class Zygote:
    """The process that is forked, as the test sees it."""

    def __enter__(self) -> Self:
        path = f"{ROOT / 'layer'}{os.pathsep}{ROOT}"
        environment = {**os.environ, "PYTHONPATH": path, "AWS_EC2_METADATA_DISABLED": "true"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.concurrency.zygote"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)

    def start(self, jobs: list[dict[str, Any]]) -> list[int]:
        """Make a process for each job; they wait for ``go``. Returns their ids."""
        self._tell(jobs)
        pids: list[int] = self._hear()
        return pids

    def go(self) -> None:
        """Let all of them begin at once."""
        self._tell("go")

    def results(self) -> list[dict[str, Any] | None]:
        """What each returned, when all have ended; ``None`` of those that were killed."""
        results: list[dict[str, Any] | None] = self._hear()
        return results

    def run(self, jobs: list[dict[str, Any]]) -> list[dict[str, Any] | None]:
        """Start, go, and wait."""
        self.start(jobs)
        self.go()
        return self.results()

    def _tell(self, what: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()

    def _hear(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the zygote has died; see its standard error")
        return json.loads(line)


def _child(job: dict[str, Any], gate: int, result: int) -> None:
    from tests.concurrency.callers import run

    try:
        os.dup2(2, 1)  # what is printed here is not what the zygote says
        os.read(gate, 1)  # the end of the pipe, when the zygote has let go of it
        told = run(job)
    except BaseException:  # noqa: BLE001 - a child must end here, and its parent wants to know why
        told = {"turns": [], "crashed": traceback.format_exc()}
    data = json.dumps(told, default=str).encode()
    while data:
        data = data[os.write(result, data) :]
    os._exit(0)  # no handlers of the zygote's


def _serve() -> None:
    # Imported for the children.
    import strands

    import lambda_src.agent
    import lambda_src.endpoint
    import tests.concurrency.callers

    assert all((strands, lambda_src.agent, lambda_src.endpoint))
    tests.concurrency.callers.s3_client("http://127.0.0.1:1")
    gc.freeze()
    while line := sys.stdin.readline():
        gate, held = os.pipe()
        children: list[tuple[int, int]] = []
        for job in json.loads(line):
            readable, result = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(held)
                os.close(readable)
                _child(job, gate, result)
            os.close(result)
            children.append((pid, readable))
        os.close(gate)
        print(json.dumps([pid for pid, _ in children]), flush=True)  # noqa: T201 - the way it talks
        sys.stdin.readline()
        os.close(held)
        results: list[Any] = []
        for pid, readable in children:
            with os.fdopen(readable, "rb") as file:
                told = file.read()
            os.waitpid(pid, 0)
            results.append(json.loads(told) if told else None)
        print(json.dumps(results), flush=True)  # noqa: T201 - as above


if __name__ == "__main__":
    _serve()
