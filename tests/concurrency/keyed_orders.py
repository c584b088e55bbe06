"""Callers that send one request with one Idempotency-Key: every one of them plans its turn as the endpoint does.

What the endpoint does on its event loop is done here in the same order, without one: see
:class:`lambda_src.turns.attempt.Attempt` and :mod:`lambda_src.turns.turn`. The planning, the closing of a turn that got
no answer and the recording of the outcome are the endpoint's own.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from strands.agent.agent_result import AgentResult
from strands.hooks import AfterInvocationEvent, HookRegistry, MessageAddedEvent

from agent_sessions._objects.read_ahead import ReadAhead
from agent_sessions.exceptions import SessionBusyError, SessionConflictError, SessionException, SessionStorageError
from agent_sessions.lease import SessionLease
from lambda_src.contract import TurnBody
from lambda_src.models.model_calls import ModelCalls
from lambda_src.models.showing import Showing
from lambda_src.turns import repeats
from lambda_src.turns.repeats import Asked, OutcomeRecorder
from lambda_src.turns.replays import Replay
from lambda_src.turns.turn_events import Completed, Restored, completed
from lambda_src.turns.unanswered import close_unanswered
from tests.concurrency.greenlets import START
from tests.concurrency.test_interleavings import Turn, check_gaps, held, texts_of
from tests.concurrency.watched_orders import CALLERS, WatchedWorld, said_in, stored_in

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from strands import Agent

    from agent_sessions.repository_session_manager import RepositorySessionManager

PROMPT = "the prompt"


@dataclass(eq=False)
class KeyedTurn(Turn):
    """What became of a caller's request.

    Attributes:
        effects: How often the caller had the turn's first effect.
        reply: The text that the caller was told.
        session: The session as it was opened last.
    """

    effects: int = 0
    reply: str | None = None
    session: RepositorySessionManager | None = None


@cache
def request_for(prompt: str) -> Asked:
    """What a caller asks: each prompt has a key of its own."""
    body = TurnBody.model_validate({"prompt": prompt})
    return Asked.of(f"the key of {prompt}", body, default_agent_id="default")


class KeyedWorld(WatchedWorld):
    """Callers of one session who all send the same request with the same key."""

    def work(self) -> dict[str, Callable[[], object]]:
        """What each of the processes does, by its name."""
        return {name: partial(self.take_keyed_turn, name) for name in CALLERS}

    def outcome(self) -> Sequence[object]:
        """What is left of the callers that have begun: all that :meth:`check` asks of them."""
        return [
            (turn.name, turn.replied, type(turn.refused).__name__, turn.reply, turn.effects)
            for turn in self.turns
            if isinstance(turn, KeyedTurn)
        ]

    # --- a request --------------------------------------------------------------------------------------

    def live_through(self, names: Sequence[str]) -> None:
        """Take the turns of a past, one after the other: each answers a request of its own."""
        for name in names:
            self.before = self._texts()
            assert self.take_keyed_turn(name, f"{name}.0", f"{name}.1").replied

    def take_keyed_turn(self, name: str, prompt: str = PROMPT, answer: str = "") -> KeyedTurn:
        """Send the request: take the lease, and then the turn; once more if it is refused before it has its fence."""
        turn = KeyedTurn(name, [prompt, answer or f"the answer of {name}"])
        self.turns.append(turn)
        lease = SessionLease(
            self.place, "chat", holder=name, renew_seconds=None, clock=lambda: self.machine.now, sleep=self._sleep
        )
        try:
            ahead = ReadAhead(self.place.objects, self.place.layout, "chat") if self.case.ahead else None
            with held(lease, wait_seconds=40):
                asked = replace(request_for(prompt), after_crash=lease.found_unfinished, request_id=name)
                try:
                    self._attempt(turn, asked, lease, ahead)
                except SessionConflictError:
                    if turn.session is not None and turn.session.has_fenced_a_turn():
                        raise
                    self._attempt(turn, replace(asked, looks_first=True), lease, None)
            turn.replied = True
        except (SessionConflictError, SessionBusyError, SessionStorageError) as error:
            turn.refused = error
        return turn

    def _attempt(self, turn: KeyedTurn, asked: Asked, lease: SessionLease, ahead: ReadAhead | None) -> None:
        """Restore, find out what is to be done, and do it: as ``Attempt.take`` and ``_run_agent``."""
        manager = turn.session = self.manager(self.case.mode, lease, ahead)
        agent = self.agent(manager)
        agent.hooks = HookRegistry()
        agent.hooks.add_callback(MessageAddedEvent, lambda event: _store(event.message, agent, manager))
        todo = repeats.plan(manager, agent, asked, begins_with_prompt=True)
        if isinstance(todo, Replay):
            self._tell(turn, todo.restored, todo.reply)
            return
        if not todo.continues:
            _run(close_unanswered(agent))
        showing, restored = Showing(agent, manager), todo.request.restored_messages or 0
        OutcomeRecorder(manager, restored, ModelCalls(), showing, lambda: False).listen_to(agent)
        manager.answer_request(agent, todo.request)
        try:
            self._invoke(turn, agent, manager, continues=todo.continues)
        except SessionException:
            agent.hooks.invoke_callbacks(AfterInvocationEvent(agent=agent, result=None))
            if manager.is_in_turn(agent):
                with contextlib.suppress(SessionException):
                    manager.end_turn(agent)
            raise
        told = Restored("default", restored, todo.request.turn_id)
        self._tell(turn, told, completed(agent, agent.messages[-1], "end_turn", (), showing.left_out))

    def _invoke(self, turn: KeyedTurn, agent: Agent, manager: RepositorySessionManager, *, continues: bool) -> None:
        """Have the agent answer: what Strands and the session's hooks do with an invocation."""
        manager.begin_turn(agent)
        if not continues:
            _say("user", turn.texts[0], agent)
        stored_agent = manager._stored(agent)
        stored_agent.settle_fence()  # what the model's first word waits for
        stored_agent.set_fence()  # that of a turn which goes on
        self._show(turn, agent)
        stored_agent.record_model_call(stop_reason="end_turn", failed=False)
        _say("assistant", turn.texts[1], agent)
        agent.state.set("turns", [*(agent.state.get("turns") or []), turn.name])
        result = AgentResult("end_turn", agent.messages[-1], agent.event_loop_metrics, {})
        agent.hooks.invoke_callbacks(AfterInvocationEvent(agent=agent, result=result))
        manager.end_turn(agent)

    def _show(self, turn: KeyedTurn, agent: Agent) -> None:
        """Have the turn's first effect: behind the prompt, which is stored where the model was shown it."""
        name, shown = turn.name, texts_of(agent)
        assert shown == [*self.before, turn.texts[0]], f"{name} shows the model {shown}"

        def see(bodies: dict[str, Any]) -> None:
            stored = said_in(bodies)
            assert stored[: len(shown)] == shown, f"{name} has an effect before its first message is stored: {stored}"

        self.place.objects.look(see)
        turn.effects += 1

    def _tell(self, turn: KeyedTurn, restored: Restored, reply: Completed) -> None:
        """Tell the caller the reply: it is what is stored now, of the turn whose prompt is stored."""
        name, told = turn.name, reply.message["content"][0]["text"]
        turn.reply = told
        assert reply.stop_reason == "end_turn"
        assert restored.restored_messages == len(self.before), f"{name} is told of {restored}"
        there = [*self.before, turn.texts[0], told, *self._after_it()]

        def see(bodies: dict[str, Any]) -> None:
            stored = said_in(bodies)
            assert stored == there, f"{name} is told {told!r}, and stored is {stored}"
            first = stored_in(bodies)[restored.restored_messages or 0]
            assert first["kit"]["turn"]["id"] == restored.turn_id, f"{name} is told of another turn"

        self.place.objects.look(see)

    def _after_it(self) -> list[str]:
        return [text for turn in self.turns if not isinstance(turn, KeyedTurn) for text in turn.texts]

    # --- what holds at the end --------------------------------------------------------------------------

    def check(self) -> None:
        """See that the request was answered once, however often it was sent, and that the session goes on."""
        check_gaps(self)
        sent = [turn for turn in self.turns if isinstance(turn, KeyedTurn)]
        if not self.machine.died and self.machine.now == START:  # nobody has outlived a lease either
            refused = [turn.refused for turn in sent if not turn.replied]
            assert all(isinstance(error, SessionBusyError) for error in refused), f"refused: {refused}"
            assert sum(turn.effects for turn in sent) == 1, f"effects: {[turn.effects for turn in sent]}"
        told = [turn for turn in sent if turn.replied]
        assert sum(turn.effects for turn in told) <= 1, "two turns have come to their end"

        self.machine.now += 60  # a lease that was left behind has run out
        repeat = self.take_keyed_turn("c")
        assert repeat.replied, f"the request gets no reply: {repeat.refused!r}"
        assert not (told and repeat.effects), "the turn was taken again after its reply"
        assert {turn.reply for turn in told} <= {repeat.reply}, f"{[turn.reply for turn in told]}, {repeat.reply}"
        stored = self.stored()
        assert stored == [*self.before, PROMPT, repeat.reply], f"not stored once: {stored}"

        following = self.take_turn("next", "turn", 2, leased=True)
        assert following.replied, f"the session does not go on: {following.refused!r}"
        assert following.restored == stored, f"{following.restored} of {stored}"
        later = self.take_keyed_turn("d")
        assert later.replied, f"the request gets no reply any more: {later.refused!r}"
        assert (later.reply, later.effects) == (repeat.reply, 0), "the turn was taken again behind another"
        assert self.stored() == [*stored, *following.texts]

        # Each turn adds its name to the agent's state, and stores it with its end.
        (answered,) = [turn for turn in [*sent, repeat] if turn.texts[1] == repeat.reply]
        names = [name for name in self._state() if not name.startswith("past")]
        assert names in ([answered.name, "next"], *([] if answered.replied else [["next"]])), f"the state has {names}"

    def _state(self) -> list[str]:
        return list(self.agent(self.manager("message")).state.get("turns") or [])

    def _texts(self) -> list[str]:
        return said_in(self.place.objects.bodies)


def _say(role: Any, text: str, agent: Agent) -> None:
    """Add a message, as an agent's loop does."""
    agent.messages.append({"role": role, "content": [{"text": text}]})
    agent.hooks.invoke_callbacks(MessageAddedEvent(agent=agent, message=agent.messages[-1]))


def _store(message: Any, agent: Agent, manager: RepositorySessionManager) -> None:
    manager.append_message(message, agent)
    manager.sync_agent(agent)


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run what waits for nothing on its event loop."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits for its event loop")
