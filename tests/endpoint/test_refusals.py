"""A turn that a model refuses never blocks the next, whatever it refuses and wherever that stands."""

import base64
import itertools
import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from tests.doubles.scripted_model import ScriptedModel, overflow, throttled, tool_use
from tests.endpoint.function import ALICE, Function, text_of
from tests.endpoint.test_containment import built

Scripted = Callable[..., tuple[Function, ScriptedModel]]
Messages = list[dict[str, Any]]
Refuses = Callable[[Messages], bool]

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n...").decode()
PDF = base64.b64encode(b"%PDF-1.7 ...").decode()
MOST_TRIES = 8


def refused(words: str = "Could not process the request", code: str = "ValidationException") -> Exception:
    return ClientError({"Error": {"Code": code, "Message": words}}, "ConverseStream")


def has(kind: str) -> Refuses:
    """Whether a kind of block stands anywhere, in a tool's result too."""
    return lambda messages: f'"{kind}":' in json.dumps(messages, default=str)


class Particular(ScriptedModel):
    """A model that refuses some conversations and answers all others; it counts its calls."""

    def __init__(self, refuses: Refuses, *script: Any, error: Callable[[], Exception] = refused, **config: Any) -> None:
        super().__init__(*script, otherwise="Fine.", **config)
        self.refuses = refuses
        self.error = error
        self.asked: list[Messages] = []

    async def stream(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        self.asked.append(deepcopy(messages))
        if self.refuses(messages):
            raise self.error()
        async for event in super().stream(messages, *args, **kwargs):
            yield event


@pytest.fixture
def on_model(scripted: Scripted) -> Callable[..., Function]:
    """A function whose model is the one given; it can be exchanged."""

    def make(model: Any, **options: Any) -> Function:
        function, _ = scripted(LEASE_WAIT_SECONDS="0")
        function.models["script"] = model
        if options:
            function.build_agent = built(**options)
        return function

    return make


def messages_of(function: Function, session_id: str = "chat") -> Messages:
    found: Messages = function.http("GET", f"/sessions/{session_id}/messages").json["messages"]
    return found


# --- in the prompt --------------------------------------------------------------------------------------

PROMPTS: dict[str, tuple[dict[str, Any], bool]] = {
    "image": ({"image": {"format": "png", "source": {"bytes": PNG}}}, True),
    "document": ({"document": {"format": "pdf", "name": "Report", "source": {"bytes": PDF}}}, True),
    "video": ({"video": {"format": "mp4", "source": {"bytes": PNG}}}, True),
    "cachePoint": ({"cachePoint": {"type": "default"}}, False),
}


@pytest.mark.parametrize("words", ["Could not process the request", "The image, document or video is not valid"])
@pytest.mark.parametrize("kind", PROMPTS)
def test_the_caller_is_told_of_a_refused_prompt_and_the_next_prompt_is_answered(
    kind: str, words: str, on_model: Callable[..., Function]
) -> None:
    block, is_content = PROMPTS[kind]
    model = Particular(has(kind), error=lambda: refused(words))
    function = on_model(model)
    function.reply("Before")

    first = function.say([{"text": "Look"}, block])
    after = function.reply("Hello")

    if is_content:
        assert (first.status, first.problem) == (422, "prompt-refused")
        assert first.json["left_out"] == [{"what": kind, "message_ids": [2]}]
    else:  # it changes nothing of what is asked
        assert (first.status, first.json["left_out"]) == (200, [{"what": kind, "message_ids": [2]}])
    assert after["left_out"] == [{"what": kind, "message_ids": [2]}]
    stored = messages_of(function)
    assert stored[2]["message"]["content"] == [{"text": "Look"}, block]
    assert stored[2]["refused"] is is_content
    assert stored[-1]["left_out"] == after["left_out"]


def test_the_turns_after_it_need_no_further_tries(on_model: Callable[..., Function]) -> None:
    model = Particular(has("document"))
    function = on_model(model)
    function.say([{"text": "Look"}, PROMPTS["document"][0]])
    function.reply("Hello")

    asked = len(model.asked)
    for number in range(3):
        function.reply(f"And {number}?")

    assert len(model.asked) == asked + 3
    assert '(Document "Report" removed: the model refused it.)' in json.dumps(model.asked[-1]).replace('\\"', '"')


@pytest.mark.parametrize("kind", PROMPTS)
@pytest.mark.parametrize("keyed", [False, True])
def test_after_a_throttle_and_a_repetition_the_next_prompt_is_answered(
    keyed: bool, kind: str, on_model: Callable[..., Function]
) -> None:
    headers = {"idempotency-key": "k"} if keyed else {}
    prompt = [{"text": "Look"}, PROMPTS[kind][0]]
    model = Particular(has(kind))
    model.error = throttled
    function = on_model(model)

    assert function.say(prompt, headers=headers).status == 429
    model.error = refused
    again = function.say(prompt, headers=headers)
    calls = len(model.asked)
    once_more = function.say(prompt, headers=headers)
    after = function.reply("Hello")

    assert again.status == (200 if kind == "cachePoint" else 422)
    if keyed:
        assert (once_more.status, once_more.json.get("left_out")) == (again.status, again.json.get("left_out"))
        assert len(model.asked) - calls == 1  # the plain prompt's
    assert text_of(after) == "Fine."


def test_a_refused_prompt_that_could_not_be_marked_blocks_nothing(
    on_model: Callable[..., Function], monkeypatch: pytest.MonkeyPatch
) -> None:
    from agent_sessions._storage.file_objects import FileObjects
    from agent_sessions.exceptions import SessionStorageError

    put = FileObjects.put
    for failing_at in range(1, 12):
        function = on_model(Particular(has("image")))
        writes = [0]

        def fail(
            objects: Any, *arguments: Any, at: int = failing_at, writes: list[int] = writes, **options: Any
        ) -> Any:
            writes[0] += 1
            if writes[0] >= at:
                raise SessionStorageError("down", code="SlowDown")
            return put(objects, *arguments, **options)

        session_id = f"at-{failing_at}"
        function.reply("Before", session_id)
        with monkeypatch.context() as patch:
            patch.setattr(FileObjects, "put", fail)
            failed = function.say([{"text": "Look"}, PROMPTS["image"][0]], session_id)
        after = function.say("Hello", session_id)

        assert failed.status in {422, 503}
        assert after.status == 200, (failing_at, after.text)


# --- in what was said before ----------------------------------------------------------------------------

BYTES = b"\x89PNG\r\n\x1a\n..."
TOOL_CALL = {"toolUse": {"toolUseId": "t.1:0", "name": "camera", "input": {"of": "the sea"}}}


def said(role: str, *content: Any) -> dict[str, Any]:
    return {"role": role, "content": [{"text": part} if isinstance(part, str) else part for part in content]}


def tool_result(*content: Any) -> dict[str, Any]:
    return {"toolResult": {"toolUseId": "t.1:0", "status": "success", "content": list(content)}}


def alternates(messages: Messages) -> bool:
    roles = [message["role"] for message in messages]
    return roles[0] == "user" and all(a != b for a, b in itertools.pairwise(roles))


def is_blank(messages: Messages) -> bool:
    return any(not block["text"].strip() for message in messages for block in message["content"] if "text" in block)


HISTORIES: dict[str, tuple[Messages, Refuses]] = {
    "an image": ([said("user", "Look", {"image": {"format": "png", "source": {"bytes": BYTES}}})], has("image")),
    "an image in a tool's result": (
        [
            said("user", "Look"),
            said("assistant", TOOL_CALL),
            said("user", tool_result({"text": "seen"}, {"image": {"format": "png", "source": {"bytes": BYTES}}})),
        ],
        has("image"),
    ),
    "a document in a tool's result": (
        [
            said("user", "Look"),
            said("assistant", TOOL_CALL),
            said("user", tool_result({"document": {"format": "txt", "name": "x", "source": {"bytes": BYTES}}})),
        ],
        has("document"),
    ),
    "JSON in a tool's result": (
        [said("user", "Look"), said("assistant", TOOL_CALL), said("user", tool_result({"json": {"n": 1}}))],
        has("json"),
    ),
    "tool calls": (
        [said("user", "Look"), said("assistant", TOOL_CALL), said("user", tool_result({"text": "seen"}))],
        has("toolUse"),
    ),
    "ids of tool calls": (
        [said("user", "Look"), said("assistant", TOOL_CALL), said("user", tool_result({"text": "seen"}))],
        lambda messages: "t.1:0" in json.dumps(messages),
    ),
    "an empty tool result": (
        [said("user", "Look"), said("assistant", TOOL_CALL), said("user", tool_result({"text": ""}))],
        lambda messages: '"text": ""' in json.dumps(messages) or '"content": []' in json.dumps(messages),
    ),
    "a cache point": ([said("user", "Look", {"cachePoint": {"type": "default"}})], has("cachePoint")),
    "reasoning": (
        [
            said("user", "Look"),
            said("assistant", {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "s"}}}, "I see."),
        ],
        has("reasoningContent"),
    ),
    "reasoning alone": (
        [said("user", "Look"), said("assistant", {"reasoningContent": {"redactedContent": b"?"}})],
        has("reasoningContent"),
    ),
    "guarded content": ([said("user", {"guardContent": {"text": {"text": "Look"}}})], has("guardContent")),
    "citations": (
        [
            said("user", "Look"),
            said("assistant", {"citationsContent": {"citations": [], "content": [{"text": "It says so."}]}}),
        ],
        has("citationsContent"),
    ),
    "a kind that nobody knows": ([said("user", "Look", {"hologram": {"of": "Leia"}})], has("hologram")),
    "two prompts in a row": ([said("user", "Look"), said("user", "Well?")], lambda messages: not alternates(messages)),
    "an assistant that begins": (
        [said("assistant", "Welcome."), said("user", "Look"), said("assistant", "I see.")],
        lambda messages: not alternates(messages),
    ),
    "a blank text": ([said("user", " "), said("assistant", "I see.")], is_blank),
    "half a character": (
        [said("user", "Look"), said("assistant", "I \ud83d see.")],
        lambda messages: "\\ud83d" in json.dumps(messages),
    ),
    "too much text": (
        [said("user", "word " * 2_000), said("assistant", "I see.")],
        lambda messages: len(json.dumps(messages, default=str)) > 5_000,
    ),
    "too many messages": (
        [said("user" if number % 2 == 0 else "assistant", f"{number}") for number in range(12)],
        lambda messages: len(messages) > 8,
    ),
    "words": (
        [said("user", "Abracadabra"), said("assistant", "I see.")],
        lambda messages: "Abracadabra" in json.dumps(messages),
    ),
}
SAYINGS: dict[str, Callable[[], Exception]] = {
    "nothing": refused,
    "misleading": lambda: refused("The image is too large, or the tool's cache is blank"),
    "by status": lambda: type("BadRequestError", (Exception,), {"status_code": 400})("no"),
    "overflow": overflow,
}


def store(folder: Path, messages: Messages, session_id: str = "chat") -> None:
    """Put a conversation into Alice's session, as an agent with another model would have left it."""
    from strands import Agent

    from agent_sessions.owner import owner_prefix
    from agent_sessions.session_store import SessionStore

    owner = owner_prefix(ALICE.account, ALICE.unique_id)
    manager = SessionStore.from_url(f"file://{folder}/sessions").for_owner(owner).session_manager(session_id)
    Agent(
        agent_id="default",
        model=ScriptedModel(),
        messages=cast("Any", deepcopy(messages)),
        session_manager=manager,
        callback_handler=None,
    )


@pytest.mark.parametrize("saying", SAYINGS)
@pytest.mark.parametrize("kind", HISTORIES)
def test_a_plain_prompt_is_answered_whatever_in_the_conversation_the_model_refuses(
    kind: str, saying: str, on_model: Callable[..., Function], tmp_path: Path
) -> None:
    history, refuses = HISTORIES[kind]
    model = Particular(refuses, error=SAYINGS[saying])
    function = on_model(model)
    store(tmp_path, history)
    before = messages_of(function)

    replies = [function.reply("Hello") for _ in range(3)]

    assert len(model.asked) <= MOST_TRIES + 2
    assert [text_of(reply) for reply in replies] == ["Fine."] * 3
    after = messages_of(function)
    assert after[: len(before)] == before  # the log keeps what was said
    if model.asked[0] != model.asked[-1] and kind not in {"two prompts in a row", "an assistant that begins"}:
        assert replies[0].get("left_out") or is_blank(history) or saying == "overflow" or "half" in kind


def test_least_is_given_up_first(on_model: Callable[..., Function], tmp_path: Path) -> None:
    image = {"image": {"format": "png", "source": {"bytes": BYTES}}}
    reasoning = {"reasoningContent": {"reasoningText": {"text": "Hm."}}}
    history = [said("user", "Look", image), said("assistant", reasoning, "A dot."), said("user", "Anybody?")]
    store(tmp_path, history)
    model = Particular(has("image"))
    function = on_model(model)

    reply = function.reply("Hello")

    tried = [json.dumps(messages, default=str) for messages in model.asked]
    assert ["Anybody?" in shown for shown in tried] == [True, False, False, False]
    assert ["reasoningContent" in shown for shown in tried] == [True, True, False, False]
    assert "Image removed" in tried[-1]
    assert "Look" in tried[-1]
    assert "A dot." in tried[-1]
    assert reply["left_out"] == [
        {"what": "image", "message_ids": [0]},
        {"what": "message", "message_ids": [2, 3]},
        {"what": "reasoningContent", "message_ids": [1]},
    ]


def test_what_the_model_says_decides_what_is_given_up_first(on_model: Callable[..., Function], tmp_path: Path) -> None:
    image = {"image": {"format": "png", "source": {"bytes": BYTES}}}
    reasoning = {"reasoningContent": {"reasoningText": {"text": "Hm."}}}
    store(tmp_path, [said("user", "Look", image), said("assistant", reasoning, "A dot."), said("user", "Anybody?")])
    model = Particular(has("image"), error=lambda: refused("messages.0.content.1.image: could not be processed"))
    function = on_model(model)

    reply = function.reply("Hello")

    assert len(model.asked) == 2
    assert reply["left_out"] == [{"what": "image", "message_ids": [0]}]
    assert "Anybody?" in json.dumps(model.asked[-1])


def test_another_model_is_shown_what_the_first_one_refused(on_model: Callable[..., Function], tmp_path: Path) -> None:
    store(tmp_path, [said("user", "Look", {"image": {"format": "png", "source": {"bytes": BYTES}}})])
    function = on_model(Particular(has("image"), model_id="blind"))
    function.reply("Hello")
    function.say([{"text": "This?"}, PROMPTS["image"][0]])

    sighted = function.models["script"] = ScriptedModel(otherwise="A dot.", model_id="sighted")
    reply = function.reply("And now?")

    assert "left_out" not in reply
    assert json.dumps(sighted.requests[0].messages, default=str).count('"image"') == 2


def test_a_later_file_that_the_model_takes_is_shown(on_model: Callable[..., Function]) -> None:
    broken = base64.b64encode(b"\x89PNG\r\n\x1a\nbroken").decode()
    model = Particular(lambda messages: "broken" in repr(messages))
    function = on_model(model)
    function.say([{"text": "This?"}, {"image": {"format": "png", "source": {"bytes": broken}}}])
    function.reply("Hello")

    function.reply([{"text": "That?"}, PROMPTS["image"][0]])
    function.reply("And?")

    assert model.asked[-1][-3]["content"][1]["image"]["source"]["bytes"] == BYTES


# --- behind a tool --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["image", "document", "json", "toolResult"])
def test_a_tool_s_result_that_the_model_refuses_is_told_in_words_and_the_turn_goes_on(
    kind: str, on_model: Callable[..., Function]
) -> None:
    from strands import tool

    parts: dict[str, Any] = {
        "image": {"image": {"format": "png", "source": {"bytes": BYTES}}},
        "document": {"document": {"format": "txt", "name": "Log", "source": {"bytes": BYTES}}},
        "json": {"json": {"depth": 7}},
        "toolResult": {"text": "seen"},
    }

    @tool
    def camera() -> dict[str, Any]:
        """Look."""
        return {"status": "success", "content": [parts[kind]]}

    model = Particular(has(kind), tool_use("camera"), "I saw it.")
    function = on_model(model, tools=[camera])

    reply = function.reply("What do you see?")
    after = function.reply("Sure?")

    assert text_of(reply) == "I saw it."
    assert [part["message_ids"] for part in reply.get("left_out", []) if part["what"] in {kind, "toolResult"}]
    assert text_of(after) == "Fine."
    stored = json.dumps(messages_of(function))
    assert f'"{kind}"' in stored
    assert [message["message"]["role"] for message in messages_of(function)] == ["user", "assistant"] * 3


def test_a_turn_that_fails_behind_a_tool_with_everything_given_up_is_left_out_of_the_next(
    on_model: Callable[..., Function],
) -> None:
    from strands import tool

    @tool
    def camera() -> str:
        """Look."""
        return "Abracadabra"

    model = Particular(lambda messages: "Abracadabra" in repr(messages), tool_use("camera"))
    function = on_model(model, tools=[camera])

    failed = function.say("What do you see?")
    after = function.reply("Hello")

    assert (failed.status, failed.problem) == (502, "model-failed")
    assert "retry-after" not in failed.headers
    assert len(model.asked) <= 2 * MOST_TRIES
    assert text_of(after) == "Fine."


# --- too long -------------------------------------------------------------------------------------------


def managers() -> dict[str, Callable[[], Any]]:
    from strands.agent.conversation_manager import (
        NullConversationManager,
        SlidingWindowConversationManager,
        SummarizingConversationManager,
    )

    class Idle(NullConversationManager):
        def reduce_context(self, *_: Any, **__: Any) -> None:
            """Neither shorten anything nor say so."""

    return {
        "null": NullConversationManager,
        "window": SlidingWindowConversationManager,
        "summary": SummarizingConversationManager,
        "idle": Idle,
    }


def managed_by(name: str) -> Callable[[Any, Any], Any]:
    """An agent with a conversation manager of its own for each turn."""

    def build_agent(sessions: Any, settings: Any) -> Any:
        return built(conversation_manager=managers()[name]())(sessions, settings)

    return build_agent


@pytest.mark.parametrize("manager", ["null", "window", "summary", "idle"])
@pytest.mark.parametrize("error", [overflow, lambda: refused("prompt is too long: 300 tokens > 200 maximum")])
def test_a_prompt_that_is_too_long_blocks_nothing_whatever_shortens_conversations(
    error: Callable[[], Exception], manager: str, on_model: Callable[..., Function]
) -> None:
    model = Particular(lambda messages: len(repr(messages)) > 2_000, error=error)
    function = on_model(model)
    function.build_agent = managed_by(manager)
    function.reply("Before")

    failed = function.say("word " * 1_000)
    after = [function.reply("Hello"), function.reply("And?")]

    assert (failed.status, failed.problem) == (413, "context-too-long")
    assert "retry-after" not in failed.headers
    assert [text_of(reply) for reply in after] == ["Fine."] * 2
    assert len(model.asked) < 30


def test_a_long_conversation_loses_its_older_half_before_all_of_it(
    on_model: Callable[..., Function], tmp_path: Path
) -> None:
    store(tmp_path, [said("user" if n % 2 == 0 else "assistant", f"message {n} " * 20) for n in range(16)])
    model = Particular(lambda messages: len(repr(messages)) > 3_000, error=overflow)
    function = on_model(model)
    function.build_agent = managed_by("null")

    reply = function.reply("Hello")

    assert reply["left_out"] == [{"what": "message", "message_ids": list(range(8))}]
    assert "message 8 " in repr(model.asked[-1])


# --- bounds and other doors -----------------------------------------------------------------------------


@pytest.mark.parametrize("saying", SAYINGS)
def test_a_model_that_refuses_everything_is_asked_a_bounded_number_of_times(
    saying: str, on_model: Callable[..., Function], tmp_path: Path
) -> None:
    history = [
        message for kind, (messages, _) in HISTORIES.items() if kind != "half a character" for message in messages
    ]
    store(tmp_path, history)
    model = Particular(lambda _: True, error=SAYINGS[saying])
    function = on_model(model)

    failed = function.say("Hello")
    function.models["script"] = ScriptedModel(otherwise="Fine.", model_id="another")

    assert failed.status in {413, 502}
    # Where it does not fit, Strands' conversation manager shortens it step by step before.
    assert len(model.asked) <= MOST_TRIES + (len(history) if saying == "overflow" else 0)
    assert text_of(function.reply("Hello")) == "Fine."


def test_a_model_that_cannot_be_called_at_all_is_asked_once(on_model: Callable[..., Function], tmp_path: Path) -> None:
    store(tmp_path, HISTORIES["an image"][0])
    model = Particular(lambda _: True, error=lambda: refused("The provided model identifier is invalid."))
    function = on_model(model)

    assert function.say("Hello").problem == "model-failed"
    assert len(model.asked) == 1


def test_a_refusal_in_the_middle_of_an_answer_blocks_nothing(on_model: Callable[..., Function], tmp_path: Path) -> None:
    class Late(Particular):
        async def stream(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
            self.asked.append(deepcopy(messages))
            async for event in ScriptedModel.stream(self, messages, *args, **kwargs):
                yield event
                if self.refuses(messages) and "contentBlockDelta" in event:
                    raise refused()

    store(tmp_path, [*HISTORIES["an image"][0], said("assistant", "A dot.")])
    model = Late(has("image"))
    function = on_model(model)

    answers = [function.say("Hello") for _ in range(6)]

    assert answers[0].status == 502
    assert answers[-1].status == 200
    assert [answer.status for answer in answers].count(502) < 5


def test_a_plain_event_is_answered_and_refused_likewise(on_model: Callable[..., Function]) -> None:
    function = on_model(Particular(has("image")))
    event = {"owner": "o", "session_id": "s", "request_id": "1", "prompt": [{"text": "Look"}, PROMPTS["image"][0]]}

    with pytest.raises(Exception, match="refused") as raised:
        function.invoke(event)
    reply = function.invoke({**event, "request_id": "2", "prompt": "Hello"})

    assert type(raised.value).__name__ == "PromptRefusedError"
    assert reply["left_out"] == [{"what": "image", "message_ids": [0]}]


def test_a_reply_that_is_sent_again_says_again_what_was_left_out(on_model: Callable[..., Function]) -> None:
    function = on_model(Particular(has("image")))
    function.say([{"text": "Look"}, PROMPTS["image"][0]])
    keyed: Any = {"headers": {"idempotency-key": "k"}}

    first = function.reply("Hello", **keyed)

    assert first["left_out"]
    assert function.reply("Hello", **keyed) == first
