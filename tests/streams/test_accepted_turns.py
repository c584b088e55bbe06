"""A turn that was accepted and has not begun: what is said of it, and what becomes of it then."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agent_sessions.lease import SessionLease
from tests.doubles.scripted_model import Pause, tool_use
from tests.endpoint.test_interrupts import asking_agent
from tests.streams.conftest import Serve
from tests.streams.served import Gate, Served, problem_of, text_of
from tests.streams.test_without_caller import ASYNC, store_of, turn_of, wait_for, wait_for_cancelled


def wait_no_longer(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accepted turns of this server give up at once when their session is in use."""
    monkeypatch.setattr(served.function.part("endpoint"), "ACCEPTED_WAIT_SECONDS", 0.0)


def stop_while_it_begins(served: Served) -> Gate:
    """The next turn stops when it holds the lease and has looked for its record, and has stored nothing."""
    gate = Gate()
    default_agent = served.function.part("agent").build_agent

    def build(session_manager: Any, settings: Any) -> Any:
        gate.pass_through()
        return default_agent(session_manager, settings)

    served.function.part("agent").build_agent = build
    return gate


def test_a_key_of_an_accepted_request_is_refused_for_another_one_at_once(serve: Serve) -> None:
    served = serve(otherwise="Hello.")
    served.say("Hi")

    with SessionLease(store_of(served), "chat", holder="somebody"):
        place = turn_of(served.say("First", idempotency_key="one", **ASYNC))
        other = served.say("Second", idempotency_key="one", **ASYNC)

    assert (other.status_code, problem_of(other)) == (422, "idempotency-key-reused")
    assert wait_for(served, place, "answered")["turn_id"] in place
    assert served.said()[2:] == ["user: First", "assistant: Hello."]


def test_a_turn_that_is_refused_before_its_first_message_says_at_once_with_what(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve(otherwise="Hello.")
    wait_no_longer(served, monkeypatch)
    served.say("Hi")

    with SessionLease(store_of(served), "chat", holder="somebody"):
        place = turn_of(served.say("Hi again", **ASYNC))
        view = wait_for(served, place, "failed")
        with served.open("GET", place) as stream:
            followed = list(stream)
        over = served.request("DELETE", place)

    problem = view["problem"]
    assert (view["reply"], problem["status"], problem["type"].rpartition(":")[2]) == (None, 409, "session-busy")
    assert "somebody" in problem["detail"]
    assert [(event.name, event.data["type"]) for event in followed] == [("problem", problem["type"])]
    assert (over.status_code, problem_of(over)) == (409, "turn-over")
    assert served.said() == ["user: Hi", "assistant: Hello."]


def test_who_waits_for_a_turn_that_is_refused_is_told_so(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    served = serve(otherwise="Hello.")
    monkeypatch.setattr(served.function.part("endpoint"), "ACCEPTED_WAIT_SECONDS", 1.0)
    served.say("Hi")

    with (
        SessionLease(store_of(served), "chat", holder="somebody"),
        served.open("GET", turn_of(served.say("Hi again", **ASYNC))) as stream,
    ):
        followed = list(stream)

    assert [(event.name, event.data["type"].rpartition(":")[2]) for event in followed] == [("problem", "session-busy")]


def test_a_refusal_keeps_what_its_caller_has_to_know(serve: Serve) -> None:
    served = serve([tool_use("delete_file", name="a")], build_agent=asking_agent)
    interrupts = served.say("Delete a.").json()["interrupts"]

    view = wait_for(served, turn_of(served.say("Do something else", **ASYNC)), "failed")

    assert interrupts
    assert view["problem"]["type"].endswith("interrupt-pending")
    assert view["problem"]["interrupts"] == interrupts


def test_a_refused_request_is_accepted_again_under_its_key(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    served = serve(otherwise="Hello.")
    wait_no_longer(served, monkeypatch)
    served.say("Hi")
    with SessionLease(store_of(served), "chat", holder="somebody"):
        place = turn_of(served.say("Hi again", idempotency_key="one", **ASYNC))
        wait_for(served, place, "failed")

    again = turn_of(served.say("Hi again", idempotency_key="one", **ASYNC))

    assert again == place
    assert text_of(wait_for(served, place, "answered")["reply"]["message"]) == "Hello."


def test_answers_to_interrupts_of_no_session_are_refused_and_make_none(serve: Serve) -> None:
    served = serve()
    body = {"interrupt_responses": [{"interrupt_id": "one", "response": "yes"}]}

    answer = served.request("POST", "/sessions/chat/messages", body, **ASYNC)

    assert (answer.status_code, problem_of(answer)) == (404, "not-found")
    assert served.request("GET", "/sessions/chat").status_code == 404


def test_a_session_is_there_from_the_moment_its_first_turn_is_accepted(serve: Serve) -> None:
    served = serve("Hello.")
    gate = stop_while_it_begins(served)

    turn_of(served.say("Hi", **ASYNC))
    agents = served.request("GET", "/sessions/chat").json()["agents"]
    gate.opened.set()

    assert agents == []


@pytest.mark.parametrize("accepted_again", [False, True])
def test_cancelled_before_it_begins_it_asks_no_model_and_runs_no_tool(serve: Serve, accepted_again: bool) -> None:
    served = serve("Hello.", [tool_use("calculator", expression="6*7")], "It is 42.")
    served.say("Hi")

    with SessionLease(store_of(served), "chat", holder="somebody"):
        place = turn_of(served.say("6*7?", idempotency_key="one", **ASYNC))
        assert served.request("DELETE", place).status_code == 202
        if accepted_again:
            assert turn_of(served.say("6*7?", idempotency_key="one", **ASYNC)) == place
    view = wait_for_cancelled(served, place)

    assert text_of(view["reply"]["message"]).startswith("(This turn was cancelled")
    assert len(served.model.requests) == 1  # of the turn before
    assert [line.partition(":")[0] for line in served.said()] == ["user", "assistant"] * 2


def test_turns_that_wait_are_each_cancelled_whatever_agent_they_are_of(serve: Serve) -> None:
    served = serve(otherwise="Hello.")
    served.say("Hi")

    with SessionLease(store_of(served), "chat", holder="somebody"):
        bodies = [{"prompt": "Hi again"}, {"prompt": "Hi again"}, {"prompt": "Hi", "agent_id": "helper"}]
        answers = [served.request("POST", "/sessions/chat/messages", body, **ASYNC) for body in bodies]
        places = [answer.headers["location"] for answer in answers]
        cancelled = [served.request("DELETE", place) for place in places]

    assert [answer.status_code for answer in cancelled] == [202] * 3
    assert [answer.json()["agent_id"] for answer in cancelled] == ["default", "default", "helper"]
    for place in places:
        wait_for_cancelled(served, place)
    assert len(served.model.requests) == 1  # of the turn before


def test_a_cancellation_that_comes_while_the_turn_begins_is_not_lost(serve: Serve) -> None:
    served = serve(otherwise=["One ", Pause(30)])
    gate = stop_while_it_begins(served)
    place = turn_of(served.say("Count", **ASYNC))
    assert gate.reached.wait(10)

    cancelled = served.request("DELETE", place)
    gate.opened.set()

    assert cancelled.status_code == 202
    assert wait_for_cancelled(served, place)["reply"]["stop_reason"] == "cancelled"


def test_nothing_of_the_record_is_left_when_the_turn_is_over(serve: Serve, tmp_path: Path) -> None:
    served = serve("Hello.")
    wait_for(served, turn_of(served.say("Hi", **ASYNC)), "answered")

    give_up_at = time.monotonic() + 10
    while list(tmp_path.rglob("turn_*.json")):
        assert time.monotonic() < give_up_at


def test_a_request_that_is_taken_meanwhile_answers_its_accepted_turn_too(serve: Serve) -> None:
    served = serve(otherwise="Hello.")
    served.say("Hi")
    gate = stop_while_it_begins(served)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(served.say, "Hi again", idempotency_key="one")
        assert gate.reached.wait(10)
        place = turn_of(served.say("Hi again", idempotency_key="one", **ASYNC))
        gate.opened.set()
        reply = first.result(20).json()
    view = wait_for(served, place, "answered")

    assert view["reply"] == reply
    assert reply["turn_id"] not in place
    assert len(served.model.requests) == 2


def test_a_turn_that_waits_does_not_bring_its_session_back_when_that_is_erased(serve: Serve) -> None:
    served = serve(otherwise="Hello.")
    served.say("Hi")

    with SessionLease(store_of(served), "chat", holder="somebody"):
        place = turn_of(served.say("Hi again", **ASYNC))
        assert served.request("DELETE", "/sessions/chat").status_code == 204
        gone = served.request("GET", place).status_code
    time.sleep(1.5)  # whoever waits for the lease looks at least once a second

    assert gone == 404
    assert served.request("GET", "/sessions/chat").status_code == 404
    assert len(served.model.requests) == 1
