"""Every statement of ``docs/SEMANTICS.md`` is executed by tests that exist."""

import subprocess
import sys

import pytest

from tests.docs.documents import ROOT
from tests.docs.semantics import Statement, read_statements

#: Collecting takes seconds, and minutes where the machine is busy.
pytestmark = pytest.mark.timeout(300)

STATEMENTS = read_statements((ROOT / "docs" / "SEMANTICS.md").read_text())


@pytest.fixture(scope="module")
def collected() -> set[str]:
    """The node ids that pytest finds in the named files, without parameters."""
    files = sorted({node.partition("::")[0] for statement in STATEMENTS for node in statement.tests})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0", "-p", "no:cacheprovider", *files]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return {line.partition("[")[0] for line in finished.stdout.splitlines() if "::" in line}


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: f"{statement.section}: {statement.text[:60]}")
def test_a_statement_names_tests_that_exist(statement: Statement, collected: set[str]) -> None:
    assert statement.text, "a list of tests without the statement they execute"
    assert statement.tests, "a statement without a test"
    assert [node for node in statement.tests if node not in collected] == []


def test_sections_are_numbered_as_in_the_design_and_in_order() -> None:
    sections = list(dict.fromkeys(statement.section for statement in STATEMENTS))
    numbers = [int(section.partition(".")[0]) for section in sections]

    assert numbers == sorted(set(numbers))


def test_a_statement_without_a_test_is_noticed() -> None:
    document = "# Page\n\n## 1. One\n\nIt holds.\nReally.\n\n* `a.py::test_a`\n* `b.py::T::test_b`\n\nThis too.\n"

    assert read_statements(document) == [
        Statement("1. One", "It holds. Really.", ("a.py::test_a", "b.py::T::test_b")),
        Statement("1. One", "This too.", ()),
    ]


def test_what_is_not_promised_needs_no_test() -> None:
    document = "## 1. One\n\nIt holds.\n\n* `a.py::test_a`\n\n**Not promised:** the weather.\n"

    assert [statement.tests for statement in read_statements(document)] == [("a.py::test_a",)]
