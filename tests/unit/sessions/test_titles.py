"""What may be the title of a session, and what a prompt makes one of."""

import pytest

from agent_sessions._records.titles import checked_title, derived_title
from agent_sessions.types import SessionMessage


def title_of(text: str) -> str | None:
    return derived_title(SessionMessage.from_message({"role": "user", "content": [{"text": text}]}, 0))


@pytest.mark.parametrize("title", ["", "  ", "\u200b", "\ufeff \u2060", "a\nb", "a\u202eb", "\u2066a", "x" * 201])
def test_a_title_that_shows_nothing_or_turns_its_neighbours_round_is_refused(title: str) -> None:
    with pytest.raises(ValueError, match="must have"):
        checked_title(title)


@pytest.mark.parametrize("title", ["Orders", " Orders ", "שלום", "x" * 200, "👩‍👩‍👧", f"{'x' * 200} "])
def test_a_title_of_any_script_is_taken_without_blanks_around_it(title: str) -> None:
    assert checked_title(title) == title.strip()


def test_a_prompt_that_shows_nothing_makes_no_title() -> None:
    assert title_of("\u200b \ufeff") is None
    assert title_of("\u202eabc\n\n def") == "abc def"
