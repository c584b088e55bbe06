"""A turn's events as a caller of the client gets them, whatever becomes of the connection."""

import json
import uuid

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_sessions_client import (
    AgentSessionsError,
    ConnectionLostError,
    EndpointProblemError,
    Message,
    Node,
    Reply,
    Text,
    Tool,
    TurnBegan,
)
from tests.client.played import (
    TURN,
    Connection,
    Hears,
    Played,
    event,
    hear,
    hear_asynchronously,
    problem,
    reply,
    stream_of,
)

CLIENTS = pytest.mark.parametrize("hears", [hear, hear_asynchronously], ids=["blocking", "asynchronous"])
ASKED = event("message", {"message_id": 0, "role": "user"}, 0)
ANSWERED = event("message", {"message_id": 1, "role": "assistant"}, 1)
WORDS = ("Hel", "lo\u2028 ", "caf\u00e9 \U0001f600!")
SAID = "".join(WORDS)
WHOLE = (TURN, ASKED, *(event("text", {"text": word}) for word in WORDS), ANSWERED, event("reply", reply(SAID)))
FOLLOWED = (
    TURN,
    event("message", {"message_id": 0, "role": "user", "content": [{"text": "Hello"}]}, 0),
    event("message", {"message_id": 1, "role": "assistant", "content": [{"text": SAID}]}, 1),
    event("reply", reply(SAID)),
)


def text(events: list[object]) -> str:
    return "".join(found.text for found in events if isinstance(found, Text))


@CLIENTS
def test_nodes_are_told_and_what_they_say_is_not_told_again_as_the_answer(hears: Hears) -> None:
    began = event("node", {"node_id": "a", "status": "running"})
    ended = event("node", {"node_id": "a", "status": "completed", "usage": {"total_tokens": 19}, "duration_ms": 7})
    said = event("text", {"text": SAID, "node_id": "a"})
    played = Played(Connection((TURN, ASKED, began, said, ended, ANSWERED, event("reply", reply(SAID)))))

    events = hears(played)

    assert [found for found in events if isinstance(found, (Node, Text))] == [
        Node("a", "running"),
        Text(SAID, "a"),
        Node("a", "completed", {"total_tokens": 19}, 7),
    ]
    assert isinstance(events[-1], Reply)


@CLIENTS
def test_the_events_of_a_turn_come_in_their_order(hears: Hears) -> None:
    tool = event("tool", {"tool_use_id": "u", "name": "calculator"}) + event(
        "tool", {"tool_use_id": "u", "status": "success"}
    )
    played = Played(Connection((TURN, ASKED, tool, b": heartbeat\n\n", *WHOLE[2:])))

    events = hears(played)

    assert events[0] == TurnBegan("demo", "default", "t1", 0)
    assert events[1] == Message(0, "user")
    assert events[2:4] == [Tool("u", "calculator"), Tool("u", None, "success")]
    assert events[4:7] == [Text(word) for word in WORDS]
    assert isinstance(events[-1], Reply)
    assert events[-1].text == SAID
    assert events[-1].data["stop_reason"] == "end_turn"
    assert played.pauses == []


@CLIENTS
def test_every_turn_is_sent_with_a_key_of_its_own_or_the_callers(hears: Hears) -> None:
    played = Played(Connection(WHOLE), Connection(WHOLE), Connection(WHOLE))

    hears(played)
    hears(played)
    hears(played, idempotency_key="mine", agent_id="helper")

    first, second, third = played.requests
    assert (first.method, first.url.path) == ("POST", "/sessions/demo/messages")
    assert first.headers["accept"] == "text/event-stream"
    assert uuid.UUID(first.headers["idempotency-key"]) != uuid.UUID(second.headers["idempotency-key"])
    assert third.headers["idempotency-key"] == "mine"
    assert json.loads(third.content) == {"prompt": "Hello", "agent_id": "helper"}


@given(cut=st.integers(0, len(b"".join(WHOLE)) - 1), again=st.integers(0, len(b"".join(FOLLOWED)) - 1))
@settings(deadline=None, max_examples=60)
@CLIENTS
def test_wherever_connections_break_all_is_heard_once_and_in_order(hears: Hears, cut: int, again: int) -> None:
    # Given a stream that breaks at any byte, and a second one that does.
    first = Connection((b"".join(WHOLE)[:cut],), httpx.ReadError)
    second = Connection((b"".join(FOLLOWED)[:again],), httpx.RemoteProtocolError)
    played = Played(first, second, Connection(FOLLOWED))

    events = hears(played)

    # Then nothing is missing, and nothing is told twice.
    assert text(list(events)) == SAID
    assert [found.message_id for found in events if isinstance(found, Message)] == [0, 1]
    assert [type(found) for found in events].count(TurnBegan) == 1
    assert isinstance(events[-1], Reply)
    assert [type(found) for found in events].count(Reply) == 1


@CLIENTS
def test_a_turn_that_is_known_is_followed_after_what_was_heard_of_it(hears: Hears) -> None:
    played = Played(Connection(WHOLE[:3], httpx.ReadError), Connection((TURN, *FOLLOWED[2:])))

    events = hears(played)

    following = played.requests[1]
    assert (following.method, following.url.path) == ("GET", "/sessions/demo/turns/t1")
    assert following.url.params["agent_id"] == "default"
    assert following.headers["last-event-id"] == "0"
    assert text(list(events)) == SAID


@CLIENTS
def test_a_turn_that_is_not_known_yet_is_sent_again_with_its_key(hears: Hears) -> None:
    played = Played(httpx.ReadError, Connection((), None), Connection(WHOLE))

    hears(played)

    assert {request.method for request in played.requests} == {"POST"}
    assert len({request.headers["idempotency-key"] for request in played.requests}) == 1
    assert len(played.pauses) == 2


@CLIENTS
def test_a_follower_whose_stream_ends_early_follows_again(hears: Hears) -> None:
    # A function that follows runs out of time before a long turn is over.
    played = Played(Connection(WHOLE[:2]), Connection(FOLLOWED[:2]), Connection(FOLLOWED))

    assert text(list(hears(played))) == SAID


@CLIENTS
def test_a_reply_that_is_told_again_is_heard_whole(hears: Hears) -> None:
    # A request that is sent again long after its turn gets the reply, without the words on the way to it.
    assert text(list(hears(Played(Connection((TURN, event("reply", reply(SAID)))))))) == SAID


@CLIENTS
def test_text_that_was_changed_meanwhile_is_not_told_twice(hears: Hears) -> None:
    changed = event("message", {"message_id": 1, "role": "assistant", "content": [{"text": "[redacted]"}]}, 1)
    played = Played(
        Connection(WHOLE[:3], httpx.ReadError), Connection((TURN, changed, event("reply", reply("[redacted]"))))
    )

    assert text(list(hears(played))) == WORDS[0]


@CLIENTS
def test_a_refused_turn_raises_an_exception_with_the_problem_document(hears: Hears) -> None:
    played = Played(problem(409, "session-busy", retry_after="3"))

    with pytest.raises(EndpointProblemError, match="409 No: Really") as refused:
        hears(played)

    assert (refused.value.status, refused.value.kind, refused.value.retry_after_seconds) == (409, "session-busy", 3)
    assert refused.value.problem["detail"] == "Really."
    assert len(played.requests) == 1


@CLIENTS
def test_a_turn_that_ends_in_a_problem_is_that_exception(hears: Hears) -> None:
    document = {"type": "urn:agent-session-kit:problem:model-failed", "title": "No", "status": 502}
    played = Played(Connection((TURN, event("problem", document))))

    with pytest.raises(EndpointProblemError) as failed:
        hears(played)

    assert (failed.value.status, failed.value.kind) == (502, "model-failed")
    assert len(played.requests) == 1


@CLIENTS
def test_a_gateway_that_is_down_for_a_while_is_waited_for(hears: Hears) -> None:
    down = Connection((b"Bad Gateway",), None, 502, {})
    played = Played(
        Connection(WHOLE[:2], httpx.ReadError), down, problem(429, "x", retry_after="4"), Connection(FOLLOWED)
    )

    assert text(list(hears(played))) == SAID
    assert len(played.pauses) == 3
    assert played.pauses[2] >= 4


@CLIENTS
def test_a_session_that_is_gone_when_the_connection_is_back_is_told(hears: Hears) -> None:
    played = Played(Connection(WHOLE[:2], httpx.ReadError), problem(404, "not-found"))

    with pytest.raises(EndpointProblemError, match="404"):
        hears(played)


@CLIENTS
def test_an_endpoint_that_cannot_be_reached_is_told_at_once(hears: Hears) -> None:
    played = Played(httpx.ConnectError)

    with pytest.raises(ConnectionLostError):
        hears(played)

    assert played.pauses == []


@CLIENTS
def test_patience_ends(hears: Hears) -> None:
    played = Played(Connection(WHOLE[:2], httpx.ReadError), httpx.ConnectError)

    with pytest.raises(ConnectionLostError) as lost:
        hears(played, patience_seconds=20)

    assert isinstance(lost.value.__cause__, httpx.ConnectError)
    assert 20 <= sum(played.pauses) <= 30


@CLIENTS
def test_an_answer_that_is_no_stream_is_told_at_once(hears: Hears) -> None:
    played = Played(Connection((b"{}",), None, 200, {"content-type": "application/json"}))

    with pytest.raises(AgentSessionsError, match="not with a stream"):
        hears(played)

    assert len(played.requests) == 1


def test_an_event_that_this_version_does_not_know_is_passed_over() -> None:
    played = Played(Connection((TURN, event("weather", {"sunny": True}), *WHOLE[1:])))

    assert text(list(hear(played))) == SAID


def test_a_turn_is_cancelled_when_it_is_known() -> None:
    cancelled = Connection((b'{"status": "running"}',), None, 202, {})
    stream = stream_of([Connection(WHOLE), cancelled])

    with pytest.raises(ValueError, match="not known yet"):
        stream.cancel()
    next(stream)
    stream.cancel()

    assert stream.turn is not None
    assert [type(found) for found in stream][-1] is Reply
    assert stream.reply is not None
