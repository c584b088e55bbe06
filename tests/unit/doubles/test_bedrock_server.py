"""The loopback Bedrock, spoken to by the unmodified BedrockModel of a real agent."""

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from importlib.metadata import version
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from strands import Agent, tool
from strands.models import BedrockModel
from strands.types.exceptions import ContextWindowOverflowException, EventLoopException, ModelThrottledException
from urllib3.exceptions import ProtocolError

from tests.doubles import bedrock_faults as faults
from tests.doubles.bedrock_server import (
    BedrockFault,
    BedrockServer,
    Guardrail,
    HangUp,
    Pause,
    Stop,
    main,
    reasoning,
    tool_use,
)
from tests.doubles.script import ScriptExhaustedError
from tests.doubles.tls import Authority

MODEL_ID = "global.anthropic.claude-haiku-4-5-20251001-v1:0"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@tool
def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


def model_at(server: BedrockServer, **options: Any) -> BedrockModel:
    return BedrockModel(
        endpoint_url=server.url,
        region_name="eu-west-1",
        model_id=MODEL_ID,
        boto_client_config=Config(retries={"total_max_attempts": 1}),
        **options,
    )


def agent_at(server: BedrockServer, **options: Any) -> Agent:
    return Agent(model=model_at(server, **options), tools=[add], callback_handler=None, retry_strategy=None)


def http(url: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    connection = HTTPConnection(url.removeprefix("http://"))
    connection.request(method, path, None if body is None else json.dumps(body))
    answer = connection.getresponse()
    with connection.sock, answer:
        return answer.status, json.load(answer)


def raised_by(agent: Agent, prompt: str = "Hi") -> BaseException:
    with pytest.raises(Exception) as caught:
        agent(prompt)
    problem = caught.value
    return problem.original_exception if isinstance(problem, EventLoopException) else problem


@pytest.fixture(params=[True, False], ids=["converse-stream", "converse"])
def streaming(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


class TestReplies:
    def test_text_and_usage(self, streaming: bool) -> None:
        with BedrockServer("Good morning.", input_tokens=9, output_tokens=3) as bedrock:
            result = agent_at(bedrock, streaming=streaming)("Hi")

        assert str(result).strip() == "Good morning."
        assert result.stop_reason == "end_turn"
        assert result.metrics.accumulated_usage["totalTokens"] == 12

    def test_the_request_is_recorded(self, streaming: bool) -> None:
        with BedrockServer("A dot.") as bedrock:
            agent = agent_at(bedrock, streaming=streaming)
            agent.system_prompt = "Be brief."
            prompt: Any = [
                {"text": "What is this?"},
                {"image": {"format": "png", "source": {"bytes": PNG}}},
            ]
            agent(prompt)
            request = bedrock.requests[0]

        assert request.model_id == MODEL_ID
        assert request.operation == ("converse-stream" if streaming else "converse")
        assert request.system_prompt == "Be brief."
        assert request.texts == ["What is this?"]
        assert request.body["messages"][0]["content"][1]["image"]["source"]["bytes"] == base64.b64encode(PNG).decode()
        assert [spec["name"] for spec in request.tool_specs] == ["add"]

    def test_tools_are_called_and_their_results_come_back(self, streaming: bool) -> None:
        with BedrockServer(
            ["Let me add.", tool_use("add", a=1, b=2), tool_use("add", a=3, b=4)], "3 and 7."
        ) as bedrock:
            result = agent_at(bedrock, streaming=streaming)("1 + 2? 3 + 4?")
            results = [block["toolResult"] for block in bedrock.requests[1].messages[-1]["content"]]

        assert str(result).strip() == "3 and 7."
        assert [result["content"][0]["text"] for result in results] == ["3", "7"]

    def test_reasoning_comes_with_its_signature(self, streaming: bool) -> None:
        with BedrockServer([reasoning("Think.", signature="signed"), "Done."]) as bedrock:
            agent = agent_at(bedrock, streaming=streaming)
            agent("Hi")

        assert agent.messages[-1]["content"][0]["reasoningContent"]["reasoningText"] == {
            "text": "Think.",
            "signature": "signed",
        }

    def test_redacted_reasoning_arrives_as_bytes(self) -> None:
        with BedrockServer([{"reasoningContent": {"redactedContent": b"\x00secret"}}, "Done."]) as bedrock:
            agent = agent_at(bedrock)
            agent("Hi")

        assert agent.messages[-1]["content"][0]["reasoningContent"]["redactedContent"] == b"\x00secret"

    def test_the_stop_reason_is_the_scripts(self, streaming: bool) -> None:
        with BedrockServer(["Fin", Stop("stop_sequence")]) as bedrock:
            assert agent_at(bedrock, streaming=streaming)("Hi").stop_reason == "stop_sequence"

    def test_the_model_thinks_on_the_given_clock(self, streaming: bool) -> None:
        waited: list[float] = []
        with BedrockServer(["One. ", Pause(5), "Two."], think_seconds=60, sleep=waited.append) as bedrock:
            agent_at(bedrock, streaming=streaming)("Hi")

        assert waited == [60, 5]

    def test_a_function_answers_from_the_request(self) -> None:
        with BedrockServer(otherwise=lambda request: f"You said {request.texts[-1]}.") as bedrock:
            agent = agent_at(bedrock)
            assert [str(agent(word)).strip() for word in ("a", "b")] == ["You said a.", "You said b."]

    def test_it_is_found_by_the_environment_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with BedrockServer("Hello.") as bedrock:
            monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", bedrock.url)
            agent = Agent(model=BedrockModel(model_id=MODEL_ID, region_name="eu-west-1"), callback_handler=None)
            assert str(agent("Hi")).strip() == "Hello."


class TestGuardrails:
    def test_blocked_input_is_redacted(self, streaming: bool) -> None:
        with BedrockServer(["I cannot discuss that.", Guardrail("input")]) as bedrock:
            agent = agent_at(bedrock, streaming=streaming)
            result = agent("my secret")

        assert result.stop_reason == "guardrail_intervened"
        assert agent.messages[0]["content"] == [{"text": "[User input redacted.]"}]

    def test_blocked_output_is_redacted_where_the_model_is_told_to(self, streaming: bool) -> None:
        with BedrockServer(["the secret is 42", Guardrail("output")]) as bedrock:
            agent = agent_at(bedrock, streaming=streaming, guardrail_redact_output=True)
            agent("Hi")

        assert agent.messages[1]["content"] == [{"text": "[Assistant output redacted.]"}]

    @pytest.mark.skipif(version("strands-agents").startswith("1.40."), reason="that Strands redacts only on a trace")
    def test_a_guardrail_without_a_trace_is_known_by_its_stop_reason(self, streaming: bool) -> None:
        with BedrockServer(["No.", Guardrail(trace=False)]) as bedrock:
            agent = agent_at(bedrock, streaming=streaming)
            result = agent("my secret")

        assert result.stop_reason == "guardrail_intervened"
        assert agent.messages[0]["content"] == [{"text": "[User input redacted.]"}]


class TestFaults:
    @pytest.mark.parametrize(
        "fault",
        [
            faults.model_access_denied(),
            faults.marketplace_denied(),
            faults.use_case_not_submitted(),
            faults.not_authorized(),
            faults.internal_error(),
            faults.unavailable(),
        ],
        ids=lambda fault: str(fault)[:45],
    )
    def test_a_refusal_reaches_the_caller_by_name(self, fault: BedrockFault, streaming: bool) -> None:
        with BedrockServer(fault) as bedrock:
            problem = raised_by(agent_at(bedrock, streaming=streaming))

        assert isinstance(problem, ClientError)
        assert problem.response["Error"] == {"Code": fault.code, "Message": fault.body["message"]}
        assert problem.response["ResponseMetadata"]["HTTPStatusCode"] == fault.status

    def test_throttling_is_what_strands_calls_throttling(self, streaming: bool) -> None:
        with BedrockServer(faults.throttled()) as bedrock:
            assert isinstance(raised_by(agent_at(bedrock, streaming=streaming)), ModelThrottledException)

    def test_too_long_a_conversation_is_what_strands_calls_overflow(self, streaming: bool) -> None:
        with BedrockServer(otherwise=faults.too_long()) as bedrock:
            agent = Agent(model=model_at(bedrock, streaming=streaming), callback_handler=None)
            assert isinstance(raised_by(agent), ContextWindowOverflowException)

    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            (faults.model_stream_error(), "modelStreamErrorException"),
            (faults.internal_error(), "internalServerException"),
            (faults.unavailable(), "serviceUnavailableException"),
            (faults.model_access_denied(), "AccessDeniedException"),
        ],
    )
    def test_a_fault_inside_the_stream_ends_it(self, fault: BedrockFault, code: str) -> None:
        with BedrockServer(["Half an ans", fault]) as bedrock:
            problem = raised_by(agent_at(bedrock))

        assert isinstance(problem, ClientError)
        assert problem.response["Error"]["Code"] == code
        assert problem.response["Error"]["Message"] == fault.body["message"]

    def test_throttling_inside_the_stream(self) -> None:
        with BedrockServer(["Half an ans", faults.throttled()]) as bedrock:
            assert isinstance(raised_by(agent_at(bedrock)), ModelThrottledException)

    def test_a_dropped_connection_in_the_middle_of_a_reply(self) -> None:
        with BedrockServer(["Half an ans", ConnectionError()], "Whole.") as bedrock:
            agent = agent_at(bedrock)
            problem = raised_by(agent)
            again = agent("again")

        assert isinstance(problem, ProtocolError)
        assert str(again).strip() == "Whole."

    def test_a_connection_dropped_before_the_reply(self, streaming: bool) -> None:
        with BedrockServer(ConnectionError()) as bedrock:
            problem = raised_by(agent_at(bedrock, streaming=streaming))

        assert "closed" in str(problem).lower()

    def test_a_stream_that_ends_without_a_stop_reason(self) -> None:
        with BedrockServer(["Half an ans", HangUp()]) as bedrock:
            result = agent_at(bedrock)("Hi")

        assert result.metrics.accumulated_usage["totalTokens"] == 0

    def test_boto3_retries_what_it_would_retry_against_the_service(self) -> None:
        with BedrockServer(faults.unavailable(), "Here I am.") as bedrock:
            client = boto3.client(
                "bedrock-runtime",
                endpoint_url=bedrock.url,
                region_name="eu-west-1",
                config=Config(retries={"total_max_attempts": 2}),
            )
            answer = client.converse(modelId=MODEL_ID, messages=[{"role": "user", "content": [{"text": "Hi"}]}])

        assert answer["output"]["message"]["content"] == [{"text": "Here I am."}]
        assert answer["ResponseMetadata"]["RetryAttempts"] == 1

    def test_an_unknown_fault_is_a_mistake_of_the_test(self) -> None:
        with pytest.raises(ValueError, match="ThrottlingException"):
            BedrockFault("ThrottledException", "no such error")


HELLO: Any = {"role": "user", "content": [{"text": "Hi"}]}
CALL: Any = {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "add", "input": {}}}]}
RESULT: Any = {"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "content": [{"text": "3"}]}}]}
REPLY: Any = {"role": "assistant", "content": [{"text": "Hello."}]}


class TestRules:
    """Conversations the service refuses; the first rule broken is named in its words."""

    @staticmethod
    def refusal(messages: list[Any], *, tools: bool = True, **options: Any) -> str:
        with BedrockServer("unreachable", **options) as bedrock:
            client = boto3.client("bedrock-runtime", endpoint_url=bedrock.url, region_name="eu-west-1")
            spec = {"toolSpec": {"name": "add", "inputSchema": {"json": {}}}}
            with pytest.raises(ClientError) as caught:
                client.converse(
                    modelId=MODEL_ID, messages=messages, **({"toolConfig": {"tools": [spec]}} if tools else {})
                )
            assert bedrock.requests == []
        assert caught.value.response["Error"]["Code"] == "ValidationException"
        return str(caught.value)

    def test_it_must_start_with_the_user(self) -> None:
        assert "must start with a user message" in self.refusal([REPLY, HELLO])

    def test_a_tool_call_needs_its_result(self) -> None:
        assert "Expected toolResult blocks at messages.2.content for the following Ids: t1" in self.refusal(
            [HELLO, CALL, HELLO]
        )

    def test_a_trailing_tool_call_needs_its_result_too(self) -> None:
        assert "Expected toolResult blocks at messages.2.content" in self.refusal([HELLO, CALL])

    def test_a_result_needs_its_call(self) -> None:
        assert "toolResult blocks at messages.2.content exceeds" in self.refusal([HELLO, REPLY, RESULT])

    def test_tool_blocks_need_the_tools(self) -> None:
        assert "toolConfig field must be defined" in self.refusal([HELLO, CALL, RESULT], tools=False)

    def test_no_text_is_blank(self) -> None:
        assert "messages.0.content.0 is blank" in self.refusal([{"role": "user", "content": [{"text": " "}]}])

    def test_no_message_is_empty(self) -> None:
        assert "messages.1 is empty" in self.refusal([HELLO, {"role": "assistant", "content": []}, HELLO])

    def test_an_error_result_says_something(self) -> None:
        empty = {"toolResult": {"toolUseId": "t1", "content": [], "status": "error"}}
        assert "cannot be empty when status" in self.refusal([HELLO, CALL, {"role": "user", "content": [empty]}])

    def test_strict_models_want_alternating_roles(self) -> None:
        assert "must alternate" in self.refusal([HELLO, HELLO], strict_roles=True)

    def test_strict_models_want_the_last_word_to_be_the_users(self) -> None:
        assert "must end with a user message" in self.refusal([HELLO, REPLY], strict_roles=True)

    def test_other_models_do_not(self) -> None:
        with BedrockServer("Fine.") as bedrock:
            client = boto3.client("bedrock-runtime", endpoint_url=bedrock.url, region_name="eu-west-1")
            answer = client.converse(modelId=MODEL_ID, messages=[HELLO, HELLO])

        assert answer["stopReason"] == "end_turn"

    def test_nobody_gets_in_without_credentials(self) -> None:
        with BedrockServer("unreachable") as bedrock:
            status, answer = http(bedrock.url, "POST", "/model/x/converse", {})

        assert (status, answer) == (403, {"message": "Missing Authentication Token"})


class TestExhaustion:
    def test_one_request_too_many_fails_the_test(self) -> None:
        def too_many() -> None:
            with BedrockServer("Only this.") as bedrock:
                agent = agent_at(bedrock)
                agent("Hi")
                assert isinstance(raised_by(agent, "more"), ClientError)

        with pytest.raises(ScriptExhaustedError, match="model call 2"):
            too_many()

    def test_the_tests_own_failure_is_not_hidden(self) -> None:
        def failing() -> None:
            with BedrockServer() as bedrock:
                raised_by(agent_at(bedrock))
                raise KeyError("the test's own")

        with pytest.raises(KeyError, match="the test's own"):
            failing()


class TestProcess:
    @pytest.fixture
    def process(self, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
        script = [
            ["Half an ans", {"fault": {"code": "ThrottlingException", "message": "slow"}}],
            {"times": 2, "reply": [{"text": "Twice."}, {"stop_reason": "max_tokens"}]},
        ]
        (tmp_path / "script.json").write_text(json.dumps(script))
        command = [sys.executable, "-m", "tests.doubles.bedrock_server", "--script", str(tmp_path / "script.json")]
        root = Path(__file__).parents[3]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root, env=os.environ) as process:
            yield process
            process.kill()

    def test_it_serves_a_script_file_and_is_read_and_extended_over_http(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        client = boto3.client("bedrock-runtime", endpoint_url=url, region_name="eu-west-1")
        messages: Any = [{"role": "user", "content": [{"text": "Hi"}]}]

        with pytest.raises(ClientError, match="slow"):
            list(client.converse_stream(modelId=MODEL_ID, messages=messages)["stream"])
        answers = [client.converse(modelId=MODEL_ID, messages=messages)["stopReason"] for _ in range(2)]
        extended = http(url, "POST", "/_control/script", ["Added."])
        added = client.converse(modelId=MODEL_ID, messages=messages)
        _, recorded = http(url, "GET", "/_control/requests")
        process.send_signal(signal.SIGTERM)

        assert answers == ["max_tokens", "max_tokens"]
        assert extended == (200, {"unplayed": 1})
        assert added["output"]["message"]["content"] == [{"text": "Added."}]
        assert [request["messages"] for request in recorded["requests"]] == [messages] * 4
        assert process.wait(timeout=10) == 0

    def test_a_script_that_is_none_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "script.json").write_text('[{"txet": "typo"}]')

        with pytest.raises(ValueError, match="txet"):
            main(["--script", str(tmp_path / "script.json")])


def test_with_tls_it_answers_whoever_trusts_its_authority(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.bundle))
    with BedrockServer("Hello.", tls=authority.server_context()) as server:
        agent = Agent(model=model_at(server), callback_handler=None)

        assert server.url.startswith("https://")
        assert str(agent("Hi")).strip() == "Hello."
