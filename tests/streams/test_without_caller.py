"""``Prefer: respond-async``: a turn that nobody holds a connection for."""

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from agent_sessions.exceptions import SessionConflictError
from agent_sessions.lease import SessionLease
from agent_sessions.session_store import SessionStore
from lambda_src.doors.prefer import prefers_async
from tests.doubles.scripted_model import Pause, ScriptedModel
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.function import ALICE, Function, http_event
from tests.streams.conftest import Serve
from tests.streams.served import Served, another_writer_comes_first, names, problem_of, text_of

ASYNC: Any = {"prefer": "respond-async"}


def turn_of(answer: Any) -> str:
    assert answer.status_code == 202, answer.text
    assert answer.headers["preference-applied"] == "respond-async"
    accepted = answer.json()
    assert (accepted["agent_id"], accepted["status"]) == ("default", "running")
    assert answer.headers["location"] == f"/sessions/{accepted['session_id']}/turns/{accepted['turn_id']}"
    return str(answer.headers["location"])


def store_of(served: Served) -> SessionStore:
    owner = served.function.part("doors.caller").owner_of({}, served.function.module.endpoint.settings)
    store: SessionStore = served.function.module.endpoint.store(owner)
    return store


def wait_for(served: Served, place: str, status: str) -> Any:
    give_up_at = time.monotonic() + 30
    while (view := served.request("GET", place).json())["status"] != status:
        assert time.monotonic() < give_up_at, view
        time.sleep(0.05)
    return view


def wait_for_cancelled(served: Served, place: str) -> Any:
    """What is told of a cancelled turn when it is stored: before it begins, it is cancelled and has no reply."""
    while (view := wait_for(served, place, "cancelled"))["reply"] is None:
        time.sleep(0.05)
    return view


def test_a_turn_is_accepted_at_once_and_its_reply_is_where_the_answer_says(serve: Serve) -> None:
    served = serve([Pause(1.0), "Hello."])

    began = time.monotonic()
    place = turn_of(served.say("Hi", **ASYNC))
    took = time.monotonic() - began
    running = served.request("GET", place).json()
    view = wait_for(served, place, "answered")

    assert took < 0.9
    assert running["status"] == "running"
    assert text_of(view["reply"]["message"]) == "Hello."
    assert served.said() == ["user: Hi", "assistant: Hello."]


def test_a_new_session_is_accepted_too(serve: Serve) -> None:
    served = serve("Hello.")

    answer = served.request("POST", "/sessions", {"prompt": "Hi"}, **ASYNC)
    wait_for(served, turn_of(answer), "answered")

    assert served.said(answer.json()["session_id"]) == ["user: Hi", "assistant: Hello."]


def test_it_can_be_followed_from_the_moment_it_is_accepted(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    served = serve(["One ", Pause(0.5), "two."])
    monkeypatch.setattr(served.function.part("turn_resource.following"), "LOOK_SECONDS", 0.1)

    with served.open("GET", turn_of(served.say("Count", **ASYNC))) as stream:
        events = list(stream)

    assert names(events) == ["turn", "message", "reply"]
    assert [event.id for event in events if event.name == "message"] == ["0", "1"]


def test_who_follows_before_it_begins_has_a_stream_at_once(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    served = serve(otherwise="Hello.")
    monkeypatch.setattr(served.function.part("turn_resource.following"), "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(served.function.part("doors.event_stream"), "HEARTBEAT_SECONDS", 0.1)
    served.say("Hi")

    with SessionLease(store_of(served), "chat", holder="somebody") as lease:
        place = turn_of(served.say("Hi again", **ASYNC))
        headers = {"accept": "text/event-stream"}
        with httpx.stream("GET", f"{served.url}{place}", headers=headers, timeout=10) as response:
            lines = response.iter_lines()
            waiting = [next(lines) for _ in range(4)]
            lease.release()
            rest = list(lines)

    assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream")
    assert waiting == [": heartbeat", ""] * 2
    assert [line for line in rest if line.startswith("event")] == [
        "event: turn",
        "event: message",
        "event: message",
        "event: reply",
    ]


def test_it_can_be_cancelled(serve: Serve) -> None:
    served = serve(["One ", Pause(30)])
    place = turn_of(served.say("Count", **ASYNC))

    cancelled = served.request("DELETE", place)

    assert cancelled.status_code == 202
    assert wait_for_cancelled(served, place)["reply"]["stop_reason"] == "cancelled"


def test_one_that_waits_is_cancelled_at_once_and_stays_so_whoever_takes_it(serve: Serve) -> None:
    served = serve(["One ", Pause(2.0), "two."], otherwise="Never said.", LEASE_WAIT_SECONDS="20")
    with served.telling("Count") as busy:
        next(iter(busy))
        place = turn_of(served.say("And then?", **ASYNC))

        cancelled = served.request("DELETE", place)
        seen = served.request("GET", place).json()
        again = served.request("DELETE", place)

        assert (cancelled.status_code, seen["status"], seen["reply"]) == (202, "cancelled", None)
        assert (again.status_code, problem_of(again)) == (409, "turn-over")
        busy.until("reply")

    assert wait_for_cancelled(served, place)["reply"]["stop_reason"] == "cancelled"
    assert "Never said." not in str(served.request("GET", "/sessions/chat/messages").json())


def test_accepted_twice_under_one_key_it_is_one_turn(serve: Serve) -> None:
    served = serve([Pause(0.5), "Hello."])

    places = [turn_of(served.say("Hi", idempotency_key="one", **ASYNC)) for _ in range(3)]
    views = [wait_for(served, place, "answered") for place in places]

    assert views[0] == views[1] == views[2]
    assert served.say("Hi", idempotency_key="one").json() == views[0]["reply"]
    assert len(served.model.requests) == 1
    other = served.say("Something else", idempotency_key="one", **ASYNC)
    assert (other.status_code, problem_of(other)) == (422, "idempotency-key-reused")


def test_accepted_again_after_its_answer_it_says_that_it_is_answered(serve: Serve) -> None:
    served = serve("Hello.")
    first = served.say("Hi", idempotency_key="one").json()

    again = served.say("Hi", idempotency_key="one", **ASYNC)

    assert (again.status_code, again.json()["status"]) == (202, "answered")
    assert again.headers["location"] == f"/sessions/chat/turns/{first['turn_id']}"
    assert len(served.model.requests) == 1


@pytest.mark.parametrize(
    ("prefer", "is_async"),
    [
        ("respond-async", True),
        ("Respond-Async", True),
        ("wait=5, respond-async", True),
        ('foo="a, b"; x=1, respond-async; why', True),
        (None, False),
        ("", False),
        ("wait=10", False),
        ("respond-sync", False),
        ('foo="respond-async"', False),
        ('"respond-async"', False),
        ("return=minimal; respond-async", False),
    ],
)
def test_anything_else_in_the_header_is_ignored(prefer: str | None, is_async: bool) -> None:
    assert prefers_async(prefer) is is_async


def test_what_is_not_valid_is_refused_and_not_accepted(serve: Serve) -> None:
    assert problem_of(serve().say("", **ASYNC)) == "invalid-request"


# --- deployed ----------------------------------------------------------------------------------------------------


class Invocations:
    """What Lambda was asked to invoke; no caller of it waits."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def client(self, service: str) -> "Invocations":
        assert service == "lambda"
        return self

    def invoke(self, **call: Any) -> None:
        self.calls.append(call)

    @property
    def events(self) -> list[Any]:
        return [json.loads(call["Payload"]) for call in self.calls]


@pytest.fixture
def deployed(
    serve: Serve, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Function, Invocations]]:
    """A function as it is deployed, and what it asks Lambda for."""

    def make(*script: Any) -> tuple[Function, Invocations]:
        variables = {
            **CREDENTIALS,
            "SESSION_STORE": f"file://{tmp_path}/deployed",
            "AGENT_MODEL": "scripted:script",
            "ASYNC_FUNCTION": ":live",
            "AWS_LAMBDA_FUNCTION_NAME": "agent-endpoint",
        }
        function = Function(variables, {"script": ScriptedModel(*script)})
        function.cold_start()
        lambda_service = Invocations()
        monkeypatch.setattr(function.part("turn_resource.without_caller"), "boto_session", lambda: lambda_service)
        return function, lambda_service

    return make


def accept(function: Function, prompt: Any, **headers: str) -> Any:
    headers = {"prefer": "respond-async", **headers}
    answer = function.http("POST", "/sessions/chat/messages", {"prompt": prompt}, headers=headers)
    assert answer.status == 202, answer.text
    return answer


def test_deployed_the_function_invokes_its_own_alias_with_the_turn_s_id(deployed: Any) -> None:
    function, lambda_service = deployed("Hello.")

    answer = accept(function, [{"text": "Hi"}])
    (call,) = lambda_service.calls
    (event,) = lambda_service.events
    place = answer.headers["location"]
    waiting = function.http("GET", place).json
    function.invoke(event)
    done = function.http("GET", place).json

    assert (call["FunctionName"], call["Qualifier"], call["InvocationType"]) == ("agent-endpoint", "live", "Event")
    assert place == f"/sessions/chat/turns/{event['turn_id']}"
    assert (waiting["status"], done["status"]) == ("running", "answered")
    assert done["reply"]["turn_id"] == event["turn_id"]


def test_an_event_that_is_delivered_again_is_answered_once(deployed: Any) -> None:
    function, lambda_service = deployed("Hello.")
    accept(function, "Hi")
    (event,) = lambda_service.events

    replies = [function.invoke(event) for _ in range(3)]

    assert replies[0] == replies[1] == replies[2]
    assert len(function.models["script"].requests) == 1


def test_lambda_s_retries_go_on_with_the_turn_that_failed(deployed: Any) -> None:
    function, lambda_service = deployed(ConnectionError("gone"), "Hello.")
    place = accept(function, "Hi").headers["location"]
    (event,) = lambda_service.events
    with pytest.raises(Exception, match="The model failed"):
        function.invoke(event)
    failed = function.http("GET", place).json["status"]

    function.invoke(event)

    page = function.http("GET", "/sessions/chat/messages").json["messages"]
    assert failed == "failed"
    assert function.http("GET", place).json["status"] == "answered"
    assert [item["message"]["role"] for item in page] == ["user", "assistant"]


def test_an_event_that_never_came_is_said_to_be_cut_off_after_an_hour(
    deployed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, _ = deployed()
    place = accept(function, "Hi").headers["location"]
    ids = function.part("turn_resource.turn_ids")
    now = time.time()

    statuses = []
    for age in (0, ids.BEGUN_WITHIN_SECONDS - 60, ids.BEGUN_WITHIN_SECONDS + 1):
        monkeypatch.setattr(function.part("turn_resource.accepted").time, "time", lambda age=age: now + age)
        statuses.append(function.http("GET", place).json["status"])

    assert statuses == ["running", "running", "cut-off"]


def test_lambda_s_retry_begins_a_turn_that_was_refused_before(deployed: Any) -> None:
    function, _ = deployed("Hello.")
    build = function.part("agent").build_agent
    place = accept(function, "Hi").headers["location"]
    (event,) = function.part("turn_resource.without_caller").boto_session().events
    function.part("agent").build_agent = lambda *_: 1 / 0
    with pytest.raises(Exception, match="Something unexpected"):
        function.invoke(event)
    refused = function.http("GET", place).json
    function.part("agent").build_agent = build

    function.invoke(event)

    assert (refused["status"], refused["problem"]["type"].rpartition(":")[2]) == ("failed", "internal-error")
    assert function.http("GET", place).json["status"] == "answered"


def test_an_accepted_turn_that_is_refused_at_its_first_message_says_that_nothing_was_stored(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve("Hello.")

    with another_writer_comes_first(monkeypatch):
        refused = wait_for(served, turn_of(served.say("Hi", **ASYNC)), "failed")["problem"]

    assert refused["type"].endswith("session-conflict")
    assert refused["detail"].endswith("Nothing of this request was stored; send it again.")
    assert refused["turn_began"] is None


def test_an_accepted_turn_that_is_overtaken_after_it_began_says_that_tools_may_have_run(deployed: Any) -> None:
    """The turn has its fence, and no message that would have told of it."""
    function, _ = deployed("Hello.")
    place = accept(function, "Hi").headers["location"]
    (event,) = function.part("turn_resource.without_caller").boto_session().events

    def overtaken(session_manager: Any, _: Any) -> Any:
        session_manager.has_fenced_a_turn = lambda: True
        raise SessionConflictError("another writer came first")

    function.part("agent").build_agent = overtaken
    with pytest.raises(Exception, match="its tools may have run"):
        function.invoke(event)

    refused = function.http("GET", place).json["problem"]
    assert refused["type"].endswith("session-conflict")
    assert "Read the conversation before you send the request again." in refused["detail"]
    assert refused["turn_began"] is True


def test_an_event_that_comes_after_its_session_was_erased_does_nothing(deployed: Any) -> None:
    function, lambda_service = deployed(*["Hello."] * 2)
    places = [accept(function, prompt).headers["location"] for prompt in ("First", "Second")]
    begun, waiting = lambda_service.events
    function.invoke(begun)
    assert function.http("DELETE", "/sessions/chat").status == 204
    after = []
    for event in (begun, waiting):
        with pytest.raises(Exception, match="erased since this turn was accepted") as raised:
            function.invoke(event)
        after.append(type(raised.value).__name__)

    assert after == ["NotFoundError"] * 2
    assert function.http("GET", "/sessions/chat").status == 404
    assert [function.http("GET", place).status for place in places] == [404] * 2
    assert len(function.models["script"].requests) == 1


def test_what_lambda_does_not_take_is_not_promised(deployed: Any) -> None:
    function, lambda_service = deployed("Hello.")

    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "TooManyRequestsException", "Message": ""}}, "Invoke")

    lambda_service.invoke = refuse
    headers = {"prefer": "respond-async", "idempotency-key": "one"}
    refused = function.http("POST", "/sessions/chat/messages", {"prompt": "Hi"}, headers=headers)
    turns = function.http("GET", "/sessions/chat").json
    del lambda_service.invoke
    accepted = accept(function, "Something else", **{"idempotency-key": "one"})

    assert (refused.status, refused.problem) == (503, "storage-failed")
    assert turns["agents"] == []
    assert accepted.headers["location"] == f"/sessions/chat/turns/{lambda_service.events[0]['turn_id']}"


def test_more_than_lambda_takes_is_refused_and_makes_no_session(deployed: Any) -> None:
    function, lambda_service = deployed()

    answer = function.http(
        "POST", "/sessions/chat/messages", {"prompt": "x" * 1024 * 1024}, headers={"prefer": "respond-async"}
    )

    assert (answer.status, answer.problem, lambda_service.calls) == (413, "payload-too-large", [])
    assert function.http("GET", "/sessions/chat").status == 404


def test_a_turn_that_was_accepted_for_another_session_is_not_there(deployed: Any) -> None:
    function, _ = deployed()
    place = accept(function, "Hi").headers["location"]

    assert function.http("GET", place.replace("/chat/", "/other/")).status == 404


def test_a_function_that_may_invoke_nobody_takes_the_turn_and_answers(serve: Serve, tmp_path: Any) -> None:
    variables = {**CREDENTIALS, "SESSION_STORE": f"file://{tmp_path}/alone", "AGENT_MODEL": "scripted:script"}
    function = Function(variables, {"script": ScriptedModel("Hello.")})
    event = http_event("POST", "/sessions/chat/messages", {"prompt": "Hi"}, caller=ALICE, headers=ASYNC)

    assert function.invoke(event)["statusCode"] == 200
