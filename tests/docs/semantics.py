"""Reads ``docs/SEMANTICS.md``: statements, and the tests that execute each."""

import re
from dataclasses import dataclass

_HEADING = re.compile(r"^## (?P<title>.+)$", re.MULTILINE)
_TEST = re.compile(r"^\* `(?P<node>[^`]+::[^`]+)`$")


@dataclass(frozen=True)
class Statement:
    """One or more sentences that hold.

    Attributes:
        section: The heading they stand under.
        text: The sentences.
        tests: The pytest node ids that execute them.
    """

    section: str
    text: str
    tests: tuple[str, ...]


def read_statements(document: str) -> list[Statement]:
    """The statements of a document: below each heading, paragraphs up to the list of tests that executes them."""
    _, *parts = _HEADING.split(document)
    statements = []
    for section, body in zip(parts[::2], parts[1::2], strict=True):
        sentences: list[str] = []
        tests: list[str] = []
        for paragraph in body.strip().split("\n\n"):
            nodes = [_TEST.match(line) for line in paragraph.splitlines()]
            if all(nodes):
                tests += [node["node"] for node in nodes if node]
                statements.append(Statement(section, " ".join(sentences), tuple(tests)))
                sentences, tests = [], []
            elif not paragraph.startswith("**Not promised:**"):
                sentences.append(" ".join(paragraph.split()))
        if sentences or not body.strip():
            statements.append(Statement(section, " ".join(sentences), ()))
    return statements
