"""Simpler forms of a conversation: whatever a model does not take, some form is without it, and says so."""

import itertools
import json
from copy import deepcopy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent_sessions.turn_request import is_prompt
from lambda_src.models.marks import told
from lambda_src.models.simplify import MEDIA, STEPS, Lost, ShownMessage, Step, simplified

SOURCE = {"source": {"bytes": b"..."}}
PLAIN = st.sampled_from([{"text": "words"}, {"text": " "}, {"text": "half \ud83d"}])
ODD = st.sampled_from(
    [
        {"image": {"format": "png", **SOURCE}},
        {"document": {"format": "pdf", "name": "Report", **SOURCE}},
        {"video": {"format": "mp4", **SOURCE}},
        {"cachePoint": {"type": "default"}},
        {"reasoningContent": {"reasoningText": {"text": "Hm."}}},
        {"guardContent": {"text": {"text": "guarded"}}},
        {"guardContent": {"image": SOURCE}},
        {"citationsContent": {"citations": [], "content": [{"text": "cited"}]}},
        {"hologram": {"of": "Leia"}},
        {"toolUse": {"toolUseId": "t", "name": "camera", "input": {"n": 1}}},
        {"toolResult": {"toolUseId": "t", "content": [{"image": SOURCE}, {"text": ""}, {"json": {"n": 1}}]}},
        {"toolResult": {"toolUseId": "t", "status": "error"}},
        {},
    ]
)
MESSAGES = st.builds(
    lambda role, content: {"role": role, "content": content},
    st.sampled_from(["user", "assistant"]),
    st.lists(PLAIN | ODD, max_size=4),
)
CONVERSATIONS = st.lists(MESSAGES, max_size=8)
TURNS = st.lists(MESSAGES, max_size=4)
ALL: list[Step] = [step for step in STEPS if step not in {"older", "history"}]


def simple(before: list[Any], turn: list[Any], *steps: Step) -> tuple[list[Any], Lost]:
    prompt = {"role": "user", "content": [{"text": "Hello"}]}
    lost: Lost = []
    entries = [ShownMessage(position, message) for position, message in enumerate([*before, prompt, *turn])]
    return [entry.message for entry in simplified(entries, len(before), steps, lost)], lost


@given(CONVERSATIONS, TURNS)
def test_the_simplest_form_is_plain_text_that_alternates_up_to_the_prompt(before: list[Any], turn: list[Any]) -> None:
    given_to = deepcopy((before, turn))

    messages, _ = simple(before, turn, *ALL)

    assert (before, turn) == given_to  # what is stored stays as it is
    assert all(set(block) == {"text"} and block["text"].strip() for m in messages for block in m["content"])
    json.dumps(messages, ensure_ascii=False).encode()
    spoken = messages[: len(messages) - len(turn)]
    assert spoken[-1]["content"] == [{"text": "Hello"}]
    roles = [message["role"] for message in spoken]
    assert roles[0] == "user"
    assert all(one != other for one, other in itertools.pairwise(roles))


@given(CONVERSATIONS, TURNS)
def test_without_media_there_is_none_anywhere_but_in_the_prompt(before: list[Any], turn: list[Any]) -> None:
    messages, lost = simple(before, turn, "media")

    assert not any(f'"{kind}": {{' in json.dumps(messages, default=str) for kind in MEDIA)
    assert len(messages) == len(before) + 1 + len(turn)
    held = {position for position, m in enumerate([*before, {"content": []}, *turn]) if "source" in repr(m)}
    assert {position for position, _ in lost} == held


@given(CONVERSATIONS)
def test_without_unanswered_turns_what_is_left_was_answered(before: list[Any]) -> None:
    messages, lost = simple(before, [], "unanswered")

    left_out = [position for position, what in lost if what == "message"]
    assert [m for position, m in enumerate(before) if position not in left_out] == messages[:-1]
    assert not messages[:-1] or messages[-2]["role"] == "assistant"


@given(CONVERSATIONS, TURNS, st.sets(st.sampled_from(ALL)))
def test_every_change_is_told_except_for_blanks_and_roles(before: list[Any], turn: list[Any], steps: set[Step]) -> None:
    messages, lost = simple(before, turn, *(steps - {"shape", "text"}))

    whole = [*before, {"role": "user", "content": [{"text": "Hello"}]}, *turn]
    gone = {position for position, what in lost if what == "message"}
    shown = iter(messages)
    for position, message in enumerate(whole):
        if position in gone:
            continue
        changed = next(shown) != message
        assert changed == any(place == position for place, _ in lost) or not message["content"]


def test_what_is_told_names_each_kind_once_with_its_messages() -> None:
    lost: Lost = [(0, "image"), (3, "image"), (0, "image"), (2, "message")]

    assert told(lost, [10, 11, 12, None]) == [
        {"what": "image", "message_ids": [10]},
        {"what": "message", "message_ids": [12]},
    ]


def test_a_tool_s_result_is_no_prompt() -> None:
    assert is_prompt({"role": "user", "content": [{"text": "Hi"}]})
    assert not is_prompt({"role": "assistant", "content": [{"text": "Hi"}]})
    assert not is_prompt({"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": []}}]})
