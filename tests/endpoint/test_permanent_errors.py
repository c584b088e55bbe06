"""What waiting or sending again cannot mend is told as such: no ``Retry-After``, and no class that is retried."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_sessions import exceptions as sessions
from agent_sessions.repository_session_manager import RepositorySessionManager
from lambda_src.answers.error_answers import ANSWERS, answer_for
from lambda_src.answers.errors import all_errors
from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.function import Function
from tests.endpoint.test_answers import fail_at

Scripted = Callable[..., tuple[Function, ScriptedModel]]
DOCS = Path(__file__).parents[2] / "docs"
PLAIN = {"owner": "o", "session_id": "s", "request_id": "r", "prompt": "Hi"}


def every_kind(base: type[Exception] = sessions.SessionException) -> Iterator[type[Exception]]:
    for kind in base.__subclasses__():
        if kind.__module__.startswith("agent_sessions"):
            yield kind
        yield from every_kind(kind)


def test_every_error_that_the_library_names_has_an_answer_of_its_own() -> None:
    import agent_sessions._conversation.stored_agent
    import agent_sessions._objects.object_repository
    import agent_sessions.file_session_manager
    import agent_sessions.lease
    import agent_sessions.s3_session_manager
    import agent_sessions.session_store  # noqa: F401 - each may name further errors

    internal = {"StaleConversationError"}  # caught where it is raised; no caller meets it
    kinds = {kind for kind in every_kind() if kind.__name__ not in internal}

    assert kinds == set(ANSWERS)


def test_an_error_that_nobody_named_is_a_bug_and_no_failure_of_the_storage() -> None:
    class NewError(sessions.SessionException):
        pass

    for error in (sessions.SessionException("x"), NewError("x"), OSError("x"), TypeError("x"), SystemExit("x")):
        answer = answer_for(error)

        assert (answer.slug, answer.status, answer.retry_after_seconds) == ("internal-error", 500, None)


PERMANENT: dict[str, tuple[Exception, str, str]] = {
    code: (sessions.SessionStorageError("refused", code=code), "storage-refused", "StorageRefusedError")
    for code in ("KeyTooLongError", "AccessDenied", "NoSuchBucket", "InvalidArgument", "EROFS", "EACCES", "ELOOP")
} | {
    "given": (
        sessions.SessionStorageError("refused", code="Odd", is_transient=False),
        "storage-refused",
        "StorageRefusedError",
    ),
    "no JSON": (
        sessions.UnstorableValueError("state.due", "datetime.date", "no JSON"),
        "unstorable-value",
        "ValueNotStorableError",
    ),
    "damaged": (sessions.SessionCorruptError("unreadable", key="k"), "session-corrupt", "SessionDamagedError"),
    "nameless": (sessions.SessionException("?"), "internal-error", "InternalError"),
    "a bug": (TypeError("?"), "internal-error", "InternalError"),
}


@pytest.mark.parametrize("kind", PERMANENT)
@pytest.mark.parametrize("moment", ["open", "first write", "later write"])
def test_a_permanent_error_does_not_invite_to_send_again_and_the_next_prompt_works(
    moment: str, kind: str, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    error, problem, raised_as = PERMANENT[kind]
    function, _ = scripted(otherwise="Hello.")
    function.reply("First")

    with monkeypatch.context() as patch:
        fail_at(moment, error, patch)
        refused = function.say("Second")
    with monkeypatch.context() as patch:
        fail_at(moment, error, patch)
        with pytest.raises(Exception, match=r"\w") as raised:
            function.invoke(PLAIN)

    assert (refused.status, refused.problem) == (500, problem)
    assert "retry-after" not in refused.headers
    assert "safe" not in refused.json["detail"]
    assert type(raised.value).__name__ == raised_as
    assert function.reply("Third")["stop_reason"] == "end_turn"
    assert function.invoke({**PLAIN, "request_id": "r2"})["stop_reason"] == "end_turn"


@pytest.mark.parametrize("code", ["SlowDown", "InternalError", "503", "ENOSPC", "EIO", "ReadTimeoutError", None])
def test_a_failure_that_passes_invites_to_send_again(
    code: str | None, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, _ = scripted("Hello.", "Hello again.")
    function.reply("First")

    with monkeypatch.context() as patch:
        fail_at("first write", sessions.SessionStorageError("down", code=code), patch)
        failed = function.say("Second")

    assert (failed.status, failed.problem, failed.headers["retry-after"]) == (503, "storage-failed", "2")


def test_a_bucket_that_is_not_there_is_told_as_such(s3_store: dict[str, str]) -> None:
    nowhere = {**CREDENTIALS, **s3_store, "SESSION_STORE": "s3://no-such-bucket/sessions"}
    function = Function({**nowhere, "AGENT_MODEL": "scripted:script"})
    function.models["script"] = ScriptedModel(otherwise="Hello.")

    refused = function.say("Hi")

    assert (refused.status, refused.problem) == (500, "storage-refused")
    assert "NoSuchBucket" in refused.json["detail"]
    assert "retry-after" not in refused.headers


def test_a_folder_that_is_a_symbolic_link_is_told_as_such(scripted: Scripted, tmp_path: Path) -> None:
    function, _ = scripted(otherwise="Hello.")
    function.reply("First")
    record = next((tmp_path / "sessions").rglob("agent.json"))
    record.rename(tmp_path / "elsewhere.json")
    record.symlink_to(tmp_path / "elsewhere.json")

    refused = function.say("Second")

    assert (refused.status, refused.problem) == (500, "storage-refused")
    assert "retry-after" not in refused.headers


def test_a_state_machine_is_told_to_retry_exactly_the_errors_that_waiting_helps() -> None:
    retried = {
        name
        for found in re.findall(r'"ErrorEquals": (\[[^\]]*\])', (DOCS / "HTTP.md").read_text())
        for name in json.loads(found)
    }
    permanent = {raised_as for _, _, raised_as in PERMANENT.values()}

    assert retried == {"ModelThrottledError", "TurnConflictError", "SessionInUseError", "StorageFailedError"}
    assert retried <= {error.__name__ for error in all_errors()}
    assert not retried & permanent


def test_a_write_that_fails_for_good_under_a_tool_call_is_no_reason_to_run_the_tool_again(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.doubles.scripted_model import tool_use

    function, _ = scripted(tool_use("calculator", expression="6*7"), otherwise="Forty two.")
    append = RepositorySessionManager.append_message

    def refuse_results(manager: Any, message: Any, agent: Any, **options: Any) -> None:
        if any("toolResult" in block for block in message["content"]):
            raise sessions.UnstorableValueError("message.content[0]", "datetime.date", "no JSON")
        append(manager, message, agent, **options)

    with monkeypatch.context() as patch:
        patch.setattr(RepositorySessionManager, "append_message", refuse_results)
        refused = function.say("6*7?")

    assert (refused.status, refused.problem) == (500, "unstorable-value")
    assert "retry-after" not in refused.headers
    assert function.reply("And now?")["stop_reason"] == "end_turn"
