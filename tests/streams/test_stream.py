"""A turn as a stream: which events, in which order, and what is not told."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # comes without types

from agent_sessions.lease import SessionLease
from tests.doubles.s3_server import S3Server
from tests.doubles.scripted_model import Pause, reasoning, tool_use
from tests.endpoint.function import PROBLEM
from tests.endpoint.orchestra import chain, models
from tests.streams.conftest import Serve
from tests.streams.served import EVENTS, Event, another_writer_comes_first, names, problem_of, told_text

CALCULATION = (["Let me see. ", tool_use("calculator", expression="6*7")], [reasoning("42, surely."), "It is 42."])


def test_a_turn_is_told_as_it_happens_and_in_its_order(serve: Serve) -> None:
    served = serve(*CALCULATION)

    events = served.tell("6*7?")

    assert names(events) == [
        *("turn", "message"),
        *("text", "tool", "message", "tool", "message"),
        *("reasoning", "text", "message", "reply"),
    ]
    turn = events[0].data
    assert (turn["session_id"], turn["agent_id"], turn["restored_messages"]) == ("chat", "default", 0)
    stored = [event for event in events if event.name == "message"]
    assert [(event.id, event.data["message_id"], event.data["role"]) for event in stored] == [
        ("0", 0, "user"),
        ("1", 1, "assistant"),
        ("2", 2, "user"),
        ("3", 3, "assistant"),
    ]
    called, ended = (event.data for event in events if event.name == "tool")
    assert called == {"tool_use_id": ended["tool_use_id"], "name": "calculator"}
    assert ended == {**called, "status": "success"}
    assert told_text(events) == "Let me see. It is 42."
    assert events[-1].data["turn_id"] == turn["turn_id"]


def test_the_last_event_is_the_reply_of_the_same_request_without_streaming(serve: Serve) -> None:
    served = serve(*CALCULATION)

    streamed = served.tell("6*7?", idempotency_key="one")[-1]
    buffered = served.say("6*7?", idempotency_key="one")

    assert streamed == Event("reply", buffered.json(), streamed.id)


def test_a_turn_that_was_answered_before_is_told_by_its_reply(serve: Serve) -> None:
    served = serve("Hello.")
    first = served.say("Hi", idempotency_key="one").json()

    events = served.tell("Hi", idempotency_key="one")

    assert [(event.name, event.data["turn_id"]) for event in events] == [
        ("turn", first["turn_id"]),
        ("reply", first["turn_id"]),
    ]


def test_a_new_session_is_told_with_its_place(serve: Serve) -> None:
    served = serve("Hello.")

    with served.open("POST", "/sessions", {"prompt": "Hi"}) as stream:
        events = list(stream)
        head = stream.response

    session_id = events[0].data["session_id"]
    assert head.status_code == 200
    assert head.headers["location"] == f"/sessions/{session_id}"
    assert served.said(session_id) == ["user: Hi", "assistant: Hello."]


def test_a_stream_says_what_it_is_and_that_nobody_may_keep_it(serve: Serve) -> None:
    with serve("Hello.").telling("Hi") as stream:
        headers = stream.response.headers

    assert headers["content-type"] == EVENTS
    assert (headers["cache-control"], headers["vary"]) == ("no-store", "Origin")
    assert headers["transfer-encoding"] == "chunked"


def test_words_arrive_while_the_model_speaks(serve: Serve) -> None:
    served = serve(["One ", Pause(1), "two."])
    heard = threading.Event()

    async def until_heard(_: float) -> None:
        assert await asyncio.to_thread(heard.wait, 30), "the first word has not arrived"

    served.model._sleep = until_heard

    with served.telling("Count") as stream:
        stream.until("text", text="One ")
        heard.set()
        events = stream.until("reply")

    assert told_text(events) == "two."


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("text/html, */*;q=0.1", "application/json"),
        ("text/event-stream", EVENTS),
        ("text/*", EVENTS),
        ("TEXT/Event-Stream; charset=utf-8", EVENTS),
        ("application/json, text/event-stream", EVENTS),
        ("application/json, text/event-stream;q=0.9", "application/json"),
        ("text/event-stream;q=0.5, application/json;q=0.4", EVENTS),
        ("text/event-stream, */*;q=0", EVENTS),
        ("*/*, application/json;q=0", EVENTS),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", "application/json"),
        ("*", "application/json"),
        ("text/event-stream;q=.3, application/json;q=.25", EVENTS),
        ('application/json;profile="x;q=0"', "application/json"),
        ('text/html;title="a, text/event-stream", application/json', "application/json"),
        (r'application/json;title="\";q=0", text/event-stream;q=0.5', "application/json"),
        ("text/event-stream;q=none", EVENTS),
        ("application/json;q=0.5, text/event-stream;q=2", EVENTS),
    ],
)
def test_the_caller_gets_the_form_it_likes_best(serve: Serve, accept: str | None, form: str) -> None:
    served = serve("Hello.")

    answer = served.say("Hi", **({} if accept is None else {"accept": accept}))

    assert answer.status_code == 200
    assert answer.headers["content-type"] == form


@pytest.mark.parametrize(
    "accept", ["text/html", "application/json;q=0", "*/*;q=0", "*;q=.0", "nonsense", 'image/png;x="*/*, */*"']
)
@pytest.mark.parametrize("path", ["/sessions/chat/messages", "/sessions"])
@pytest.mark.parametrize("prefer", ["wait=5", "respond-async"])
def test_a_form_that_there_is_not_is_406_and_nothing_is_done(serve: Serve, accept: str, path: str, prefer: str) -> None:
    served = serve()

    answer = served.request("POST", path, {"prompt": "Hi"}, accept=accept, prefer=prefer)

    assert (answer.status_code, problem_of(answer)) == (406, "not-acceptable")
    assert answer.json()["offered"] == ["application/json", EVENTS]
    assert served.model.requests == []


def test_where_answers_cannot_be_streamed_only_json_is_offered(serve: Serve) -> None:
    served = serve("Hello.", STREAMING="false")

    refused = served.say("Hi", accept=EVENTS)
    answered = served.say("Hi", accept=f"{EVENTS}, application/json;q=0.1")

    assert (refused.status_code, refused.json()["offered"]) == (406, ["application/json"])
    assert answered.headers["content-type"] == "application/json"


def test_what_is_refused_before_the_turn_s_first_message_keeps_its_status(serve: Serve) -> None:
    served = serve("Hello.", LEASE_WAIT_SECONDS="0")
    owner = served.function.part("doors.caller").owner_of({}, served.function.module.endpoint.settings)
    store = served.function.module.endpoint.store(owner)
    answers = [served.say("", accept=EVENTS), served.request("POST", "/sessions/none/messages", {}, accept=EVENTS)]
    with SessionLease(store, "chat", holder="somebody"):
        answers.append(served.say("Hi", accept=EVENTS))
    served.say("Hi", idempotency_key="one")
    answers.append(served.say("Something else", accept=EVENTS, idempotency_key="one"))
    answers.append(
        served.request(
            "POST",
            "/sessions/chat/messages",
            {"interrupt_responses": [{"interrupt_id": "none", "response": 1}]},
            accept=EVENTS,
        )
    )

    assert [(answer.status_code, problem_of(answer)) for answer in answers] == [
        (422, "invalid-request"),
        (422, "invalid-request"),
        (409, "session-busy"),
        (422, "idempotency-key-reused"),
        (409, "no-interrupt-pending"),
    ]


def test_what_fails_later_ends_the_stream_with_its_problem(serve: Serve) -> None:
    served = serve(["Half an ans", ConnectionError("gone")], "Whole.")

    events = served.tell("Hi")

    assert names(events) == ["turn", "message", "text", "problem"]
    problem = events[-1].data
    assert (problem["status"], problem["session_id"]) == (502, "chat")
    assert problem["type"].endswith("model-failed")
    assert "gone" not in json.dumps(problem)
    assert names(served.tell("Hi again"))[-1] == "reply"


def test_nothing_is_told_before_the_turn_s_first_message_is_stored(serve: Serve) -> None:
    with S3Server(buckets=["sessions"]) as s3:
        served = serve("Hello.", SESSION_STORE="s3://sessions/p", AWS_ENDPOINT_URL_S3=s3.url)
        with served.telling("Hi") as stream:
            assert next(iter(stream)).name == "turn"
            stored = [key for key in s3.objects("sessions") if key.endswith("messages/message_0.json")]
            list(stream)

    assert len(stored) == 1


def test_a_turn_that_is_refused_at_its_first_message_tells_nothing(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve("Hello.")

    with another_writer_comes_first(monkeypatch):
        answer = served.say("Hi", accept=EVENTS)

    assert (answer.status_code, problem_of(answer)) == (409, "session-conflict")
    assert "Nothing of this request was stored" in answer.json()["detail"]
    assert "turn_began" not in answer.json()
    assert served.model.requests == []


def test_a_turn_that_is_overtaken_after_its_first_message_says_that_it_began(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve(*CALCULATION)

    with another_writer_comes_first(monkeypatch, message_id=1):
        events = served.tell("6*7?")

    problem = events[-1].data
    assert (names(events)[-1], problem["type"]) == ("problem", f"{PROBLEM}session-conflict")
    assert "this turn had begun" in problem["detail"]
    assert problem["turn_began"] is True
    assert served.said() == ["user: 6*7?"]


def test_the_reply_is_told_before_the_lease_is_given_back_and_the_stream_ends_after(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve("Hello.")
    has_reply, given_back = threading.Event(), threading.Event()
    release = SessionLease.release

    def release_late(lease: SessionLease, *, whole: bool = True) -> None:
        assert has_reply.wait(30), "the reply waits for the lease"
        release(lease, whole=whole)
        given_back.set()

    monkeypatch.setattr(SessionLease, "release", release_late)
    with httpx.stream(
        "POST", f"{served.url}/sessions/chat/messages", json={"prompt": "Hi"}, headers={"accept": EVENTS}, timeout=60
    ) as response:
        lines = response.iter_lines()
        assert any(line == "event: reply" for line in lines)
        assert not given_back.is_set()
        has_reply.set()
        rest = [line for line in lines if line.startswith("event:")]

    assert rest == []
    assert given_back.is_set()


def test_a_stream_on_which_nothing_happens_is_kept_awake(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    served = serve(["Wait.", Pause(1), " Done."])
    heard = threading.Event()

    async def wait(_seconds: float) -> None:
        assert await asyncio.to_thread(heard.wait, 60)

    monkeypatch.setattr(served.model, "_sleep", wait)
    monkeypatch.setattr(served.function.part("doors.event_stream"), "HEARTBEAT_SECONDS", 0.01)
    lines: list[str] = []

    with httpx.stream(
        "POST", f"{served.url}/sessions/chat/messages", json={"prompt": "Hi"}, headers={"accept": EVENTS}, timeout=60
    ) as response:
        for line in response.iter_lines():
            lines.append(line)
            # The model goes on when three have come, however long that takes.
            if "event: text" in lines and lines[lines.index("event: text") :].count(": heartbeat") >= 3:
                heard.set()

    assert heard.is_set()
    assert "event: reply" in lines


def test_half_a_character_is_never_told(serve: Serve) -> None:
    halves = ["Ready \ud83d", "\ude80 for ", "\U0001f468\u200d", "\U0001f469\u200d\U0001f467", " \ud83d"]
    script = [{"contentBlockDelta": {"delta": {"text": half}}} for half in halves]
    served = serve()
    served.model.stream = told_raw(script)  # type: ignore[method-assign]

    texts = [event.data["text"] for event in served.tell("Hi") if event.name == "text"]

    assert "".join(texts) == "Ready \U0001f680 for \U0001f468\u200d\U0001f469\u200d\U0001f467 \ud83d"
    assert all(not text.endswith("\u200d") for text in texts)
    assert not any("\ud83d" in text for text in texts[:-1])


def told_raw(events: list[Any]) -> Any:
    """A model's ``stream`` that says exactly this."""

    async def stream(*_: Any, **__: Any) -> Any:
        yield {"messageStart": {"role": "assistant"}}
        for event in events:
            yield event
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "end_turn"}}

    return stream


def test_a_streamed_turn_writes_to_s3_what_a_buffered_one_writes(serve: Serve) -> None:
    with S3Server(buckets=["sessions"]) as s3:
        served = serve(*CALCULATION, *CALCULATION, SESSION_STORE="s3://sessions/p", AWS_ENDPOINT_URL_S3=s3.url)
        asked: list[dict[str, int]] = []
        for accept in ("application/json", EVENTS):
            s3.log.take()
            served.say("6*7?", session_id=f"with-{len(accept)}", accept=accept).raise_for_status()
            verbs = [entry.verb for entry in s3.log.take()]
            asked.append({verb: verbs.count(verb) for verb in sorted(set(verbs))})

    assert asked[0] == asked[1]


def test_every_event_that_is_told_is_as_the_contract_says(serve: Serve) -> None:
    document = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text(encoding="utf-8"))
    schemas = document["components"]["schemas"]
    described = {event["title"]: event["properties"] for event in schemas["TurnEvent"]["oneOf"]}
    served = serve(*CALCULATION, ConnectionError("gone"))
    told = served.tell("6*7?")
    place = f"/sessions/chat/turns/{told[0].data['turn_id']}"
    with served.open("GET", place) as stream:
        followed = list(stream)

    failed = served.tell("Fail")
    graph = serve(build_agent=chain(models(a="One.", b="Two."))).tell("Go", session_id="graph")
    events = [*told, *followed, *failed, *graph]

    assert {event.name for event in events} == set(described)
    for event in events:
        members = described[event.name]
        reference = members["data"]["contentSchema"]["$ref"]
        Draft202012Validator({**document, "$ref": reference}).validate(event.data)
        assert set(event.data) <= set(schemas[reference.rpartition("/")[2]]["properties"])
        if "id" in members:
            Draft202012Validator(members["id"]).validate(event.id)


def test_a_stream_is_told_to_hold_these_events(serve: Serve) -> None:
    document = serve().request("GET", "/openapi.json").json()

    streams = [
        answer["content"]["text/event-stream"]["schema"]
        for methods in document["paths"].values()
        for operation in methods.values()
        for answer in operation["responses"].values()
        if "text/event-stream" in answer.get("content", {})
    ]

    assert streams == [{"$ref": "#/components/schemas/TurnEvents"}] * 3
    stream = document["components"]["schemas"]["TurnEvents"]
    assert (stream["type"], stream["contentMediaType"]) == ("string", "text/event-stream")
    assert stream["contentSchema"]["items"] == {"$ref": "#/components/schemas/TurnEvent"}
