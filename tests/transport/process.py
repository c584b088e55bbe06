"""One process under the runtime client, which is handed events one after the other."""

import sys
from pathlib import Path
from typing import Any

from infra.packaging.interpreters import Interpreter
from tests.deploy.lambda_process import ROOT, DeployedFunction
from tests.deploy.runtime_api import Outcome, RuntimeApi

_PATIENCE_SECONDS = 20
_HEAD = """
from lambda_src.runtime import transport
from lambda_src.runtime.streamed_answer import StreamedAnswer

def report(error):
    print("reported", type(error).__name__, flush=True)

transport.install(streaming=True, report=report)
"""

STREAM = """

class Pieces:
    def __init__(self):
        self.words = iter([b"one ", "zwei\\u00e9 ".encode(), b"three"])

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.words)

    def close(self):
        print("closed", flush=True)

def handler(event, context):
    if not isinstance(event, dict) or "http" not in event:
        return {"plain": event}
    headers = {"Content-Type": "text/event-stream", "X-Number": 7}
    return StreamedAnswer(200, headers, Pieces(), ["a=1", "b=2"], lambda: print("over", flush=True))
"""


def returning(value: str) -> str:
    return f"def handler(event, context):\n    return {value}\n"


def pieces(body: str) -> str:
    """A handler whose body is made by a generator."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return f"""
import time

def make(event):
{lines}

def handler(event, context):
    print("asked", flush=True)
    transport.keep_within(lambda: context.get_remaining_time_in_millis() / 1000)
    return StreamedAnswer(200, {{}}, make(event), over=lambda: print("over", flush=True))
"""


class Process:
    """A function of one file, running.

    Args:
        source: Defines ``handler(event, context)``; ``StreamedAnswer`` is there.
        folder: For the function's files.
        client: Where the runtime client is installed.
        environment: Variables beside the function's own.
        head: What stands before the source.
        timeout_seconds: The function's.

    Attributes:
        api: The Runtime API it talks to.
        folder: Of its files.
        output: What it printed, when it has ended.
    """

    def __init__(
        self,
        source: str,
        folder: Path,
        client: Path,
        environment: dict[str, str] | None = None,
        head: str = _HEAD,
        timeout_seconds: float = 30,
    ) -> None:
        self.folder = folder
        code = folder / "layer" / "python"
        code.mkdir(parents=True)
        (code / "lambda_src").symlink_to(ROOT / "lambda_src")
        (folder / "entry.py").write_text(head + source, encoding="utf-8")
        configuration: dict[str, Any] = {
            "FunctionName": "f",
            "FunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:f",
            "Version": "1",
            "MemorySize": 128,
            "Timeout": timeout_seconds,
            "Handler": "entry.handler",
        }
        interpreter = Interpreter(Path(sys.executable), "3")
        function = DeployedFunction(configuration, folder, [folder / "layer"], interpreter, client, environment or {})
        self.api = RuntimeApi(configuration["FunctionArn"], timeout_seconds=timeout_seconds)
        self.api.__enter__()
        self._process = function.start(self.api.address)
        self.output = ""

    def ask(self, event: Any = None) -> Outcome:
        """Hand it an event and return what became of it."""
        self.offer(event)
        return self.outcome()

    def offer(self, event: Any = None) -> None:
        """Hand it an event."""
        self.api.offer(event)

    def outcome(self) -> Outcome:
        """What became of the event before."""
        outcome = self.api.outcome(_PATIENCE_SECONDS)
        assert outcome is not None, self.end()
        return outcome

    def end(self) -> str:
        """End the process; returns what it printed."""
        if self._process.poll() is None:
            self._process.kill()
        if not self._process.stdout or self._process.stdout.closed:
            return self.output
        output, _ = self._process.communicate()
        self.output = output.decode(errors="replace")
        self.api.__exit__()
        return self.output

    def wait(self) -> str:
        """Wait until it has ended by itself; returns what it printed."""
        self._process.wait(_PATIENCE_SECONDS)
        return self.end()
