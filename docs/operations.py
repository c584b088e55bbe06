"""Writes what is made from the code into docs/OPERATIONS.md: ``make operations-docs``.

A part that is made stands between two comments, ``<!-- made: name -->`` and ``<!-- end -->``.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path

from infra.constructs import endpoint_alarms, saved_queries
from lambda_src.metrics import table

PAGE = Path(__file__).with_name("OPERATIONS.md")
_PART = re.compile(r"(<!-- made: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
PARTS: dict[str, Callable[[], str]] = {
    "metrics": table.as_markdown,
    "alarms": endpoint_alarms.as_markdown,
    "queries": saved_queries.as_markdown,
}


def made(page: str) -> str:
    """The page with its made parts as they have to be."""
    return _PART.sub(lambda part: f"{part[1]}\n{PARTS[part[2]]()}\n{part[3]}", page)


if __name__ == "__main__":
    PAGE.write_text(made(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name}: {', '.join(PARTS)}\n")
