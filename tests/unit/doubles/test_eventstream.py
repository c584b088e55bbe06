"""The framing, read back by botocore's own parser."""

from typing import Any

from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from tests.doubles import eventstream

names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20).map(
    lambda name: f":{name}"
)
headers_and_payloads = st.tuples(st.dictionaries(names, st.text(max_size=50), max_size=4), st.binary(max_size=300))


@given(st.lists(headers_and_payloads, max_size=4), st.integers(1, 50))
def test_any_messages_are_read_back_however_they_are_cut(
    messages: list[tuple[dict[str, str], bytes]], piece_size: int
) -> None:
    stream = b"".join(eventstream.message(headers, payload) for headers, payload in messages)
    buffer = EventStreamBuffer()

    read: list[Any] = []
    for start in range(0, len(stream), piece_size):
        buffer.add_data(stream[start : start + piece_size])
        read += [(message.headers, message.payload) for message in buffer]

    assert read == messages


def test_an_exception_is_an_error_to_botocore() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(eventstream.exception("throttlingException", {"message": "slow down"}))

    answer = next(iter(buffer)).to_response_dict()

    assert answer["status_code"] == 400
    assert answer["headers"][":exception-type"] == "throttlingException"
