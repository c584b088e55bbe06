"""Tool calls and their results, paired again: values in, values out."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_sessions.tool_pairing import MISSING_RESULT, has_tool_pairs, repair_tool_pairs


def call(*ids: Any, text: str = "") -> Any:
    said = [{"text": text}] if text else []
    return {
        "role": "assistant",
        "content": said + [{"toolUse": {"toolUseId": it, "name": "t", "input": {}}} for it in ids],
    }


def result(*ids: Any, text: str = "", word: str = "ok") -> Any:
    said = [{"text": text}] if text else []
    results = [{"toolResult": {"toolUseId": it, "status": "success", "content": [{"text": word}]}} for it in ids]
    return {"role": "user", "content": results + said}


ASK: Any = {"role": "user", "content": [{"text": "Hi"}]}
SAY: Any = {"role": "assistant", "content": [{"text": "Done"}]}


def repaired(*messages: Any) -> list[Any]:
    return [item.message for item in repair_tool_pairs(messages)]


def words(message: Any) -> dict[str, str]:
    """What each result of a message says, by its call."""
    results = [block["toolResult"] for block in message["content"] if "toolResult" in block]
    return {it["toolUseId"]: it["content"][0]["text"] for it in results}


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([], id="nothing"),
        pytest.param([ASK, SAY], id="no call"),
        pytest.param([ASK, call("a"), result("a"), SAY], id="a call and its result"),
        pytest.param([ASK, call("a", "b"), result("b", "a"), SAY], id="results in another order"),
        pytest.param([ASK, call("a"), result("a", text="and more"), SAY], id="a result and a text"),
        pytest.param([ASK, call("a")], id="a call at the end"),
    ],
)
def test_a_valid_conversation_stays_the_very_same(messages: list[Any]) -> None:
    assert has_tool_pairs(messages)

    found = repair_tool_pairs(messages)

    assert [item.source for item in found] == list(range(len(messages)))
    assert all(item.message is messages[index] and not item.changed for index, item in enumerate(found))


def test_a_call_without_a_result_gets_an_error_behind_it() -> None:
    messages = [ASK, call("a"), SAY]

    found = repair_tool_pairs(messages)

    assert not has_tool_pairs(messages)
    assert [item.source for item in found] == [0, 1, None, 2]
    assert words(found[2].message) == {"a": MISSING_RESULT}
    assert found[2].message["content"][0]["toolResult"]["status"] == "error"


def test_of_two_calls_only_the_one_without_a_result_gets_an_error() -> None:
    _, _, answer, _ = repaired(ASK, call("a", "b"), result("b"), SAY)

    assert words(answer) == {"a": MISSING_RESULT, "b": "ok"}


def test_a_result_that_follows_no_call_is_left_out_and_the_text_beside_it_stays() -> None:
    assert repaired(result("lost"), SAY) == [SAY]
    assert repaired(result("lost", text="Hi"), SAY) == [ASK, SAY]


def test_of_two_results_of_one_call_the_later_one_stays() -> None:
    twice = {"role": "user", "content": [*result("a", word="first")["content"], *result("a", word="second")["content"]]}

    assert words(repaired(call("a"), twice, SAY)[1]) == {"a": "second"}


@pytest.mark.parametrize("odd", ["", "  ", None, 7])
def test_an_id_that_no_provider_takes_becomes_another_in_the_call_and_in_its_result(odd: Any) -> None:
    asked, answered, _ = repaired(call(odd), result(odd), SAY)

    (renamed,) = [block["toolUse"]["toolUseId"] for block in asked["content"]]
    assert isinstance(renamed, str)
    assert renamed.strip()
    assert words(answered) == {renamed: "ok"}


def test_two_calls_of_one_id_become_two_and_each_gets_a_result_in_order() -> None:
    both = {"role": "user", "content": [*result("a", word="one")["content"], *result("a", word="two")["content"]]}

    asked, answered, _ = repaired(call("a", "a"), both, SAY)

    first, second = [block["toolUse"]["toolUseId"] for block in asked["content"]]
    assert first != second
    assert words(answered) == {first: "one", second: "two"}


def test_changes_of_ids_are_not_to_be_stored() -> None:
    assert [item.changed for item in repair_tool_pairs([call("a", "a"), result("a", "a"), SAY])] == [False] * 3


_IDS = st.sampled_from(["a", "b", "", "  ", 1])
_MESSAGES = st.one_of(
    st.just(ASK),
    st.just(SAY),
    st.lists(_IDS, min_size=1, max_size=3).map(lambda ids: call(*ids)),
    st.lists(_IDS, min_size=1, max_size=3).map(lambda ids: result(*ids)),
    st.lists(_IDS, min_size=1, max_size=2).map(lambda ids: result(*ids, text="and more")),
)


@given(st.lists(_MESSAGES, max_size=8))
@settings(max_examples=300)
def test_any_conversation_becomes_valid_keeps_its_words_and_is_not_changed_itself(messages: list[Any]) -> None:
    before = copy.deepcopy(messages)

    found = repaired(*messages)

    assert messages == before
    assert has_tool_pairs(found)
    texts = [
        [block["text"] for message in them for block in message["content"] if "text" in block]
        for them in (messages, found)
    ]
    assert texts[0] == texts[1]
    assert repaired(*found) == found
