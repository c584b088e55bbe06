"""Which builder makes the agent of a turn: one of ``AGENTS`` in ``lambda_src/agent``, or else ``build_agent``.

A builder may also return an orchestrator. It passes for an agent: see ``orchestrators.conversing``.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, cast

from agent_sessions.exceptions import InvalidIdentifierError
from agent_sessions.identifiers import check_identifier
from lambda_src.answers.errors import NotFoundError
from lambda_src.answers.logs import logger
from lambda_src.turns.closing import close_refused
from lambda_src.turns.containment import silence_agents
from lambda_src.turns.first_import import import_agent, is_agent_imported

if TYPE_CHECKING:
    from collections.abc import Callable

    from strands import Agent

    from agent_sessions.session_manager import SessionManager
    from lambda_src.settings import Settings

    Builder = Callable[[SessionManager, Settings], Agent]  # or an orchestrator, which passes for one


class UnusableAgentError(TypeError):
    """``lambda_src/agent`` holds something else than builders of agents; the message says what.

    Args:
        reason: That, without the folder's name.

    Attributes:
        reason: That.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"lambda_src/agent cannot be used: {reason}")
        self.reason = reason


def load_agents() -> Mapping[str, Builder] | None:
    """Import ``lambda_src.agent``, and Strands with it, and check what it offers.

    Returns:
        The builders by their agent's id; ``None`` if there is one for every id, ``build_agent``.

    Raises:
        UnusableAgentError: It offers something else.
    """
    import_agent()
    from lambda_src import agent

    folder: Any = agent
    agents = getattr(folder, "AGENTS", None)
    if agents is None:
        if not callable(getattr(folder, "build_agent", None)):
            raise _unusable("it has neither a function build_agent nor AGENTS, a mapping of agent ids and builders")
        return None
    if not isinstance(agents, Mapping) or not agents:
        shown = "empty" if isinstance(agents, Mapping) else f"a {type(agents).__name__}"
        raise _unusable(f"AGENTS is {shown}; it has to be a mapping of agent ids and builders")
    for agent_id, build in agents.items():
        try:
            check_identifier("agent", agent_id)
        except InvalidIdentifierError as error:
            raise _unusable(f"AGENTS has a key that is no agent id: {error}") from None
        if not callable(build):
            raise _unusable(f"AGENTS[{agent_id!r}] is a {type(build).__name__}; it has to be a function that builds")
    return agents


def builder_of(agent_id: str) -> Builder:
    """The builder of an agent. What it returns is checked.

    Args:
        agent_id: The agent that a request speaks to.

    Raises:
        NotFoundError: ``AGENTS`` has no such agent; ``known_agents`` lists those it has.
        UnusableAgentError: See :func:`load_agents`.
    """
    agents = load_agents()
    if agents is None:
        from lambda_src.agent import build_agent

        return _checked(build_agent, "build_agent", None)
    if agent_id not in agents:
        known = sorted(agents)
        raise NotFoundError(f"There is no agent {agent_id!r}; there is {', '.join(known)}.", known_agents=known)
    return _checked(agents[agent_id], f"AGENTS[{agent_id!r}]", agent_id)


def begin_loading(agent_id: str) -> Callable[[], Builder]:
    """Look for an agent's builder. If the agent is not imported yet, that goes beside the caller.

    Args:
        agent_id: The agent that a request speaks to.

    Returns:
        Waits for :func:`builder_of`, and returns or raises what it did.

    Raises:
        NotFoundError: See :func:`builder_of`; where the agent is not imported yet, the returned function raises it.
        UnusableAgentError: Likewise.
    """
    found: Future[Builder] = Future()

    def look() -> None:
        try:
            found.set_result(builder_of(agent_id))
        except BaseException as error:  # noqa: BLE001 - a future carries it to whoever waits
            found.set_exception(error)

    if is_agent_imported():
        look()
        found.result()
    else:
        # The context holds the request's log fields and trace.
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(look,), name="agent-import", daemon=True).start()
    return found.result


def _checked(build: Builder, name: str, agent_id: str | None) -> Builder:
    def build_checked(session_manager: SessionManager, settings: Settings) -> Agent:
        silence_agents()
        built: Any = build(session_manager, settings)
        try:
            return _accepted(built, name, agent_id, session_manager, settings)
        except BaseException:
            close_refused(built)
            raise

    return build_checked


def _accepted(
    built: Any, name: str, agent_id: str | None, session_manager: SessionManager, settings: Settings
) -> Agent:
    """What a builder has made, as an agent.

    Raises:
        UnusableAgentError: It is none, or not the one that was asked for.
    """
    from strands import Agent

    if not isinstance(built, Agent):
        return _conversing(built, name, session_manager, settings.agent_id)
    if agent_id is not None and built.agent_id != agent_id:
        # It would go on with another agent's conversation.
        raise _unusable(f"{name} has built the agent {built.agent_id!r}; give it agent_id=settings.agent_id")
    return built


def _conversing(built: Any, name: str, session_manager: Any, agent_id: str) -> Agent:
    """An orchestrator that a builder has made, in the place of an agent.

    Raises:
        UnusableAgentError: It is none, or it would not go on with its own run.
    """
    from strands.multiagent.base import MultiAgentBase as StrandsBase

    from agent_sessions.multi_agent import MultiAgentBase
    from lambda_src.turns.orchestrators.conversing import ConversingOrchestrator

    kind = type(built).__name__
    if not isinstance(built, StrandsBase | MultiAgentBase):
        raise _unusable(
            f"{name} has returned a {kind}; it has to return a strands.Agent, or an orchestrator: a Graph, a Swarm or "
            "another MultiAgentBase"
        )
    if built.id != agent_id:
        # Two graphs under one id would go on with each other's runs.
        raise _unusable(f"{name} has built the {kind} {built.id!r}; give it the id settings.agent_id")
    if session_manager.orchestrator_record(agent_id) is None:
        raise _unusable(f"{name} has built a {kind} without the session manager; give it session_manager")
    return cast("Agent", ConversingOrchestrator(built, session_manager, agent_id))


def _unusable(reason: str) -> UnusableAgentError:
    # An error's words are in no log. These are the programmer's, and quote nobody.
    logger.error("lambda_src/agent cannot be used", extra={"reason": reason})
    return UnusableAgentError(reason)
