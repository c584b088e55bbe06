"""Cursors: what was written is read, and nothing else is taken for one."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_sessions._records.cursors import CursorKind, read_cursor, read_message_cursor, write_cursor

NAMES = st.text(min_size=1, max_size=240).filter(lambda name: "/" not in name and "\0" not in name and _is_text(name))


def _is_text(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


@given(NAMES, st.sampled_from(CursorKind))
def test_a_cursor_leads_behind_the_name_it_was_written_for_and_does_not_show_it(name: str, kind: CursorKind) -> None:
    cursor = write_cursor(kind, name)

    assert re.fullmatch(r"[A-Za-z0-9_-]+", cursor)
    assert read_cursor(kind, cursor) == name
    for other in set(CursorKind) - {kind}:
        with pytest.raises(ValueError, match="cursor="):
            read_cursor(other, cursor)


@given(st.text(max_size=300))
def test_any_other_text_is_refused(text: str) -> None:
    name = None
    with contextlib.suppress(ValueError):
        name = read_cursor(CursorKind.SESSIONS, text)

    assert name is None or write_cursor(CursorKind.SESSIONS, name) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "chat",
        "c",
        "czpjaGF0=",
        "czpjaGF0 ",
        "czpj aGF0",
        "czo",
        "czph/w",
        "czpjaGF1" * 400,
        "ä",
        "czo\n",
        "cy9jaGF0",
    ],
)
def test_a_text_that_only_looks_like_a_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="next_cursor"):
        read_cursor(CursorKind.SESSIONS, text)


@pytest.mark.parametrize("text", ["", "x", "-1", "+1", " 1", "1.0", "1e3", "٣", "²", "9" * 16, "9" * 2_000])
def test_a_message_cursor_is_a_number_that_a_message_may_have(text: str) -> None:
    with pytest.raises(ValueError, match="next_cursor"):
        read_message_cursor(text)


def test_a_message_cursor_is_read() -> None:
    assert read_message_cursor(None) == 0
    assert read_message_cursor("20006") == 20_006
