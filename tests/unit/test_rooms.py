"""Which module may import which: arrows between rooms point one way, and no circle is hidden in a function's body."""

import ast
import re
import subprocess
import sys
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]


def test_every_import_follows_the_arrows_of_the_rooms() -> None:
    # The linter finds the packages by Python's path, and pytest has set that for its own process alone.
    path = "import sys; sys.path[:0] = ['layer', 'client', 'cli', '.']"
    start = f"{path}; from importlinter import cli; cli.lint_imports_command()"

    run = subprocess.run([sys.executable, "-c", start], cwd=ROOT, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize(
    "package", ["agent_sessions", "agent_sessions_cli", "agent_sessions_client", "lambda_src", "infra", "local"]
)
def test_no_two_modules_need_each_other(package: str) -> None:
    graph = grimp.build_graph(package, exclude_type_checking_imports=True, cache_dir=None)
    needs = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}

    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_two_exceptions_have_one_name() -> None:
    """Whoever reads `except SessionBusyError` or a state machine's `ErrorEquals` knows which one is meant."""
    names = [
        node.name
        for package in ("layer/agent_sessions", "lambda_src", "infra", "local", "cli")
        for module in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and node.name.endswith(("Error", "Exception"))
    ]

    assert len(names) > 40
    assert [name for name, times in Counter(names).items() if times > 1] == []


def test_what_is_named_as_a_question_answers_yes_or_no() -> None:
    """A command is a verb: `record_stored(...)`. `has_stored(...)` asks, and says so."""
    asking = re.compile(r"_*(is|has|was|are|may|can|needs)_")
    functions = [
        (node, f"{module.relative_to(ROOT)}: {node.name}")
        for package in ("layer/agent_sessions", "lambda_src", "infra", "local", "client", "cli")
        for module in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and asking.match(node.name)
    ]

    assert len(functions) > 100
    assigning = [name for node, name in functions if any(_is_own(target) for target in _assigned(node))]
    assert assigning == [], "a question changes nothing"
    answers = re.compile(r"\b(bool|TypeGuard|TypeIs)\b")
    assert [name for node, name in functions if not (node.returns and answers.search(ast.unparse(node.returns)))] == []


def _assigned(function: ast.AST) -> list[ast.expr]:
    """What a function assigns to."""
    nodes = list(ast.walk(function))
    several = [target for node in nodes if isinstance(node, ast.Assign) for target in node.targets]
    return several + [node.target for node in nodes if isinstance(node, ast.AugAssign | ast.AnnAssign)]


def _is_own(target: ast.expr) -> bool:
    """Whether it belongs to ``self``."""
    parts = target.elts if isinstance(target, ast.Tuple) else [target]
    return any(ast.unparse(part).startswith("self.") for part in parts)


def test_no_module_is_above_400_lines_and_a_long_one_says_why() -> None:
    modules = [
        module
        for package in ("layer/agent_sessions", "lambda_src", "infra", "local", "client", "cli")
        for module in sorted((ROOT / package).rglob("*.py"))
    ]
    lines = {module: module.read_text(encoding="utf-8").splitlines() for module in modules}

    assert [str(module) for module in modules if len(lines[module]) > 400] == []
    long = [module for module in modules if len(lines[module]) > 300]
    assert [str(it) for it in long if not any(line.startswith("# Over 300 lines: ") for line in lines[it])] == []
