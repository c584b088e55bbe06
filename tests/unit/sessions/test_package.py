"""What `import agent_sessions` offers, and what it costs."""

import string
import subprocess
import sys
from pathlib import Path

import pytest

import agent_sessions
from agent_sessions import exceptions

LETTERS = tuple(string.ascii_uppercase)
LAYER = Path(agent_sessions.__file__).parents[1]


@pytest.mark.parametrize("name", agent_sessions.__all__)
def test_a_name_of_the_package_is_the_one_of_its_module(name: str) -> None:
    offered = getattr(agent_sessions, name)

    assert offered.__name__ == name
    assert offered.__module__.startswith("agent_sessions.")
    assert name in dir(agent_sessions)


def test_every_exception_that_a_caller_can_catch_is_offered() -> None:
    raised = {name for name in vars(exceptions) if name.endswith(("Error", "Exception")) and name.startswith(LETTERS)}

    assert len(raised) >= 10
    assert raised <= set(agent_sessions.__all__)


def test_a_name_that_is_not_offered_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'S3Session'"):
        _ = agent_sessions.S3Session


def printed_by(code: str) -> str:
    """What some code prints in a process of its own, which has the session library."""
    run = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(LAYER)}, capture_output=True, text=True, check=True
    )
    return run.stdout.strip()


def test_importing_the_package_or_one_pure_name_imports_no_boto3() -> None:
    look = "import sys; print(sorted({name.split('.')[0] for name in sys.modules} & {'boto3', 'botocore', 'strands'}))"

    for start in ("import agent_sessions", "from agent_sessions import owner_prefix, SessionConflictError"):
        assert printed_by(f"{start}; {look}") == "[]"


def test_a_session_manager_is_imported_without_what_only_agents_need() -> None:
    """Nor the event loop: a function that opens a session in a cold start pays for every module."""
    needless = {"asyncio", "agent_sessions.session_pages", "agent_sessions._conversation.stored_agent"}
    needless |= {"agent_sessions._conversation.restoring", "agent_sessions._objects.turn_writer"}
    needless |= {"agent_sessions.sweeps", "agent_sessions._storage.s3_deletions"}
    look = f"import sys; print(sorted(set(sys.modules) & {needless}))"

    assert printed_by(f"import agent_sessions.s3_session_manager; {look}") == "[]"
