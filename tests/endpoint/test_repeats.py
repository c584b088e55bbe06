"""One request sent more than once: one turn, one reply."""

import base64
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from strands import Agent, ToolContext, tool

from agent_sessions.lease import SessionLease
from agent_sessions.s3_session_manager import S3SessionManager
from agent_sessions.session_store import S3SessionStore, SessionStore
from local.server import LocalServer
from tests.doubles.s3_server import Fault, S3Server
from tests.doubles.scripted_model import Pause, ScriptedModel, tool_use
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.function import ALICE, BOB, Answer, Context, Function, text_of
from tests.endpoint.test_interrupts import asking_agent
from tests.endpoint.test_local_run import Running, start

Scripted = Callable[..., tuple[Function, ScriptedModel]]

#: A request that hangs in these tests hangs until it is let go. The machine may be busy.
NOT_FOR_EVER = 20
KEYED: Any = {"headers": {"idempotency-key": "5f1d-request-1"}}
SESSION = "/sessions/chat/messages"


def said(function: Function, session_id: str = "chat") -> list[str]:
    """The conversation as its owner reads it."""
    page = function.http("GET", f"/sessions/{session_id}/messages").json
    return [f"{item['message']['role']}: {text_of(item)}" for item in page["messages"]]


def test_a_repeat_gets_the_reply_that_is_stored_and_no_model_is_called(scripted: Scripted) -> None:
    function, model = scripted(["Let me see. ", tool_use("calculator", expression="6*7")], "Forty two.", "Fine.")
    function.reply("Before")  # the first reply asks for the tool
    first = function.reply("6*7?", **KEYED)
    called = len(model.requests)

    function.cold_start()
    again = function.reply("6*7?", **KEYED)

    assert again == first
    assert len(model.requests) == called
    assert said(function).count("user: 6*7?") == 1


def test_a_repeat_after_later_turns_gets_its_own_reply(scripted: Scripted) -> None:
    function, _ = scripted("One.", "Two.", "Three.", AGENT_WINDOW_MESSAGES="2")
    first = function.reply("1", **KEYED)
    function.reply("2")
    function.reply("3", headers={"idempotency-key": "another"})

    assert function.reply("1", **KEYED) == first


def test_the_same_key_for_something_else_is_refused(scripted: Scripted) -> None:
    function, model = scripted("One.", "Two.")
    function.reply("1", **KEYED)

    refused = function.say("2", **KEYED)

    assert (refused.status, refused.problem) == (422, "idempotency-key-reused")
    assert len(model.requests) == 1
    assert said(function) == ["user: 1", "assistant: One."]


def test_a_key_means_one_session_of_one_owner(scripted: Scripted) -> None:
    function, _ = scripted("One.", "Two.", "Three.")

    replies = [
        text_of(function.reply("1", **KEYED)),
        text_of(function.reply("1", "other", **KEYED)),
        text_of(function.reply("1", caller=BOB, **KEYED)),
    ]

    assert replies == ["One.", "Two.", "Three."]


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_a_key_that_is_none_is_refused(scripted: Scripted, key: str) -> None:
    function, model = scripted("One.")

    assert function.say("1", headers={"idempotency-key": key}).status == 422
    assert model.requests == []


def test_a_new_session_is_made_once(scripted: Scripted) -> None:
    function, model = scripted("One.", "Two.")

    def begin(caller: Any = ALICE) -> Answer:
        return function.http("POST", "/sessions", {"prompt": "1"}, caller=caller, **KEYED)

    first, again, another = begin(), begin(), begin(BOB)

    assert (first.status, again.status) == (201, 201)
    assert again.json == first.json
    assert again.headers["location"] == first.headers["location"]
    assert another.json["session_id"] != first.json["session_id"]
    assert re.fullmatch(r"[0-9a-f]{32}", first.json["session_id"])
    assert len(model.requests) == 2


def test_a_turn_that_failed_is_continued(scripted: Scripted) -> None:
    function, model = scripted(OSError("no route"), "At last.")

    failed = function.say("1", **KEYED)
    again = function.reply("1", **KEYED)

    assert failed.problem == "model-failed"
    assert text_of(again) == "At last."
    assert said(function) == ["user: 1", "assistant: At last."]
    assert function.reply("1", **KEYED) == again
    assert len(model.requests) == 2


def test_a_turn_whose_question_was_closed_meanwhile_is_taken_anew(scripted: Scripted) -> None:
    function, _ = scripted(OSError("no route"), "Something else.", "At last.")
    function.say("1", **KEYED)
    function.reply("2")

    assert text_of(function.reply("1", **KEYED)) == "At last."


def test_tools_know_the_turn_they_work_for_when_it_is_continued(scripted: Scripted) -> None:
    worked_for: list[str] = []
    function, _ = scripted(tool_use("work"), OSError("no route"), "Done.")

    def build(session_manager: Any, settings: Any) -> Any:
        from strands import Agent, ToolContext, tool

        from lambda_src.models.providers import build_model

        @tool(context=True)
        def work(tool_context: ToolContext) -> str:
            """Work."""
            worked_for.append(tool_context.invocation_state["turn_id"])
            return "done"

        return Agent(
            agent_id=settings.agent_id,
            model=build_model(settings),
            tools=[work],
            session_manager=session_manager,
            callback_handler=None,
            retry_strategy=None,
        )

    function.build_agent = build
    function.say("1", **KEYED)
    function.reply("1", **KEYED)
    (first,) = worked_for

    # The same as the log says, so that a tool's own record of its work can be compared with the session.
    stored = next(Path(function.environment["SESSION_STORE"].removeprefix("file://")).rglob("message_0.json"))
    assert f'"id": "{first}"' in stored.read_text()


def test_a_question_of_the_agent_is_asked_again_and_its_answer_counts_once(scripted: Scripted) -> None:
    function, model = scripted(tool_use("delete_file", name="a"), "It is gone.")
    function.build_agent = asking_agent
    asked = function.reply("Delete a.", **KEYED)
    (interrupt,) = asked["interrupts"]

    asked_again = function.reply("Delete a.", **KEYED)
    body = {"interrupt_responses": [{"interrupt_id": interrupt["interrupt_id"], "response": "yes"}]}
    answer: Any = {"headers": {"idempotency-key": "answer-1"}}
    done = function.http("POST", SESSION, body, **answer)
    done_again = function.http("POST", SESSION, body, **answer)

    assert asked_again == asked
    assert (done.status, done_again.status) == (200, 200)
    assert done_again.json == done.json
    assert text_of(done.json) == "It is gone."
    assert function.reply("Delete a.", **KEYED) == asked
    assert len(model.requests) == 2


def test_a_refusal_of_files_is_repeated(scripted: Scripted) -> None:
    from botocore.exceptions import ClientError

    refusal = ClientError(
        {"Error": {"Code": "ValidationException", "Message": "Could not process image"}}, "ConverseStream"
    )
    function, model = scripted(refusal, "What image?")
    image = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)).decode()
    prompt = [{"text": "What is this?"}, {"image": {"format": "png", "source": {"bytes": image}}}]

    first, again = function.say(prompt, **KEYED), function.say(prompt, **KEYED)

    assert first.problem == again.problem == "prompt-refused"
    assert again.json["detail"] == first.json["detail"]
    assert len(model.requests) == 1


def test_an_answer_cut_short_by_the_models_limit_is_repeated(scripted: Scripted) -> None:
    from tests.doubles.scripted_model import Stop

    function, model = scripted(["A long st", Stop("max_tokens")])
    first = function.reply("Tell me a story.", **KEYED)

    assert first["stop_reason"] == "max_tokens"
    assert function.reply("Tell me a story.", **KEYED) == first
    assert len(model.requests) == 1


def test_what_ran_out_of_time_is_answered_by_the_repeat(scripted: Scripted) -> None:
    function, _ = scripted(DEADLINE_MARGIN_SECONDS="2")
    function.models["script"] = ScriptedModel(["Much ", Pause(0.5), "too ", Pause(5), "late."])
    late = function.say("1", context=Context(remaining_seconds=2.3), **KEYED)
    function.models["script"] = ScriptedModel("In time.")

    again = function.reply("1", **KEYED)

    assert (late.status, late.problem) == (504, "out-of-time")
    assert text_of(again) == "In time."
    assert function.reply("1", **KEYED) == again


def test_a_turn_of_strands_own_manager_in_between_does_not_hide_the_reply(scripted: Scripted, tmp_path: Path) -> None:
    from strands import Agent
    from strands.session.file_session_manager import FileSessionManager

    function, model = scripted("One.")
    first = function.reply("1", **KEYED)
    (folder,) = [path.parents[1] for path in (tmp_path / "sessions").rglob("session_chat/session.json")]
    theirs = FileSessionManager("chat", storage_dir=str(folder))
    Agent(agent_id="default", model=ScriptedModel("Theirs."), session_manager=theirs, callback_handler=None)("Hi")

    again = function.reply("1", **KEYED)

    assert again["message"] == first["message"]
    assert len(model.requests) == 1


def test_a_plain_event_that_is_retried_gets_the_stored_reply(scripted: Scripted) -> None:
    function, model = scripted("One.")
    event = {"owner": "nightly", "session_id": "chat", "request_id": "execution-1", "prompt": "1"}

    assert function.invoke(event) == function.invoke(event)
    assert len(model.requests) == 1


# --- while another is at work ---------------------------------------------------------------------------------


def test_who_is_refused_is_told_by_whom_and_when_to_come_back(scripted: Scripted, tmp_path: Path) -> None:
    function, model = scripted("One.", LEASE_WAIT_SECONDS="0")
    function.cold_start()
    event = {"requestContext": {"authorizer": ALICE.authorizer()}}
    owner = function.part("doors.caller").owner_of(event, function.module.endpoint.settings)
    store = SessionStore.from_url(function.environment["SESSION_STORE"]).for_owner(owner)

    with SessionLease(store, "chat", holder="request 4711"):
        refused = function.say("1")
    after = function.reply("1")

    assert (refused.status, refused.problem) == (409, "session-busy")
    assert int(refused.headers["retry-after"]) >= 1
    assert "request 4711" in refused.json["detail"]
    assert text_of(after) == "One."
    assert len(model.requests) == 1


def test_waiting_for_another_never_outlasts_the_function(scripted: Scripted) -> None:
    function, model = scripted(LEASE_WAIT_SECONDS="30", DEADLINE_MARGIN_SECONDS="1")
    function.cold_start()
    event = {"requestContext": {"authorizer": ALICE.authorizer()}}
    owner = function.part("doors.caller").owner_of(event, function.module.endpoint.settings)
    store = SessionStore.from_url(function.environment["SESSION_STORE"]).for_owner(owner)
    began = time.monotonic()

    with SessionLease(store, "chat", holder="request 4711"):
        refused = function.say("1", context=Context(remaining_seconds=1.5))

    assert refused.problem == "session-busy"
    assert time.monotonic() - began < 1.5
    assert model.requests == []


def test_many_requests_with_one_key_over_http_are_one_turn(scripted: Scripted) -> None:
    function, model = scripted(["One ", Pause(0.3), "turn."], LEASE_WAIT_SECONDS="5")
    handler = function.cold_start().lambda_handler
    server = LocalServer(0)
    server.serve(with_caller(handler))
    at_once = threading.Barrier(20)

    def send(_: int) -> tuple[int, bytes, str | None]:
        connection = HTTPConnection("127.0.0.1", server.server_address[1], timeout=60)
        at_once.wait()
        headers = {"content-type": "application/json", "Idempotency-Key": "one"}
        connection.request("POST", SESSION, b'{"prompt": "1"}', headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, body, response.getheader("retry-after")

    try:
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(send, range(20)))
    finally:
        server.stop()

    assert len(model.requests) == 1
    assert {status for status, _, _ in answers} <= {200, 409}
    replies = {body for status, body, _ in answers if status == 200}
    assert len(replies) == 1
    assert all(retry_after for status, _, retry_after in answers if status == 409)
    assert said(function) == ["user: 1", "assistant: One turn."]


def with_caller(handler: Any) -> Callable[[dict[str, Any], Any], Any]:
    """The local server vouches for nobody: add whom IAM would."""

    def handle(event: dict[str, Any], context: Any) -> Any:
        event["requestContext"]["authorizer"] = ALICE.authorizer()
        return handler(event, context)

    return handle


def test_a_reply_that_did_not_arrive_is_there_in_the_next_process(tmp_path: Path) -> None:
    variables = {"STORE": f"file://{tmp_path / 'sessions'}", "MODEL": "offline"}
    headers = {"content-type": "application/json", "Idempotency-Key": "one"}
    first = Running(start(tmp_path, variables))
    try:
        connection = HTTPConnection("127.0.0.1", first.port, timeout=60)
        connection.request("POST", "/sessions/demo/messages", b'{"prompt": "My name is Ada."}', headers)
        assert connection.sock is not None
        connection.sock.close()  # the caller hangs up before the answer
        assert first.says("turn completed")
    finally:
        first.process.kill()
        first.process.wait()

    second = Running(start(tmp_path, variables))
    try:
        connection = HTTPConnection("127.0.0.1", second.port, timeout=60)
        connection.request("POST", "/sessions/demo/messages", b'{"prompt": "My name is Ada."}', headers)
        status = connection.getresponse().status
        count = second.ask("GET", "/sessions/demo")[1]["agents"][0]["message_count"]
    finally:
        second.end()

    assert status == 200
    assert count == 2


# --- when S3 misbehaves ---------------------------------------------------------------------------------------


@pytest.fixture
def on_s3() -> Any:
    with S3Server(buckets=["sessions"]) as s3:
        environment = {**CREDENTIALS, "SESSION_STORE": "s3://sessions/p", "AWS_ENDPOINT_URL_S3": s3.url}
        function = Function({**environment, "AGENT_MODEL": "scripted:script", "LEASE_WAIT_SECONDS": "0"})
        function.models["script"] = ScriptedModel(otherwise="Fine.")
        function.cold_start()
        # The waits between two tries are botocore's; here they only take time.
        yield function, s3


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "error", "code": "SlowDown"},
        {"action": "error", "code": "InternalError"},
        {"action": "drop"},
        {"action": "drop", "applied": True},
    ],
    ids=["SlowDown", "InternalError", "dropped before", "dropped after"],
)
@pytest.mark.parametrize("key", ["*/lease.json", "*/agent.json", "*/message_0.json", "*/message_1.json"])
def test_a_failure_that_passes_costs_nothing_but_time(on_s3: Any, fault: dict[str, Any], key: str) -> None:
    function, s3 = on_s3
    s3.faults.add(Fault(verb="PUT", key=key, **fault))

    first = function.reply("1", **KEYED)
    second = function.reply("2")

    assert (text_of(first), text_of(second)) == ("Fine.", "Fine.")
    assert said(function) == ["user: 1", "assistant: Fine.", "user: 2", "assistant: Fine."]
    assert not [name for name in s3.objects("sessions") if "lease" in name]


@pytest.mark.parametrize("name", ["lease.json", "session.json", "agent.json", "message_0.json", "message_1.json"])
def test_a_failure_that_lasts_is_told_and_the_repeat_ends_as_one_turn(on_s3: Any, name: str) -> None:
    function, s3 = on_s3
    s3.faults.add(Fault("error", verb="PUT", key=f"*/{name}", times=None, code="SlowDown"))

    refused = function.say("1", **KEYED)
    s3.faults.clear()
    again = function.reply("1", **KEYED)

    assert (refused.status, refused.problem) == (503, "storage-failed")
    assert refused.headers["retry-after"]
    assert text_of(again) == "Fine."
    assert said(function) == ["user: 1", "assistant: Fine."]


def test_a_storage_that_does_not_answer_does_not_outlast_the_function(on_s3: Any) -> None:
    function, s3 = on_s3
    function.environment["DEADLINE_MARGIN_SECONDS"] = "1"
    function.cold_start()
    silent = s3.faults.add(Fault("hold", verb="PUT", key="*/message_0.json", times=None))
    began = time.monotonic()

    late = function.say("1", context=Context(remaining_seconds=3), **KEYED)
    took = time.monotonic() - began
    s3.faults.clear()
    after = function.reply("2")

    assert (late.status, late.problem) == (504, "out-of-time")
    assert took < NOT_FOR_EVER
    assert silent.arrived.is_set()
    assert text_of(after) == "Fine."


@pytest.mark.parametrize("path", ["/sessions/chat", "/sessions/chat/messages", "/sessions"])
def test_who_reads_is_told_in_time_that_the_storage_does_not_answer(on_s3: Any, path: str) -> None:
    function, s3 = on_s3
    function.environment["DEADLINE_MARGIN_SECONDS"] = "1"
    function.cold_start()
    function.reply("1")
    silent = s3.faults.add(Fault("hold", times=None))
    began = time.monotonic()

    late = function.http("GET", path, context=Context(remaining_seconds=2))
    took = time.monotonic() - began
    s3.faults.clear()

    assert (late.status, late.problem) == (504, "out-of-time")
    assert took < NOT_FOR_EVER
    assert silent.fired
    assert function.http("GET", path).status == 200


@pytest.mark.parametrize(
    ("verb", "name"),
    [("PUT", "lease.json"), ("DELETE", "lease.json"), ("PUT", "agent.json"), ("GET", "session.json")],
)
def test_the_reply_comes_before_the_function_is_killed_whatever_hangs(on_s3: Any, verb: str, name: str) -> None:
    function, s3 = on_s3
    function.environment |= {"DEADLINE_MARGIN_SECONDS": "1", "LEASE_WAIT_SECONDS": "5"}
    function.cold_start()
    function.reply("1")
    s3.faults.add(Fault("hold", verb=verb, key=f"*/{name}", times=None))
    began = time.monotonic()

    answer = function.say("2", context=Context(remaining_seconds=3), **KEYED)
    took = time.monotonic() - began
    s3.faults.clear()

    assert answer.status in {200, 504}
    assert took < NOT_FOR_EVER
    s3.clock.set(time.time() + 60)  # whatever lease was left has run out
    assert text_of(function.reply("2", **KEYED)) == "Fine."
    assert said(function).count("user: 2") == 1 or answer.status == 504


def test_a_whole_turn_whose_record_was_not_written_is_not_taken_again_after_another_ones(on_s3: Any) -> None:
    function, s3 = on_s3
    function.reply("hi")
    s3.faults.add(Fault("error", verb="PUT", key="*/agent.json", times=None, code="SlowDown"))
    assert function.say("pay 100", **KEYED).status == 503
    s3.faults.clear()
    function.reply("weather?")
    called = len(function.models["script"].requests)

    again = function.reply("pay 100", **KEYED)

    assert text_of(again) == "Fine."
    assert len(function.models["script"].requests) == called
    assert said(function).count("user: pay 100") == 1
    assert function.say("pay 200", **KEYED).problem == "idempotency-key-reused"


def test_a_repeat_whose_turn_was_cut_off_unseen_begins_once_more_and_finds_it(on_s3: Any) -> None:
    """Nobody left a note of it with the lease: what the repeat meets is its own prompt, where it was to store one."""
    function, s3 = on_s3
    function.reply("hi")
    s3.faults.add(Fault("error", verb="PUT", key="*/agent.json", times=None, code="SlowDown"))
    assert function.say("pay 100", **KEYED).status == 503
    s3.faults.clear()
    (lease,) = [key for key in s3.objects("sessions") if key.endswith("lease.json")]
    s3.client().delete_object(Bucket="sessions", Key=lease)

    again = function.reply("pay 100", **KEYED)

    assert text_of(again) == "Fine."
    assert said(function) == ["user: hi", "assistant: Fine.", "user: pay 100", "assistant: Fine."]
    called = len(function.models["script"].requests)
    assert function.reply("pay 100", **KEYED) == again
    assert len(function.models["script"].requests) == called


def test_another_prompt_with_a_key_goes_on_behind_a_turn_that_was_cut_off_unseen(on_s3: Any) -> None:
    function, s3 = on_s3
    function.reply("hi")
    s3.faults.add(Fault("error", verb="PUT", key="*/agent.json", times=None, code="SlowDown"))
    assert function.say("pay 100").status == 503
    s3.faults.clear()
    (lease,) = [key for key in s3.objects("sessions") if key.endswith("lease.json")]
    s3.client().delete_object(Bucket="sessions", Key=lease)

    reply = function.reply("weather?", **KEYED)

    assert reply["restored_messages"] == 4
    prompts = [line for line in said(function) if line.startswith("user")]
    assert prompts == ["user: hi", "user: pay 100", "user: weather?"]


@pytest.mark.parametrize("options", [{}, KEYED], ids=["no key", "a key"])
def test_a_turn_that_another_writer_has_overtaken_begins_once_more(on_s3: Any, options: Any) -> None:
    """The other one has no lease, and comes between this turn's restore and its first message."""
    function, s3 = on_s3
    function.reply("hi")
    (record,) = [key for key in s3.objects("sessions") if key.endswith("session.json")]
    overtaken: list[Any] = []

    def build(session_manager: Any, settings: Any) -> Any:
        agent = default_agent(session_manager, settings)
        if not overtaken:
            other = S3SessionManager("chat", "sessions", prefix=record.split("/session_")[0], client=s3.client())
            overtaken.append(Agent(model=ScriptedModel("Theirs."), session_manager=other, callback_handler=None))
            overtaken[0]("from elsewhere")
        return agent

    default_agent = function.part("agent").build_agent
    function.part("agent").build_agent = build

    reply = function.reply("ours", **options)

    assert reply["restored_messages"] == 4
    assert said(function)[2:] == ["user: from elsewhere", "assistant: Theirs.", "user: ours", "assistant: Fine."]


def elsewhere_on(s3: S3Server, *script: Any) -> Agent:
    """The agent of the session \"chat\", opened by somebody who takes no lease."""
    (record,) = [key for key in s3.objects("sessions") if key.endswith("session.json")]
    manager = S3SessionManager("chat", "sessions", prefix=record.split("/session_")[0], client=s3.client())
    return Agent(
        agent_id="default", model=ScriptedModel(*script), session_manager=manager, tools=[], callback_handler=None
    )


@pytest.mark.parametrize("options", [{}, KEYED], ids=["no key", "a key"])
def test_a_turn_whose_tool_has_run_does_not_begin_once_more(
    on_s3: Any, options: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The turn answers an interrupt, so it has no message to tell; its tool acts, and asks again."""
    function, s3 = on_s3
    paid: list[str] = []

    @tool(context=True)
    def pay(tool_context: ToolContext) -> str:
        """Pay."""
        tool_context.interrupt("sure")
        paid.append("100")
        meddling = elsewhere_on(s3)
        meddling.state.set("meddled", len(paid))
        meddling._session_manager.sync_agent(meddling)  # type: ignore[union-attr] # it has one
        tool_context.interrupt("really")
        return "paid"

    def build(session_manager: Any, settings: Any) -> Any:
        agent = default_agent(session_manager, settings)
        agent.tool_registry.register_tool(pay)
        return agent

    default_agent = function.part("agent").build_agent
    function.part("agent").build_agent = build
    function.models["script"] = ScriptedModel(tool_use("pay"), otherwise="Fine.")
    (asked,) = function.reply("pay 100")["interrupts"]
    answers = [{"interrupt_id": asked["interrupt_id"], "response": "yes"}]

    refused = function.http("POST", SESSION, {"interrupt_responses": answers}, **options)

    assert (refused.status, refused.problem) == (409, "session-conflict")
    assert "its tools may have run" in refused.json["detail"]
    assert (refused.json["turn_began"], refused.headers.get("retry-after")) == (True, None)
    assert paid == ["100"]
    assert '"TurnsCutOff":1' in capsys.readouterr().out.splitlines()[-1]


def test_a_prompt_with_a_key_that_is_stored_is_answered_whatever_stands_before_it(on_s3: Any) -> None:
    """The reply before it was in a copy alone, and a guest's message stands in its place."""
    function, s3 = on_s3
    reply_behind_record(function, s3, "hi")
    (reply,) = [key for key in s3.objects("sessions") if key.endswith("message_1.json")]
    record = json.loads(s3.objects("sessions")[reply])
    del record["kit"]
    record["message"] = {"role": "user", "content": [{"text": "a guest"}]}
    s3.client().put_object(Bucket="sessions", Key=reply, Body=json.dumps(record).encode())

    assert text_of(function.reply("pay 100", **KEYED)) == "Fine."

    assert said(function) == ["user: hi", "user: a guest", "user: pay 100", "assistant: Fine."]


@pytest.mark.parametrize("options", [{}, KEYED], ids=["no key", "a key"])
def test_a_turn_that_ended_while_the_lease_was_being_taken_is_gone_on_behind(on_s3: Any, options: Any) -> None:
    """What the session holds is asked for beside the lease: here the lease is answered late."""
    function, s3 = on_s3
    function.reply("hi")
    function.reply("hi again")  # a process asks ahead when it has restored something
    (record,) = [key for key in s3.objects("sessions") if key.endswith("session.json")]
    other = S3SessionManager("chat", "sessions", prefix=record.split("/session_")[0], client=s3.client())
    elsewhere = Agent(model=ScriptedModel("Theirs."), session_manager=other, callback_handler=None)
    s3.log.take()
    s3.faults.add(Fault("hold", verb="PUT", key="*/lease.json", times=None))

    with ThreadPoolExecutor(1) as threads:
        taken = threads.submit(function.reply, "ours", **options)
        assert s3.log.wait_for(lambda entries: {"agent.json", "history.json"} <= names_read(entries))
        elsewhere("from elsewhere")
        s3.faults.clear()
        reply = taken.result()

    assert reply["restored_messages"] == 6
    assert said(function)[4:] == ["user: from elsewhere", "assistant: Theirs.", "user: ours", "assistant: Fine."]


@pytest.mark.parametrize("options", [{}, KEYED], ids=["no key", "a key"])
def test_a_session_that_was_erased_while_the_lease_was_being_taken_begins_anew(on_s3: Any, options: Any) -> None:
    function, s3 = on_s3
    function.reply("hi")
    function.reply("hi again")
    s3.log.take()
    s3.faults.add(Fault("hold", verb="PUT", key="*/lease.json", times=None))

    with ThreadPoolExecutor(1) as threads:
        taken = threads.submit(function.reply, "ours", **options)
        assert s3.log.wait_for(lambda entries: {"agent.json", "history.json"} <= names_read(entries))
        (record,) = [key for key in s3.objects("sessions") if key.endswith("session.json")]
        store = S3SessionStore(s3.client(), "sessions", record.split("/session_")[0])
        store.delete_session("chat")
        s3.faults.clear()
        reply = taken.result()

    assert reply["restored_messages"] == 0
    assert said(function) == ["user: ours", "assistant: Fine."]


def names_read(entries: Any) -> set[str]:
    return {entry.key.rsplit("/", 1)[-1] for entry in entries if entry.verb == "GET"}


def reply_behind_record(function: Any, s3: Any, prompt: str, reply: str = "message_1.json", **options: Any) -> Any:
    """Take a turn whose reply is stored after the agent's record, which has a copy of it: else it may come first."""
    held = s3.faults.add(Fault("hold", verb="PUT", key=f"*/{reply}"))
    written = 2 if reply == "message_1.json" else 1  # the first turn creates the record
    s3.faults.add(
        Fault("call", verb="PUT", key="*/agent.json", nth=written, applied=True, callback=lambda _: held.release())
    )
    answer = function.reply(prompt, **options)
    s3.faults.clear()
    return answer


@pytest.mark.parametrize("options", [{}, KEYED], ids=["no key", "a key"])
def test_a_turn_reads_four_objects_with_a_key_and_without(on_s3: Any, options: Any) -> None:
    function, s3 = on_s3
    function.reply("hi")
    # A client that restores for the first time asks for one thing after the other.
    reply_behind_record(function, s3, "hello", "message_3.json")
    s3.log.take()

    function.reply("pay 100", **options)

    read = [entry.key.rsplit("/", 1)[-1] for entry in s3.log.take() if entry.verb == "GET"]
    assert sorted(read) == ["agent.json", "history.json", "message_3.json", "session.json"]


def test_a_repeat_costs_what_the_page_on_concurrency_says(on_s3: Any) -> None:
    function, s3 = on_s3
    function.reply("hi")
    reply_behind_record(function, s3, "pay 100", "message_3.json", **KEYED)
    s3.log.take()

    function.reply("pay 100", **KEYED)

    sent = Counter(entry.verb for entry in s3.log.take())
    assert sent == {"PUT": 1, "GET": 7, "DELETE": 1}


def test_a_reply_whose_last_message_is_in_a_copy_alone_is_found(on_s3: Any) -> None:
    function, s3 = on_s3
    first = reply_behind_record(function, s3, "pay 100", **KEYED)
    (last,) = [key for key in s3.objects("sessions") if key.endswith("message_1.json")]
    s3.client().delete_object(Bucket="sessions", Key=last)  # as if its writer had died behind the agent's record

    assert function.reply("pay 100", **KEYED) == first


def test_a_reply_is_found_behind_a_turn_of_strands_and_one_of_the_kit(on_s3: Any) -> None:
    from strands.session.s3_session_manager import S3SessionManager as StrandsS3SessionManager

    function, s3 = on_s3
    function.reply("pay 100", **KEYED)
    (record,) = [key for key in s3.objects("sessions") if key.endswith("session.json")]
    manager = StrandsS3SessionManager("chat", "sessions", prefix=record.split("/session_")[0], **s3_options(s3))
    Agent(model=ScriptedModel("Guest."), agent_id="default", session_manager=manager, callback_handler=None)("a guest")
    function.reply("weather?")
    called = len(function.models["script"].requests)

    again = function.reply("pay 100", **KEYED)

    assert text_of(again) == "Fine."
    assert len(function.models["script"].requests) == called


def s3_options(s3: S3Server) -> dict[str, Any]:
    import boto3

    session = boto3.Session(aws_access_key_id="any", aws_secret_access_key="any", region_name="us-east-1")
    return {"boto_session": session, "endpoint_url": s3.url}


def test_another_message_in_the_replys_place_is_never_the_reply(on_s3: Any) -> None:
    function, s3 = on_s3
    function.reply("question of A", **KEYED)
    (key,) = [key for key in s3.objects("sessions") if key.endswith("message_1.json")]
    record = json.loads(s3.objects("sessions")[key])
    record["message"] = {"role": "user", "content": [{"text": "B: my PIN is 1234"}]}
    s3.client().put_object(Bucket="sessions", Key=key, Body=json.dumps(record).encode())

    again = function.say("question of A", **KEYED)

    assert "1234" not in again.text
    assert text_of(again.json) == "Fine."


def test_a_turn_that_was_cancelled_is_not_an_answer_though_its_record_was_not_written(on_s3: Any) -> None:
    function, s3 = on_s3
    function.environment |= {"DEADLINE_MARGIN_SECONDS": "2", "LEASE_WAIT_SECONDS": "5"}
    function.cold_start()
    function.reply("hi")
    slowly = [part for word in range(40) for part in (Pause(0.1), f"w{word} ")]
    function.models["script"] = ScriptedModel(slowly, otherwise="Fine.")
    s3.faults.add(Fault("error", verb="PUT", key="*/agent.json", times=None, code="SlowDown"))

    late = function.say("think hard", context=Context(remaining_seconds=4), **KEYED)
    s3.faults.clear()
    before = said(function)
    again = function.reply("think hard", **KEYED)

    assert late.status in {503, 504}
    assert "Cancelled" in before[-1]
    assert text_of(again) == "Fine."


def test_the_same_key_for_another_agent_of_the_session_is_refused(scripted: Scripted) -> None:
    function, model = scripted("One.", "Two.")

    def begin(**body: Any) -> Answer:
        return function.http("POST", "/sessions", {"prompt": "1", **body}, **KEYED)

    assert begin().status == 201
    refused = begin(agent_id="other")

    assert (refused.status, refused.problem) == (422, "idempotency-key-reused")
    assert len(model.requests) == 1
