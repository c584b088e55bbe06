"""The wheel: what an app of one's own finds in it."""

import ast
import json
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

import infra
from infra.packaging.python_package import ROOT

PACKAGE = "agent_session_kit_cdk"


BUILDER = "def build_agent(session_manager, settings):\n    "
# As AgentEndpoint does it. What is installed for the trial is here what the tests run with, in the same versions.
TRY = """
import json, os, shutil, sys
from pathlib import Path
from agent_session_kit_cdk.packaging import agent_trial
from agent_session_kit_cdk.packaging.agent_requirements import wording_of
from agent_session_kit_cdk.packaging.kit_files import FUNCTION
agent_trial.built_packages = lambda locks, target, cache: Path(os.environ["PACKAGES"])
packages = agent_trial.Packages([], "{}.{}".format(*sys.version_info), Path("cache"))
for name, text in json.load(sys.stdin).items():
    function = Path(name)
    shutil.copytree(FUNCTION, function / "lambda_src")
    (function / "lambda_src" / "agent" / "__init__.py").write_text(text)
    try:
        said = agent_trial.try_packaged({"TABLE": "${Token[TOKEN.7]}"}, function, packages, wording_of("agent"))
    except agent_trial.AgentFolderError as error:
        said = f"refused: {error}"
    print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("dist")), versions=["standard"])
    return Path(built)


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
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
    repositorys = (f"{PACKAGE}/commands", f"{PACKAGE}/stack")
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


def test_an_agent_of_ones_own_is_tried_before_it_is_deployed(wheel: Path, tmp_path: Path) -> None:
    agents = {
        f"{BUILDER}return 'an agent'\n": (
            "refused: agent cannot be used: build_agent has returned a str; it has to return a strands.Agent, or an "
            "orchestrator: a Graph, a Swarm or another MultiAgentBase"
        ),
        f"{BUILDER}...\nAGENTS = list((build_agent,))\n": (
            "refused: agent cannot be used: AGENTS is a list; it has to be a mapping of agent ids and builders"
        ),
        f"import aws_cdk\n{BUILDER}...\n": (
            "refused: agent cannot be imported: ModuleNotFoundError: No module named 'aws_cdk' (agent/__init__.py, "
            "line 1); packages of your own stand in agent/requirements.in, and `python -m agent_session_kit_cdk.lock "
            "agent` locks them"
        ),
        f"import os\n{BUILDER}return int(os.environ['TABLE'])\n": (
            "build_agent of agent was not tried: offline it raises ValueError\n"
        ),
    }
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    packages = tmp_path / "packages"
    packages.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith("aws_cdk"):  # which is installed with the CDK app, and in no layer
            (packages / path.name).symlink_to(path)

    done = subprocess.run(
        [sys.executable, "-c", TRY],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "installed"), "PACKAGES": packages.name, "PATH": "/usr/bin:/bin"},
        input=json.dumps({f"function{number}": text for number, text in enumerate(agents)}),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == list(agents.values())
