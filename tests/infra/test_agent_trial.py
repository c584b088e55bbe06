"""What cannot be an agent is refused at synth, by what it is and what is allowed."""

import shutil
from pathlib import Path

import pytest

from infra.packaging.agent_folder import AgentFolderError, check_builder
from infra.packaging.agent_trial import try_agent
from infra.packaging.kit_files import AGENT_FOLDER
from infra.packaging.python_package import ROOT

BUILDER = "def build_agent(session_manager, settings):\n    return None\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("def build_agent(:\n", "no Python: .*, line 1"),
        ("X = 1\n", "neither a function build_agent nor AGENTS"),
        ("AGENTS = ['research']\n", "AGENTS is a list; it has to be a mapping of agent ids and builders"),
        ("AGENTS = 'research'\n", "AGENTS is a str; it has to be a mapping"),
        ("AGENTS: dict = {}\n", "AGENTS is empty"),
        (f"{BUILDER}AGENTS = {{'a/b': build_agent}}\n", "AGENTS has a key that is no agent id: agent_id='a/b'"),
        (f"{BUILDER}AGENTS = {{7: build_agent}}\n", "AGENTS has a key that is no agent id: agent_id=7"),
        ("AGENTS = {'research': 'build_research'}\n", r"AGENTS\['research'\] is a str; it has to be a function"),
    ],
)
def test_what_the_text_of_a_folder_gives_away_is_refused(text: str, complaint: str, folder: Path) -> None:
    (folder / "__init__.py").write_text(text, encoding="utf-8")

    with pytest.raises(AgentFolderError, match=complaint):
        check_builder(folder)


@pytest.mark.parametrize(
    "text",
    [
        BUILDER,
        f"{BUILDER}AGENTS = {{'research': build_agent, **{{}}}}\n",
        f"{BUILDER}AGENTS = None\n",
        "from somewhere import build_agent\n",
        "from somewhere import *\n",
        "from functools import partial\nbuild_agent = partial(print)\n",
        "try:\n    AGENTS = dict(a=print)\nexcept Exception:\n    raise\n",
    ],
)
def test_what_only_running_it_tells_is_left_to_that(text: str, folder: Path) -> None:
    (folder / "__init__.py").write_text(text, encoding="utf-8")

    check_builder(folder)


def test_the_kits_own_agent_passes() -> None:
    check_builder(AGENT_FOLDER)
    assert try_agent({}) == ""


def kit_with(folder: Path, agent: str, lock: str = "") -> Path:
    """A kit whose agent is this one."""
    for name in ("layer", "local"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "lambda_src", folder / "lambda_src", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "lambda_src" / "agent" / "__init__.py").write_text(agent, encoding="utf-8")
    (folder / "requirements").mkdir()
    (folder / "requirements" / "agent.txt").write_text(lock, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("agent", "complaint"),
    [
        (
            "import humanise\n",
            r"cannot be imported: ModuleNotFoundError: No module named 'humanise' .*, line 1\); packages of your own",
        ),
        (
            "import os\nassert os.environ['TABLE'] == 'orders'\n" + BUILDER,
            "lambda_src/agent cannot be used: build_agent has returned a NoneType",
        ),
    ],
)
def test_an_agent_that_cannot_work_is_refused_in_one_line(agent: str, complaint: str, folder: Path) -> None:
    with pytest.raises(AgentFolderError, match=complaint) as refusal:
        try_agent({"TABLE": "orders"}, kit_with(folder, agent))

    assert "\n" not in str(refusal.value)


def test_an_agent_whose_packages_are_not_installed_here_is_checked_by_its_text_only(folder: Path) -> None:
    kit = kit_with(folder, "import no_such_bird\n", lock="no-such-bird==1.0 \\\n    --hash=sha256:0\n")

    said = try_agent({}, kit)

    assert said == (
        "the agent is checked by its text only: no-such-bird of requirements/agent.txt is not installed here; "
        "`make setup` installs it\n"
    )
