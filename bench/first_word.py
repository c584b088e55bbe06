"""``python -m bench.first_word``: how long a caller waits for the first word, buffered and streamed.

A turn of a session that exists, over HTTP to the local server, on the S3 stand-in at the latencies of S3. The model
thinks for 300 ms and then says forty words, one each 10 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from contextlib import redirect_stdout
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, cast

from bench.publish import FOLDER, say
from bench.report import spread
from bench.stand_in import StandIn
from tests.doubles.s3_server import S3_LATENCY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

THINK_SECONDS = 0.3
WORDS, WORD_SECONDS = 40, 0.01
BUCKET = "first-word"
DOCUMENT = FOLDER.parent / "BENCHMARKS.md"
BEGIN, END = "<!-- first word: written by make bench -->", "<!-- end of first word -->"


class SpeakingModel:
    """Thinks, then speaks word by word, and notes when it began to speak.

    Attributes:
        takes_time: Whether it thinks, and speaks slowly.
        first_word_at: When it began to speak last.
    """

    stateful = False

    def __init__(self) -> None:
        self.takes_time = True
        self.first_word_at = 0.0

    def get_config(self) -> dict[str, Any]:
        """Return the configuration."""
        return {"model_id": "speaking"}

    async def stream(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        """Speak."""
        await asyncio.sleep(THINK_SECONDS if self.takes_time else 0)
        yield {"messageStart": {"role": "assistant"}}
        self.first_word_at = time.monotonic()
        for number in range(WORDS):
            yield {"contentBlockDelta": {"delta": {"text": f"word {number} "}}}
            await asyncio.sleep(WORD_SECONDS if self.takes_time else 0)
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "end_turn"}}


def measure(port: int, model: SpeakingModel, accept: str) -> tuple[float, float]:
    """Take a turn.

    Returns:
        Seconds from the request to its first word, and from the model's first word to the caller's.
    """
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    body = json.dumps({"prompt": "Say something."})
    connection.connect()
    begin = time.monotonic()
    headers = {"content-type": "application/json", "accept": accept}
    connection.request("POST", "/sessions/bench/messages", body, headers)
    response = connection.getresponse()
    if accept == "text/event-stream":
        while b"event: text" not in response.readline():
            pass
    else:
        response.read()
    first = time.monotonic()
    response.read()
    connection.close()
    return first - begin, first - model.first_word_at


def run(repeat: int, messages: int = 0) -> dict[str, list[tuple[float, float]]]:
    """Measure both forms, turn about.

    Args:
        repeat: Turns of each.
        messages: How many the session has before.
    """
    from local.server import LocalServer

    with StandIn() as stand_in:
        stand_in.client().create_bucket(Bucket=BUCKET)
        os.environ |= {
            "AWS_ACCESS_KEY_ID": "stand-in",
            "AWS_SECRET_ACCESS_KEY": "stand-in",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": stand_in.url,
            "SESSION_STORE": f"s3://{BUCKET}",
            "ENDPOINT_AUTH": "local",
            "AGENT_MODEL": "speaking:words",
        }
        from lambda_src.models.providers import MODEL_PROVIDERS

        model = SpeakingModel()
        MODEL_PROVIDERS["speaking"] = lambda _model_id, _settings: model  # type: ignore[assignment,return-value] # it speaks like one
        from lambda_src import handler

        server = LocalServer(0)
        server.serve(cast("Any", handler.lambda_handler))  # its context is ours but for the class
        forms = ("application/json", "text/event-stream")
        model.takes_time = False
        for _ in range(messages // 2):
            measure(server.server_address[1], model, forms[0])
        model.takes_time = True
        stand_in.set_latency(S3_LATENCY)
        measure(server.server_address[1], model, forms[0])  # not counted: imports and connections
        found: dict[str, list[tuple[float, float]]] = {form: [] for form in forms}
        for _ in range(repeat):
            for form in forms:
                found[form].append(measure(server.server_address[1], model, form))
        server.stop()
        server.wait(30)
    return found


def table(found: dict[str, list[tuple[float, float]]]) -> str:
    """Write what was measured as Markdown."""
    head = (
        "a turn with a model that thinks 300 ms and speaks 400 ms",
        "first word after, ms",
        "behind the model's first word, ms",
    )
    lines = [f"| {' | '.join(head)} |"]
    lines.append("|---|---:|---:|")
    for form, label in (("application/json", "buffered"), ("text/event-stream", "streamed")):
        after, behind = ([pair[number] for pair in found[form]] for number in (0, 1))
        lines.append(f"| {label} | {spread(after)} | {spread(behind, digits=1)} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--messages", type=int, default=0, help="how many the session has before (0)")
    parser.add_argument("--publish", action="store_true", help="write the table into docs/BENCHMARKS.md")
    options, _ = parser.parse_known_args(arguments)
    # The function logs to standard output.
    with Path(os.devnull).open("w", encoding="utf-8") as log, redirect_stdout(log):
        found = run(options.repeat, options.messages)
    report = table(found)
    say(sys.stdout, report)
    say(sys.stderr, f"median behind the model: {1000 * median(b for _, b in found['text/event-stream']):.1f} ms")
    if options.publish:
        text = DOCUMENT.read_text(encoding="utf-8")
        begin, rest = text.split(BEGIN)
        DOCUMENT.write_text(f"{begin}{BEGIN}\n\n{report}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
