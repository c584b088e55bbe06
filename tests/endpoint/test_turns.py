"""A turn seen and cancelled under the deployed role, and what following one costs."""

import contextlib
import json
from typing import Any

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


def _agent(manager: Any) -> Any:
    from strands import Agent

    return Agent(model=ScriptedModel(), session_manager=manager, callback_handler=None)
