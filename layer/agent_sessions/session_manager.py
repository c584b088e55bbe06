"""What a Strands agent asks of a session manager, and the hooks through which it asks."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from strands.hooks.registry import HookRegistry
    from strands.session.session_manager import SessionManager as _StrandsSessionManager
    from strands.types.agent import LocalAgent
    from strands.types.content import Message

    # So that a user's type checker accepts our managers wherever Strands' are expected.
    _Base = _StrandsSessionManager[LocalAgent]
else:
    _Base = ABC


class SessionManager(_Base):
    """Keeps an agent's conversation and state in a session.

    It plugs into ``Agent``, ``Graph``, ``Swarm`` and ``BidiAgent`` without deriving from Strands' class, so that a
    function that only reads sessions does not load an agent runtime. It defines neither length nor truth value, since
    Strands tests by truth whether there is a manager.
    """

    session_id: str

    def register_hooks(self, registry: HookRegistry, **kwargs: Any) -> None:  # noqa: ARG002 - Strands' signature
        """Subscribe to the events of an agent's or an orchestrator's life.

        Strands looks an event's class up by identity and renames some between releases. Events that some supported
        releases lack are looked up by name.
        """
        import strands.session
        from strands.hooks.events import (
            AfterInvocationEvent,
            AfterMultiAgentInvocationEvent,
            AfterNodeCallEvent,
            AgentInitializedEvent,
            BeforeInvocationEvent,
            MessageAddedEvent,
            MultiAgentInitializedEvent,
        )

        strands.session.SessionManager.register(type(self))  # A2A asks isinstance

        def subscribe(event: Any, callback: Any) -> None:
            registry.add_callback(event, callback)

        subscribe(
            BeforeInvocationEvent,
            lambda event: self.begin_turn(event.agent, given=event.messages or (), invocation=event.invocation_state),
        )
        subscribe(AgentInitializedEvent, lambda event: self.initialize(event.agent))
        subscribe(MessageAddedEvent, lambda event: self.append_message(event.message, event.agent))
        subscribe(MessageAddedEvent, lambda event: self.sync_agent(event.agent))
        subscribe(AfterInvocationEvent, lambda event: self.end_turn(event.agent, invocation=event.invocation_state))
        subscribe(MultiAgentInitializedEvent, lambda event: self.initialize_multi_agent(event.source))
        subscribe(AfterNodeCallEvent, lambda event: self.sync_multi_agent(event.source))
        subscribe(AfterMultiAgentInvocationEvent, lambda event: self.sync_multi_agent(event.source))

        # Since 1.56 a BidiAgent fires the agent's own events, since 1.58 also one for a message that it replaced.
        for event in _events("strands.hooks.events", "MessageUpdatedEvent"):
            subscribe(event, lambda event: self.update_message_of(event.message, event.agent))
        for event in _events("strands.bidi.hooks.events", "BidiAgentStopEvent"):
            subscribe(event, lambda event: self.sync_agent(event.agent))
        # Before 1.56 it had events of its own.
        for event in _events("strands.experimental.hooks.events", "BidiAgentInitializedEvent"):
            subscribe(event, lambda event: self.initialize_bidi_agent(event.agent))
        for event in _events("strands.experimental.hooks.events", "BidiMessageAddedEvent"):
            subscribe(event, lambda event: self.append_bidi_message(event.message, event.agent))
            subscribe(event, lambda event: self.sync_bidi_agent(event.agent))
        for event in _events("strands.experimental.hooks.events", "BidiAfterInvocationEvent"):
            subscribe(event, lambda event: self.sync_bidi_agent(event.agent))

    @abstractmethod
    def initialize(self, agent: Any, **kwargs: Any) -> None:
        """Give a new agent object what its session holds, or store the agent when the session has none of its id."""

    @abstractmethod
    def append_message(self, message: Message, agent: Any, **kwargs: Any) -> None:
        """Store a message that has just been added to the agent's conversation."""

    @abstractmethod
    def redact_latest_message(self, redact_message: Message, agent: Any, **kwargs: Any) -> None:
        """Replace the message added last, in storage too."""

    @abstractmethod
    def sync_agent(self, agent: Any, **kwargs: Any) -> None:
        """Store the agent's state if it has changed."""

    def begin_turn(self, agent: Any, *, given: Sequence[Message] = (), invocation: object = None) -> None:
        """Note that an invocation of the agent begins.

        Args:
            agent: The agent.
            given: The messages it is invoked with.
            invocation: Strands' own object of it, which tells it from others that are under way.
        """

    def end_turn(self, agent: Any, *, invocation: object = None) -> None:  # noqa: ARG002
        """Store what an ended invocation of the agent did: it is durable when this returns."""
        self.sync_agent(agent)

    def update_message_of(self, message: Message, agent: Any) -> None:
        """Replace the stored message that has this message's ``tracking_id``."""
        raise NotImplementedError(f"{type(self).__name__} cannot replace a stored message")

    def initialize_multi_agent(self, source: Any, **kwargs: Any) -> None:
        """Give an orchestrator what its session holds, or store it when the session has none of its id."""
        raise NotImplementedError(f"{type(self).__name__} does not keep multi-agent sessions")

    def sync_multi_agent(self, source: Any, **kwargs: Any) -> None:
        """Store the orchestrator's state."""
        raise NotImplementedError(f"{type(self).__name__} does not keep multi-agent sessions")

    def initialize_bidi_agent(self, agent: Any, **kwargs: Any) -> None:
        """As :meth:`initialize`, for the ``BidiAgent`` of Strands before 1.56."""
        self.initialize(agent, **kwargs)

    def append_bidi_message(self, message: Message, agent: Any, **kwargs: Any) -> None:
        """As :meth:`append_message`, for the ``BidiAgent`` of Strands before 1.56."""
        self.append_message(message, agent, **kwargs)

    def sync_bidi_agent(self, agent: Any, **kwargs: Any) -> None:
        """As :meth:`sync_agent`, for the ``BidiAgent`` of Strands before 1.56."""
        self.sync_agent(agent, **kwargs)


def _events(module: str, name: str) -> list[Any]:
    """An event's class, if this release of Strands has it and something has loaded it already.

    If a module is not loaded, nothing fires its events, and loading the bidirectional half of Strands costs more than
    this whole package.
    """
    found = getattr(sys.modules.get(module), name, None)
    return [] if found is None else [found]
