"""A request that is sent again: one key, at most one committed turn.

The conversation itself is the record (see ``agent_sessions.turn_request``). A request whose key is known there gets the
reply that was stored, without the model; one whose turn was cut off has that turn continued.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_sessions.tool_pairing import tool_use_ids
from agent_sessions.turn_request import TurnRequest
from lambda_src.answers import errors
from lambda_src.answers.error_answers import answer_for
from lambda_src.content import shown, to_json
from lambda_src.turns.containment import endpoint_error_of
from lambda_src.turns.replays import Replay, digest, digest_of, refusal_in, replay_of
from lambda_src.turns.turn_events import completed

if TYPE_CHECKING:
    from collections.abc import Callable

    from strands import Agent
    from strands.hooks import AfterInvocationEvent, AfterToolCallEvent
    from strands.types.content import Message

    from agent_sessions.repository_session_manager import RepositorySessionManager
    from agent_sessions.types import SessionMessage
    from lambda_src.answers.model_refusals import Refusal
    from lambda_src.contract import TurnBody
    from lambda_src.models.model_calls import ModelCalls
    from lambda_src.models.showing import Showing


@dataclass(frozen=True)
class Asked:
    """What tells a request from others.

    Attributes:
        key: SHA-256 digest (32 hex digits) of its idempotency key. ``None`` without one: it then repeats no other.
        body: SHA-256 digest (32 hex digits) of what it asks.
        after_crash: Whether the turn before may have been cut off, so that more is stored than its record tells.
        turn_id: The turn's id, if its caller has been told one already.
        request_id: By which the request's log lines are found.
        looks_first: Whether the turn has been refused before it had its fence: what was stored there may be a turn that
            was to answer the same request.
    """

    key: str | None = None
    body: str | None = None
    after_crash: bool = False
    turn_id: str | None = None
    request_id: str | None = None
    looks_first: bool = False

    @classmethod
    def of(
        cls,
        key: str | None,
        body: TurnBody,
        *,
        default_agent_id: str,
        after_crash: bool = False,
        turn_id: str | None = None,
        request_id: str | None = None,
    ) -> Asked:
        """The identity of a request.

        Args:
            key: Its idempotency key, as the caller sent it.
            body: What it asks, after parsing: another spelling of the same makes no other request.
            default_agent_id: The agent meant by requests that name none. Naming it makes no other request either.
            after_crash: See the attribute.
            turn_id: See the attribute.
            request_id: See the attribute.
        """
        if key is None:
            return cls(None, None, after_crash, turn_id, request_id)
        asked = {
            "prompt": to_json([block.to_strands() for block in body.prompt or ()]),
            "interrupt_responses": [answer.model_dump() for answer in body.interrupt_responses or ()],
            # A request that names no agent keeps the digest it had when none could be named.
            "agent_id": None if body.agent_id == default_agent_id else body.agent_id,
        }
        return cls(digest(key), digest_of(asked), after_crash, turn_id, request_id)


@dataclass(frozen=True)
class Turn:
    """A turn is to be taken.

    Attributes:
        request: What its first message says of it.
        continues: Whether it goes on with the stored messages, instead of beginning with the request's.
    """

    request: TurnRequest
    continues: bool = False


def session_id_for(owner: str, key: str) -> str:
    """The id of the session that a request for a new one makes. The request sent again gets the same id."""
    return digest(f"session\0{owner}\0{key}")


def plan(
    session: RepositorySessionManager, agent: Agent, asked: Asked, *, begins_with_prompt: bool = False
) -> Replay | Turn:
    """What to do about a request, given the restored conversation. The caller holds the session's lease.

    A turn that was cut off may be stored behind that conversation, and have been this request's. Where the turn begins
    with its prompt, nobody looks: the prompt would take its place, and is refused there, as it has a key.

    Args:
        session: The session.
        agent: The restored agent.
        asked: The request.
        begins_with_prompt: Whether the first message that the turn stores is the request's prompt, if nothing in the
            conversation is open.

    Raises:
        IdempotencyKeyReusedError: The key has been used for something else.
        PromptRefusedError: The model has refused this prompt before.
        SessionCorruptError: The stored reply is not there any more.
    """
    is_fenced = begins_with_prompt and not (agent.messages and _is_open(agent.messages[-1]))
    looks = asked.after_crash or asked.looks_first or (asked.key is not None and not is_fenced)
    was_cut_off = looks and session.catch_up(agent)
    found = None
    if asked.key is not None:
        found = session.find_turn(agent, asked.key)
        if found is not None and not looks:
            session.catch_up(agent)  # its last message may be in a copy alone
            found = session.find_turn(agent, asked.key)
    restored = len(agent.messages)
    turn_id = asked.turn_id or uuid.uuid4().hex
    new = Turn(TurnRequest(turn_id, asked.key, asked.body, None, restored, asked.request_id))
    if found is None:
        return new
    if found.body != asked.body:
        raise key_reused()
    outcome = found.outcome or {}
    if refused_as := refusal_in(outcome):
        raise refused_as
    replay = replay_of(found, agent.agent_id, lambda message_id: _record(session, agent, message_id))
    if replay is not None:
        if was_cut_off and begins_with_prompt:
            session.sync_agent(agent)  # from now on the record tells of it, and no repeat asks the model to find out
        return replay
    if agent.messages and found.last_id == session.next_message_id(agent) - 1 and _is_open(agent.messages[-1]):
        # What it has stored itself is nothing that it remembered.
        earlier = restored if found.restored_messages is None else found.restored_messages
        again = TurnRequest(found.turn_id, asked.key, asked.body, found.first_id, earlier, asked.request_id)
        return Turn(again, continues=True)
    return new  # it ran out of time, or the conversation has gone on without an answer to it


def key_reused() -> errors.IdempotencyKeyReusedError:
    """The error for a caller that uses its key for something else."""
    return errors.IdempotencyKeyReusedError("This Idempotency-Key was used for another request to this session.")


def _record(session: RepositorySessionManager, agent: Agent, message_id: int) -> SessionMessage | None:
    return session.session_repository.read_message(session.session_id, agent.agent_id, message_id)


def _is_open(message: Message) -> bool:
    """Whether the model still has to speak after a message."""
    return message["role"] == "user" or bool(tool_use_ids(message))


class OutcomeRecorder:
    """Stores a turn's outcome in the same write as the agent's state.

    Args:
        session: Where it is stored.
        restored_messages: What the reply says of them.
        calls: How the model's calls ended.
        showing: What the model was shown, and whether it refused all of it.
        out_of_time: Whether the turn's time is over.

    Attributes:
        refused_as: What the caller is told when the model has refused the prompt.
    """

    def __init__(
        self,
        session: RepositorySessionManager,
        restored_messages: int,
        calls: ModelCalls,
        showing: Showing,
        out_of_time: Callable[[], bool],
    ) -> None:
        self.refused_as: errors.EndpointError | None = None
        self._ended_by: errors.EndpointError | None = None
        self._session = session
        self._restored_messages = restored_messages
        self._calls = calls
        self._showing = showing
        self._out_of_time = out_of_time

    def listen_to(self, agent: Agent) -> None:
        """Hear of the invocation's end before the session: Strands calls the hook added last first."""
        from strands.hooks import AfterInvocationEvent, AfterToolCallEvent

        agent.hooks.add_callback(AfterInvocationEvent, self._conclude)
        agent.hooks.add_callback(AfterToolCallEvent, self._note_end)

    def _note_end(self, event: AfterToolCallEvent) -> None:
        self._ended_by = endpoint_error_of(event) or self._ended_by

    def _conclude(self, event: AfterInvocationEvent) -> None:
        agent, result = event.agent, event.result
        if result is None and self._showing.refusal is not None:
            self._conclude_refused(agent, self._showing.refusal)
            return
        if result is None:
            # When the model's limit cuts an answer short, Strands raises. It is an answer all the same.
            if self._calls.stop_reason != "max_tokens":
                failed = self._ended_by or self._calls.error
                failure = answer_for(failed, failed) if failed else errors.InternalError("")
                self._session.conclude_turn(agent, {"failed": failure.slug})
                return
            reply = completed(agent, agent.messages[-1], "max_tokens", (), self._showing.left_out)
        elif result.stop_reason == "cancelled" and self._out_of_time():
            self._session.conclude_turn(agent, {"unanswered": "out-of-time"})
            return
        else:
            reply = completed(
                agent, result.message, result.stop_reason, result.interrupts or (), self._showing.left_out
            )
        outcome: dict[str, Any] = {
            "stop_reason": reply.stop_reason,
            "interrupts": reply.interrupts,
            "usage": reply.usage,
            "restored_messages": self._restored_messages,
        }
        if reply.left_out:
            outcome["left_out"] = reply.left_out
        # The log holds the answer already, unless the turn ended before one: at an interrupt.
        if not agent.messages or shown(agent.messages[-1]) != reply.message or reply.interrupts:
            outcome["message"] = reply.message
        else:
            # Message and record are written at the same time: after a crash, another message may have this id.
            outcome["digest"] = digest_of(reply.message)
        self._session.conclude_turn(agent, {"reply": outcome})

    def _conclude_refused(self, agent: Any, refusal: Refusal) -> None:
        """Store that the model refused the prompt. The prompt is marked, and its repeats are told the same."""
        more_than_text = self._showing.prompt_has_more_than_text()
        if not refusal.certain and not more_than_text:
            return  # the client failed on plain text: nothing in the conversation explains it
        left_out = self._showing.mark_refused_prompt(refusal)
        if slug := slug_of(refusal, more_than_text=more_than_text):
            outcome = {"refused": slug, "left_out": left_out}
            self._session.conclude_turn(agent, outcome)
            self.refused_as = refusal_in(outcome)


def slug_of(refusal: Refusal, *, more_than_text: bool) -> str | None:
    """Which answer a refused prompt gets; ``None`` when the model refuses even plain text alone.

    The text may be at fault then, or the model's configuration: providers tell both in the same way.
    """
    if refusal.suspects[:1] == ("length",):
        return errors.ContextTooLongError.slug
    return errors.PromptRefusedError.slug if more_than_text else None
