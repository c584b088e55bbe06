"""The agent behind the endpoint. This folder is yours: the builder, its prompt, model and tools beside it.

The builder is called for each request, with the session already chosen. The agent that it returns is restored from
that session, answers, and is forgotten. Keep nothing of a conversation at module level: the next request in this
process may be another user's. If somebody else has written to the session meanwhile, the builder and hooks of
``BeforeInvocationEvent`` run twice in one request: neither may do what must happen once only.

Several agents have a builder each, by the ``agent_id`` of a request; any other id is answered 404. ``default`` is the
one of requests that name none::

    AGENTS = {"default": build_agent, "research": build_research}

To log, use ``lambda_src.answers.logs.logger``: any other logger's lines are logged without their words. Print nothing
of a conversation: what is printed ends up in the log as it is.
"""

from pathlib import Path

from strands import Agent
from strands.agent.conversation_manager import SlidingWindowConversationManager

from agent_sessions.session_manager import SessionManager
from lambda_src.agent.tools import calculator, current_time
from lambda_src.models.providers import MODEL_PROVIDERS, build_model
from lambda_src.settings import Settings

__all__ = ["MODEL_PROVIDERS", "build_agent"]

PROMPT = Path(__file__).with_name("prompt.md").read_text(encoding="utf-8").strip()


def build_agent(session_manager: SessionManager, settings: Settings) -> Agent:
    """Build the agent that takes one turn.

    Args:
        session_manager: The caller's session. Give it to the agent; it restores and stores everything.
        settings: The endpoint's settings; ``settings.agent_id`` is the agent the request speaks to.
    """
    return Agent(
        agent_id=settings.agent_id,
        model=build_model(settings),
        system_prompt=settings.agent_system_prompt or PROMPT,
        tools=[calculator, current_time],
        conversation_manager=SlidingWindowConversationManager(window_size=settings.agent_window_messages),
        session_manager=session_manager,
        # The default handler prints the conversation, which would end up in the function's log.
        callback_handler=None,
        # Each provider's client retries on its own. A second layer with waits of minutes would outlast the function.
        retry_strategy=None,
    )
