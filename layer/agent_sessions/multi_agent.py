"""The base class of your own orchestrators: what a session manager and a caller expect of one."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import warnings
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from strands.multiagent.base import MultiAgentBase as _Base

    # So that a user's type checker accepts our orchestrators wherever Strands' are expected.
else:
    _Base = ABC


class MultiAgentBase(_Base):
    """Runs several agents as one.

    Its hooks are yours to fire: a session manager restores the orchestrator on ``MultiAgentInitializedEvent`` and
    stores ``serialize_state()`` after each node and each invocation (``docs/CUSTOM_REPOSITORY.md`` has an example).

    Attributes:
        id: Names the orchestrator within its session.
    """

    id: str

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Make the subclass an orchestrator in Strands' eyes."""
        super().__init_subclass__(**kwargs)
        # Strands uses isinstance when an orchestrator becomes a node of another. Without Strands nothing asks.
        strands = sys.modules.get("strands.multiagent.base")
        if strands is not None:
            strands.MultiAgentBase.register(cls)

    @abstractmethod
    async def invoke_async(self, task: Any, invocation_state: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        """Run the task to its end.

        Args:
            task: Text or content blocks.
            invocation_state: What every agent and tool of this run can see.
            **kwargs: What an implementation adds.

        Returns:
            The result, in Strands' orchestrators a ``MultiAgentResult``.
        """

    async def stream_async(
        self, task: Any, invocation_state: dict[str, Any] | None = None, **kwargs: Any
    ) -> AsyncIterator[dict[str, Any]]:
        """Run the task and yield events on the way: here one, ``{"result": …}``, at the end.

        Args:
            task: Text or content blocks.
            invocation_state: What every agent and tool of this run can see.
            **kwargs: What an implementation adds.
        """
        yield {"result": await self.invoke_async(task, invocation_state, **kwargs)}

    def __call__(self, task: Any, invocation_state: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        """Run the task from synchronous code, inside a running event loop too.

        Args:
            task: Text or content blocks.
            invocation_state: What every agent and tool of this run can see.
            **kwargs: Deprecated: merged into ``invocation_state``.
        """
        state = {} if invocation_state is None else invocation_state
        if kwargs:
            warnings.warn("pass invocation_state instead of keyword arguments", DeprecationWarning, stacklevel=2)
            state.update(kwargs)
        # A thread can run its own event loop, even if the caller's is running.
        context = contextvars.copy_context()
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="multi-agent") as thread:
            return thread.submit(context.run, asyncio.run, self.invoke_async(task, state)).result()

    @abstractmethod
    def serialize_state(self) -> dict[str, Any]:
        """The state that another process needs to go on, as a value for JSON; bytes are allowed."""

    @abstractmethod
    def deserialize_state(self, payload: dict[str, Any]) -> None:
        """Take over what :meth:`serialize_state` of another process returned."""
