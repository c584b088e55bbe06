"""The wheel: what an app of one's own finds in it."""

import ast
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

import infra
from infra.packaging.python_package import ROOT

PACKAGE = "agent_session_kit_cdk"


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("dist")), versions=["standard"])
    with zipfile.ZipFile(built) as archive:
        return set(archive.namelist())


def test_the_function_its_locks_and_the_library_are_in_it(names: set[str]) -> None:
    shipped = [path for path in (ROOT / "lambda_src").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    locks = list((ROOT / "requirements").glob("endpoint*.txt"))
    for path in [*shipped, *locks]:
        assert f"{PACKAGE}/assets/{path.relative_to(ROOT).as_posix()}" in names
    assert {"agent_sessions/session_store.py", f"{PACKAGE}/py.typed"} <= names


def test_what_is_the_repositorys_own_is_not_in_it(names: set[str]) -> None:
    top = {name.partition("/")[0] for name in names if ".dist-info" not in name}

    assert top == {"agent_sessions", "agent_sessions_cli", "agent_sessions_client", PACKAGE}
    repositorys = (f"{PACKAGE}/commands", f"{PACKAGE}/stack", f"{PACKAGE}/packaging/agent_trial")
    assert not [name for name in names if name.startswith(repositorys)]


def test_whatever_is_shipped_of_infra_imports_its_neighbours_relatively(names: set[str]) -> None:
    # There the package has another name.
    modules = [name.removeprefix(f"{PACKAGE}/") for name in names if name.startswith(PACKAGE) and "assets" not in name]
    for module in (name for name in modules if name.endswith(".py")):
        tree = ast.parse((ROOT / "infra" / module).read_text(encoding="utf-8"))
        imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]
        imported += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
        assert not [name for name in imported if (name or "").partition(".")[0] == "infra"], module


@pytest.mark.parametrize("name", infra.__all__)
def test_every_name_that_the_package_offers_is_there(name: str) -> None:
    assert getattr(infra, name).__name__ == name
    assert name in dir(infra)


def test_no_other_name_is_offered() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'KitStack'"):
        _ = infra.KitStack


def test_files_that_git_ignores_stay_at_home(names: set[str]) -> None:
    assert not [name for name in names if "__pycache__" in name or Path(name).name.startswith(".")]
