"""The format of the copies: what was written is read, and what is damaged or another's is not believed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_sessions._objects.tail_and_base import (
    INLINE_BYTES,
    SMALLEST_BASE_BYTES,
    Entry,
    read_base,
    read_log,
    tail_limit,
    write_base,
    write_log,
)

WHOSE = {"session_id": "s", "agent_id": "a", "incarnation": "life"}


def entry(number: int, text: str = "x", etag: str = "e") -> Entry:
    return Entry.of(
        {"message_id": number, "message": {"role": "user", "content": [{"text": text}]}, "redact_message": None}, etag
    )


def written(entries: list[Entry]) -> bytes:
    return write_base(entries, first_id=entries[0].message_id, nonce="n", **WHOSE).body


def test_an_entry_shows_the_redaction_instead_of_the_message() -> None:
    redacted = {"role": "user", "content": [{"text": "[redacted]"}]}

    made = Entry.of({"message_id": 1, "message": {"content": "secret"}, "redact_message": redacted}, "e")

    assert json.loads(made.text) == redacted


def test_a_message_that_is_too_large_is_only_referred_to() -> None:
    assert entry(0, "x" * INLINE_BYTES).is_reference
    assert not entry(0, "x").is_reference


@given(st.lists(st.integers(0, 200), min_size=1, unique=True).map(sorted), st.text(max_size=20))
def test_a_base_gives_back_its_messages_with_their_ids_and_versions(ids: list[int], text: str) -> None:
    entries = [entry(number, text, f"e{number}") for number in ids]

    found = read_base(written(entries), **WHOSE)

    assert found is not None
    assert found.base.entries() == entries
    assert [(copy.message_id, copy.etag) for copy in found.copies()] == [(n, f"e{n}") for n in ids]
    assert (found.base.first_id, found.base.last_id) == (ids[0], ids[-1])


@pytest.mark.parametrize("field", WHOSE)
def test_a_base_of_another_session_agent_or_life_is_not_believed(field: str) -> None:
    assert read_base(written([entry(0)]), **(WHOSE | {field: "another"})) is None


@given(st.integers(0, 400))
def test_a_base_that_was_cut_off_is_not_believed(length: int) -> None:
    body = written([entry(0), entry(1)])

    assert read_base(body[: min(length, len(body) - 1)], **WHOSE) is None


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_a_value_that_is_no_log_is_not_believed(found: Any) -> None:
    assert read_log(found) is None


@given(st.integers(0, 50), st.integers(0, 6), st.none() | st.text(min_size=1))
def test_a_log_that_was_written_is_read(first_id: int, count: int, base: str | None) -> None:
    tail = [entry(first_id + number) for number in range(count)]
    next_id = first_id + count

    log = read_log(write_log(first_id=first_id, next_id=next_id, base=base, tail=tail, unconfirmed=None))

    assert log is not None
    assert (log.first_id, log.next_id, log.base) == (first_id, next_id, base)
    assert [Entry.again(copy) for copy in log.tail] == tail


@pytest.mark.parametrize("next_id", [2, 4])
def test_a_log_whose_tail_does_not_end_before_the_next_id_is_not_believed(next_id: int) -> None:
    tail = [entry(0), entry(1), entry(2)]

    assert read_log(write_log(first_id=0, next_id=next_id, base=None, tail=tail, unconfirmed=None)) is None


def test_the_longer_the_base_the_longer_the_tail_may_get_and_never_shorter_than_the_least() -> None:
    limits = [tail_limit(size) for size in (0, 10**5, 10**6, 10**7, 10**8)]

    assert limits == sorted(limits)
    assert limits[0] == SMALLEST_BASE_BYTES
    assert limits[-1] < 10**8 // 10
