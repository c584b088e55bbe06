"""A turn seen by whoever did not take it: while it runs and afterwards, from any process."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent_sessions.turn_request import TURNS_KEPT
from tests.doubles.scripted_model import Pause, tool_use
from tests.endpoint.test_local_run import Running, start
from tests.streams.conftest import Serve
from tests.streams.served import EVENTS, Gate, Served, names, problem_of, text_of

SLOW = (["Let me see. ", tool_use("calculator", expression="6*7")], ["It ", Pause(2.0), "is 42."])


@pytest.fixture(autouse=True)
def followers_look_often(monkeypatch: pytest.MonkeyPatch) -> Callable[[Served], None]:
    """Followers of this test's server look ten times a second."""

    def look_often(served: Served) -> None:
        monkeypatch.setattr(served.function.part("turn_resource.following"), "LOOK_SECONDS", 0.1)

    return look_often


def view_of(served: Served, turn_id: str, session_id: str = "chat") -> Any:
    answer = served.request("GET", f"/sessions/{session_id}/turns/{turn_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_turn_is_running_and_then_answered_with_the_reply_of_its_request(
    serve: Serve, followers_look_often: Any
) -> None:
    served = serve(*SLOW)

    with served.telling("6*7?") as stream:
        turn_id = next(iter(stream)).data["turn_id"]
        running = view_of(served, turn_id)
        reply = stream.until("reply")[-1].data
    answered = view_of(served, turn_id)

    assert (running["status"], running["reply"], running["problem"]) == ("running", None, None)
    assert (answered["status"], answered["problem"]) == ("answered", None)
    assert answered["reply"] == reply


def test_a_follower_sees_what_is_stored_in_its_order_each_message_once_and_then_the_reply(
    serve: Serve, followers_look_often: Any
) -> None:
    served = serve(*SLOW)
    followers_look_often(served)

    with served.telling("6*7?") as stream:
        turn_id = next(iter(stream)).data["turn_id"]
        with served.open("GET", f"/sessions/chat/turns/{turn_id}") as follower:
            followed = list(follower)
        reply = stream.until("reply")[-1].data
    stored = served.request("GET", "/sessions/chat/messages").json()["messages"]

    assert [event.name for event in followed] == ["turn", *["message"] * 4, "reply"]
    assert [event.data for event in followed[1:-1]] == [
        {"message_id": item["message_id"], **item["message"]} for item in stored
    ]
    assert followed[-1].data == reply


def test_who_follows_again_says_what_it_has_seen_last(serve: Serve) -> None:
    served = serve(*SLOW)
    turn_id = served.tell("6*7?")[0].data["turn_id"]

    def followed(**headers: str) -> list[str]:
        with served.open("GET", f"/sessions/chat/turns/{turn_id}", **headers) as stream:
            return [event.id for event in stream if event.name == "message"]

    assert followed() == ["0", "1", "2", "3"]
    assert followed(last_event_id="1") == ["2", "3"]
    assert followed(last_event_id="3") == []


def test_an_id_that_a_running_turn_has_not_come_to_is_400(serve: Serve) -> None:
    served = serve(["One ", Pause(2.0), "two."])

    with served.telling("Count") as stream:
        turn_id = next(iter(stream)).data["turn_id"]
        place = f"/sessions/chat/turns/{turn_id}"
        early = served.request("GET", place, accept=EVENTS, last_event_id="1")
        stream.until("reply")

    assert (early.status_code, problem_of(early)) == (400, "malformed-request")
    assert served.request("GET", place, accept=EVENTS, last_event_id="1").status_code == 200


def test_whoever_asks_and_whenever_a_turn_restored_as_many_messages(serve: Serve, followers_look_often: Any) -> None:
    """The window is shorter than the conversation, and nobody counts what lies below it."""
    served = serve(*["Hello."] * 5, ["One ", Pause(2.0), "two."], AGENT_WINDOW_MESSAGES="4")
    followers_look_often(served)
    for number in range(5):
        served.say(str(number))

    with served.telling("Count") as stream:
        began = next(iter(stream)).data
        place = f"/sessions/chat/turns/{began['turn_id']}"
        with served.open("GET", place) as follower:
            meanwhile = next(iter(follower)).data
            follower.until("reply")
        reply = stream.until("reply")[-1].data
    with served.open("GET", place) as follower:
        afterwards = next(iter(follower)).data

    counts = [told["restored_messages"] for told in (began, meanwhile, reply, afterwards)]
    assert counts == [4] * 4


def test_head_is_a_method_that_no_path_takes_and_its_answer_has_no_body(serve: Serve) -> None:
    served = serve("Hello.")
    turn_id = served.say("Hi").json()["turn_id"]

    for path in (f"/sessions/chat/turns/{turn_id}", "/sessions/chat", "/sessions", "/health"):
        answer = served.request("HEAD", path)
        assert (answer.status_code, answer.content) == (405, b"")
        assert "GET" in answer.headers["allow"].split(", ")
        assert "HEAD" not in answer.headers["allow"]
    assert view_of(served, turn_id)["status"] == "answered"  # over the same connection


@pytest.mark.parametrize("none", ["-1", "x", "1.0", "01", "1" * 40, "99", "2"])
def test_a_last_event_id_that_is_none_is_400(serve: Serve, none: str) -> None:
    """Messages 2 and 3 are there, too, of the turn behind it: whoever has seen them has not seen them of this one."""
    served = serve("Hello.", "Bye.")
    turn_id = served.say("Hi").json()["turn_id"]
    served.say("And?")

    answer = served.request("GET", f"/sessions/chat/turns/{turn_id}", accept=EVENTS, last_event_id=none)

    assert (answer.status_code, problem_of(answer)) == (400, "malformed-request")


def test_a_turn_that_failed_says_with_what(serve: Serve) -> None:
    served = serve(ConnectionError("gone"))
    turn_id = served.tell("Hi")[0].data["turn_id"]

    view = view_of(served, turn_id)
    with served.open("GET", f"/sessions/chat/turns/{turn_id}") as stream:
        followed = list(stream)

    assert (view["status"], view["reply"]) == ("failed", None)
    assert view["problem"]["type"].endswith("model-failed")
    assert names(followed) == ["turn", "message", "problem"]
    assert followed[-1].data["type"] == view["problem"]["type"]


@pytest.mark.parametrize("keyed", [True, False])
def test_the_last_turns_are_remembered_whether_their_requests_had_a_key_or_not(serve: Serve, keyed: bool) -> None:
    served = serve(otherwise="Hello.")
    turns = [
        served.say("Hi", **({"idempotency_key": str(number)} if keyed else {})).json()["turn_id"]
        for number in range(TURNS_KEPT + 1)
    ]

    answers = [served.request("GET", f"/sessions/chat/turns/{turn}").status_code for turn in turns]

    assert answers == [404, *[200] * TURNS_KEPT]


def test_another_session_s_turn_is_not_there(serve: Serve) -> None:
    served = serve(otherwise="Hello.")
    turn_id = served.say("Hi").json()["turn_id"]
    served.say("Hi", session_id="other")

    answers = [
        served.request(method, path)
        for method in ("GET", "DELETE")
        for path in (
            f"/sessions/other/turns/{turn_id}",
            f"/sessions/none/turns/{turn_id}",
            "/sessions/chat/turns/0123456789abcdef",
        )
    ]

    assert {(answer.status_code, problem_of(answer)) for answer in answers} == {(404, "not-found")}


def test_another_agent_s_turn_is_found_without_naming_the_agent(serve: Serve) -> None:
    served = serve(otherwise="Hello.")
    served.say("Hi")
    body = {"prompt": "Hi", "agent_id": "helper"}
    reply = served.request("POST", "/sessions/chat/messages", body).json()

    assert view_of(served, reply["turn_id"])["reply"] == reply


def test_the_same_request_again_follows_its_turn_instead_of_being_refused(
    serve: Serve, followers_look_often: Any
) -> None:
    served = serve(*SLOW)
    followers_look_often(served)

    with served.telling("6*7?", idempotency_key="one") as stream:
        first = next(iter(stream)).data
        again = served.tell("6*7?", idempotency_key="one")
        other = served.say("7*7?", accept=EVENTS, idempotency_key="one")
        reply = stream.until("reply")[-1].data

    assert [event.name for event in again] == ["turn", *["message"] * 4, "reply"]
    assert (again[0].data["turn_id"], again[-1].data) == (first["turn_id"], reply)
    assert other.status_code == 422
    assert len(served.model.requests) == 2


def test_the_same_request_again_says_what_it_has_seen_last(serve: Serve, followers_look_often: Any) -> None:
    served = serve(*SLOW)
    followers_look_often(served)

    with served.telling("6*7?", idempotency_key="one") as stream:
        stream.until("message", message_id=1)
        again = served.tell("6*7?", idempotency_key="one", last_event_id="1")
        none = served.say("6*7?", accept=EVENTS, idempotency_key="one", last_event_id="x")

    assert [event.id for event in again if event.name == "message"] == ["2", "3"]
    assert again[-1].name == "reply"
    assert (none.status_code, problem_of(none)) == (400, "malformed-request")


def test_of_a_turn_that_is_taken_everything_is_told_whatever_was_seen_before(serve: Serve) -> None:
    served = serve("Hello.")

    told = served.tell("Hi", last_event_id="7")

    assert [event.id for event in told if event.name == "message"] == ["0", "1"]


@pytest.mark.parametrize("lease_wait_seconds", ["0.5", "30"], ids=["looks once more", "looks while it waits"])
def test_the_same_request_at_the_same_time_follows_as_soon_as_there_is_something_to_follow(
    serve: Serve, followers_look_often: Any, lease_wait_seconds: str
) -> None:
    gate = Gate()

    def build(session_manager: Any, settings: Any) -> Any:
        gate.pass_through()  # the turn holds the lease, and nothing of it is stored
        return default_agent(session_manager, settings)

    served = serve("Hello.", ["Hello ", Pause(1.0), "again."], LEASE_WAIT_SECONDS=lease_wait_seconds)
    served.say("Hi")
    default_agent = served.function.part("agent").build_agent
    served.function.part("agent").build_agent = build
    followers_look_often(served)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(served.say, "Hi again", idempotency_key="one")
        assert gate.reached.wait(10)
        second = pool.submit(served.say, "Hi again", idempotency_key="one", accept=EVENTS)
        time.sleep(0.3)  # it has looked, and found nothing
        gate.opened.set()
        answers = [first.result(20), second.result(20)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert "event: message" in answers[1].text
    assert answers[0].json()["turn_id"] in answers[1].text
    assert len(served.model.requests) == 2


@pytest.mark.parametrize("read", [1, 2], ids=["after its prompt", "after its call"])
def test_who_follows_while_the_session_is_erased_is_told_that_it_is_not_there(
    serve: Serve, followers_look_often: Any, read: int
) -> None:
    gate = Gate()
    served = serve(["Let me see. ", tool_use("calculator", expression="6*7")], [Pause(1.0), "It is 42."])
    followers_look_often(served)
    model_stream = served.model.stream

    async def stream(*args: Any, **options: Any) -> Any:
        if read == 1 or len(served.model.requests) == 1:
            await asyncio.to_thread(gate.pass_through)
        async for event in model_stream(*args, **options):
            yield event

    served.model.stream = stream  # type: ignore[method-assign]
    with served.telling("6*7?") as turn:
        turn_id = next(iter(turn)).data["turn_id"]
        assert gate.reached.wait(10)
        with served.open("GET", f"/sessions/chat/turns/{turn_id}") as follower:
            follower.until("message", message_id=read - 1)
            erased = served.request("DELETE", "/sessions/chat")
            gate.opened.set()
            end = list(follower)[-1]

    assert erased.status_code == 204  # it has not waited for the turn
    assert (end.name, end.data["status"]) == ("problem", 404)
    assert end.data["type"].endswith("not-found")
    assert served.request("GET", f"/sessions/chat/turns/{turn_id}").status_code == 404


def test_fifty_streams_at_once_are_each_whole_and_each_their_own(serve: Serve) -> None:
    served = serve(otherwise=["Count: ", Pause(0.2), "one two three."])

    def take(number: int) -> list[Any]:
        return served.tell(f"I am {number}.", session_id=f"chat-{number}")

    with ThreadPoolExecutor(50) as pool:
        streams = list(pool.map(take, range(50)))

    for number, events in enumerate(streams):
        assert names(events) == ["turn", "message", "text", "message", "reply"]
        assert events[0].data["session_id"] == f"chat-{number}"
        assert text_of(events[-1].data["message"]) == "Count: one two three."
    assert served.said("chat-7") == ["user: I am 7.", "assistant: Count: one two three."]


@pytest.mark.parametrize("events_read", range(9))
def test_a_reader_that_leaves_after_any_event_loses_nothing(serve: Serve, events_read: int) -> None:
    served = serve(["Let me see. ", tool_use("calculator", expression="6*7")], "It is 42.")

    with served.telling("6*7?") as stream:
        turn = next(iter(stream)).data
        for _, _event in zip(range(events_read), stream, strict=False):
            pass
    view = wait_until_over(served, turn["turn_id"])

    assert view["status"] == "answered"
    assert text_of(view["reply"]["message"]) == "It is 42."
    assert served.said()[-1] == "assistant: It is 42."


def wait_until_over(served: Served, turn_id: str) -> Any:
    give_up_at = time.monotonic() + 30
    while (view := view_of(served, turn_id))["status"] == "running":
        assert time.monotonic() < give_up_at
        time.sleep(0.05)
    return view


def test_a_reader_that_is_too_slow_is_dropped_and_the_turn_goes_on(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    served = serve(otherwise="word " * 4000)
    feed = served.function.part("turn_resource.feed")
    monkeypatch.setattr(feed, "MAX_WAITING_CHARACTERS", 1000)
    stream_class = served.function.part("doors.event_stream").EventStream
    tell = stream_class._told

    def read_slowly(self: Any, event: Any) -> Any:
        if type(event).__name__ == "TextDelta":
            gate.pass_through()  # the connection takes nothing more until the turn is over
        return tell(self, event)

    monkeypatch.setattr(stream_class, "_told", read_slowly)

    with served.telling("Talk") as stream:
        turn_id = next(iter(stream)).data["turn_id"]
        view = wait_until_over(served, turn_id)
        gate.opened.set()
        rest = [event.name for event in stream]

    assert view["status"] == "answered"
    assert "reply" not in rest
    assert served.said()[-1] == "assistant: " + "word " * 4000


class Talkative:
    """Says 5.5 MB in large pieces, which the scripted model would cut small."""

    stateful = False

    def get_config(self) -> dict[str, Any]:
        return {"model_id": "talkative"}

    async def stream(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        yield {"messageStart": {"role": "assistant"}}
        for _piece in range(55):
            yield {"contentBlockDelta": {"delta": {"text": "word " * 20_000}}}
            await asyncio.sleep(0.01)
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "end_turn"}}


def test_a_reader_that_stops_reading_its_socket_holds_up_neither_the_turn_nor_the_server(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given: more text than the connection's buffers take
    served = serve("Hello.")
    served.function.models["script"] = Talkative()
    monkeypatch.setattr(served.function.part("turn_resource.feed"), "MAX_WAITING_CHARACTERS", 100_000)
    host, port = served.url.removeprefix("http://").split(":")
    body = json.dumps({"prompt": "Talk"})
    request = (
        f"POST /sessions/chat/messages HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: text/event-stream\r\n"
        f"Connection: close\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )

    # When: its reader reads the beginning and then nothing
    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        stalled.connect((host, int(port)))
        stalled.sendall(request.encode())
        begun = stalled.recv(2048).decode()
        while "turn_id" not in begun:
            begun += stalled.recv(2048).decode()
        turn_id = begun.split('"turn_id":"')[1].split('"')[0]
        view = wait_until_over(served, turn_id)
        another = served.request("GET", "/sessions")
        rest = b"".join(iter(lambda: stalled.recv(1 << 20), b""))

    # Then: it was dropped, and nothing else noticed
    assert b"event: reply" not in rest
    assert view["status"] == "answered"
    assert another.status_code == httpx.codes.OK


def test_a_follower_learns_that_the_process_of_its_turn_was_killed(tmp_path: Path) -> None:
    variables = {"STORE": f"file://{tmp_path / 'sessions'}", "MODEL": "offline", "OFFLINE_WORDS_PER_SECOND": "4"}
    taking, telling = Running(start(tmp_path, variables)), Running(start(tmp_path, variables))
    try:
        with Served(taking.url, None, None).telling("Use the calculator: 6*7") as stream:  # type: ignore[arg-type]
            turn_id = stream.until("message", message_id=0)[0].data["turn_id"]
            with Served(telling.url, None, None).open("GET", f"/sessions/chat/turns/{turn_id}") as follower:  # type: ignore[arg-type]
                seen = follower.until("message", message_id=0)
                stream.until("message", message_id=2)
                taking.process.kill()
                seen += list(follower)
    finally:
        for running in (taking, telling):
            running.process.kill()
            running.process.wait()

    assert [event.data["message_id"] for event in seen if event.name == "message"] == [0, 1, 2]
    assert seen[-1].name == "problem"
    assert seen[-1].data["type"].endswith("turn-cut-off")


def test_after_a_kill_in_the_middle_a_follower_of_the_next_process_sees_what_was_stored(tmp_path: Path) -> None:
    variables = {"STORE": f"file://{tmp_path / 'sessions'}", "MODEL": "offline", "OFFLINE_WORDS_PER_SECOND": "4"}
    first = Running(start(tmp_path, variables))
    with Served(first.url, None, None).telling("Use the calculator: 6*7", idempotency_key="one") as stream:  # type: ignore[arg-type]
        read = stream.until("message", message_id=2)
        turn_id = read[0].data["turn_id"]
        first.process.kill()
        first.process.wait()

    second = Running(start(tmp_path, {**variables, "OFFLINE_WORDS_PER_SECOND": "0"}))
    try:
        served = Served(second.url, None, None)  # type: ignore[arg-type]
        view = view_of(served, turn_id)
        with served.open("GET", f"/sessions/chat/turns/{turn_id}") as follower:
            followed = list(follower)
        again = served.tell("Use the calculator: 6*7", idempotency_key="one")
    finally:
        second.process.kill()
        second.process.wait()

    assert (view["status"], view["problem"]["status"]) == ("cut-off", 503)
    assert [event.data["message_id"] for event in followed if event.name == "message"] == [0, 1, 2]
    assert followed[-1].data["type"].endswith("turn-cut-off")
    assert again[0].data["turn_id"] == turn_id
    assert text_of(again[-1].data["message"]).endswith("42")
