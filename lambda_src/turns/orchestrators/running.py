"""One turn of an orchestrator: its run as a stream of events, and the message that the run comes to.

A cancelled turn lets the nodes that run end as a cancelled agent does, and runs no other. A turn whose time is over is
stopped where it is: what a node was doing is done again when the turn goes on, and no half answer counts.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from lambda_src.answers import errors
from lambda_src.answers.diagnosis import unwrapped
from lambda_src.answers.error_answers import answer_for
from lambda_src.content import shown
from lambda_src.runtime.escapes import contained
from lambda_src.runtime.stoppable import StoppedError, StopSignal, stoppable
from lambda_src.turns.cancelling import NOTHING_SAID
from lambda_src.turns.interrupts import described
from lambda_src.turns.orchestrators import going_on, results
from lambda_src.turns.orchestrators.node_events import NodeEvents
from lambda_src.turns.orchestrators.nodes import NodeAgents, node_timeouts
from lambda_src.turns.orchestrators.results import Run
from lambda_src.turns.orchestrators.taken_back import TakenBack, sources_in, take_out_of
from lambda_src.turns.replays import digest_of
from lambda_src.turns.time_limit import out_of_time
from lambda_src.turns.turn_events import Completed, usage_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from agent_sessions.repository_session_manager import RepositorySessionManager
    from agent_sessions.turn_request import TurnRequest
    from lambda_src.turns.orchestrators.conversing import ConversingOrchestrator, Task
    from lambda_src.turns.turn_events import TurnEvent

CANCEL_SECONDS = 1.0
"""How long nodes may take to end by themselves when their turn is cancelled."""

_STOPS_BETWEEN = frozenset({"multiagent_handoff", "multiagent_node_start"})


class OrchestratorTurn:
    """Runs an orchestrator once.

    Args:
        conversing: The orchestrator.
        session: Where its conversation is stored.
        request: Names the turn.
        cancelled: Says that the turn is cancelled.
        stop_at: When its time is over, by the event loop's clock.
    """

    def __init__(
        self,
        conversing: ConversingOrchestrator,
        session: RepositorySessionManager,
        request: TurnRequest,
        cancelled: StopSignal,
        stop_at: float,
    ) -> None:
        self._conversing = conversing
        self._session = session
        self._turn_id = request.turn_id
        self._restored_messages = request.restored_messages or 0
        self._cancelled = cancelled
        self._stop_at = stop_at
        self._taken = TakenBack()
        self._nodes = conversing.nodes = NodeAgents(conversing.orchestrator, cancelled, self._take_back)
        self._met_a_limit = False
        self._happening = NodeEvents(cancelled, node_timeouts(conversing.orchestrator))
        stored = session.orchestrator_record(conversing.orchestrator.id)
        self._used_before = results.NO_TOKENS
        if stored is not None and stored.turn_id == request.turn_id and stored.used is not None:
            self._used_before = {name: stored.used.get(name, 0) for name in results.NO_TOKENS}

    async def events(self, task: Task) -> AsyncGenerator[TurnEvent]:
        """Take the turn.

        Args:
            task: What is to be done.

        Raises:
            EndpointError: It has ended without a reply.
            SessionException: It could not be stored.
        """
        from strands.hooks import AfterInvocationEvent, BeforeInvocationEvent, BeforeModelCallEvent

        conversing: Any = self._conversing
        tell, state = conversing.hooks.invoke_callbacks_async, {"turn_id": self._turn_id}
        given: list[Any] = [] if task.given is None else [task.given]
        self._session.name_turn(self._turn_id, self._used)
        reply: Completed | None = None
        await tell(BeforeInvocationEvent(agent=conversing, invocation_state=state, messages=given or None))
        try:
            for message in given:
                await self._append(message)
            await tell(BeforeModelCallEvent(agent=conversing, invocation_state=state))
            # Nodes are agents of their own: what they do is seen at once, and none of them begins before the fence.
            await self._session.fence_acknowledged()
            run = task.run
            if run is None:
                async for event in self._happening_in(task.input, state):
                    yield event
                run = self._run()
            reply = await self._answer(run, state)
        except BaseException as error:
            answer = await self._note_failure(error, state)
            if answer is None:
                raise
            raise answer from error
        finally:
            conversing.conversation_manager.apply_management(conversing)
            await tell(AfterInvocationEvent(agent=conversing, invocation_state=state))
        yield reply

    # --- the run ----------------------------------------------------------------------------------------

    async def _happening_in(self, task: list[Any], state: dict[str, Any]) -> AsyncIterator[TurnEvent]:
        """Invoke the orchestrator, and tell what its nodes do, until it ends or is stopped."""
        loop, stop = asyncio.get_running_loop(), StopSignal()
        timers = [loop.call_at(self._stop_at, stop.set)]
        unlisten = self._cancelled.listen(lambda: timers.append(loop.call_later(CANCEL_SECONDS, stop.set)))
        source = contained(self._conversing.orchestrator.stream_async(task, invocation_state=state))
        try:
            if self._cancelled.is_set:
                return
            async with aclosing(stoppable(source, stop)) as events:
                async for event in events:
                    if _is_said(self._cancelled) and event.get("type") in _STOPS_BETWEEN:
                        return
                    for happened in self._happening.told_of(event):
                        yield happened
        except StoppedError:
            pass
        except Exception as error:
            if not self._is_a_limit(error):
                raise
            self._met_a_limit = True
        finally:
            unlisten()
            for timer in timers:
                timer.cancel()
        if not (self._happening.has_result or self._met_a_limit or _is_said(self._cancelled)):
            raise out_of_time()

    def _run(self) -> Run:
        """What the run came to.

        Raises:
            Exception: What a node failed with, if that ended the run.
        """
        if self._happening.has_result:
            run = results.run_of(self._happening.result)
        else:
            run = Run("failed" if self._met_a_limit else "cancelled", self._happening.results)
        if self._cancelled.is_set and (self._nodes.was_cut or run.status != "completed"):
            return run._replace(status="cancelled")
        if run.interrupts and going_on.interrupts_of(self._conversing.orchestrator) == []:
            raise errors.InternalError(
                "Something inside of a node that is an orchestrator itself has asked. No other request can answer "
                "that. Let a node of the outer orchestrator ask."
            )
        failed = [node.result for node in run.results.values() if isinstance(node.result, Exception)]
        if run.status == "failed" and failed and not any(map(self._is_a_limit, failed)):
            raise failed[-1]
        return run

    def _is_a_limit(self, error: BaseException) -> bool:
        """Whether a run ends with an error because it met a limit that its builder has set: that is no failure."""
        return self._happening.is_stopped or any(unwrapped(error) is late for late in self._happening.too_late)

    # --- what it came to --------------------------------------------------------------------------------

    async def _answer(self, run: Run, state: dict[str, Any]) -> Completed:
        """Store the message that the run came to, and with it every node's part."""
        from strands.hooks import AfterModelCallEvent

        conversing: Any = self._conversing
        otherwise = {"cancelled": NOTHING_SAID, "interrupted": results.WAITS}.get(run.status, results.NO_ANSWER)
        answer, stop_reason = results.answer_of(run, conversing.followed_by(), otherwise)
        interrupts = [described(interrupt) for interrupt in run.interrupts]
        nodes = [
            results.node_reply(node_id, result, in_cancelled=run.status == "cancelled")
            for node_id, result in run.results.items()
        ]
        asking = self._asking(run) if run.status == "interrupted" else {}
        nodes = [node for node in nodes if node["node_id"] not in asking] + list(asking.values())
        answer, interrupts, nodes = map(self._taken.without, (answer, interrupts, nodes))
        usage = self._usage(run)
        results.keep_with(answer, nodes, interrupts, usage)
        stopped = AfterModelCallEvent.ModelStopResponse(message=answer, stop_reason=stop_reason)  # type: ignore[arg-type] # Strands knows fewer reasons
        await conversing.hooks.invoke_callbacks_async(
            AfterModelCallEvent(agent=conversing, invocation_state=state, stop_response=stopped)
        )
        pending = going_on.interrupts_of(conversing.orchestrator)
        asked = list(run.interrupts) if pending is None else pending
        conversing.mirror_interrupts([results.reworded(interrupt, self._taken.without) for interrupt in asked])
        await self._append(answer)
        reply = Completed(shown(answer), stop_reason, interrupts, usage, nodes=nodes)
        outcome: dict[str, Any] = {"stop_reason": stop_reason, "interrupts": interrupts, "usage": usage}
        outcome |= {"restored_messages": self._restored_messages, "digest": digest_of(reply.message)}
        self._session.conclude_turn(conversing, {"reply": outcome})
        return reply

    def _asking(self, run: Run) -> dict[str, dict[str, Any]]:
        """What the reply tells of the nodes that ask; from what is stored, if another process has run them."""
        state = getattr(self._conversing.orchestrator, "_interrupt_state", None)
        if self._happening.asking or state is None:
            return self._happening.asking
        stored = results.asking_nodes(state.context)
        return {node_id: node for node_id, node in stored.items() if node_id not in run.results}

    def _usage(self, run: Run) -> dict[str, int]:
        """Tokens of this turn: what its nodes have used in every process, and none of an earlier turn's."""
        if isinstance(getattr(self._conversing.orchestrator, "nodes", None), dict):
            return self._used()
        return results.added(*(usage_of(node.accumulated_usage) for node in run.results.values()))

    def _used(self) -> dict[str, int]:
        """Tokens so far: the session keeps them with each state, for the process that goes on."""
        return results.added(self._nodes.usage, self._used_before)

    def _take_back(self, content: list[Any], replacement: str) -> None:
        """Replace what a guardrail takes back in a node, in memory and in everything that is stored of the run.

        Raises:
            SessionException: Storage failed. What is stored next makes up for it.
        """
        conversing: Any = self._conversing
        orchestrator, said = conversing.orchestrator, conversing.messages_of_run()
        self._taken.add(content, replacement, [sources_in(orchestrator.serialize_state()), said])
        take_out_of(orchestrator, self._taken)
        for message in said:
            reworded = self._taken.without(message)
            if reworded != message:
                message.clear()
                message.update(reworded)
                self._session.redact_latest_message(message, conversing)
        conversing.reword_interrupts(self._taken.without)
        asking = [message for message in said if message["role"] == "user"]
        self._session.redact_beside(conversing, asking, self._taken.without)
        self._session.redact_multi_agent(orchestrator, self._taken.without)

    async def _append(self, message: Any) -> None:
        from strands.hooks import MessageAddedEvent

        conversing: Any = self._conversing
        conversing.messages.append(message)
        await conversing.hooks.invoke_callbacks_async(MessageAddedEvent(agent=conversing, message=message))

    async def _note_failure(self, error: BaseException, state: dict[str, Any]) -> errors.EndpointError | None:
        """Note with the turn what it failed with.

        Returns:
            What its caller is told; ``None`` if the error is to be raised as it is.
        """
        from strands.hooks import AfterModelCallEvent

        conversing: Any = self._conversing
        if not isinstance(error, Exception):
            self._session.conclude_turn(conversing, {"unanswered": "out-of-time"})
            return None
        await conversing.hooks.invoke_callbacks_async(
            AfterModelCallEvent(agent=conversing, invocation_state=state, exception=error)
        )
        answer = self._answer_for(error)
        late = isinstance(answer, errors.OutOfTimeError)
        outcome = {"unanswered": "out-of-time"} if late else {"failed": answer.slug}
        self._session.conclude_turn(conversing, outcome)
        return answer

    def _answer_for(self, error: Exception) -> errors.EndpointError:
        from strands.types.exceptions import MaxTokensReachedException

        if isinstance(unwrapped(error), MaxTokensReachedException):
            return errors.ModelFailedError(
                "A node's answer was cut short by its model's limit of tokens, and the nodes after it did not run. "
                "Sent again with its Idempotency-Key, the request goes on with that node."
            )
        return answer_for(error, self._nodes.model_error)


def _is_said(signal: StopSignal) -> bool:
    return signal.is_set  # it may be set at any moment
