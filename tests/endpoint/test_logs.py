"""Not a word of a conversation in the logs, whatever happens and however talkative the log level."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agent_sessions.exceptions import SessionStorageError
from tests.doubles.bedrock_faults import BedrockFault, model_access_denied, throttled
from tests.doubles.bedrock_server import BedrockServer, Guardrail, tool_use
from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.function import Context, Function
from tests.endpoint.test_conversation import on_bedrock

Scripted = Callable[..., tuple[Function, ScriptedModel]]
SECRET = "xyzzy-17"


class Everything(logging.Handler):
    """Keeps every record, formatted with its exception and its extras."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record) + repr(vars(record)))


@pytest.fixture
def everything() -> Iterator[Everything]:
    """What reaches the root logger when it lets everything through, as with a function's log level DEBUG."""
    handler = Everything()
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


def failing_agent(session_manager: Any, settings: Any) -> Any:
    from strands import Agent, tool

    from lambda_src.runtime.model_providers import build_model

    @tool
    def fail(words: str) -> str:
        """Fail."""
        raise RuntimeError(f"cannot work with {words}")

    return Agent(
        agent_id=settings.agent_id,
        model=build_model(settings),
        tools=[fail],
        session_manager=session_manager,
        callback_handler=None,
        retry_strategy=None,
    )


def test_no_word_of_a_turn_reaches_the_log(
    everything: Everything, store: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    script: list[Any] = [
        f"Nice to meet you, {SECRET}.",
        [f"{SECRET} ", throttled(f"slow down, {SECRET}")],
        model_access_denied(),
        BedrockFault("ValidationException", f"cannot read {SECRET}"),
        BedrockFault("InternalServerException", f"broke at {SECRET}"),
        ["Half ", ConnectionError()],
        [f"no {SECRET} here", Guardrail("input")],
        tool_use("fail", words=SECRET),
        f"It failed with {SECRET}.",
        tool_use(SECRET, words=SECRET),
        "There is no such tool.",
    ]
    with BedrockServer(*script) as bedrock:
        function = on_bedrock(bedrock, store, POWERTOOLS_LOG_LEVEL="DEBUG", AGENT_SYSTEM_PROMPT=f"Know {SECRET}.")
        function.build_agent = failing_agent

        statuses = [function.say(f"I am {SECRET}, question {number}").status for number in range(9)]
        function.http("POST", "/sessions/chat/messages", {"prompt": [{"text": SECRET, "image": SECRET}]})
        function.http("POST", "/sessions/chat/messages", '{"prompt": "' + SECRET)
        function.http("GET", "/sessions/chat/messages")
        function.http("DELETE", "/sessions/chat")

    assert statuses == [200, 429, 502, 502, 502, 502, 200, 200, 200]
    output = capfd.readouterr()
    assert SECRET not in output.out
    assert SECRET not in output.err
    assert not [line for line in everything.lines if SECRET in line]


def test_no_word_of_a_failure_reaches_the_log(
    everything: Everything,
    scripted: Scripted,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from agent_sessions.repository_session_manager import RepositorySessionManager

    function, _ = scripted("Hello.", ValueError(f"cannot parse {SECRET}"), POWERTOOLS_LOG_LEVEL="DEBUG")
    function.reply(SECRET)
    function.say(SECRET)
    for error in (SessionStorageError("down", code="SlowDown"), RuntimeError(f"bug near {SECRET}")):

        def refuse(*_: Any, error: Exception = error, **__: Any) -> None:
            raise error

        monkeypatch.setattr(RepositorySessionManager, "append_message", refuse)
        function.say(SECRET)
        with pytest.raises(Exception, match=r"storage failed|unexpected"):
            function.invoke({"owner": "o", "session_id": "s", "request_id": "r", "prompt": SECRET})
    function.say(SECRET, context=Context(remaining_seconds=1))

    output = capfd.readouterr()
    assert SECRET not in output.out + output.err
    assert not [line for line in everything.lines if SECRET in line]


def logged(capfd: pytest.CaptureFixture[str], message: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]
    return [line for line in lines if line["message"] == message]


def test_a_turn_leaves_a_line_to_count_with(scripted: Scripted, capfd: pytest.CaptureFixture[str]) -> None:
    function, _ = scripted("Hello.")

    function.reply("Hi")

    line = logged(capfd, "turn completed")[0]
    assert line["request_id"] == Context().aws_request_id
    assert line["session_id"] == "chat"
    assert line["restored_messages"] == 0
    assert (line["input_tokens"], line["output_tokens"]) == (12, 7)


def test_a_failure_leaves_a_line_that_says_where(scripted: Scripted, capfd: pytest.CaptureFixture[str]) -> None:
    function, _ = scripted(ValueError("words"))

    function.say("Hi")

    line = logged(capfd, "request refused")[0]
    assert (line["problem"], line["status"], line["error"]) == ("model-failed", 502, "ValueError")
    assert any("scripted_model.py" in frame for frame in line["error_at"])


def test_a_library_s_warning_is_passed_on_without_its_words(
    scripted: Scripted, capfd: pytest.CaptureFixture[str]
) -> None:
    function, _ = scripted()
    function.cold_start()

    logging.getLogger("strands.event_loop").warning("tool_input=<%s> | cannot be read", SECRET)
    logging.getLogger("botocore.endpoint").debug("body=<%s>", SECRET)

    lines = logged(capfd, "a library reported something")
    assert len(lines) == 1
    assert lines[0]["library"] == "strands.event_loop"
    assert lines[0]["library_message"] == "tool_input=<%s> | cannot be read"
