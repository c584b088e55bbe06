"""The main path: real events, the unmodified BedrockModel, on disk and on S3."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from tests.doubles.bedrock_server import BedrockServer, Guardrail, tool_use
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.function import Function, text_of

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n not quite an image").decode()


def on_bedrock(bedrock: BedrockServer, store: dict[str, str], **environment: str) -> Function:
    return Function(
        {
            **CREDENTIALS,
            **store,
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": bedrock.url,
            "AGENT_MODEL_ATTEMPTS": "1",
            **environment,
        }
    )


def test_a_conversation_survives_cold_starts(store: dict[str, str]) -> None:
    with BedrockServer("Hello Ada.", "You are Ada.", strict_roles=True) as bedrock:
        function = on_bedrock(bedrock, store)

        first = function.reply("My name is Ada.")
        function.cold_start()
        second = function.reply("Who am I?")

        assert first == {
            "session_id": "chat",
            "agent_id": "default",
            "turn_id": first["turn_id"],
            "message": {"role": "assistant", "content": [{"text": "Hello Ada."}]},
            "stop_reason": "end_turn",
            "interrupts": [],
            "usage": {
                "input_tokens": 12,
                "output_tokens": 7,
                "total_tokens": 19,
                "cache_read_input_tokens": 0,
                "cache_write_input_tokens": 0,
            },
            "restored_messages": 0,
        }
        assert second["restored_messages"] == 2
        assert second["turn_id"] != first["turn_id"]
        assert text_of(second) == "You are Ada."
        assert bedrock.requests[1].texts == ["My name is Ada.", "Hello Ada.", "Who am I?"]


def test_a_turn_uses_the_agent_s_tools_and_counts_all_its_tokens(store: dict[str, str]) -> None:
    with BedrockServer(tool_use("calculator", expression="6 * 7"), "It is 42.", strict_roles=True) as bedrock:
        reply = on_bedrock(bedrock, store).reply("What is 6 times 7?")

        assert text_of(reply) == "It is 42."
        assert reply["usage"]["total_tokens"] == 2 * 19
        result = bedrock.requests[1].messages[-1]["content"][0]["toolResult"]
        assert result["content"] == [{"text": "42"}]
        assert result["status"] == "success"


def test_bytes_of_a_prompt_reach_the_model_in_every_later_turn(store: dict[str, str]) -> None:
    with BedrockServer("A dot.", "Still a dot.") as bedrock:
        function = on_bedrock(bedrock, store)

        function.reply([{"text": "What is this?"}, {"image": {"format": "png", "source": {"bytes": PNG}}}])
        function.cold_start()
        function.reply("Look again.")

        for request in bedrock.requests:
            image = request.messages[0]["content"][1]["image"]
            assert image == {"format": "png", "source": {"bytes": PNG}}


def test_a_new_session_gets_an_id_nobody_can_guess(store: dict[str, str]) -> None:
    with BedrockServer("One.", "Two.", "Again.") as bedrock:
        function = on_bedrock(bedrock, store)

        first = function.http("POST", "/sessions", {"prompt": "Hi"})
        second = function.http("POST", "/sessions", {"prompt": "Hi"})

        session_id = first.json["session_id"]
        assert first.status == second.status == 201
        assert first.headers["location"] == f"/sessions/{session_id}"
        assert len(session_id) >= 32
        assert session_id != second.json["session_id"]
        assert function.reply("Still there?", session_id)["restored_messages"] == 2


def test_two_agents_share_a_session_and_keep_their_own_conversations(store: dict[str, str]) -> None:
    with BedrockServer("Bonjour.", "Guten Tag.", "Encore.") as bedrock:
        function = on_bedrock(bedrock, store)
        path = "/sessions/chat/messages"

        function.http("POST", path, {"prompt": "Hi", "agent_id": "french"})
        german = function.http("POST", path, {"prompt": "Hi", "agent_id": "german"})
        french = function.http("POST", path, {"prompt": "And?", "agent_id": "french"})

        assert (german.json["agent_id"], german.json["restored_messages"]) == ("german", 0)
        assert (french.json["agent_id"], french.json["restored_messages"]) == ("french", 2)


def test_the_window_limits_what_the_model_sees_but_not_what_is_kept(store: dict[str, str]) -> None:
    with BedrockServer(otherwise="Yes.") as bedrock:
        function = on_bedrock(bedrock, store, AGENT_WINDOW_MESSAGES="4")

        for number in range(6):
            function.reply(f"Question {number}")
            function.cold_start()

        assert len(bedrock.requests[-1].messages) <= 5
        page = function.http("GET", "/sessions/chat/messages").json
        assert [message["message_id"] for message in page["messages"]] == list(range(12))


def test_one_model_client_serves_many_turns(store: dict[str, str]) -> None:
    with BedrockServer(otherwise="Yes.") as bedrock:
        function = on_bedrock(bedrock, store)
        function.reply("One")
        providers = function.part("models.providers")

        function.reply("Two", "another")

        assert providers._bedrock.cache_info().hits == 1


@pytest.mark.parametrize("reply", ["Grüße, 世界 🌍", 'quotes " and \\ backslashes\nand lines'])
def test_any_text_comes_back_as_it_was(reply: str, scripted: Callable[..., tuple[Function, object]]) -> None:
    function, _ = scripted(reply)

    assert text_of(function.reply(reply)) == reply
    stored = function.http("GET", "/sessions/chat/messages").json["messages"]
    assert [message["message"]["content"][0]["text"] for message in stored] == [reply, reply]


def test_a_guardrail_judges_each_call_and_its_verdict_is_the_answer(store: dict[str, str]) -> None:
    blocked: list[Any] = ["I cannot talk about that.", Guardrail("input")]
    with BedrockServer("Hello.", blocked) as bedrock:
        function = on_bedrock(bedrock, store, AGENT_GUARDRAIL_ID="abc123", AGENT_GUARDRAIL_VERSION="7")

        function.reply("Hi")
        reply = function.reply("Something else")

        assert [request.body["guardrailConfig"]["guardrailIdentifier"] for request in bedrock.requests] == [
            "abc123"
        ] * 2
        assert {request.body["guardrailConfig"]["guardrailVersion"] for request in bedrock.requests} == {"7"}
        assert reply["stop_reason"] == "guardrail_intervened"


def test_prompt_caching_thinking_and_the_longest_answer_are_what_the_model_is_asked_for(
    file_store: dict[str, str],
) -> None:
    with BedrockServer(otherwise="Hello.") as bedrock:
        settings = {"AGENT_PROMPT_CACHING": "true", "AGENT_THINKING_TOKENS": "2048", "AGENT_MAX_TOKENS": "4096"}
        function = on_bedrock(bedrock, file_store, **settings)

        function.reply("Hi")

        (request,) = bedrock.requests
        assert request.body["inferenceConfig"]["maxTokens"] == 4096
        assert request.body["additionalModelRequestFields"] == {"thinking": {"type": "enabled", "budget_tokens": 2048}}
        assert "cachePoint" in str(request.body["messages"][-1])


def test_without_them_the_model_is_asked_for_none_of_it(file_store: dict[str, str]) -> None:
    with BedrockServer(otherwise="Hello.") as bedrock:
        on_bedrock(bedrock, file_store).reply("Hi")

        (request,) = bedrock.requests
        assert not {"guardrailConfig", "additionalModelRequestFields"} & request.body.keys()
        assert "maxTokens" not in request.body.get("inferenceConfig", {})
        assert "cachePoint" not in str(request.body)
