"""The page on custom repositories and orchestrators: its code is taken out of it and used."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.documents import ROOT, files

PAGE = ROOT / "docs" / "CUSTOM_REPOSITORY.md"
DIED = 77

#: A process with the page's code: an agent or a relay of scripted models, told what to do by its arguments.
PROCESS = """
import json, os, sys
from pathlib import Path

from strands import Agent

from agent_sessions.repository_session_manager import RepositorySessionManager
from chat import open_agent
from relay import Relay
from sqlite_repository import SqliteRepository
from tests.doubles.scripted_model import ScriptedModel

database, order = Path(sys.argv[1]), json.loads(sys.argv[2])
asked = []


def model(name, answer):
    def reply(request):
        if name == order.get("dies"):
            os._exit(77)
        asked.append([name, request.texts])
        return answer

    return ScriptedModel(reply)


if "prompt" in order:
    said = str(open_agent("s1", database, model("chat", order["answer"]))(order["prompt"])).strip()
else:
    agents = [Agent(name=name, model=model(name, f"{name}'s"), callback_handler=None) for name in ("writer", "editor")]
    said = Relay("press", agents, RepositorySessionManager("s1", SqliteRepository(database)))("A poem")
print("\\n" + json.dumps({"said": said, "asked": asked}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's files as a user would save them."""
    folder = tmp_path_factory.mktemp("page")
    for name, code in files(PAGE.read_text()).items():
        (folder / name).write_text(code)
    (folder / "process.py").write_text(PROCESS)
    return folder


@pytest.fixture
def code(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the page's files importable."""
    monkeypatch.syspath_prepend(str(folder))


def run(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    places = (str(folder), str(ROOT / "layer"), str(ROOT))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(places)} | variables
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def process(folder: Path, database: Path, **order: Any) -> dict[str, Any]:
    finished = run(folder, str(folder / "process.py"), str(database), json.dumps(order))
    assert finished.returncode == (DIED if "dies" in order else 0), finished.stderr
    answer: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1]) if finished.stdout else {}
    return answer


@pytest.mark.timeout(300)
def test_the_documented_repository_meets_the_contract(folder: Path, tmp_path: Path) -> None:
    command = "-m pytest tests/contract -k custom -p my_contract -n 0 -q -p no:cacheprovider"

    finished = run(folder, *command.split(), TMPDIR=str(tmp_path))

    assert finished.returncode == 0, finished.stdout
    passed = re.search(r"(\d+) passed", finished.stdout)
    assert passed
    assert int(passed[1]) >= 150
    # It was the page's repository, and not the one the suite has otherwise.
    assert any(path.stat().st_size for path in tmp_path.rglob("sessions.db"))


def test_the_documented_repository_passes_the_suite_that_is_shipped(folder: Path) -> None:
    finished = run(
        folder,
        *["-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null"],
        str(folder / "test_sqlite_repository.py"),
    )

    assert finished.returncode == 0, finished.stdout
    passed = re.search(r"(\d+) passed", finished.stdout)
    assert passed
    assert int(passed[1]) >= 40


def test_a_conversation_goes_on_in_another_process(folder: Path, tmp_path: Path) -> None:
    process(folder, tmp_path / "sessions.db", prompt="I am Ada.", answer="Hello Ada.")

    second = process(folder, tmp_path / "sessions.db", prompt="Who am I?", answer="Ada.")

    assert second == {"said": "Ada.", "asked": [["chat", ["I am Ada.", "Hello Ada.", "Who am I?"]]]}


def test_the_documented_orchestrator_goes_on_in_another_process_where_one_died(folder: Path, tmp_path: Path) -> None:
    database = tmp_path / "sessions.db"
    process(folder, database, dies="editor")

    resumed = process(folder, database)
    anew = process(folder, database)

    assert resumed == {"said": "editor's", "asked": [["editor", ["writer's"]]]}
    assert [name for name, _ in anew["asked"]] == ["writer", "editor"]


@pytest.mark.usefixtures("code")
def test_the_later_of_two_overlapping_turns_is_refused_before_its_model_is_called(tmp_path: Path) -> None:
    from chat import open_agent  # type: ignore[import-not-found] # a file of the page

    from agent_sessions.exceptions import SessionConflictError
    from tests.doubles.scripted_model import ScriptedModel

    database, model = tmp_path / "sessions.db", ScriptedModel("never said")
    open_agent("s1", database, ScriptedModel("Hi."))("Hello")
    winner, loser = open_agent("s1", database, ScriptedModel("I won.")), open_agent("s1", database, model)
    winner("First!")

    with pytest.raises(SessionConflictError):
        loser("Me too!")

    assert model.requests == []
    assert len(open_agent("s1", database, ScriptedModel()).messages) == 4


@pytest.mark.usefixtures("code")
def test_of_two_first_requests_the_later_one_reads_the_agent_that_the_other_created(tmp_path: Path) -> None:
    from sqlite_repository import SqliteRepository  # type: ignore[import-not-found] # a file of the page
    from strands import Agent

    from agent_sessions.repository_session_manager import RepositorySessionManager
    from tests.doubles.scripted_model import ScriptedModel

    early, late = (RepositorySessionManager("s1", SqliteRepository(tmp_path / "sessions.db")) for _ in range(2))
    Agent(agent_id="a1", model=ScriptedModel("Hi."), session_manager=late, callback_handler=None)("Hello")

    agent = Agent(agent_id="a1", model=ScriptedModel(), session_manager=early, callback_handler=None)

    assert [message["content"] for message in agent.messages] == [[{"text": "Hello"}], [{"text": "Hi."}]]


@pytest.mark.usefixtures("code")
def test_an_erased_session_leaves_no_word_in_the_file(tmp_path: Path) -> None:
    from chat import open_agent
    from sqlite_repository import SqliteRepository

    from agent_sessions.exceptions import SessionNotFoundError
    from tests.doubles.scripted_model import ScriptedModel

    database = tmp_path / "sessions.db"
    for session_id in ("user1", "user10"):
        open_agent(session_id, database, ScriptedModel("Hi."))(f"I am {session_id}, from Zanzibar-{session_id}.")

    SqliteRepository(database).delete_session("user1")

    assert b"Zanzibar-user10" in database.read_bytes()
    assert b"Zanzibar-user1." not in database.read_bytes()
    assert open_agent("user1", database, ScriptedModel()).messages == []
    assert len(open_agent("user10", database, ScriptedModel()).messages) == 2
    with pytest.raises(SessionNotFoundError):
        SqliteRepository(database).delete_session("nobody")


def test_a_users_type_checker_accepts_the_code(folder: Path, tmp_path: Path) -> None:
    names = [str(folder / name) for name in files(PAGE.read_text()) if name != "my_contract.py"]
    cache = ROOT / ".mypy_cache" / "docs"

    finished = run(folder, "-m", "mypy", "--strict", "--config-file", os.devnull, "--cache-dir", str(cache), *names)

    assert finished.returncode == 0, finished.stdout


def test_the_code_is_as_tidy_as_the_kits(folder: Path) -> None:
    names = [str(folder / name) for name in files(PAGE.read_text())]
    rules = ["--isolated", "--line-length", "120"]
    own = 'lint.isort.known-first-party=["sqlite_repository", "tests"]'

    checked = run(folder, "-m", "ruff", "check", *rules, "--select", "E,F,I,B,UP,SIM,RUF", "--config", own, *names)
    formatted = run(folder, "-m", "ruff", "format", "--check", "--diff", *rules, *names)

    assert checked.returncode == 0, checked.stdout
    assert formatted.returncode == 0, formatted.stdout
