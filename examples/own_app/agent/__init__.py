"""The agent of the shop: in the function it is the package ``lambda_src.agent``, with the kit's own beside it."""

from strands import Agent
from strands.agent.conversation_manager import SlidingWindowConversationManager

from agent_sessions.session_manager import SessionManager
from lambda_src.models.providers import build_model
from lambda_src.settings import Settings

from .orders import order_status


def build_agent(session_manager: SessionManager, settings: Settings) -> Agent:
    """Build the agent that takes one turn.

    Args:
        session_manager: The caller's session.
        settings: The endpoint's settings.
    """
    return Agent(
        agent_id=settings.agent_id,
        model=build_model(settings),
        system_prompt=settings.agent_system_prompt or "You tell customers of a shop where their orders are.",
        tools=[order_status],
        conversation_manager=SlidingWindowConversationManager(window_size=settings.agent_window_messages),
        session_manager=session_manager,
        callback_handler=None,
        retry_strategy=None,
    )
