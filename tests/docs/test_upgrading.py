"""``docs/UPGRADING.md``: its commands, run in a user's clone when the next release comes."""

import os
import subprocess
from pathlib import Path
from shutil import copy2, which

import pytest

from tests.docs.documents import ROOT, transcript

COMMANDS = [command for command, _ in transcript((ROOT / "docs" / "UPGRADING.md").read_text())]
PROMPT, TOOLS, LOCK = "lambda_src/agent/prompt.md", "lambda_src/agent/tools.py", "lambda_src/agent/requirements.txt"
THEIRS = "infra/config.py"
KEPT = (".gitattributes", "cdk.json", PROMPT, TOOLS, "lambda_src/agent/__init__.py", LOCK, THEIRS)

pytestmark = pytest.mark.skipif(which("git") is None, reason="git is not there")


class Clone:
    """A repository with the files that an upgrade is about."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, command: str) -> str:
        names = {f"GIT_{who}_NAME": "A" for who in ("AUTHOR", "COMMITTER")}
        addresses = {f"GIT_{who}_EMAIL": "a@example.org" for who in ("AUTHOR", "COMMITTER")}
        settings = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_MERGE_AUTOEDIT": "no"}
        environment = {**os.environ, **names, **addresses, **settings}
        shell = ["bash", "-c", command]
        done = subprocess.run(shell, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.folder / path
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))

    def append(self, path: str, text: str) -> None:
        with (self.folder / path).open("a") as file:
            file.write(text)

    def read(self, path: str) -> str:
        return (self.folder / path).read_text()

    def commit(self, message: str) -> None:
        self.run(f"git add --all && git commit --quiet --message '{message}'")


@pytest.fixture
def kit(tmp_path: Path) -> Clone:
    folder = tmp_path / "kit"
    for name in KEPT:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        copy2(ROOT / name, target)
    clone = Clone(folder)
    clone.run("git init --quiet --initial-branch main")
    clone.commit("v0.1.0")
    return clone


@pytest.fixture
def yours(kit: Clone, tmp_path: Path) -> Clone:
    """A clone whose user has changed the agent's folder and a setting."""
    kit.run(f"git clone --quiet . {tmp_path}/yours")
    clone = Clone(tmp_path / "yours")
    clone.edit(PROMPT, clone.read(PROMPT), "You sell tea.\n")
    (clone.folder / "lambda_src/agent/tea.py").write_text("PRICE = 3\n")
    clone.append(LOCK, "tea==1.0\n")
    clone.edit("cdk.json", '"session_ttl_days": 30', '"session_ttl_days": 7')
    clone.commit("Our agent")
    return clone


def release(kit: Clone) -> None:
    """The next release changes the kit, the demo agent and the settings."""
    kit.append(THEIRS, "NEW = True\n")
    kit.edit(PROMPT, kit.read(PROMPT), "A new demo prompt.\n")
    kit.append(TOOLS, "# A new demo tool.\n")
    kit.append(LOCK, "other==2.0\n")
    kit.edit("cdk.json", '"timeout_seconds": 120', '"timeout_seconds": 120,\n    "alarms": true')
    kit.commit("v0.2.0")
    kit.run("git tag v0.2.0")


def upgrade(kit: Clone, yours: Clone) -> None:
    for command in COMMANDS:
        if command.startswith("git "):
            yours.run(command.replace("https://github.com/your-team/agent-session-kit.git", str(kit.folder)))


def test_an_upgrade_keeps_the_agent_and_the_settings_and_takes_the_kit(kit: Clone, yours: Clone) -> None:
    release(kit)

    upgrade(kit, yours)

    assert yours.read(PROMPT) == "You sell tea.\n"
    assert yours.read("lambda_src/agent/tea.py") == "PRICE = 3\n"
    assert "tea==1.0" in yours.read(LOCK)
    assert "other==2.0" not in yours.read(LOCK)
    assert yours.read(THEIRS).endswith("NEW = True\n")
    assert '"session_ttl_days": 7' in yours.read("cdk.json")
    assert '"alarms": true' in yours.read("cdk.json")


def test_a_file_of_the_folder_that_was_not_changed_is_the_releases(kit: Clone, yours: Clone) -> None:
    release(kit)

    upgrade(kit, yours)

    assert yours.read(TOOLS).endswith("# A new demo tool.\n")


def test_without_the_driver_git_stops_and_asks_about_the_folder(kit: Clone, yours: Clone) -> None:
    release(kit)
    yours.run(f"git remote add kit {kit.folder} && git fetch --quiet --tags kit")

    with pytest.raises(AssertionError, match=r"CONFLICT .*prompt\.md"):
        yours.run("git merge v0.2.0")


def test_the_agents_folder_is_the_one_that_the_attributes_name() -> None:
    named = (ROOT / ".gitattributes").read_text()

    assert "lambda_src/agent/** merge=keep-yours" in named
    assert (ROOT / "lambda_src" / "agent" / "__init__.py").exists()
