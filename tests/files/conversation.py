"""Sessions in a folder, as each process of a conversation would open them."""

from pathlib import Path
from typing import Any

from strands import Agent

from agent_sessions.exceptions import SessionException
from agent_sessions.file_session_manager import FileSessionManager
from tests.doubles.scripted_model import ScriptedModel

AGENT = "session_chat/agents/agent_a"
MESSAGES = f"{AGENT}/messages"


def agent_in(folder: Path, *script: Any, session_id: str = "chat", **options: Any) -> Agent:
    """An agent of a process that has just started."""
    session = FileSessionManager(session_id, str(folder), **options)
    model = ScriptedModel(*script, otherwise="Yes.")
    return Agent(agent_id="a", model=model, session_manager=session, callback_handler=None)


def texts(agent: Agent) -> list[str]:
    """What was said, in order."""
    return [block["text"] for message in agent.messages for block in message["content"] if "text" in block]


def restored(folder: Path, session_id: str = "chat") -> list[str]:
    """What the next process restores."""
    return texts(agent_in(folder, session_id=session_id))


def ours(error: BaseException) -> SessionException:
    """The error of this package inside what an agent's caller gets; fails when it is another's."""
    error = getattr(error, "original_exception", error)
    assert isinstance(error, SessionException), f"{type(error).__name__}: {error}"
    return error
