"""S3 that refuses, fails, hangs up or takes too long: repeated while it may help, then said; never a wrong success."""

import contextlib
import logging
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.awsrequest import AWSPreparedRequest
from botocore.config import Config
from botocore.httpsession import URLLib3Session
from strands.types.exceptions import EventLoopException

from agent_sessions.exceptions import SessionStorageError
from tests.consolidation.session import Durability, KitSession, reply_to
from tests.doubles.s3.faults import Fault
from tests.doubles.s3.messages import Request

READ_SECONDS = 0.5
"""How long a client waits for an answer that comes too late; for every other it waits twenty seconds."""

LATE_SECONDS = 1.5

MISBEHAVIOUR: dict[str, dict[str, Any]] = {
    "503 SlowDown": {"action": "error", "code": "SlowDown"},
    "500 InternalError": {"action": "error", "code": "InternalError"},
    "hangs up before": {"action": "drop"},
    "hangs up after": {"action": "drop", "applied": True},
    "answers too late": {"action": "delay", "seconds": LATE_SECONDS},
    "did it and answers too late": {"action": "delay", "seconds": LATE_SECONDS, "applied": True},
}

READ_AND_WRITTEN = [("GET", "session.json"), ("GET", "agent.json"), ("GET", "history.json")] + [
    ("PUT", name) for name in ("message_2.json", "message_3.json", "agent.json")
]


def impatient(session: KitSession, fault: Fault, attempts: int) -> KitSession:
    """The same session over a client that asks so often, and does not wait for the answers that a fault delays."""
    other = KitSession(session.server, session.session_id)
    retries: Any = {"mode": "standard", "total_max_attempts": attempts}
    other.client = session.server.client(config=Config(retries=retries, read_timeout=20, max_pool_connections=8))
    impatient = URLLib3Session(timeout=(20, READ_SECONDS))  # type: ignore[arg-type] # takes both, its stubs one
    delayed: list[str] = []

    def send(request: AWSPreparedRequest, **_: Any) -> Any:
        path = urlsplit(request.url).path
        if request.method != fault.verb or not fnmatchcase(path, fault.key) or len(delayed) == fault.times:
            return None  # as always
        delayed.append(path)
        return impatient.send(request)

    if fault.action == "delay":
        other.client.meta.events.register("before-send.s3", send)
    return other


@pytest.mark.parametrize("how", MISBEHAVIOUR)
@pytest.mark.parametrize(("verb", "name"), READ_AND_WRITTEN)
def test_after_a_single_storage_error_the_request_is_repeated_and_the_turn_is_stored_once(
    session: KitSession, how: str, verb: str, name: str
) -> None:
    durability: Durability = "turn" if verb == "PUT" else "message"
    session.turn("first", durability)
    fault = session.server.faults.add(Fault(verb=verb, key=f"*/{name}", **MISBEHAVIOUR[how]))

    agent = impatient(session, fault, 3).turn("second", durability)

    assert fault.fired == 1
    assert [message["content"][0]["text"] for message in session.log()] == [
        *("first", "reply to first"),
        *("second", "reply to second"),
    ]
    assert agent.messages == session.log() == session.open().messages


@pytest.mark.parametrize("how", MISBEHAVIOUR)
@pytest.mark.parametrize("name", ["message_2.json", "message_3.json", "agent.json"])
@pytest.mark.parametrize("durability", ["message", "turn"])
def test_after_a_permanent_storage_error_the_caller_is_told_and_the_next_turn_continues(
    session: KitSession, how: str, name: str, durability: Durability
) -> None:
    session.turn("first", durability)
    fault = session.server.faults.add(Fault(verb="PUT", key=f"*/{name}", times=None, **MISBEHAVIOUR[how]))

    with pytest.raises((SessionStorageError, EventLoopException)) as caught:
        impatient(session, fault, 1).turn("second", durability)

    error = getattr(caught.value, "original_exception", caught.value)
    assert isinstance(error, SessionStorageError)
    assert error.code
    assert str(error.key).endswith(name)
    session.server.faults.clear()
    durable = session.log()
    agent = session.turn("third", durability)
    log = session.log()
    assert log[: len(durable)] == durable
    assert log[-2]["content"] == [{"text": "third"}]
    assert agent.messages == log
    assert session.ids() == list(range(len(log)))


@pytest.mark.parametrize("verb_and_name", [("GET", "session.json"), ("GET", "agent.json"), ("LIST", "*messages/")])
@pytest.mark.parametrize("how", ["503 SlowDown", "hangs up before", "cut"])
def test_a_session_that_cannot_be_read_is_refused_and_left_as_it_is(
    session: KitSession, verb_and_name: tuple[str, str], how: str
) -> None:
    session.turn("first")
    session.turn_of_strands("second")  # so that the messages are listed
    before = session.objects()
    verb, name = verb_and_name
    fault: dict[str, Any] = {"action": "cut"} if how == "cut" else MISBEHAVIOUR[how]
    session.server.faults.add(Fault(verb=verb, key=f"*{name}", times=None, **fault))

    with pytest.raises(SessionStorageError):
        session.turn("third")

    session.server.faults.clear()
    assert session.objects() == before


@pytest.mark.parametrize("how", [*MISBEHAVIOUR, "cut"])
def test_derived_copies_that_cannot_be_read_are_done_without(session: KitSession, how: str) -> None:
    for turn in range(9):
        session.turn(f"prompt {turn}")
    assert session.has_history()
    wrong: dict[str, Any] = {"action": "cut"} if how == "cut" else MISBEHAVIOUR[how]
    fault = session.server.faults.add(Fault(verb="GET", key="*/history.json", times=None, **wrong))

    agent = impatient(session, fault, 1).turn("and then?")

    session.server.faults.clear()
    assert agent.messages == session.log() == session.open().messages


def test_an_answer_that_breaks_off_is_asked_for_again(session: KitSession) -> None:
    session.turn("first")
    session.server.faults.add(Fault("cut", verb="GET", key="*/agent.json"))

    with contextlib.closing(session.client):
        assert session.open().messages == session.log()


class RefusedError(Exception):
    """The server closes the connection: the client repeats its request."""


@pytest.mark.parametrize("name", ["agent.json", "message_4.json"])
def test_a_write_that_waits_to_be_repeated_is_not_sent_when_the_turn_was_given_up_meanwhile(
    session: KitSession, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    # Given: a turn that is given up while the storage refuses one of its writes
    caplog.set_level(logging.CRITICAL, logger="asyncio")  # which reports what the callback raises
    session.turn("first", "turn")
    session.client = session.server.client(config=Config(retries={"total_max_attempts": 4}, max_pool_connections=8))
    manager = session.manager("turn")
    agent = session.open_with(manager, *reply_to("second", with_tool=True))
    refused: list[str] = []

    def refuse(request: Request) -> None:
        refused.append(request.key)
        manager.stop(SessionStorageError("given up", code="Abandoned"))
        raise RefusedError

    session.server.faults.add(Fault("call", verb="PUT", key=f"*/{name}", times=None, callback=refuse))
    before = session.ids()

    # When
    with pytest.raises(Exception) as failed:
        agent("second")

    # Then: it was sent once, and nothing was written behind it
    session.server.faults.clear()
    error = getattr(failed.value, "original_exception", failed.value)
    assert isinstance(error, SessionStorageError)
    assert error.code == "Abandoned"
    assert len(refused) == 1
    assert session.ids()[:2] == before
    assert 4 not in session.ids() or name != "message_4.json"
    assert session.turn("third").messages[-1]["content"] == [{"text": "reply to third"}]
