"""Says what was measured, and puts it into the documents when asked to."""

from __future__ import annotations

from typing import Any

from bench.run import ROOT

PUBLISHED = ROOT / "docs" / "BENCHMARKS.md"
FOLDER = PUBLISHED.parent / "benchmarks"


def say(stream: Any, text: str) -> None:
    """Write a line at once: a measurement takes minutes, and somebody may be watching."""
    stream.write(f"{text}\n")
    stream.flush()


def publish(report: str, begin: str, end: str) -> None:
    """Replace what stands between two marks of the benchmarks' page.

    Args:
        report: What shall stand there, as Markdown.
        begin: The mark before it.
        end: The mark after it.
    """
    before, rest = PUBLISHED.read_text(encoding="utf-8").split(begin)
    PUBLISHED.write_text(f"{before}{begin}\n\n{report}\n{end}{rest.split(end)[1]}", encoding="utf-8")
