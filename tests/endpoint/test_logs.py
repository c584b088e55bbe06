"""Not a word of a conversation in the logs, whatever happens and however talkative the log level."""

import json
import logging
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_sessions.exceptions import SessionStorageError
from tests.doubles.bedrock_faults import BedrockFault, model_access_denied, throttled
from tests.doubles.bedrock_server import BedrockServer, Guardrail, tool_use
from tests.doubles.scripted_model import ScriptedModel, overflow
from tests.doubles.scripted_model import throttled as throttled_model
from tests.endpoint.conftest import CREDENTIALS
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

    def listen(self) -> None:
        """Hear what reaches the root logger when it lets everything through, as with a log level of DEBUG.

        Called after the function's start, which takes every other handler away.
        """
        root = logging.getLogger()
        root.addHandler(self)
        root.setLevel(logging.DEBUG)


@pytest.fixture
def everything() -> Iterator[Everything]:
    handler = Everything()
    root = logging.getLogger()
    level = root.level
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


def failing_agent(session_manager: Any, settings: Any) -> Any:
    from strands import Agent, tool

    from lambda_src.models.providers import build_model

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
        # Asked again without what got no answer, and without all of what was said before.
        *[BedrockFault("ValidationException", f"cannot read {SECRET}")] * 3,
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
        function.cold_start()
        everything.listen()

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
    function.cold_start()
    everything.listen()
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


def quoting(kind: type[BaseException] = RuntimeError, *arguments: Any) -> BaseException:
    """An error that quotes, with others that quote behind it, beside it and in its notes."""
    error = kind(*(arguments or (f"about {SECRET}",)))
    error.__cause__ = ValueError(f"because of {SECRET}")
    error.__context__ = LookupError(f"while {SECRET}")
    error.add_note(f"and {SECRET}")
    return error


def refusal(code: str) -> BaseException:
    from botocore.exceptions import ClientError

    return quoting(ClientError, {"Error": {"Code": code, "Message": f"no {SECRET}"}}, "ConverseStream")


MODEL_FAILURES: dict[str, Callable[[], Any]] = {
    "none": lambda: f"So you are {SECRET}.",
    "its client": quoting,
    "no words of its own": lambda: quoting(SystemExit, f"{SECRET}"),
    "group": lambda: quoting(ExceptionGroup, f"{SECRET}", [ValueError(SECRET)]),
    "refused": lambda: refusal("ValidationException"),
    "failed": lambda: refusal("InternalServerException"),
    "throttled": lambda: throttled_model(f"slow down, {SECRET}"),
    "overflow": lambda: overflow(f"too long: {SECRET}"),
    "behind a tool that quotes": lambda: [f"{SECRET}?", tool_use("fail", words=SECRET)],
}
STORAGE_FAILURES: dict[str, Callable[[], BaseException]] = {
    "storage": lambda: quoting(SessionStorageError, f"not {SECRET}"),
    "disk": lambda: quoting(OSError, 5, f"not {SECRET}"),
    "bug": lambda: quoting(TypeError),
}


@pytest.mark.emits_on_purpose("an exception", reason="the storage's own failures quote here")
@pytest.mark.parametrize("storage", STORAGE_FAILURES)
@pytest.mark.parametrize("model", MODEL_FAILURES)
def test_no_word_reaches_the_log_whatever_fails_together_with_a_write(
    model: str,
    storage: str,
    everything: Everything,
    scripted: Scripted,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from agent_sessions._storage.file_objects import FileObjects

    function, _ = scripted(POWERTOOLS_LOG_LEVEL="DEBUG", LEASE_WAIT_SECONDS="0", AGENT_SYSTEM_PROMPT=f"Know {SECRET}.")
    function.build_agent = failing_agent
    function.cold_start()
    everything.listen()
    put = FileObjects.put

    def writes_of_a_turn(session_id: str, *, failing_at: int = 0) -> int:
        """Take a turn of which one write fails, and count the writes."""
        function.models["script"] = ScriptedModel(f"Hello {SECRET}.", MODEL_FAILURES[model](), otherwise=quoting())
        function.reply(f"I am {SECRET}.", session_id)
        writes = 0

        def count(objects: Any, *arguments: Any, **options: Any) -> Any:
            nonlocal writes
            writes += 1
            if writes == failing_at:
                failure = STORAGE_FAILURES[storage]()
                raise failure
            return put(objects, *arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(FileObjects, "put", count)
            function.say(f"Who is {SECRET}?", session_id)
        function.http("GET", f"/sessions/{session_id}/messages")
        return writes

    whole = writes_of_a_turn("whole")
    for number in range(1, whole + 1):
        writes_of_a_turn(f"at-{number}", failing_at=number)

    assert whole >= 2
    output = capfd.readouterr()
    assert SECRET not in output.out + output.err
    assert not [line for line in everything.lines if SECRET in line]


def careless_agent(session_manager: Any, settings: Any) -> Any:
    """An agent whose author has forgotten what is logged, printed or raised beside the turn."""
    from strands import Agent, tool

    from lambda_src.models.providers import build_model

    class Gone:
        def __del__(self) -> None:
            raise RuntimeError(SECRET)

    @tool
    def fail(words: str) -> str:
        """Fail in all ways that are not raised."""
        warnings.warn(f"about {words}", stacklevel=1)
        thread = threading.Thread(target=lambda: 1 / len(words[:0]) if words else None, name=words)
        thread.start()
        thread.join()
        quoting_thread = threading.Thread(target=lambda: (_ for _ in ()).throw(ValueError(words)))
        quoting_thread.start()
        quoting_thread.join()
        Gone()
        theirs = logging.getLogger("somebody.elses")
        theirs.error(f"about {words}")  # as people write it
        theirs.warning("about %s", words)
        theirs.warning("about %d", words)  # cannot be filled in
        try:
            int(words)
        except ValueError:
            theirs.exception("failed")
        raise RuntimeError(words)

    # No callback_handler: Strands' own prints the conversation.
    return Agent(agent_id=settings.agent_id, model=build_model(settings), tools=[fail], session_manager=session_manager)


def test_no_word_that_is_logged_printed_or_raised_beside_the_turn_reaches_the_log(
    scripted: Scripted, capfd: pytest.CaptureFixture[str]
) -> None:
    function, _ = scripted(f"Hello {SECRET}.", tool_use("fail", words=SECRET), f"It failed, {SECRET}.")
    function.build_agent = careless_agent

    function.reply(f"I am {SECRET}.")
    function.reply("Fail.")

    output = capfd.readouterr()
    assert SECRET not in output.out + output.err
    lines = [json.loads(line) for line in output.out.splitlines()]  # nothing else is printed there
    theirs = [line.get("library_message") for line in lines if line.get("library") == "somebody.elses"]
    assert theirs == [None, "about %s", "about %d", None]
    messages = [line["message"] for line in lines]
    assert messages.count("a thread ended in an error") == 2
    assert "an error could not be raised" in messages
    assert any("test_logs.py" in str(line.get("error_at")) for line in lines if line["message"] == "a warning")


def test_the_session_library_s_lines_keep_their_ids_and_nothing_else(
    scripted: Scripted, capfd: pytest.CaptureFixture[str]
) -> None:
    function, _ = scripted()
    function.cold_start()

    log = logging.getLogger("agent_sessions._objects.base_object")
    log.warning("session_id=<%s>, key=<%s> | not written: %s", "chat", "o/chat/agent.json", ValueError(SECRET))

    line = logged(capfd, "a library reported something")[0]
    assert (line["session_id"], line["key"]) == ("chat", "o/chat/agent.json")
    assert SECRET not in str(line)


def test_a_library_that_is_imported_later_gives_its_loggers_no_handler_of_its_own(
    scripted: Scripted, capfd: pytest.CaptureFixture[str]
) -> None:
    function, _ = scripted()
    function.cold_start()

    # As LiteLLM does when it is imported, which is when its model is built.
    log = logging.getLogger("LiteLLM Router")
    log.addHandler(logging.StreamHandler())
    log.warning("Repaired arguments: %s", SECRET)

    output = capfd.readouterr()
    assert SECRET not in output.out + output.err
    assert "a library reported something" in output.out


def test_litellm_itself_writes_no_words(tmp_path: Path) -> None:
    """In a process of its own, where the function's log is set up before LiteLLM is imported."""
    code = (
        "import logging, lambda_src.handler\n"
        "from lambda_src.models.providers import _litellm_model\n"
        "_litellm_model()\n"
        "for name in logging.root.manager.loggerDict:\n"
        "    if name.partition('.')[0].startswith(('LiteLLM', 'litellm')):\n"
        f"        logging.getLogger(name).warning('about %s', {SECRET!r})\n"
    )
    environment = {**os.environ, **CREDENTIALS, "SESSION_STORE": f"file://{tmp_path}", "ENDPOINT_AUTH": "local"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert "a library reported something" in done.stdout


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
