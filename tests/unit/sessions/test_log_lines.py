"""No log line of the session library quotes an error: its message may quote a conversation."""

import ast
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

import agent_sessions
from agent_sessions.exceptions import SessionStorageError, named

ROOT = Path(agent_sessions.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))


def log_calls(tree: ast.AST) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "logger"
    ]


def errors_in(tree: ast.AST) -> set[str]:
    """The names under which a module catches errors, or remembers them."""
    caught = {node.name for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name}
    return caught | {"error", "failure", "_stopped"}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_log_line_names_errors_and_quotes_none(module: Path) -> None:
    tree = ast.parse(module.read_text())
    errors = errors_in(tree)
    for call in log_calls(tree):
        assert isinstance(call.func, ast.Attribute)
        where = f"{module.name}:{call.lineno}"
        assert call.func.attr not in {"exception", "critical"}, where
        assert not {keyword.arg for keyword in call.keywords} & {"exc_info", "stack_info"}, where
        assert isinstance(call.args[0], ast.Constant), f"{where}: a format string, filled in by the logger"
        for argument in call.args[1:]:
            said = {node.id for node in ast.walk(argument) if isinstance(node, ast.Name)}
            said |= {node.attr for node in ast.walk(argument) if isinstance(node, ast.Attribute)}
            is_named = isinstance(argument, ast.Call) and ast.unparse(argument.func) == "named"
            assert is_named or not said & errors, f"{where}: {ast.unparse(argument)}"


def raised(error: Exception) -> Exception:
    try:
        raise error from ValueError("secret, too")
    except type(error) as caught:
        return caught


def test_an_error_is_named_by_class_code_and_place() -> None:
    refused = ClientError({"Error": {"Code": "SlowDown", "Message": "secret"}}, "PutObject")

    assert named(raised(TypeError("secret"))).startswith("TypeError in ")
    assert named(raised(SessionStorageError("secret", code="EIO"))).startswith("SessionStorageError EIO in ")
    assert named(raised(refused)).startswith("ClientError SlowDown in ")
    assert "secret" not in named(raised(refused)) + named(raised(TypeError("secret")))
    assert named(TypeError("secret")) == "TypeError"
