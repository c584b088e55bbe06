"""Texts that are taken back are found in every spelling in which one value prints another."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_sessions.texts import holds, replaced, texts_in

VALUES = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "printed": repr,
    "JSON": json.dumps,
    "JSON in UTF-8": lambda text: json.dumps(text, ensure_ascii=False),
}
SECRET = 'it\'s "Zürich"\nor nowhere'


@pytest.mark.parametrize("how", SPELLINGS)
def test_a_text_is_found_as_a_part_however_it_was_written(how: str) -> None:
    spelt = SPELLINGS[how]

    assert holds(f"You said {spelt(SECRET)}!", {SECRET})
    assert not holds(f"You said {spelt(SECRET[:-1])}!", {SECRET})


def test_a_short_text_is_found_only_where_it_stands_alone() -> None:
    assert holds(" ok\n", {"ok"})
    assert not holds("It is a book.", {"ok"})


def test_names_are_passed_over_and_more_of_them_when_told() -> None:
    value = {"id": "one", "said": ["two", {"node_id": "three"}]}

    assert list(texts_in(value)) == ["two", "three"]
    assert list(texts_in(value, frozenset({"id", "node_id"}))) == ["two"]


@given(VALUES)
def test_a_value_of_which_nothing_is_replaced_stays_as_it_is(value: Any) -> None:
    assert replaced(value, lambda found: found) == value
