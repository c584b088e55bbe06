"""What a large answer costs in memory, in a process of its own."""

from bench.large_answer import measure


def test_a_streamed_answer_of_a_megabyte_takes_no_more_memory_than_a_buffered_one() -> None:
    buffered, streamed = measure("buffered"), measure("streamed")

    # Both peak where the turn is stored; the stream's thread is a few kilobytes.
    assert streamed < 1.02 * buffered
    assert buffered < 8 * 1024 * 1024
