"""What the cold starts are measured on."""

import sys
from pathlib import Path

import pytest

from bench.coldstart_packages import compiled_share
from infra.packaging.bytecode import compile_tree
from infra.packaging.interpreters import Interpreter, find_interpreter
from tests.deploy.lambda_process import DeployedFunction


@pytest.fixture
def interpreter() -> Interpreter:
    found = find_interpreter(f"{sys.version_info.major}.{sys.version_info.minor}")
    assert found is not None
    return found


def test_only_byte_code_that_lambda_takes_as_it_is_counts(tmp_path: Path, interpreter: Interpreter) -> None:
    # Given a function with byte code, a layer whose byte code is compared with its source, and one without any.
    for name in ("function", "checked", "bare"):
        (tmp_path / name).mkdir()
        for module in ("a", "b"):
            (tmp_path / name / f"{module}.py").write_text("x = 1\n", encoding="utf-8")
    compile_tree(tmp_path / "function", interpreter, "/var/task")
    compile_tree(tmp_path / "checked", interpreter, "/opt/python")
    for path in (tmp_path / "checked").rglob("*.pyc"):
        code = path.read_bytes()
        path.write_bytes(code[:4] + b"\0\0\0\0" + code[8:])  # by time, as an installer does
    layers = [tmp_path / "checked", tmp_path / "bare"]

    assert compiled_share(DeployedFunction({}, tmp_path / "function", layers, interpreter, tmp_path)) == (2, 6)
