"""The committed list of published tests that do not pass, and the rule that tells public tests from private ones."""

from pathlib import Path

import pytest

from tests.published import outcome, privacy, suite

ROOT = Path(__file__).parents[2]

MANAGER = """
class Manager:
    def __init__(self):
        self._held = {}
        self.session_id = ""
    def _path(self): ...
    def __enter__(self): ...
"""


@pytest.mark.parametrize("exemption", outcome.read_exemptions(), ids=lambda entry: f"{entry.file}::{entry.function}")
def test_every_exemption_gives_a_reason_and_names_a_test_of_ours(exemption: outcome.Exemption) -> None:
    assert len(exemption.reason) > 20
    assert outcome.missing_test(exemption, ROOT) is None


def test_a_missing_test_of_ours_is_reported() -> None:
    here = Path(__file__).relative_to(ROOT)
    entry = outcome.Exemption("test_a", "test_b", "why", f"{here}::test_that_is_not_there")
    assert "has no test test_that_is_not_there" in (outcome.missing_test(entry, ROOT) or "")
    gone = outcome.Exemption("test_a", "test_b", "why", "tests/nowhere.py::test_x")
    assert "tests/nowhere.py does not exist" in (outcome.missing_test(gone, ROOT) or "")


def test_private_names_are_the_functions_and_attributes_of_self_with_one_underscore() -> None:
    assert privacy.private_names([MANAGER]) == {"_held", "_path"}


@pytest.mark.parametrize(
    ("body", "is_private"),
    [
        ("def test_it(manager): assert manager._path()", True),
        ("def test_it(manager): assert manager.session_id", False),
        ("def test_it(agent): assert agent._interrupt_state", False),
        ("@fixture\ndef held(manager): return manager._held\ndef test_it(held): assert held", True),
        ("def check(manager): assert manager._held\ndef test_it(manager): check(manager)", True),
        ("def unused(manager): manager._held\ndef test_it(manager): assert manager", False),
    ],
)
def test_a_test_is_private_when_it_or_what_it_uses_touches_a_private_name(body: str, is_private: bool) -> None:
    names = privacy.private_names([MANAGER])
    assert ("test_it" in privacy.private_tests(body, names)) is is_private


def test_imports_patches_and_the_exception_are_redirected_and_the_agent_stays_strands() -> None:
    source = (
        "from strands import Agent\n"
        "from strands.session.file_session_manager import FileSessionManager\n"
        "from strands.types.exceptions import SessionException\n"
        "from strands.types.session import Session\n"
        'patch("strands.session.file_session_manager.tempfile.mkstemp")\n'
    )
    assert suite.redirect(source).splitlines() == [
        "from strands import Agent",
        "from agent_sessions.file_session_manager import FileSessionManager",
        "from agent_sessions.exceptions import SessionException",
        "from agent_sessions.types import Session",
        'patch("agent_sessions.file_session_manager.tempfile.mkstemp")',
    ]


def test_a_report_is_read_with_its_parameters_classes_and_failures(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite><testcase classname="tests.a.test_file" name="test_one[x]"/>'
        '<testcase classname="tests.a.test_file.TestClass" name="test_two"><failure message="no&#10;more"/></testcase>'
        '<testcase classname="tests.a.test_file" name="test_three"><skipped message="why"/></testcase>'
        "</testsuite></testsuites>"
    )
    found = [(entry.file, entry.function, entry.name, entry.passed) for entry in outcome.read_outcomes(report)]
    assert found == [
        ("test_file", "test_one", "test_one[x]", True),
        ("test_file", "test_two", "test_two", False),
        ("test_file", "test_three", "test_three", False),
    ]
