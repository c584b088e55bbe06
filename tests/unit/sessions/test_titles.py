"""What may be the title of a session, and what a prompt makes one of."""

import contextlib
from collections.abc import Callable

import pytest

from agent_sessions._records.titles import checked_title, derived_title
from agent_sessions.types import SessionMessage
from lambda_src.value_rules import SESSION_TITLE, matching

UNSEEN = ["\u200b", "\u061c", "\u180e", "\u3164", "\u2800", "\ufe0f", "\U000e0041"]
"""Characters of several categories of Unicode that show nothing: a Hangul filler is a letter, for one."""


def title_of(text: str) -> str | None:
    return derived_title(SessionMessage.from_message({"role": "user", "content": [{"text": text}]}, 0))


@pytest.mark.parametrize("title", ["", "  ", *UNSEEN, "\ufeff \u2060", "a\nb", "a\u202eb", "\u2066a", "x" * 201])
def test_a_title_that_shows_nothing_or_turns_its_neighbours_round_is_refused(title: str) -> None:
    with pytest.raises(ValueError, match="must have"):
        checked_title(title)


@pytest.mark.parametrize(
    "title", ["Orders", " Orders ", "שלום", "x" * 200, "👩‍👩‍👧", "\u0601", "😀" * 200, f"{'x' * 200} "]
)
def test_a_title_of_any_script_is_taken_without_blanks_around_it(title: str) -> None:
    assert checked_title(title) == title.strip()


@pytest.mark.parametrize("unseen", UNSEEN)
def test_a_prompt_that_shows_nothing_makes_no_title(unseen: str) -> None:
    assert title_of(f"{unseen} \ufeff") is None


def test_a_derived_title_turns_nothing_round_and_has_one_line() -> None:
    assert title_of("\u202eabc\n\n def") == "abc def"


def test_the_published_schema_takes_the_titles_that_the_library_takes() -> None:
    def is_taken(check: Callable[[str], object], title: str) -> bool:
        with contextlib.suppress(ValueError):
            check(title)
            return True
        return False

    published = matching(SESSION_TITLE, "no title")
    # Bodies with halves of characters are refused before anybody looks at a title.
    numbers = (number for number in (*range(0x20000), *range(0xE0000, 0xE1000)) if not 0xD800 <= number < 0xE000)
    differ = [hex(each) for each in numbers if is_taken(published, chr(each)) != is_taken(checked_title, chr(each))]
    assert differ == []
