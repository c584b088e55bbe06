"""The key prefixes of owners, and of those they speak for."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_sessions import owner_prefix, part_prefix

OWN = owner_prefix("123456789012", "AROAEXAMPLE")


def test_an_owner_s_prefix_has_not_changed() -> None:
    # Sessions lie under it: another value would lose them all.
    assert OWN == "o_42b6yqpxrvwwx7mmo5d56yktgks6k5eht4v76lufzdjkx2ugiaja"
    assert part_prefix(OWN, "ada") == f"{OWN}/o_5cipxunoirl6khnyhq4nxevhensm2feaxz5rahu3daauins47deq"


@given(st.text(min_size=1, max_size=50))
def test_a_part_lies_in_its_owner_s_space_under_a_name_that_says_nothing(name: str) -> None:
    assert re.fullmatch(rf"{OWN}/o_[a-z2-7]{{52}}", part_prefix(OWN, name))
    assert owner_prefix("123456789012", "AROAEXAMPLE", name) == part_prefix(OWN, name)


@given(st.text(min_size=1, max_size=50), st.text(min_size=1, max_size=50))
def test_two_names_are_two_parts(one: str, other: str) -> None:
    assert (part_prefix(OWN, one) == part_prefix(OWN, other)) == (one == other)


def test_one_name_under_two_owners_has_two_digests() -> None:
    other = owner_prefix("123456789012", "AROAANOTHER")

    assert part_prefix(OWN, "ada").partition("/")[2] != part_prefix(other, "ada").partition("/")[2]


@pytest.mark.parametrize("name", ["", "x" * 201, "é" * 101, "\ud800"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        part_prefix(OWN, name)


def test_the_longest_name_is_taken() -> None:
    assert part_prefix(OWN, "é" * 100) != part_prefix(OWN, "é" * 99)
