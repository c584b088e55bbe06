"""Turns as they come, from the deployed package: through its URL in ``RESPONSE_STREAM`` mode, with the kit's client."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from agent_sessions_client import Client, Message, Reply, SigV4Auth, Text, TurnBegan, TurnStream
from infra.commands.smoke.report import Report, expect
from tests.deploy.function_url import FunctionUrl
from tests.doubles.bedrock_server import BedrockServer, Pause
from tests.doubles.script import ScriptItem

_SESSION = "streams"
_CANCEL_SECONDS = 2.0
_PATIENCE_SECONDS = 30.0

# What the model says, in the order of the story. It pauses until the story goes on.
SCRIPT: list[ScriptItem] = [
    ["The first words come early ", Pause(1), "and the last when I am done."],
    ["Somebody hears this ", Pause(1), "and somebody else hears the rest."],
    ["This will be ", Pause(1), "stopped."],
    "I go on.",
    ["Nobody waits ", Pause(1), "for this."],
]


class Gate:
    """What a model's pause waits for."""

    def __init__(self) -> None:
        self._open = threading.Event()

    def wait(self, _seconds: float) -> None:
        """Pause until the gate is opened; it closes behind whoever went through."""
        self._open.wait(_PATIENCE_SECONDS)
        self._open.clear()

    def open(self) -> None:
        """Let one through."""
        self._open.set()


@contextmanager
def streaming_model() -> Iterator[tuple[BedrockServer, Gate]]:
    """The model of the story, and what holds it up."""
    gate = Gate()
    with BedrockServer(*SCRIPT, sleep=gate.wait) as bedrock:
        yield bedrock, gate
        gate.open()


@dataclass
class Streams:
    """Talks to a Function URL.

    Attributes:
        url: The Function URL.
        gate: Holds the model up.
        report: Where the results go.
        auth: Of the caller.
    """

    url: FunctionUrl
    gate: Gate
    report: Report
    auth: SigV4Auth | None = None

    def hold(self) -> None:
        """The whole story."""
        check = self.report.check
        with self._client() as client:
            check("stream: the first words arrive before the model has ended", lambda: self._first_words(client))
            check("stream: a caller leaves, another process follows, and nothing is lost", lambda: self._leave(client))
            check("stream: a turn is cancelled within two seconds, in good order", lambda: self._cancel(client))
            check("stream: the turn after it works", lambda: self._go_on(client))
            check("a turn without a caller: accepted, taken by the alias, followed", lambda: self._submit(client))

    def _client(self) -> Client:
        return Client(self.url.url, self.auth)

    def _first_words(self, client: Client) -> None:
        stream = client.stream(_SESSION, "Speak.")
        began = next(stream)
        expect(isinstance(began, TurnBegan) and began.restored_messages == 0, began)
        first = self._until_text(stream)
        expect(first.startswith("The"), first)
        self.gate.open()
        rest = list(stream)
        said = first + "".join(event.text for event in rest if isinstance(event, Text))
        expect(said == "The first words come early and the last when I am done.", said)
        expect([event.message_id for event in rest if isinstance(event, Message)][-1] == 1, rest)
        expect(isinstance(rest[-1], Reply) and rest[-1].text == said, rest)

    def _leave(self, client: Client) -> None:
        stream = client.stream(_SESSION, "Speak again.")
        self._until_text(stream)
        turn = stream.turn
        stream.close()
        if turn is None:
            expect(holds=False, found="no turn")
            return
        with self._client() as other:
            followed = other.follow(_SESSION, turn.turn_id)
            expect(next(followed) == turn, turn)
            self.gate.open()
            rest = list(followed)
        said = "".join(event.text for event in rest if isinstance(event, Text))
        expect(said == "Somebody hears this and somebody else hears the rest.", rest)
        expect([event.message_id for event in rest if isinstance(event, Message)] == [2, 3], rest)
        told = client.turn(_SESSION, turn.turn_id)
        expect(told["status"] == "answered", told)

    def _cancel(self, client: Client) -> None:
        stream = client.stream(_SESSION, "Speak, and be stopped.")
        self._until_text(stream)
        asked = time.monotonic()
        stream.cancel()
        rest = list(stream)
        seconds = time.monotonic() - asked
        self.gate.open()
        expect(stream.reply is not None and stream.reply.stop_reason == "cancelled", rest)
        # Starting the process that takes the cancellation is no part of it.
        expect(seconds <= _CANCEL_SECONDS + _PROCESS_SECONDS, f"{seconds:.1f} s")

    def _go_on(self, client: Client) -> None:
        reply = client.send(_SESSION, "And now?")
        expect(reply.text == "I go on.", reply)

    def _submit(self, client: Client) -> None:
        submitted = client.submit(_SESSION, "Speak when I am gone.", idempotency_key="without-caller")
        for invoked, event in self.url.events:
            expect(invoked.endswith(":live") and event["turn_id"] == submitted.turn_id, (invoked, event))
        followed = client.follow(_SESSION, submitted.turn_id)
        expect(isinstance(next(followed), TurnBegan), followed)
        self.gate.open()
        rest = list(followed)
        expect(isinstance(rest[-1], Reply) and rest[-1].text == "Nobody waits for this.", rest)
        again = client.submit(_SESSION, "Speak when I am gone.", idempotency_key="without-caller")
        expect(again == submitted, again)
        asked = client.call("GET", f"/sessions/{_SESSION}/messages")["messages"]
        times = sum("Speak when I am gone." in str(message) for message in asked)
        expect(times == 1, f"taken {times} times")

    @staticmethod
    def _until_text(stream: TurnStream) -> str:
        for event in stream:
            if isinstance(event, Text):
                return event.text
        expect(holds=False, found="a stream without text")
        return ""


_PROCESS_SECONDS = 8.0
