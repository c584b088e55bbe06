"""What a large answer costs in memory, in a process of its own."""

from bench.large_answer import ANSWER_BYTES, measure


def test_a_streamed_answer_of_a_megabyte_takes_no_more_memory_than_a_buffered_one() -> None:
    buffered, streamed = measure("buffered"), measure("streamed")

    # The message, and its record or its reply: the stream writes down a piece of it at a time.
    assert streamed <= buffered
    assert buffered < 4 * ANSWER_BYTES
