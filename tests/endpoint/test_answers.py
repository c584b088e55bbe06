"""What a caller is told when there is no reply, and that the session works after each of these answers."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from agent_sessions.exceptions import (
    SessionBusyError,
    SessionConflictError,
    SessionCorruptError,
    SessionStorageError,
)
from tests.doubles.bedrock_faults import (
    BedrockFault,
    model_access_denied,
    throttled,
    use_case_not_submitted,
)
from tests.doubles.bedrock_server import BedrockServer, HangUp, Stop, tool_use
from tests.doubles.script import ScriptItem
from tests.doubles.scripted_model import ScriptedModel, overflow
from tests.endpoint.function import Answer, Context, Function, http_event, text_of
from tests.endpoint.test_conversation import PNG, on_bedrock

Scripted = Callable[..., tuple[Function, ScriptedModel]]

REFUSED = "Another request wrote to this session first. Nothing of this request was stored; send it again."
CUT_SHORT = (
    "Another request wrote to this session after this turn had begun. What the turn has stored stays, and its tools "
    "may have run. Read the conversation before you send the request again."
)

MODEL_FAULTS: dict[str, tuple[ScriptItem, int, str]] = {
    "throttled": (throttled(), 429, "model-throttled"),
    "throttled in the stream": (["Half an ans", throttled()], 429, "model-throttled"),
    "not ready": (BedrockFault("ModelNotReadyException", "Model is not ready."), 429, "model-throttled"),
    "no access": (model_access_denied(), 502, "model-access"),
    "form not filled in": (use_case_not_submitted(), 502, "model-access"),
    "internal error": (BedrockFault("InternalServerException", "Something broke."), 502, "model-failed"),
    "error in the stream": (
        ["Half an ans", BedrockFault("ModelStreamErrorException", "Stream broke.")],
        502,
        "model-failed",
    ),
    "connection lost": (["Half an ans", ConnectionError()], 502, "model-failed"),
}


@pytest.mark.parametrize("kind", MODEL_FAULTS)
def test_each_failure_of_the_model_has_its_answer_and_leaves_a_session_that_works(
    kind: str, store: dict[str, str]
) -> None:
    fault, status, problem = MODEL_FAULTS[kind]
    with BedrockServer("Hello Ada.", fault, "You are Ada.", strict_roles=True) as bedrock:
        function = on_bedrock(bedrock, store)
        function.reply("My name is Ada.")

        failed = function.say("Who am I?")
        function.cold_start()
        after = function.reply("Again: who am I?")

        assert (failed.status, failed.problem) == (status, problem)
        assert failed.json["session_id"] == "chat"
        assert failed.json["request_id"] == Context().aws_request_id
        assert ("retry-after" in failed.headers) == (status == 429)
        assert text_of(after) == "You are Ada."
        assert after["restored_messages"] == 3
        assert bedrock.requests[-1].texts[0] == "My name is Ada."


def test_files_the_model_refuses_are_not_shown_to_it_again(store: dict[str, str]) -> None:
    refused = BedrockFault("ValidationException", "The model returned the following errors: Could not process image")
    with BedrockServer(refused, "What image?", "And on.", strict_roles=True) as bedrock:
        function = on_bedrock(bedrock, store)
        image = {"image": {"format": "png", "source": {"bytes": PNG}}}

        failed = function.say([{"text": "What is this?"}, image])
        function.cold_start()
        after = function.reply("Well?")

        assert (failed.status, failed.problem) == (422, "prompt-refused")
        assert bedrock.requests[0].messages[0]["content"][1] == image
        assert bedrock.requests[1].texts[:2] == ["What is this?", "(Image removed: the model refused it.)"]
        assert after["restored_messages"] == 1
        # The conversation keeps what was said, and says that it was refused.
        asked = function.http("GET", "/sessions/chat/messages").json["messages"][0]
        assert (asked["message"]["content"][1], asked["refused"]) == (image, True)
        assert text_of(function.reply("Go on.")) == "And on."


@pytest.mark.parametrize(
    "message",
    [
        "The provided model identifier is invalid.",
        "Invocation of model ID x with on-demand throughput isn\u2019t supported. Retry with an inference profile.",
    ],
)
def test_files_stay_when_the_model_itself_is_the_problem(message: str, file_store: dict[str, str]) -> None:
    with BedrockServer(BedrockFault("ValidationException", message), "A dot.") as bedrock:
        function = on_bedrock(bedrock, file_store)

        failed = function.say([{"text": "This?"}, {"image": {"format": "png", "source": {"bytes": PNG}}}])
        function.reply("Again?")

        assert failed.problem == "model-failed"
        assert PNG in json.dumps(bedrock.requests[1].messages)


def test_earlier_files_stay_in_the_conversation_when_a_later_prompt_is_answered_without_them(
    file_store: dict[str, str],
) -> None:
    refused = BedrockFault("ValidationException", "The model refused.")
    with BedrockServer("A dot.", refused, "Yes.", "Fine.") as bedrock:
        function = on_bedrock(bedrock, file_store)
        function.reply([{"text": "This?"}, {"image": {"format": "png", "source": {"bytes": PNG}}}])

        answered = function.reply("Only words")
        function.reply("Again?")

        assert answered["left_out"] == [{"what": "image", "message_ids": [0]}]
        assert PNG in json.dumps(bedrock.requests[1].messages)
        assert PNG not in json.dumps([request.messages for request in bedrock.requests[2:]])
        assert PNG in function.http("GET", "/sessions/chat/messages").text


def test_a_failure_behind_a_tool_call_keeps_what_the_tool_did(store: dict[str, str]) -> None:
    calls: list[ScriptItem] = [
        tool_use("calculator", expression="6*7"),
        BedrockFault("InternalServerException", "Something broke."),
    ]
    with BedrockServer(*calls, "It was 42.", strict_roles=True) as bedrock:
        function = on_bedrock(bedrock, store)

        failed = function.say("6 times 7?")
        function.cold_start()
        after = function.reply("Well?")

        assert failed.problem == "model-failed"
        assert after["restored_messages"] == 3
        assert bedrock.requests[-1].messages[2]["content"][0]["toolResult"]["content"] == [{"text": "42"}]


def test_missing_model_access_says_how_to_get_it(file_store: dict[str, str]) -> None:
    with BedrockServer(model_access_denied()) as bedrock:
        detail = on_bedrock(bedrock, file_store).say("Hi").json["detail"]

        for words in ("bedrock:InvokeModelWithResponseStream", "use-case form", "Marketplace"):
            assert words in detail


def test_an_answer_cut_short_by_the_token_limit_is_an_answer(store: dict[str, str]) -> None:
    with BedrockServer(["Once upon a ti", Stop("max_tokens")], "me.", strict_roles=True) as bedrock:
        function = on_bedrock(bedrock, store)

        cut = function.reply("A story, please.")
        after = function.reply("Go on.")

        assert (text_of(cut), cut["stop_reason"]) == ("Once upon a ti", "max_tokens")
        assert cut["usage"]["total_tokens"] == 19
        assert after["restored_messages"] == 2


def test_a_stream_that_just_ends_does_not_break_the_session(file_store: dict[str, str]) -> None:
    with BedrockServer(["Half an ans", HangUp()], "Whole.", strict_roles=True) as bedrock:
        function = on_bedrock(bedrock, file_store)

        function.say("Hi")
        function.cold_start()

        assert text_of(function.reply("Again")) == "Whole."


@pytest.mark.parametrize(
    ("error", "status", "problem", "retry_after"),
    [
        (SessionConflictError("stale"), 409, "session-conflict", "1"),
        (SessionBusyError("held", retry_after_seconds=7.4), 409, "session-busy", "7"),
        (SessionStorageError("down", code="SlowDown"), 503, "storage-failed", "2"),
        (SessionCorruptError("unreadable", key="k"), 500, "session-corrupt", None),
    ],
)
@pytest.mark.parametrize("moment", ["open", "first write", "later write"])
def test_a_session_error_reaches_the_caller_whenever_it_is_raised(
    error: Exception,
    status: int,
    problem: str,
    retry_after: str | None,
    moment: str,
    scripted: Scripted,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    function, _ = scripted("Hello.", "Hello again.", "Fine.")
    function.reply("First")
    fail_at(moment, error, monkeypatch)

    refused = function.say("Second")
    monkeypatch.undo()

    assert (refused.status, refused.problem) == (status, problem)
    had_begun = problem == "session-conflict" and moment == "later write"  # waiting alone does not help then
    assert refused.headers.get("retry-after") == (None if had_begun else retry_after)
    assert function.reply("Third")["restored_messages"] in {2, 3}


@pytest.mark.parametrize(("moment", "kept"), [("open", 0), ("first write", 0), ("later write", 1)])
def test_a_conflict_says_whether_the_turn_had_begun(
    moment: str, kept: int, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, _ = scripted("Hello.", "Hello again.", "Fine.")
    function.reply("First")
    fail_at(moment, SessionConflictError("stale"), monkeypatch)

    refused = function.say("Second")
    monkeypatch.undo()

    assert (refused.status, refused.problem) == (409, "session-conflict")
    assert (refused.json["detail"], refused.json.get("turn_began")) == ((REFUSED, None), (CUT_SHORT, True))[kept]
    assert len(function.http("GET", "/sessions/chat/messages").json["messages"]) == 2 + kept


@pytest.mark.parametrize(("moment", "began"), [("open", False), ("first write", False), ("later write", True)])
def test_a_storage_failure_says_whether_the_turn_had_begun(
    moment: str, began: bool, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, _ = scripted("Hello.", "Hello again.", "Fine.")
    function.reply("First")
    fail_at(moment, SessionStorageError("down", code="SlowDown"), monkeypatch)

    failed = function.say("Second")
    monkeypatch.undo()

    assert (failed.status, failed.problem, failed.headers["retry-after"]) == (503, "storage-failed", "2")
    assert failed.json.get("turn_began", False) is began
    assert ("tools that have run would run again" in failed.json["detail"]) is began
    assert ("is safe" in failed.json["detail"]) is not began


def test_a_turn_that_went_on_and_is_refused_at_its_first_message_has_begun_all_the_same(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an earlier request of the same key has stored of it stays."""
    keyed: Any = {"headers": {"idempotency-key": "one"}}
    function, _ = scripted("Hello.", otherwise="Fine.")
    fail_at("later write", SessionStorageError("down", code="SlowDown"), monkeypatch)
    function.say("First", **keyed)
    monkeypatch.undo()
    fail_at("first write", SessionConflictError("stale"), monkeypatch)

    refused = function.say("First", **keyed)
    monkeypatch.undo()

    assert (refused.problem, refused.json["detail"]) == ("session-conflict", CUT_SHORT)
    assert refused.json["turn_began"] is True
    assert text_of(function.reply("First", **keyed)) == "Fine."


def fail_at(moment: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the library raise an error when a session is opened, or when one of a turn's messages is stored."""
    from agent_sessions.repository_session_manager import RepositorySessionManager

    if moment == "open":

        def refuse(*_: Any, **__: Any) -> None:
            raise error

        monkeypatch.setattr(RepositorySessionManager, "initialize", refuse)
        return
    original = RepositorySessionManager.append_message
    written: Counter[Any] = Counter()  # by manager: what is refused at its first message begins once more

    def append(manager: Any, message: Any, agent: Any, **options: Any) -> None:
        written[manager] += 1
        if written[manager] == (1 if moment == "first write" else 2):
            raise error
        original(manager, message, agent, **options)

    monkeypatch.setattr(RepositorySessionManager, "append_message", append)


def test_the_model_s_failure_is_told_even_when_storing_failed_too(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agent_sessions.repository_session_manager import RepositorySessionManager

    function, _ = scripted(throttled_by_the_model())
    original = RepositorySessionManager.sync_agent
    syncs = iter(range(100))

    def sync(manager: Any, agent: Any, **options: Any) -> None:
        if next(syncs) > 0:
            raise SessionStorageError("down", code="InternalError")
        original(manager, agent, **options)

    monkeypatch.setattr(RepositorySessionManager, "sync_agent", sync)

    assert function.say("Hi").problem == "model-throttled"


def throttled_by_the_model() -> ClientError:
    response: Any = {"Error": {"Code": "ThrottlingException", "Message": "Slow down."}}
    return ClientError(response, "ConverseStream")


def test_something_unforeseen_is_a_500_that_does_not_show_its_words(scripted: Scripted) -> None:
    function, _ = scripted("Fine.")

    def broken(session_manager: Any, settings: Any) -> Any:
        raise LookupError("a secret inside")

    function.build_agent = broken
    refused = function.say("Hi")
    function.build_agent = None
    function.cold_start()

    assert (refused.status, refused.problem) == (500, "internal-error")
    assert "secret" not in refused.text
    assert function.reply("Hi")["restored_messages"] == 0


def test_a_conversation_too_long_for_the_model_is_shortened_first(file_store: dict[str, str]) -> None:
    too_long = BedrockFault("ValidationException", "Input is too long for requested model.")
    with BedrockServer("Hello.", too_long, "Where were we?") as bedrock:
        function = on_bedrock(bedrock, file_store)
        function.reply("Hi")

        assert text_of(function.reply("And now?")) == "Where were we?"
        assert bedrock.requests[-1].texts == ["And now?"]
        assert len(function.http("GET", "/sessions/chat/messages").json["messages"]) == 4


def test_a_conversation_too_long_for_the_model_says_so(scripted: Scripted) -> None:
    function, _ = scripted(overflow(), "Fine.")

    assert function.say("Hi").problem == "context-too-long"
    assert text_of(function.reply("Hi")) == "Fine."


class TestOutOfTime:
    def test_without_time_for_a_turn_nothing_is_done(self, scripted: Scripted) -> None:
        function, model = scripted()

        refused = function.say("Hi", context=Context(remaining_seconds=3))

        assert (refused.status, refused.problem) == (504, "out-of-time")
        assert model.requests == []
        assert function.http("GET", "/sessions/chat").status == 404

    def test_a_turn_is_stopped_in_order_before_the_function_is_killed(self, scripted: Scripted) -> None:
        function, _ = scripted("An answer.", "Fine.", DEADLINE_MARGIN_SECONDS="2")
        function.models["script"] = Slow("word " * 200, pause=0.05)

        refused = function.say("Take your time", context=Context(remaining_seconds=2.3))
        function.models["script"] = ScriptedModel("Fine.")
        after = function.reply("Go on")

        assert (refused.status, refused.problem) == (504, "out-of-time")
        assert text_of(after) == "Fine."
        assert after["restored_messages"] == 2

    def test_a_model_that_does_not_listen_is_left(self, scripted: Scripted) -> None:
        function, _ = scripted(DEADLINE_MARGIN_SECONDS="0.4")
        function.models["script"] = Slow("never", pause=30)

        refused = function.say("Hello?", context=Context(remaining_seconds=0.6))
        function.models["script"] = ScriptedModel("Fine.")
        after = function.reply("Still there?")

        assert (refused.status, refused.problem) == (504, "out-of-time")
        assert after["restored_messages"] == 1
        assert [message["role"] for message in function.models["script"].requests[0].messages] == [
            "user",
            "assistant",
            "user",
        ]

    def test_a_provider_that_never_answers_does_not_keep_the_reply_back(self, store: dict[str, str]) -> None:
        # given a read from Bedrock that blocks in a thread until the test is over
        over = threading.Event()

        def think(seconds: float) -> None:
            over.wait(seconds)

        with BedrockServer(otherwise="Too late.", think_seconds=60, sleep=think) as bedrock:
            function = on_bedrock(bedrock, store, DEADLINE_MARGIN_SECONDS="1")
            started = time.monotonic()

            refused = function.say("Hello?", context=Context(remaining_seconds=1.5))
            waited = time.monotonic() - started
            over.set()

            assert (refused.status, refused.problem) == (504, "out-of-time")
            assert waited < 10
            assert text_of(function.reply("Still there?")) == "Too late."


class Slow(ScriptedModel):
    """Streams word by word with a pause before each."""

    def __init__(self, text: str, pause: float) -> None:
        super().__init__(text)
        self._pause = pause

    async def stream(self, *arguments: Any, **options: Any) -> Any:
        async for event in super().stream(*arguments, **options):
            await asyncio.sleep(self._pause)
            yield event


class TestRequests:
    @pytest.mark.parametrize(
        ("body", "status", "problem"),
        [
            ("{", 400, "malformed-request"),
            ("", 422, "invalid-request"),
            ("[" * 100_000, 400, "malformed-request"),
            ('{"prompt": NaN}', 400, "malformed-request"),
            ('["Hi"]', 422, "invalid-request"),
            ('[{"prompt": "Hi"}]', 422, "invalid-request"),
            ("null", 422, "invalid-request"),
            ({}, 422, "invalid-request"),
            ({"prompt": ""}, 422, "invalid-request"),
            ({"prompt": "  \n"}, 422, "invalid-request"),
            ({"prompt": None}, 422, "invalid-request"),
            ({"prompt": 7}, 422, "invalid-request"),
            ({"prompt": "Hi", "promt": "Ho"}, 422, "invalid-request"),
            ({"prompt": "Hi", "agent_id": "a/b"}, 422, "invalid-request"),
            ({"prompt": "Hi", "interrupt_responses": [{"interrupt_id": "i", "response": 1}]}, 422, "invalid-request"),
            ({"interrupt_responses": []}, 422, "invalid-request"),
        ],
    )
    def test_a_bad_body_is_refused_and_makes_no_session(
        self, body: Any, status: int, problem: str, scripted: Scripted
    ) -> None:
        function, model = scripted()

        refused = function.http("POST", "/sessions/chat/messages", body)

        assert (refused.status, refused.problem) == (status, problem), refused.text
        assert refused.json["detail"]
        assert refused.json["session_id"] == "chat"
        assert model.requests == []
        assert function.http("GET", "/sessions").json["session_ids"] == []

    def test_a_body_that_is_not_json_by_its_own_word_is_refused(self, scripted: Scripted) -> None:
        function, _ = scripted()
        for media_type in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"):
            refused = function.http(
                "POST", "/sessions/chat/messages", "prompt=Hi", headers={"content-type": media_type}
            )

            assert (refused.status, refused.problem) == (415, "unsupported-media-type")

    def test_a_body_that_arrives_as_base64_is_decoded(self, scripted: Scripted) -> None:
        function, model = scripted("Hello.")

        function.http("POST", "/sessions/chat/messages", {"prompt": "Grüße"}, base64_encoded=True)

        assert model.requests[0].texts == ["Grüße"]

    def test_a_body_of_bytes_that_are_no_text_is_refused(self, scripted: Scripted) -> None:
        function, _ = scripted()
        event = http_event("POST", "/sessions/chat/messages", "x", base64_encoded=True)
        event["body"] = "/9j/"

        assert function.invoke(event)["statusCode"] == 400

    def test_more_than_six_megabytes_are_refused(self, scripted: Scripted) -> None:
        function, _ = scripted()

        refused = function.say("x" * 6_300_000)

        assert (refused.status, refused.problem) == (413, "payload-too-large")

    @pytest.mark.parametrize("session_id", ["..", "a%2Fb", "%2e%2e", "%00", "a\x07b", "x" * 241, "%25", "%5c"])
    def test_an_id_that_is_none_is_refused_by_every_route(self, session_id: str, scripted: Scripted) -> None:
        function, _ = scripted()
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/messages"), ("POST", "/messages")):
            body = {"prompt": "Hi"} if method == "POST" else None
            refused = function.http(method, f"/sessions/{session_id}{path}", body)

            assert refused.status in {404, 422}, refused.text
            assert refused.problem in {"not-found", "invalid-request"}

    def test_an_id_means_the_same_session_encoded_or_not(self, scripted: Scripted) -> None:
        function, _ = scripted("One.", "Two.")

        function.reply("Hi", "caf%C3%A9 1")

        assert function.reply("Hi", "café 1")["restored_messages"] == 2

    def test_a_route_that_does_not_exist_is_a_problem_too(self, scripted: Scripted) -> None:
        function, _ = scripted()

        assert function.http("GET", "/nowhere").problem == "not-found"

    def test_a_path_that_takes_other_methods_names_them(self, scripted: Scripted) -> None:
        function, _ = scripted()

        refused = function.http("PUT", "/sessions/chat", {})
        assert (refused.status, refused.problem) == (405, "method-not-allowed")
        assert refused.headers["allow"] == "DELETE, GET, PATCH"
        assert function.http("PATCH", "/sessions/chat/messages").headers["allow"] == "GET, POST"
        assert function.http("TRACE", "/health").headers["allow"] == "GET"

    def test_answers_must_not_be_cached(self, scripted: Scripted) -> None:
        function, _ = scripted("Hello.")

        answers: list[Answer] = [function.say("Hi"), function.http("GET", "/nowhere"), function.http("GET", "/health")]

        assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}

        assert {answer.headers["vary"] for answer in answers} == {"Origin"}

    def test_health_needs_neither_caller_nor_storage(self, scripted: Scripted) -> None:
        function, _ = scripted(SESSION_STORE="s3://nowhere")

        answer = function.http("GET", "/health", caller=None)

        assert (answer.status, answer.json) == (200, {"status": "ok"})
