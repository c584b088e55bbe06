"""What cannot be an agent is refused at synth, by what it is and what is allowed."""

import shutil
from pathlib import Path

import pytest
from botocore.exceptions import NoRegionError, ParamValidationError

from infra import KitConfig
from infra.constructs.agent_endpoint import settings_of_function
from infra.packaging.agent_folder import AgentFolderError, check_builder
from infra.packaging.agent_trial import in_repository, try_agent
from infra.packaging.kit_files import AGENT_FOLDER
from infra.packaging.python_package import ROOT
from local.builder_failures import needs_what_is_not_here

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
        ("AGENTS = None\n", "neither a function build_agent nor AGENTS"),
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
        "AGENTS = None\nif True:\n    AGENTS = dict(a=print)\n",
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
    assert try_agent({}, ROOT, in_repository()) == ""


def kit_with(folder: Path, agent: str, lock: str = "") -> Path:
    """A kit whose agent is this one."""
    for name in ("layer", "local"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "lambda_src", folder / "lambda_src", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "lambda_src" / "agent" / "__init__.py").write_text(agent, encoding="utf-8")
    (folder / "lambda_src" / "agent" / "requirements.txt").write_text(lock, encoding="utf-8")
    return folder


def tried(kit: Path, environment: dict[str, str] | None = None) -> str:
    return try_agent(environment or {}, kit, in_repository(kit))


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
        tried(kit_with(folder, agent), {"TABLE": "orders"})

    assert "\n" not in str(refusal.value)


def test_an_agent_whose_packages_are_not_installed_here_is_checked_by_its_text_only(folder: Path) -> None:
    kit = kit_with(folder, "import no_such_bird\n", lock="no-such-bird==1.0 \\\n    --hash=sha256:0\n")

    said = tried(kit)

    assert said == (
        "the agent is checked by its text only: no-such-bird of lambda_src/agent/requirements.txt is not installed "
        "here; `make setup` installs it\n"
    )


BUILDS_AT_ONCE = "def build_agent(session_manager, settings):\n    "


@pytest.mark.parametrize(
    ("agent", "complaint"),
    [
        (f"{BUILDS_AT_ONCE}return Agnet()\n", r"build_agent raises NameError: .*'Agnet' is not defined \(.*, line 2\)"),
        (f"{BUILDS_AT_ONCE}import os; return os.environ['NOWHERE']\n", "build_agent raises KeyError: 'NOWHERE'"),
        (f"{BUILDS_AT_ONCE}import sys; sys.exit(0)\n", "build_agent raises SystemExit: 0"),
        ("import sys\nsys.exit(0)\n", r"cannot be imported: SystemExit: 0 \(.*, line 2\)"),
        ("import os\nos.environ['DEPLOYERS_OWN']\n" + BUILDER, "cannot be imported: KeyError: 'DEPLOYERS_OWN'"),
        (
            "import boto3\nassert boto3.Session().get_credentials() is None, 'credentials'\n" + BUILDER,
            "build_agent has returned a NoneType",
        ),
    ],
)
def test_what_no_network_and_no_secret_mends_is_refused(
    agent: str, complaint: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOYERS_OWN", "x")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")

    with pytest.raises(AgentFolderError, match=complaint):
        tried(kit_with(folder, agent))


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        (
            (
                "import boto3\nfrom lambda_src.secrets import secret\n"
                "AGENTS = {'a': lambda *_: secret('TOKEN'), 'b': lambda *_: boto3.client('s3').list_buckets()}\n"
            ),
            (
                "AGENTS['a'] of lambda_src/agent was not tried: offline it raises SecretUnavailableError\n"
                "AGENTS['b'] of lambda_src/agent was not tried: offline it raises NoCredentialsError\n"
            ),
        ),
        (
            "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:9/')\n" + BUILDER,
            "lambda_src/agent was not tried: offline its import raises URLError\n",
        ),
    ],
)
def test_what_needs_a_network_or_a_secret_is_said_and_not_refused(agent: str, said: str, folder: Path) -> None:
    assert tried(kit_with(folder, agent)) == said


def wrapped(cause: Exception) -> Exception:
    error = RuntimeError("the tool server does not answer")
    error.__cause__ = ExceptionGroup("tasks", [cause])
    return error


@pytest.mark.parametrize(
    ("error", "asked_the_network", "needs"),
    [
        (ConnectionRefusedError(), False, True),
        (wrapped(TimeoutError()), False, True),
        (KeyError("body"), True, True),
        (KeyError("body"), False, False),
        (ValueError("invalid literal for int() with base 10: '${Token[TOKEN.7]}'"), False, True),
        (AttributeError("no_such"), False, False),
        (TypeError(), False, False),
        (FileNotFoundError("prompt.md"), False, False),
        (ParamValidationError(report="Bucket"), False, False),
        (NoRegionError(), False, True),
        (NameError("x"), True, False),
        (ImportError("x"), True, False),
    ],
)
def test_a_failure_is_no_mistake_only_if_the_surroundings_can_mend_it(
    error: Exception, asked_the_network: bool, needs: bool
) -> None:
    assert needs_what_is_not_here(error, asked_the_network=asked_the_network) is needs


def test_the_agent_is_tried_with_the_settings_of_the_deployed_function(folder: Path) -> None:
    config = KitConfig(
        agent_environment={"TABLE": "orders"},
        agent_secrets={"OPENAI_API_KEY": "ssm:/chat/key"},
        agent_model="openai:gpt-5",
        agent_max_tokens=512,
    )
    agent = (
        "import os\nassert os.environ['AGENT_MODEL'] == 'openai:gpt-5'\nassert os.environ['TABLE'] == 'orders'\n"
        f"{BUILDS_AT_ONCE}assert settings.agent_max_tokens == 512\n"
    )

    with pytest.raises(AgentFolderError, match="build_agent has returned a NoneType"):
        tried(kit_with(folder, agent), settings_of_function(config))
