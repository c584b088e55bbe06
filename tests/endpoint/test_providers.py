"""Models of other providers than Bedrock: their real SDKs, against servers that speak their protocols."""

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.doubles.provider_server import (
    AnthropicServer,
    Blocked,
    Calls,
    GeminiServer,
    LiteLLMsAnthropicServer,
    LiteLLMServer,
    OllamaServer,
    OpenAIServer,
    ProviderServer,
    Refusal,
)
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.function import Function, text_of

SERVERS: dict[str, Any] = {
    "openai": OpenAIServer,
    "anthropic": AnthropicServer,
    "gemini": GeminiServer,
    "ollama": OllamaServer,
    "litellm": LiteLLMServer,
}
KEYS = {
    "openai": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "gemini": "GEMINI_API_KEY",
    "ollama": "OLLAMA_API_KEY",
    "litellm": "LITELLM_API_KEY",
}
MODELS = {
    "openai": "gpt-5-mini",
    "anthropic": "claude-haiku-4-5",
    "gemini": "gemini-2.5-flash",
    "ollama": "llama3.2",
    "litellm": "openai/gpt-5-mini",
}
KEY = "xyzzy-17"

Serve = Callable[..., tuple[Function, ProviderServer]]


@pytest.fixture(params=sorted(SERVERS))
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def serve(provider: str, file_store: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """A function whose model is the provider's, and a server in the provider's place."""
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    monkeypatch.setitem(sys.modules, "litellm.rust_bridge._native", None)  # the layer has none
    importlib.import_module(f"strands.models.{provider}")  # takes seconds: before any clock runs
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
    assert server.models == [MODELS[provider].removeprefix("openai/")] * 2
    assert server.roles(server.requests[1]) == ["user", "assistant", "user"]


def test_a_tool_is_called_and_its_result_shown(serve: Serve) -> None:
    function, server = serve(Calls("calculator", {"expression": "6 * 7"}), "It is 42.")

    assert text_of(function.reply("What is 6 * 7?")) == "It is 42."
    assert "42" in str((server.requests[1].get("messages") or server.requests[1]["contents"])[-1])


def test_words_are_told_as_they_come(serve: Serve) -> None:
    function, _ = serve("Nice to meet you.")
    function.cold_start()
    told: list[Any] = []

    body = function.part("contract").TurnBody(prompt="Hi")
    function.module.endpoint.take_turn("", "chat", body, lambda: 60, request_id="r", watch=told.append)

    assert "".join(event.text for event in told if type(event).__name__ == "TextDelta") == "Nice to meet you."


def refusals(**of_provider: Refusal) -> dict[str, Refusal]:
    """What each provider says. LiteLLM passes on what the server behind it says: here one like OpenAI's."""
    return {"litellm": of_provider["openai"], **of_provider}


OPENAI, GEMINI = "invalid_request_error", "INVALID_ARGUMENT"
ERRORS: dict[str, tuple[int, str, str, dict[str, Refusal]]] = {
    "too many requests": (
        *(429, "model-throttled", "slow down"),
        refusals(
            openai=Refusal(429, "requests", "Rate limit reached", "rate_limit_exceeded"),
            anthropic=Refusal(429, "rate_limit_error", "This request would exceed your rate limit"),
            gemini=Refusal(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota"),
            ollama=Refusal(429, "", "too many requests"),
        ),
    ),
    "overloaded": (
        *(429, "model-throttled", "slow down"),
        refusals(
            openai=Refusal(503, "server_error", "The engine is currently overloaded, please try again later"),
            anthropic=Refusal(529, "overloaded_error", "Overloaded"),
            gemini=Refusal(503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
            ollama=Refusal(503, "", "server busy, please try again.  maximum pending requests exceeded"),
        ),
    ),
    "a wrong key": (
        *(502, "model-access", "look at the provider's key"),
        refusals(
            openai=Refusal(401, OPENAI, f"Incorrect API key provided: {KEY}", "invalid_api_key"),
            anthropic=Refusal(401, "authentication_error", f"invalid x-api-key {KEY}"),
            gemini=Refusal(400, GEMINI, f"API key not valid. Please pass a valid API key. {KEY}"),
            ollama=Refusal(401, "", "unauthorized"),
        ),
    ),
    "an account that may not": (
        *(502, "model-access", "what its account may use"),
        refusals(
            openai=Refusal(403, OPENAI, "Country, region, or territory not supported"),
            anthropic=Refusal(400, "invalid_request_error", "Your credit balance is too low to access the API."),
            gemini=Refusal(400, "FAILED_PRECONDITION", "User location is not supported for the API use."),
            ollama=Refusal(403, "", "forbidden"),
        ),
    ),
    "an unknown model": (
        *(502, "model-failed", "knows no such model"),
        refusals(
            openai=Refusal(404, OPENAI, "The model `gpt-17` does not exist", "model_not_found"),
            anthropic=Refusal(404, "not_found_error", "model: claude-17"),
            gemini=Refusal(404, "NOT_FOUND", "models/gemini-17 is not found for API version v1beta"),
            ollama=Refusal(404, "", 'model "llama17" not found, try pulling it first'),
        ),
    ),
    "a failure of its own": (
        *(502, "model-failed", "send the request again"),
        refusals(
            openai=Refusal(500, "server_error", "The server had an error"),
            anthropic=Refusal(500, "api_error", "Internal server error"),
            gemini=Refusal(500, "INTERNAL", "An internal error has occurred."),
            ollama=Refusal(500, "", "llama runner process has terminated"),
        ),
    ),
    "a context that is too long": (
        *(413, "context-too-long", "no longer fits"),
        refusals(
            openai=Refusal(
                *(400, OPENAI, "This model's maximum context length is 128000 tokens. However, you asked for 130000."),
                "context_length_exceeded",
            ),
            anthropic=Refusal(400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum"),
            gemini=Refusal(
                400, GEMINI, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
            ),
            ollama=Refusal(400, "", "the input length exceeds the context length"),
        ),
    ),
    "content that it refuses": (
        *(502, "model-failed", "refuses the prompt"),
        refusals(
            openai=Refusal(400, OPENAI, "Your request was rejected by our safety system.", "content_policy_violation"),
            anthropic=Refusal(400, "invalid_request_error", "Output blocked by content filtering policy"),
            gemini=Refusal(400, GEMINI, "Request contains an invalid argument."),
            ollama=Refusal(400, "", "invalid message content"),
        ),
    ),
}


def test_the_providers_errors_are_the_problems_that_bedrocks_are(
    serve: Serve, provider: str, capfd: pytest.CaptureFixture[str]
) -> None:
    function, server = serve("Hello.")

    for situation, (status, problem, says, refusals) in ERRORS.items():
        server.answers[:] = [refusals[provider]]
        answer = function.say("Hi", situation)

        assert (situation, answer.status, answer.problem) == (situation, status, problem)
        assert says in answer.json["detail"]
        assert KEY not in answer.text
        server.answers[:] = ["Hello."]
        assert text_of(function.reply("Hi again", situation)) == "Hello."
    assert KEY not in "".join(capfd.readouterr())


def test_litellm_speaks_anthropics_protocol_with_the_same_problems(
    file_store: dict[str, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    monkeypatch.setitem(sys.modules, "litellm.rust_bridge._native", None)  # the layer has none
    importlib.import_module("strands.models.litellm")  # takes seconds: before any clock runs
    with LiteLLMsAnthropicServer(["Nice to meet you.", Calls("calculator", {"expression": "6 * 7"}), "42."]) as server:
        variables = {
            "LITELLM_API_KEY": KEY,
            "AGENT_MODEL": "litellm:anthropic/claude-haiku-4-5",
            "AGENT_MODEL_ATTEMPTS": "1",
        }
        function = Function({**CREDENTIALS, **file_store, **server.variables, **variables})

        assert text_of(function.reply("I am Ada.")) == "Nice to meet you."
        function.cold_start()
        reply = function.reply("What is 6 * 7?")
        assert (text_of(reply), reply["restored_messages"], reply["usage"]["output_tokens"]) == ("42.", 2, 14)
        assert (server.keys, server.models) == ([KEY] * 3, ["claude-haiku-4-5"] * 3)
        assert "42" in str(server.requests[2]["messages"][-1])

        for situation, (status, problem, says, refusals) in ERRORS.items():
            server.answers[:] = [refusals["anthropic"]]
            answer = function.say("Hi", situation)

            assert (situation, answer.status, answer.problem) == (situation, status, problem)
            assert says in answer.json["detail"]
            assert KEY not in answer.text
            server.answers[:] = ["Hello."]
            assert text_of(function.reply("Hi again", situation)) == "Hello."
    assert KEY not in "".join(capfd.readouterr())


FILTERS = {
    "openai": ["content_filter"],
    "litellm": ["content_filter"],
    "gemini": ["SAFETY", "SPII", "PROHIBITED_CONTENT"],
}


@pytest.mark.parametrize("provider", FILTERS)
def test_what_a_provider_filters_is_a_reply_that_says_so(provider: str, serve: Serve) -> None:
    function, server = serve("Hello.")

    for reason in FILTERS[provider]:
        server.answers[:] = [Blocked(reason)]
        reply = function.reply("Hi", reason)

        assert reply["stop_reason"] in {"content_filtered", "guardrail_intervened"}, reason
        server.answers[:] = ["Hello."]
        assert text_of(function.reply("Hi again", reason)) == "Hello."


@pytest.mark.parametrize("words", ["Could not process image", "image is not supported"])
def test_a_picture_that_the_model_refuses_is_not_shown_to_it_again(words: str, serve: Serve) -> None:
    function, server = serve(Refusal(400, "INVALID_ARGUMENT", words))
    picture = {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}}

    refused = function.http("POST", "/sessions/chat/messages", {"prompt": [{"text": "What is this?"}, picture]})

    assert (refused.status, refused.problem) == (422, "prompt-refused")
    server.answers[:] = ["Hello."]
    function.reply("Hi")
    assert "iVBORw0KGgo" not in str(server.requests[-1])


def test_without_its_key_a_turn_is_refused_and_nobody_is_asked(serve: Serve, provider: str) -> None:
    function, server = serve("Hello.", **{KEYS[provider]: ""})

    if provider == "ollama":  # its own API has no keys; a proxy in front of it may
        assert text_of(function.reply("Hi")) == "Hello."
        assert server.keys == [""]
    else:
        assert function.say("Hi").problem == "secret-unavailable"
        assert not server.requests


def test_a_provider_that_cannot_be_reached_is_a_failure_that_may_pass(serve: Serve, provider: str) -> None:
    function, _ = serve("Hello.", AGENT_MODEL_URL="http://127.0.0.1:9")

    answer = function.say("Hi")

    assert (answer.status, answer.problem) == (502, "model-failed")


LONGEST: dict[str, Callable[[Any], int]] = {
    "openai": lambda body: body["max_completion_tokens"],
    "anthropic": lambda body: body["max_tokens"],
    "gemini": lambda body: body["generationConfig"]["maxOutputTokens"],
    "ollama": lambda body: body["options"]["num_predict"],
    "litellm": lambda body: body.get("max_completion_tokens") or body["max_tokens"],
}


def test_an_answer_has_as_many_tokens_as_the_setting_says(serve: Serve, provider: str) -> None:
    function, server = serve("Hello.", AGENT_MAX_TOKENS="321")

    function.reply("Hi")

    assert LONGEST[provider](server.requests[0]) == 321


def test_a_failed_call_is_tried_as_often_as_the_setting_says(serve: Serve, provider: str) -> None:
    throttled = ERRORS["too many requests"][3][provider]
    function, server = serve(throttled, "Hello.", AGENT_MODEL_ATTEMPTS="2")

    answer = function.say("Hi")

    # Ollama's client asks once.
    assert answer.status == (429 if provider == "ollama" else 200)
    assert len(server.requests) == (1 if provider == "ollama" else 2)


def test_before_a_snapshot_the_sdk_is_imported_and_no_key_is_read(serve: Serve, provider: str) -> None:
    function, _ = serve("Hello.", **{KEYS[provider]: ""})
    function.cold_start()

    function.module.endpoint.prime()

    assert f"strands.models.{provider}" in sys.modules


def test_who_uses_bedrock_imports_no_other_providers_sdk() -> None:
    code = (
        "import sys, lambda_src.agent, lambda_src.handler\n"
        "from lambda_src.models.providers import PROVIDER_PACKAGES\n"
        "print(*sorted(name for name in PROVIDER_PACKAGES.values() if name in sys.modules))"
    )

    started = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path), "SESSION_STORE": "s3://bucket/sessions"},
    )

    assert started.stdout.strip() == ""
