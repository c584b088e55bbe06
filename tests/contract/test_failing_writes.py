"""The contract for writes that fail: the caller hears of it, nothing is skipped, and the session goes on afterwards."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from strands.types.exceptions import EventLoopException

from tests.contract.agents import conversation, open_agent, stored_ids, texts
from tests.contract.pairing import pairing_errors
from tests.contract.s3_answers import answering, s3_answer
from tests.contract.subjects import Subject, custom_subject
from tests.doubles.scripted_model import tool_use


@contextmanager
def failing(subject: Subject, method: str, wanted: Callable[..., bool]) -> Iterator[list[Any]]:
    """Let a method of a custom repository fail whenever the arguments are ``wanted``; yields what was refused."""
    repository = subject.repository()
    original = getattr(repository, method)
    refused: list[Any] = []

    def fail(*args: Any, **kwargs: Any) -> Any:
        if wanted(*args):
            refused.append(args)
            raise OSError("the disk is away")
        return original(*args, **kwargs)

    setattr(repository, method, fail)
    try:
        yield refused
    finally:
        setattr(repository, method, original)


def is_message(number: int) -> Callable[..., bool]:
    return lambda session_id, agent_id, session_message: session_message.message_id == number


def test_a_first_append_that_fails_ends_the_turn_before_the_model_is_called() -> None:
    subject = custom_subject()
    agent = open_agent(subject, "never said")

    with failing(subject, "create_message", is_message(0)), pytest.raises(OSError, match="the disk is away"):
        agent("Hello")

    assert agent.model.unplayed == 1  # type: ignore[attr-defined] # the scripted model's
    assert stored_ids(subject) == []


def test_a_later_append_that_fails_reaches_the_caller_with_its_cause() -> None:
    subject = custom_subject()
    agent = open_agent(subject, tool_use("add", a=1, b=1), "2")

    with failing(subject, "create_message", is_message(2)), pytest.raises(Exception) as caught:
        agent("1+1?")

    error = caught.value.original_exception if isinstance(caught.value, EventLoopException) else caught.value
    assert isinstance(error, OSError)


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_after_a_failed_append_nothing_more_is_written_by_this_manager(number: int) -> None:
    subject = custom_subject()
    agent = open_agent(subject, tool_use("add", a=1, b=1), "2", "never stored")
    with failing(subject, "create_message", is_message(number)), pytest.raises(Exception):  # noqa: B017 - any
        agent("1+1?")
    records = dict(subject.repository().records)

    agent.state.set("late", True)
    with pytest.raises(Exception):  # noqa: B017 - says that it must be reloaded
        agent("And again?")

    assert subject.repository().records == records
    assert stored_ids(subject) == list(range(number))


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_the_next_process_goes_on_with_what_was_stored(number: int) -> None:
    subject = custom_subject()
    agent = open_agent(subject, tool_use("add", a=1, b=1), "2")
    with failing(subject, "create_message", is_message(number)), pytest.raises(Exception):  # noqa: B017 - any
        agent("1+1?")

    again = open_agent(subject, "Going on.")
    again("Go on")

    restored = conversation(open_agent(subject))
    assert pairing_errors(restored) == []
    assert texts(restored)[-2:] == ["Go on", "Going on."]
    assert stored_ids(subject) == list(range(len(stored_ids(subject))))


def test_a_sync_that_fails_reaches_the_caller_and_the_conversation_is_kept() -> None:
    subject = custom_subject()
    open_agent(subject, "Hi.")("Hello")
    agent = open_agent(subject, "ok")
    agent.state.set("x", 1)

    with failing(subject, "update_agent", lambda *args: True), pytest.raises(OSError, match="the disk is away"):
        agent("Remember")

    assert stored_ids(subject)[:3] == [0, 1, 2]
    assert "Remember" in texts(conversation(open_agent(subject)))


def test_the_models_error_has_precedence_over_a_failing_sync() -> None:
    subject = custom_subject()
    agent = open_agent(subject, RuntimeError("the model fell over"))
    agent.state.set("x", 1)
    calls = 0

    def after_the_prompt(*args: Any) -> bool:
        nonlocal calls
        calls += 1
        return calls > 1

    with failing(subject, "update_agent", after_the_prompt), pytest.raises(Exception) as caught:
        agent("Hello")

    assert "the model fell over" in repr(caught.value) + repr(getattr(caught.value, "original_exception", ""))


@contextmanager
def refusing_puts(subject: Subject, part_of_key: str) -> Iterator[list[str]]:
    """Let S3 refuse to write keys that contain a text; yields the URLs refused."""
    refused: list[str] = []

    def refuse(request: Any) -> AWSResponse | None:
        if part_of_key not in request.url:
            return None
        refused.append(request.url)
        return s3_answer(request, 403, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>")

    with answering(subject.place, "PutObject", refuse):
        yield refused


def test_a_write_that_s3_refuses_is_a_storage_error_with_its_code_and_key(ours_s3: Subject) -> None:
    from agent_sessions.exceptions import SessionStorageError

    agent = open_agent(ours_s3, "never said")

    with refusing_puts(ours_s3, "message_0.json") as refused, pytest.raises(SessionStorageError) as caught:
        agent("Hello")

    assert refused
    assert caught.value.code == "AccessDenied"
    assert caught.value.key is not None
    assert caught.value.key.endswith("message_0.json")
    assert caught.value.session_id == "conversation"


def test_after_a_refused_write_the_next_process_works(ours_s3: Subject) -> None:
    agent = open_agent(ours_s3, tool_use("add", a=1, b=1), "2")
    with refusing_puts(ours_s3, "message_2.json"), pytest.raises(Exception):  # noqa: B017 - any
        agent("1+1?")

    open_agent(ours_s3, "Going on.")("Go on")

    restored = conversation(open_agent(ours_s3))
    assert pairing_errors(restored) == []
    assert texts(restored)[-2:] == ["Go on", "Going on."]


def test_with_durability_turn_a_refused_write_never_ends_in_a_reply(make_subject: Any) -> None:
    subject = make_subject("s3-turn")
    agent = open_agent(subject, tool_use("add", a=1, b=1), "2")

    with refusing_puts(subject, "message_3.json"), pytest.raises(Exception):  # noqa: B017 - any
        agent("1+1?")

    assert stored_ids(subject) == [0, 1, 2]
