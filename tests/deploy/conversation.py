"""The conversation that is held with the deployed package, one process for each invocation."""

import base64
import json
from dataclasses import dataclass
from typing import Any

from infra.commands.smoke.report import Report, expect
from tests.deploy.lambda_process import DeployedFunction
from tests.doubles.bedrock_faults import throttled
from tests.doubles.bedrock_server import BedrockServer, tool_use
from tests.doubles.script import ScriptItem
from tests.endpoint.function import ALICE, BOB, Caller, http_event

# The smallest picture there is: one transparent pixel.
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
SESSION = "rehearsal"
_OK, _CREATED, _NO_CONTENT, _NOT_FOUND, _CONFLICT, _THROTTLED = 200, 201, 204, 404, 409, 429
_ATTEMPTS = 3  # of one Bedrock call: AGENT_MODEL_ATTEMPTS

# What the model says, in the order of the story.
SCRIPT: list[ScriptItem] = [
    "Hello Ada.",
    tool_use("calculator", expression="6 * 7"),
    "It is 42.",
    "One transparent pixel.",
    tool_use("refund", order="A-17", euros=20),
    "Your 20 EUR are on their way.",
    *[throttled()] * _ATTEMPTS,
    "Here I am again.",
    "A short session.",
]


@dataclass(frozen=True)
class Reply:
    """Status, headers and JSON body of one answer."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass
class Conversation:
    """Talks to a deployed function through its Function URL's events.

    Attributes:
        function: The function.
        bedrock: The model it talks to.
        report: Where the results go.
    """

    function: DeployedFunction
    bedrock: BedrockServer
    report: Report

    def send(self, method: str, path: str, body: Any = None, caller: Caller = ALICE) -> Reply:
        """Send one request; a process starts for it and ends after it."""
        outcome = self.function.invoke(http_event(method, path, body, caller=caller))
        expect(outcome.error is None, outcome)
        answer = outcome.value
        headers = {name.lower(): value for name, value in answer.get("headers", {}).items()}
        return Reply(answer["statusCode"], headers, json.loads(answer["body"]) if answer.get("body") else None)

    def turn(self, body: Any) -> Reply:
        """Take one turn of the session."""
        return self.send("POST", f"/sessions/{SESSION}/messages", body)

    def hold(self) -> None:
        """The whole story."""
        check = self.report.check
        check("text: the first turn begins a session", self._text)
        check("tool: the second process remembers the first, and calculates", self._tool)
        check("image: its bytes reach the model and come back from the store", self._image)
        interrupt = check("interrupt: the turn stops and asks", self._interrupt)
        check("interrupt: a plain prompt is told that a question is open", self._plain_prompt_while_asked)
        check("interrupt: another process takes the answer and goes on", lambda: self._answer(interrupt or ""))
        check("throttle: 429 with Retry-After when Bedrock has no capacity", self._throttled)
        check("after the throttle, the session goes on", self._after_throttle)
        check("another caller does not find the session", self._stranger)
        check("erasure: a session is deleted, and gone", self._erase)
        check("the model was asked exactly what the story says", lambda: expect(not self._unplayed(), self._unplayed()))

    def _text(self) -> None:
        reply = self.turn({"prompt": "My name is Ada."})
        expect(reply.status == _OK and _text(reply) == "Hello Ada.", reply)
        expect(reply.body["restored_messages"] == 0, reply)

    def _tool(self) -> None:
        reply = self.turn({"prompt": "What is 6 * 7?"})
        expect(reply.status == _OK and _text(reply) == "It is 42.", reply)
        expect(reply.body["restored_messages"] == 2, reply)
        (result,) = [b["toolResult"] for b in self._last_request()[-1]["content"] if "toolResult" in b]
        expect(result["content"] == [{"text": "42"}], result)
        expect(self._last_request()[0]["content"] == [{"text": "My name is Ada."}], self._last_request()[0])

    def _image(self) -> None:
        encoded = base64.b64encode(PIXEL).decode()
        image = {"image": {"format": "png", "source": {"bytes": encoded}}}
        reply = self.turn({"prompt": [{"text": "What is this?"}, image]})
        expect(reply.status == _OK and _text(reply) == "One transparent pixel.", reply)
        expect(self._last_request()[-1]["content"][1] == image, self._last_request()[-1])
        stored = self.send("GET", f"/sessions/{SESSION}/messages")
        expect(image in stored.body["messages"][6]["message"]["content"], stored.body)

    def _interrupt(self) -> str:
        reply = self.turn({"prompt": "Refund order A-17, 20 EUR."})
        expect(reply.status == _OK and reply.body["stop_reason"] == "interrupt", reply)
        (interrupt,) = reply.body["interrupts"]
        expect(interrupt["name"] == "approve-refund", interrupt)
        expect(interrupt["reason"] == {"order": "A-17", "euros": 20}, interrupt)
        return str(interrupt["interrupt_id"])

    def _plain_prompt_while_asked(self) -> None:
        reply = self.turn({"prompt": "Well?"})
        expect(reply.status == _CONFLICT and "approve-refund" in json.dumps(reply.body), reply)

    def _answer(self, interrupt_id: str) -> None:
        reply = self.turn({"interrupt_responses": [{"interrupt_id": interrupt_id, "response": "yes"}]})
        expect(reply.status == _OK and _text(reply) == "Your 20 EUR are on their way.", reply)
        (result,) = [b["toolResult"] for b in self._last_request()[-1]["content"] if "toolResult" in b]
        expect(result["content"] == [{"text": "refunded 20 EUR for A-17"}], result)

    def _throttled(self) -> None:
        reply = self.turn({"prompt": "Are you there?"})
        expect(reply.status == _THROTTLED and reply.headers.get("retry-after"), reply)

    def _after_throttle(self) -> None:
        reply = self.turn({"prompt": "And now?"})
        expect(reply.status == _OK and _text(reply) == "Here I am again.", reply)

    def _stranger(self) -> None:
        expect(self.send("GET", f"/sessions/{SESSION}", caller=BOB).status == _NOT_FOUND, "a session")
        mine = self.send("GET", f"/sessions/{SESSION}")
        expect(mine.status == _OK, mine)

    def _erase(self) -> None:
        begun = self.send("POST", "/sessions", {"prompt": "This one will not last."})
        expect(begun.status == _CREATED, begun)
        path = f"/sessions/{begun.body['session_id']}"
        expect(self.send("DELETE", path).status == _NO_CONTENT, path)
        gone = self.send("GET", path)
        expect(gone.status == _NOT_FOUND, gone)

    def _last_request(self) -> list[Any]:
        messages: list[Any] = self.bedrock.requests[-1].body["messages"]
        return messages

    def _unplayed(self) -> int:
        return len(SCRIPT) - len(self.bedrock.requests)


def _text(reply: Reply) -> str:
    return "".join(block.get("text", "") for block in reply.body["message"]["content"])
