"""What can be done for a turn as a whole, where a session is kept as objects.

Such a store refuses a turn at its first message, finds messages that were stored meanwhile, and writes the last records
of a turn together. A repository that stores one message after the other has nothing to do at these moments, so that
every method of :class:`WholeTurns` does nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from strands.types.content import Message

    from agent_sessions._conversation.journal import Appended
    from agent_sessions.turn_request import TurnRecord
    from agent_sessions.types import SessionMessage


class Later(NamedTuple):
    """What was stored since a conversation was restored.

    Attributes:
        first_id: The first id at which the stored conversation differs from the restored one.
        messages: The stored messages from there on, with their ids, in order.
    """

    first_id: int
    messages: list[tuple[int, Message]]


class WholeTurns:
    """Nothing is done for a turn as a whole: each message is stored when it comes."""

    fences_effects = False
    """Whether a turn's first message is waited for before the turn's first effect, not before the model is called."""

    def append_beside(self, agent_id: str, record: SessionMessage) -> Future[Appended]:
        """Store a turn's first message beside the caller; see :meth:`Journal.append`. It is serialised now.

        Raises:
            NotImplementedError: See :attr:`fences_effects`.
        """
        raise NotImplementedError(f"agent_id={agent_id} | every message is waited for")

    def key_of_agent(self, agent_id: str) -> str | None:  # noqa: ARG002
        """The key of an agent's record, where there are keys."""
        return None

    def read_later(self, agent_id: str) -> Later:
        """Read what was stored since the conversation was restored.

        Raises:
            NotImplementedError: Nothing can have been: see :meth:`has_later`.
        """
        raise NotImplementedError(f"agent_id={agent_id} | a message was refused where none is ever refused")

    def has_later(self, agent_id: str) -> bool:  # noqa: ARG002
        """Whether messages are stored that the restored conversation lacks: a turn was cut off, or is under way."""
        return False

    def find_elsewhere(self, agent_id: str, key: str) -> TurnRecord | None:  # noqa: ARG002
        """The turn of another agent of the session that answered the request of this key."""
        return None

    def redact_beside(self, agent_id: str, message_ids: Sequence[int], redacted: Callable[[Any], Any]) -> None:
        """Take something back out of what is stored beside an agent's messages.

        Args:
            agent_id: The agent.
            message_ids: Messages that may carry what was before their turns.
            redacted: Given a value, returns it without what was taken back.
        """

    def fence(self, agent_id: str) -> None:
        """Let nobody else go on from here: refuse when somebody has, and have those refused who come later."""

    def needs_update(self, agent_id: str) -> bool:  # noqa: ARG002
        """Whether the agent's record has to be written although its value has not changed."""
        return False

    def begin_turn(self, agent_id: str) -> None:
        """A turn of the agent begins."""

    def close_turn(self, agent_id: str) -> None:
        """The turn is ending: what is written from now on may be written at once, by :meth:`end_turn`."""

    def end_turn(self, agent_id: str) -> None:
        """Return when everything of the turn is durable, or raise why it is not."""

    def abandon_turn(self, agent_id: str) -> None:
        """The turn has failed: return when nothing is being written any more."""
