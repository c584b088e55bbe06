"""Every capability of a session repository in one class."""

from agent_sessions.conformance.agents import AgentsConformance
from agent_sessions.conformance.binary import BinaryConformance
from agent_sessions.conformance.conversations import ConversationsConformance
from agent_sessions.conformance.messages import MessagesConformance
from agent_sessions.conformance.orchestrators import OrchestratorsConformance
from agent_sessions.conformance.sessions import SessionsConformance
from agent_sessions.conformance.writers import WritersConformance


class RepositoryConformance(
    SessionsConformance,
    AgentsConformance,
    MessagesConformance,
    BinaryConformance,
    OrchestratorsConformance,
    WritersConformance,
    ConversationsConformance,
):
    """All that a :class:`~agent_sessions.session_repository.SessionRepository` owes. Override ``repository``."""
