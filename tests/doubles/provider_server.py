"""Servers on this machine that speak the wire protocols of model providers.

Sources: OpenAI API reference, "Chat Completions: streaming" and "Error codes"; Anthropic API reference, "Streaming
Messages" and "Errors"; Gemini API reference, "models.streamGenerateContent" and "GenerateContentResponse"; Ollama API,
"Generate a chat completion". LiteLLM's client speaks each provider's own protocol: here OpenAI's.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Refusal:
    """An error of the API.

    Attributes:
        status: The HTTP status.
        kind: The API's word for it: its type.
        message: Its words.
        code: OpenAI's second word for it.
    """

    status: int
    kind: str
    message: str
    code: str | None = None


@dataclass(frozen=True)
class Calls:
    """The model wants a tool."""

    name: str
    input: dict[str, Any]


@dataclass(frozen=True)
class Blocked:
    """The provider answers, but not with what the model would say.

    Attributes:
        reason: The API's word for it.
    """

    reason: str


Answer = str | Calls | Blocked | Refusal


@dataclass
class ProviderServer:
    """Plays a script: each request gets the next answer; the last one again and again.

    Args:
        answers: Text, a tool call, or a refusal.

    Attributes:
        requests: The bodies that arrived.
        models: The models that they were for.
        keys: The keys that they came with; empty without one.
    """

    answers: list[Answer]
    requests: list[dict[str, Any]] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.requests.append(body)
                outer.keys.append(outer.key_in(self.headers))
                outer.models.append(outer.model_in(self.path, body))
                answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                if self.path != outer.path.format(model=outer.models[-1]):
                    answer = Refusal(404, "not_found_error", f"no such path: {self.path}")
                if isinstance(answer, Refusal):
                    self._send(answer.status, "application/json", json.dumps(outer.error(answer)).encode())
                else:
                    self._send(200, outer.kind, "".join(outer.events(answer, body)).encode())

            def _send(self, status: int, kind: str, content: bytes) -> None:
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    path = ""
    kind = "text/event-stream"

    def model_in(self, path: str, body: dict[str, Any]) -> str:
        return str(body["model"])

    def roles(self, body: dict[str, Any]) -> list[str]:
        """Who says what in a request, its system prompt aside."""
        return [message["role"] for message in body["messages"] if message["role"] != "system"]

    def key_in(self, headers: Any) -> str:
        raise NotImplementedError

    def error(self, refusal: Refusal) -> dict[str, Any]:
        raise NotImplementedError

    def events(self, answer: str | Calls | Blocked, body: dict[str, Any]) -> Iterator[str]:
        raise NotImplementedError


class OpenAIServer(ProviderServer):
    """OpenAI's Chat Completions, streamed."""

    path = "/v1/chat/completions"

    @property
    def variables(self) -> dict[str, str]:
        return {"OPENAI_BASE_URL": f"{self.url}/v1"}

    def key_in(self, headers: Any) -> str:
        return str(headers["authorization"]).removeprefix("Bearer ")

    def error(self, refusal: Refusal) -> dict[str, Any]:
        return {
            "error": {"message": refusal.message, "type": refusal.kind, "param": None, "code": refusal.code},
        }

    def events(self, answer: str | Calls | Blocked, body: dict[str, Any]) -> Iterator[str]:
        assert body["stream"] is True

        def chunk(choices: list[dict[str, Any]], **more: Any) -> str:
            chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
            return f"data: {json.dumps({**chunk, 'choices': choices, **more})}\n\n"

        def delta(finish: str | None = None, **said: Any) -> str:
            return chunk([{"index": 0, "delta": said, "finish_reason": finish}])

        yield delta(role="assistant", content="")
        if isinstance(answer, Blocked):
            yield delta(finish=answer.reason)
            yield "data: [DONE]\n\n"
            return
        if isinstance(answer, Calls):
            function = {"name": answer.name, "arguments": json.dumps(answer.input)}
            yield delta(tool_calls=[{"index": 0, "id": "call_1", "type": "function", "function": function}])
        else:
            for word in answer.split(" "):
                yield delta(content=word if word == answer.split(" ")[0] else f" {word}")
        yield delta(finish="tool_calls" if isinstance(answer, Calls) else "stop")
        yield chunk([], usage={"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18})
        yield "data: [DONE]\n\n"


class AnthropicServer(ProviderServer):
    """Anthropic's Messages, streamed."""

    path = "/v1/messages"

    @property
    def variables(self) -> dict[str, str]:
        return {"ANTHROPIC_BASE_URL": self.url}

    def key_in(self, headers: Any) -> str:
        return str(headers["x-api-key"])

    def error(self, refusal: Refusal) -> dict[str, Any]:
        return {"type": "error", "error": {"type": refusal.kind, "message": refusal.message}}

    def events(self, answer: str | Calls | Blocked, body: dict[str, Any]) -> Iterator[str]:
        assert body["stream"] is True
        assert body["max_tokens"] > 0

        def event(kind: str, **more: Any) -> str:
            return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n"

        assert not isinstance(answer, Blocked)
        message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": body["model"]}
        usage = {"input_tokens": 11, "output_tokens": 1}
        yield event("message_start", message={**message, "stop_reason": None, "stop_sequence": None, "usage": usage})
        if isinstance(answer, Calls):
            block = {"type": "tool_use", "id": "toolu_1", "name": answer.name, "input": {}}
            said = {"type": "input_json_delta", "partial_json": json.dumps(answer.input)}
        else:
            block, said = {"type": "text", "text": ""}, {"type": "text_delta", "text": answer}
        yield event("content_block_start", index=0, content_block=block)
        yield event("content_block_delta", index=0, delta=said)
        yield event("content_block_stop", index=0)
        reason = "tool_use" if isinstance(answer, Calls) else "end_turn"
        yield event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage={"output_tokens": 7})
        yield event("message_stop")


class LiteLLMServer(OpenAIServer):
    """What LiteLLM's client is pointed at: a server that is compatible with OpenAI's."""

    @property
    def variables(self) -> dict[str, str]:
        return {"AGENT_MODEL_URL": f"{self.url}/v1"}


class LiteLLMsAnthropicServer(AnthropicServer):
    """Anthropic's protocol, spoken by LiteLLM, which has its own client of it."""

    @property
    def variables(self) -> dict[str, str]:
        return {"AGENT_MODEL_URL": self.url}


class GeminiServer(ProviderServer):
    """Google's generateContent, streamed."""

    path = "/v1beta/models/{model}:streamGenerateContent?alt=sse"

    @property
    def variables(self) -> dict[str, str]:
        return {"AGENT_MODEL_URL": self.url}

    def key_in(self, headers: Any) -> str:
        return str(headers["x-goog-api-key"])

    def model_in(self, path: str, body: dict[str, Any]) -> str:
        return path.rpartition("/")[2].partition(":")[0]

    def roles(self, body: dict[str, Any]) -> list[str]:
        return ["assistant" if content["role"] == "model" else content["role"] for content in body["contents"]]

    def error(self, refusal: Refusal) -> dict[str, Any]:
        return {"error": {"code": refusal.status, "message": refusal.message, "status": refusal.kind}}

    def events(self, answer: str | Calls | Blocked, body: dict[str, Any]) -> Iterator[str]:
        usage = {"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18}

        def chunk(**more: Any) -> str:
            return (
                f"data: {json.dumps({**more, 'usageMetadata': usage, 'modelVersion': 'x', 'responseId': 'r'})}\r\n\r\n"
            )

        def said(part: dict[str, Any], finish: str | None = None) -> str:
            candidate = {"content": {"parts": [part], "role": "model"}, "index": 0}
            return chunk(candidates=[candidate | ({"finishReason": finish} if finish else {})])

        if isinstance(answer, Blocked):
            # A prompt that is blocked has no candidates; an answer that is has one without content.
            if answer.reason in {"PROHIBITED_CONTENT", "BLOCKLIST"}:
                yield chunk(promptFeedback={"blockReason": answer.reason})
            else:
                yield chunk(candidates=[{"finishReason": answer.reason, "index": 0}])
        elif isinstance(answer, Calls):
            yield said({"functionCall": {"name": answer.name, "args": answer.input}}, "STOP")
        else:
            words = answer.split(" ")
            for number, word in enumerate(words):
                last = number == len(words) - 1
                yield said({"text": f"{' ' if number else ''}{word}"}, "STOP" if last else None)


class OllamaServer(ProviderServer):
    """Ollama's chat: a line of JSON for each piece."""

    path = "/api/chat"
    kind = "application/x-ndjson"

    @property
    def variables(self) -> dict[str, str]:
        return {"AGENT_MODEL_URL": self.url}

    def key_in(self, headers: Any) -> str:
        return str(headers["authorization"] or "").removeprefix("Bearer ")

    def error(self, refusal: Refusal) -> dict[str, Any]:
        return {"error": refusal.message}

    def events(self, answer: str | Calls | Blocked, body: dict[str, Any]) -> Iterator[str]:
        assert body["stream"] is True
        assert not isinstance(answer, Blocked)

        def line(message: dict[str, Any], **more: Any) -> str:
            begun = {"model": body["model"], "created_at": "2026-11-28T12:00:00Z", "message": message}
            return f"{json.dumps({**begun, 'done': False, **more})}\n"

        if isinstance(answer, Calls):
            call = {"function": {"name": answer.name, "arguments": answer.input}}
            yield line({"role": "assistant", "content": "", "tool_calls": [call]})
        else:
            for number, word in enumerate(answer.split(" ")):
                yield line({"role": "assistant", "content": f"{' ' if number else ''}{word}"})
        counts = {"prompt_eval_count": 11, "eval_count": 7, "total_duration": 5_000_000, "load_duration": 1}
        yield line({"role": "assistant", "content": ""}, done=True, done_reason="stop", **counts)
