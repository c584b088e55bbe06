"""What a session manager does before and after each call of an agent's model and of its tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_sessions._conversation.refused_results import storable_result
from agent_sessions._conversation.turn_fence import FencedModel, take_off_fence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strands.hooks.registry import HookRegistry

    from agent_sessions._conversation.stored_agent import StoredAgent


class CallHooks:
    """Listens to the calls of a session's agents.

    Args:
        agents: The agents that the session manager knows, by their ids.
        fences_effects: Whether a turn needs its fence before its first effect, and not before its model is called.
    """

    def __init__(self, agents: Mapping[str, StoredAgent], *, fences_effects: bool) -> None:
        self._agents = agents
        self._fences_effects = fences_effects

    def register(self, registry: HookRegistry) -> None:
        """Subscribe to the calls."""
        from strands.hooks.events import (
            AfterModelCallEvent,
            AfterToolCallEvent,
            BeforeModelCallEvent,
            BeforeToolCallEvent,
        )

        registry.add_callback(BeforeModelCallEvent, self._before_model_call)
        registry.add_callback(AfterModelCallEvent, self._after_model_call)
        if self._fences_effects:
            registry.add_callback(BeforeToolCallEvent, self._before_tool_call)
        # These callbacks run in reverse order: this one sees the result as the others have left it.
        registry.add_callback(AfterToolCallEvent, self._after_tool_call)

    def _before_model_call(self, event: Any) -> None:
        stored_agent = self._agents.get(event.agent.agent_id)
        if stored_agent is None:
            return
        take_off_fence(event.agent)
        is_undecided = stored_agent.fence.is_undecided
        if not is_undecided:
            stored_agent.set_fence()
        # The model is shown the conversation as it is after this.
        stored_agent.fence.has_changed_conversation = False
        if is_undecided:
            event.agent.model = FencedModel(event.agent.model, stored_agent.fence, stored_agent.settle_fence)

    def _after_model_call(self, event: Any) -> None:
        """Note how the call ended. If nothing has held its answer back, its turn's fence is waited for here."""
        stored_agent = self._agents.get(event.agent.agent_id)
        if stored_agent is None:
            return
        take_off_fence(event.agent)
        stored_agent.settle_fence()
        if stored_agent.fence.has_changed_conversation:
            stored_agent.fence.has_changed_conversation = False
            event.retry = True  # the model has not seen what it is to answer
        stored_agent.record_model_call(
            stop_reason=event.stop_response.stop_reason if event.stop_response else None,
            failed=event.exception is not None and not getattr(event, "retry", False),
            invocation=event.invocation_state,
        )

    def _before_tool_call(self, event: Any) -> None:
        """A turn that goes on after an interrupt runs its tools before it adds a message."""
        stored_agent = self._agents.get(event.agent.agent_id)
        if stored_agent is not None:
            stored_agent.set_fence()

    def _after_tool_call(self, event: Any) -> None:
        """Replace a tool result that cannot be stored, and tell the model and listeners. The turn goes on."""
        result = storable_result(event.result, event.tool_use.get("toolUseId"))
        if result is not event.result:
            event.result = result
