"""A turn seen and cancelled under the deployed role, and what following one costs."""

import contextlib
import json
import time
from typing import Any

import pytest

from agent_sessions.accepted_turns import AcceptedTurn
from agent_sessions.lease import SessionLease
from agent_sessions.session_store import SessionStore
from agent_sessions.turn_request import TurnRequest
from tests.doubles.s3_server import S3Server
from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.function import Function, http_event, text_of

EVENTS = {"accept": "text/event-stream"}


def test_the_deployed_role_lets_turns_be_streamed_seen_followed_and_cancelled(s3_store: dict[str, str]) -> None:
    function = Function({**CREDENTIALS, **s3_store, "AGENT_MODEL": "scripted:script"})
    function.models["script"] = ScriptedModel("Hello.")

    answer = function.invoke(http_event("POST", "/sessions/chat/messages", {"prompt": "Hi"}, headers=EVENTS))
    events = b"".join(answer.pieces).decode()
    answer.wait()
    turn_id = json.loads(events.partition("data: ")[2].partition("\n")[0])["turn_id"]
    place = f"/sessions/chat/turns/{turn_id}"
    seen = function.http("GET", place)
    follower = function.invoke(http_event("GET", place, headers=EVENTS))
    followed = b"".join(follower.pieces).decode()
    over = function.http("DELETE", place)
    none = function.http("GET", "/sessions/chat/turns/0123456789abcdef")
    owner = function.part("doors.caller").owner_of(http_event("GET", place), function.module.endpoint.settings)
    function.module.endpoint.store(owner).ask_to_cancel("chat", "default", turn_id)

    assert (seen.status, text_of(seen.json["reply"])) == (200, "Hello.")
    assert [line for line in followed.splitlines() if line.startswith("event:")] == [
        "event: turn",
        "event: message",
        "event: message",
        "event: reply",
    ]
    assert (over.status, over.problem, none.status) == (409, "turn-over", 404)
    assert function.module.endpoint.store(owner).is_asked_to_cancel("chat", "default", turn_id)


def test_following_costs_one_read_a_second() -> None:
    from lambda_src.turn_resource import following

    with S3Server(buckets=["sessions"]) as s3:
        store = SessionStore.from_url("s3://sessions/p", client=s3.client())
        with SessionLease(store, "chat", holder="the turn", renew_seconds=None) as lease:
            manager = store.session_manager("chat", lease=lease, durability="turn")
            agent = _agent(manager)
            manager.answer_request(agent, TurnRequest("a-turn", None, None))
            manager.begin_turn(agent)
            message: Any = {"role": "user", "content": [{"text": "Hi"}]}
            agent.messages.append(message)
            manager.append_message(message, agent)
            turn = following.find(store, "chat", "default", lambda found: found.turn_id == "a-turn")
            reads: list[int] = []

            def count(_seconds: float) -> None:
                asked = s3.log.take()
                assert {entry.verb for entry in asked} <= {"GET"}
                reads.append(len(asked))

            s3.log.take()
            with contextlib.suppress(following.FollowedNoLongerError):
                turn.follow(lambda _: None, goes_on=lambda: len(reads) < 12, sleep=count)

    assert sum(reads[2:]) == len(reads[2:])  # the first looks find what there is already


def test_the_deployed_role_lets_turns_be_accepted_cancelled_and_taken(
    s3_store: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"AGENT_MODEL": "scripted:script", "ASYNC_FUNCTION": ":live", "AWS_LAMBDA_FUNCTION_NAME": "agent"}
    function = Function({**CREDENTIALS, **s3_store, **settings})
    function.models["script"] = ScriptedModel("Hello.")
    function.cold_start()
    invoked: list[Any] = []
    monkeypatch.setattr(
        function.part("turn_resource.without_caller"), "invoke", lambda _, event: invoked.append(json.loads(event))
    )

    def accept(prompt: str) -> str:
        headers = {"prefer": "respond-async"}
        answer = function.http("POST", "/sessions/chat/messages", {"prompt": prompt}, headers=headers)
        assert answer.status == 202, answer.text
        return str(answer.headers["location"])

    def status(place: str) -> str:
        return str(function.http("GET", place).json["status"])

    places = [accept("Hi"), accept("Hi again")]
    waiting = [status(place) for place in places]
    cancelled = function.http("DELETE", places[1])
    for event in invoked:
        function.invoke(event)

    assert (waiting, cancelled.status) == (["running"] * 2, 202)
    assert [status(place) for place in places] == ["answered", "cancelled"]


def test_waiting_for_an_accepted_turn_costs_one_read_a_second() -> None:
    from lambda_src.turn_resource import accepted, following

    with S3Server(buckets=["sessions"]) as s3:
        store = SessionStore.from_url("s3://sessions/p", client=s3.client())
        promised = AcceptedTurn("a-turn", "default", None, time.time())
        store.accepted_turns("chat").accept(promised, begins_session=True)
        turn = accepted.find_turn(store, "chat", "default", "a-turn")
        reads: list[int] = []

        def count(_seconds: float) -> None:
            asked = s3.log.take()
            assert {entry.verb for entry in asked} <= {"GET"}
            reads.append(len(asked))

        s3.log.take()
        with pytest.raises(following.FollowedNoLongerError):
            turn.follow(lambda _: None, goes_on=lambda: len(reads) < 12, sleep=count)

    assert reads == [0, *[1] * 11]


def _agent(manager: Any) -> Any:
    from strands import Agent

    return Agent(model=ScriptedModel(), session_manager=manager, callback_handler=None)
