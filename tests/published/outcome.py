"""What the published tests said, and what the committed list expects them to say."""

import ast
import tomllib
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

EXPECTED_FILE = Path(__file__).with_name("expected.toml")


@dataclass(frozen=True)
class Outcome:
    """One published test's result.

    Attributes:
        file: The test file's name without folder and suffix.
        function: The test function's name, without parameters.
        name: The name with parameters.
        passed: Whether it passed; a skipped test did not.
        message: The first line of the failure, empty when it passed.
    """

    file: str
    function: str
    name: str
    passed: bool
    message: str


@dataclass(frozen=True)
class Exemption:
    """A published test that does not pass, and why that is right.

    Attributes:
        file: The published test file's name without folder and suffix.
        function: The published test function.
        reason: What the test pins that is not behaviour, or which behaviour of ours is meant to differ.
        ours: ``path::function`` of this kit's own test of the same behaviour, from the repository's root.
    """

    file: str
    function: str
    reason: str
    ours: str


def read_outcomes(junit_file: Path) -> list[Outcome]:
    """The outcomes in a JUnit report written by pytest."""
    outcomes = []
    for case in ET.parse(junit_file).iter("testcase"):  # noqa: S314 - written by our own pytest run
        name = case.get("name", "")
        failure = next(
            (case.find(kind) for kind in ("failure", "error", "skipped") if case.find(kind) is not None), None
        )
        outcomes.append(
            Outcome(
                file=_file_name(case.get("classname", "")),
                function=name.split("[", 1)[0],
                name=name,
                passed=failure is None,
                message="" if failure is None else failure.get("message", "").splitlines()[0],
            )
        )
    return outcomes


def _file_name(class_name: str) -> str:
    """The test module's name in a JUnit class name, which may end with the name of a test class."""
    return next(part for part in reversed(class_name.split(".")) if part.startswith("test_"))


def read_exemptions() -> list[Exemption]:
    """The committed list of published tests that do not pass."""
    with EXPECTED_FILE.open("rb") as file:
        return [Exemption(**entry) for entry in tomllib.load(file).get("exempt", [])]


def missing_test(exemption: Exemption, root: Path) -> str | None:
    """Why the exemption's own test cannot be found, or ``None`` when it exists."""
    path, _, function = exemption.ours.partition("::")
    file = root / path
    if not file.is_file():
        return f"{exemption.file}::{exemption.function} | {path} does not exist"
    functions = {
        node.name
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    if not function.startswith("test_") or function not in functions:
        return f"{exemption.file}::{exemption.function} | {path} has no test {function}"
    return None
