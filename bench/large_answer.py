"""``python -m bench.large_answer``: what an answer of 1 MB costs in memory, buffered and streamed.

A turn by the handler that is deployed, on sessions in a folder, and its answer as the transport sends it. Each form is
measured in a process of its own, after a short turn that pays for imports. Whoever takes the pieces keeps none.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
import tracemalloc
from contextlib import redirect_stdout
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.publish import FOLDER, say

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ANSWER_BYTES = 1024 * 1024
PIECE = "word " * 8
"""What the model says at once: about ten tokens."""

FORMS = {"buffered": "application/json", "streamed": "text/event-stream"}
DOCUMENT = FOLDER.parent / "BENCHMARKS.md"
BEGIN, END = "<!-- large answer: written by make bench -->", "<!-- end of large answer -->"


class LongModel:
    """Says so many bytes, in pieces."""

    stateful = False

    def __init__(self) -> None:
        self.answer_bytes = len(PIECE)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration."""
        return {"model_id": "long"}

    async def stream(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        """Speak."""
        yield {"messageStart": {"role": "assistant"}}
        for _piece in range(self.answer_bytes // len(PIECE)):
            yield {"contentBlockDelta": {"delta": {"text": PIECE}}}
            await asyncio.sleep(0)  # as one that is read from a connection
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "end_turn"}}


class Context:
    """The invocation's context: ten minutes are left, more than any machine needs."""

    aws_request_id = "large-answer"
    function_name = "endpoint"

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds that are left."""
        return 600_000


def measure(form: str) -> int:
    """Return the most that Python held at once during the turn beyond what it held before, in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        finished = subprocess.run(  # noqa: S603 - ours
            [sys.executable, "-m", "bench.large_answer", "--one", form, folder],
            cwd=Path(__file__).parents[1],
            check=True,
            capture_output=True,
            text=True,
        )
    return int(finished.stdout.splitlines()[-1])


def measure_here(form: str, folder: str) -> int:
    """Measure in this process: see :func:`measure`."""
    os.environ |= {
        "SESSION_STORE": f"file://{folder}/sessions",
        "ENDPOINT_AUTH": "local",
        "AGENT_MODEL": "long:answer",
        "AWS_REGION": "us-east-1",
    }
    from lambda_src.models.providers import MODEL_PROVIDERS

    model = LongModel()
    MODEL_PROVIDERS["long"] = lambda _model_id, _settings: model  # type: ignore[assignment,return-value] # it speaks like one
    from lambda_src import handler
    from lambda_src.runtime.http_prelude import prepare

    def take(session_id: str) -> int:
        answer: Any = handler.lambda_handler(_event(session_id, FORMS[form]), Context())  # type: ignore[arg-type] # see above
        prepared = prepare(answer)
        size = sum(len(piece) for piece in prepared.pieces)
        prepared.end()
        return size

    take("short")
    model.answer_bytes = ANSWER_BYTES
    gc.collect()
    tracemalloc.start()
    size = take("long")
    _, peak = tracemalloc.get_traced_memory()
    if size < ANSWER_BYTES // len(PIECE) * len(PIECE):
        raise RuntimeError(f"the answer had {size} bytes")
    return peak


def _event(session_id: str, accept: str) -> dict[str, Any]:
    path = f"/sessions/{session_id}/messages"
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "accept": accept},
        "requestContext": {"http": {"method": "POST", "path": path, "sourceIp": "127.0.0.1"}, "requestId": "r"},
        "body": json.dumps({"prompt": "Talk."}),
        "isBase64Encoded": False,
    }


def table(found: dict[str, list[int]]) -> str:
    """Write what was measured as Markdown."""
    lines = ["| a turn whose answer has 1 MB | most memory beside what was there, MB |", "|---|---:|"]
    lines += [f"| {form} | {median(peaks) / 1024 / 1024:.1f} |" for form, peaks in found.items()]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--publish", action="store_true", help="write the table into docs/BENCHMARKS.md")
    parser.add_argument("--one", nargs=2, metavar=("FORM", "FOLDER"), help=argparse.SUPPRESS)
    options, _ = parser.parse_known_args(arguments)
    if options.one:
        # The function logs to standard output.
        with Path(os.devnull).open("w", encoding="utf-8") as log, redirect_stdout(log):
            peak = measure_here(*options.one)
        say(sys.stdout, str(peak))
        return
    report = table({form: [measure(form) for _ in range(options.repeat)] for form in FORMS})
    say(sys.stdout, report)
    if options.publish:
        text = DOCUMENT.read_text(encoding="utf-8")
        begin, rest = text.split(BEGIN)
        DOCUMENT.write_text(f"{begin}{BEGIN}\n\n{report}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
