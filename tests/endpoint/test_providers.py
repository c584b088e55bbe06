"""Models of other providers than Bedrock: their real SDKs, against servers that speak their protocols."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.doubles.provider_server import AnthropicServer, Calls, OpenAIServer, ProviderServer, Refusal
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.function import Function, text_of

SERVERS: dict[str, Any] = {"openai": OpenAIServer, "anthropic": AnthropicServer}
KEYS = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}
MODELS = {"openai": "gpt-5-mini", "anthropic": "claude-haiku-4-5"}
KEY = "xyzzy-17"

Serve = Callable[..., tuple[Function, ProviderServer]]


@pytest.fixture(params=sorted(SERVERS))
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def serve(provider: str, file_store: dict[str, str]) -> Iterator[Serve]:
    """A function whose model is the provider's, and a server in the provider's place."""
    running: list[ProviderServer] = []

    def start(*answers: Any, **environment: str) -> tuple[Function, ProviderServer]:
        server = SERVERS[provider](list(answers)).__enter__()
        running.append(server)
        variables = {KEYS[provider]: KEY, "AGENT_MODEL": f"{provider}:{MODELS[provider]}", "AGENT_MODEL_ATTEMPTS": "1"}
        return Function({**CREDENTIALS, **file_store, **server.variables, **variables, **environment}), server

    yield start
    for server in running:
        server.__exit__()


def test_a_conversation_goes_on_in_another_process(serve: Serve, provider: str) -> None:
    function, server = serve("Nice to meet you.", "You are Ada.")

    assert text_of(function.reply("I am Ada.")) == "Nice to meet you."
    function.cold_start()
    reply = function.reply("Who am I?")

    assert text_of(reply) == "You are Ada."
    assert reply["restored_messages"] == 2
    assert (reply["usage"]["input_tokens"], reply["usage"]["output_tokens"]) == (11, 7)
    assert server.keys == [KEY, KEY]
    assert [request["model"] for request in server.requests] == [MODELS[provider]] * 2
    assert [m["role"] for m in server.requests[1]["messages"] if m["role"] != "system"] == ["user", "assistant", "user"]


def test_a_tool_is_called_and_its_result_shown(serve: Serve) -> None:
    function, server = serve(Calls("calculator", {"expression": "6 * 7"}), "It is 42.")

    assert text_of(function.reply("What is 6 * 7?")) == "It is 42."
    assert "42" in str(server.requests[1]["messages"][-1])


TOO_LONG = {
    "openai": Refusal(
        400,
        "invalid_request_error",
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 130000 tokens.",
        "context_length_exceeded",
    ),
    "anthropic": Refusal(400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum"),
}
UNKNOWN = {
    "openai": Refusal(404, "invalid_request_error", "The model `gpt-17` does not exist", "model_not_found"),
    "anthropic": Refusal(404, "not_found_error", "model: claude-17"),
}


@pytest.mark.parametrize(
    ("refusal", "status", "problem", "says"),
    [
        (Refusal(429, "rate_limit_error", "slow down", "rate_limit_exceeded"), 429, "model-throttled", "slow down"),
        (Refusal(529, "overloaded_error", "Overloaded"), 429, "model-throttled", "slow down"),
        (Refusal(401, "authentication_error", f"invalid key {KEY}", "invalid_api_key"), 502, "model-access", "401"),
        (Refusal(403, "permission_error", "your account may not"), 502, "model-access", "403"),
        (Refusal(500, "api_error", "broke"), 502, "model-failed", "send the request again"),
        (UNKNOWN, 502, "model-failed", "knows no such model"),
        (TOO_LONG, 413, "context-too-long", "no longer fits"),
    ],
)
def test_the_providers_errors_are_the_problems_that_bedrocks_are(
    refusal: Any, status: int, problem: str, says: str, serve: Serve, provider: str, capfd: pytest.CaptureFixture[str]
) -> None:
    function, server = serve(refusal[provider] if isinstance(refusal, dict) else refusal)

    answer = function.say("Hi")

    assert (answer.status, answer.problem) == (status, problem)
    assert says in answer.json["detail"]
    assert KEY not in answer.text
    assert KEY not in "".join(capfd.readouterr())
    server.answers[:] = ["Hello."]
    assert text_of(function.reply("Hi again")) == "Hello."


@pytest.mark.parametrize("words", ["Could not process image", "image is not supported"])
def test_a_picture_that_the_model_refuses_is_not_shown_to_it_again(words: str, serve: Serve) -> None:
    function, server = serve(Refusal(400, "invalid_request_error", words))
    picture = {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}}

    refused = function.http("POST", "/sessions/chat/messages", {"prompt": [{"text": "What is this?"}, picture]})

    assert (refused.status, refused.problem) == (422, "prompt-refused")
    server.answers[:] = ["Hello."]
    function.reply("Hi")
    assert "iVBORw0KGgo" not in str(server.requests[-1])


def test_without_its_key_a_turn_is_refused_and_nobody_is_asked(serve: Serve, provider: str) -> None:
    function, server = serve("Hello.", **{KEYS[provider]: ""})

    assert function.say("Hi").problem == "secret-unavailable"
    assert not server.requests


def test_a_provider_that_cannot_be_reached_is_a_failure_that_may_pass(serve: Serve, provider: str) -> None:
    function, server = serve("Hello.")
    function.environment |= dict.fromkeys(server.variables, "http://127.0.0.1:9")  # type: ignore[attr-defined]

    answer = function.say("Hi")

    assert (answer.status, answer.problem) == (502, "model-failed")


def test_before_a_snapshot_the_sdk_is_imported_and_no_key_is_read(serve: Serve, provider: str) -> None:
    function, _ = serve("Hello.", **{KEYS[provider]: ""})
    function.cold_start()

    function.module.endpoint.prime()

    assert f"strands.models.{provider}" in sys.modules


def test_who_uses_bedrock_imports_no_other_providers_sdk() -> None:
    code = (
        "import sys, lambda_src.agent, lambda_src.handler\n"
        "print(*sorted(name for name in ('openai', 'anthropic') if name in sys.modules))"
    )

    started = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path), "SESSION_STORE": "s3://bucket/sessions"},
    )

    assert started.stdout.strip() == ""
