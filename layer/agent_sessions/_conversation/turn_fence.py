"""A turn's fence while it is on its way, and what may be asked of the model meanwhile.

    prompt added ──▶ message n on its way ───────▶ acknowledged ──▶ words, tools, other messages, the reply
             └─────▶ the model is asked ──▶ its first word waits ──┘
                                                   refused ──▶ the model's call ends, nothing was shown

Only with ``fence="effects"``. While the fence is on its way nothing else of the turn is written, and the model's answer
is held back where it comes from: before Strands, callback handlers and tools see any of it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

from agent_sessions._conversation.invocations import takes_one_call_at_a_time
from agent_sessions._conversation.journal import Appended
from agent_sessions.types import is_bidirectional

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable
    from concurrent.futures import Future

    from strands.types.content import Message

    from agent_sessions._conversation.journal import Journal


_LOOK_SECONDS = 0.05
"""How long a thread that waits for the cancel signal of a call may miss that the agent's own is set."""


class AskedTooEarlyError(Exception):
    """The model was asked before it was known that messages of a turn that was cut off belong before the prompt."""


class TurnFence:
    """What is known of one turn's fence.

    Attributes:
        stands: Whether a conditional write of this turn has proved that we are not stale.
        has_changed_conversation: Whether the agent's messages have changed because of what the fence has found, since
            the model was asked last.
        was_refused: Whether the first message was sent, and could not be stored: there is no such turn.
    """

    def __init__(self) -> None:
        self.stands = False
        self.has_changed_conversation = False
        self.was_refused = False
        self._message: Message | None = None
        self._agent: Any = None
        self._appended: Future[Appended] | None = None

    @property
    def is_on_its_way(self) -> bool:
        """Whether the turn's first message has been sent and nobody has taken note of what became of it."""
        return self._appended is not None

    @property
    def is_undecided(self) -> bool:
        """Whether nobody can know yet what became of the turn's first message."""
        return self._appended is not None and not self._appended.done()

    def send(self, appended: Future[Appended], message: Message, agent: Any) -> None:
        """The turn's first message is on its way."""
        self._appended, self._message, self._agent = appended, message, agent

    def settle(self, note: Callable[[Appended, Message, Any], object]) -> None:
        """Wait until it is known what became of the message.

        Args:
            note: Takes note of it: gets what the storage says, the message and the agent.

        Raises:
            SessionException: It was not stored.
        """
        appended, message, agent = self._appended, self._message, self._agent
        if appended is None or message is None:
            return
        try:
            became = appended.result()
            note(became, message, agent)
        except BaseException:
            self.was_refused = True
            raise
        finally:
            self._appended = self._message = self._agent = None
        self.has_changed_conversation = became is not Appended.BEHIND_IT

    async def known(self) -> None:
        """Wait, beside the event loop's other work, until it is known what became of the message."""
        appended = self._appended
        if appended is None or appended.done():
            return
        import asyncio  # here and below: whoever has no event loop opens sessions without loading it

        loop, arrived = asyncio.get_running_loop(), asyncio.Event()
        _on_loop(loop, appended, arrived.set)
        await arrived.wait()

    def when_the_model_was_asked_in_vain(self, stop: Callable[[], object]) -> None:
        """Call a function on the running loop, as soon as it is known that the model's answer is of no use."""
        import asyncio

        appended = self._appended
        if appended is None:
            return

        def decide() -> None:
            if appended.exception() is not None or appended.result() is not Appended.BEHIND_IT:
                stop()

        _on_loop(asyncio.get_running_loop(), appended, decide)


def may_go_beside(agent: Any, journal: Journal) -> bool:
    """Whether the first message of an agent's turn need not be waited for before the model is called.

    A ``BidiAgent`` listens and speaks at any time, and of several calls at once each has its own messages.
    """
    return journal.turns.fences_effects and takes_one_call_at_a_time(agent) and not is_bidirectional(agent)


def _on_loop(loop: asyncio.AbstractEventLoop, future: Future[Any], work: Callable[[], object]) -> None:
    def tell(_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            loop.call_soon_threadsafe(work)

    future.add_done_callback(tell)


class CallSignal(threading.Event):
    """The cancel signal of one call of the model: it is set when the call is to end, or when the agent is cancelled.

    A model that reads its answer in a thread, as Strands' ``BedrockModel`` does, goes on when its task is cancelled,
    and stops only at this signal.

    Args:
        agents: The agent's own signal, which Strands gives the model. Never set or cleared here.
    """

    def __init__(self, agents: threading.Event | None) -> None:
        super().__init__()
        self._agents = agents

    def is_set(self) -> bool:
        """Whether either is set."""
        return super().is_set() or (self._agents is not None and self._agents.is_set())

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until either is set, for so many seconds at most; whether one is."""
        ends = None if timeout is None else time.monotonic() + timeout
        while not self.is_set():
            left = _LOOK_SECONDS if ends is None else min(_LOOK_SECONDS, ends - time.monotonic())
            if left <= 0:
                return False
            super().wait(left)
        return True


class FencedModel:
    """Stands for an agent's model during the call that begins before the turn's fence is known to stand.

    The model itself is not touched: it may serve several agents at once.

    Args:
        original: The model.
        fence: The turn's fence.
        settle: Takes note of what became of the fence, or raises that it was refused.
    """

    def __init__(self, original: Any, fence: TurnFence, settle: Callable[[], object]) -> None:
        object.__setattr__(self, "fenced", (original, fence, settle))

    @property  # type: ignore[misc] # only ever read
    def __class__(self) -> Any:
        """The model's class, which is what ``isinstance`` asks for."""
        return type(object.__getattribute__(self, "fenced")[0])

    def __getattr__(self, name: str) -> Any:
        """The model answers for everything but its stream."""
        return getattr(object.__getattribute__(self, "fenced")[0], name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set the attribute on the model."""
        setattr(object.__getattribute__(self, "fenced")[0], name, value)

    async def stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Ask the model now, and pass its answer on when the fence stands.

        Raises:
            SessionException: The fence was refused, whatever the model says.
            AskedTooEarlyError: The fence stands behind messages that the model has not been shown.
            Exception: What the model raises.
        """
        original, fence, settle = object.__getattribute__(self, "fenced")
        ending = CallSignal(kwargs.get("cancel_signal"))
        if "cancel_signal" in kwargs:  # newer releases of Strands give it to every model
            kwargs["cancel_signal"] = ending
        answer = aiter(original.stream(*args, **kwargs))
        try:
            async for event in _held_back(answer, fence, settle, ending):
                yield event
        finally:
            ending.set()  # nobody reads the answer any more, however the call has ended
            close = getattr(answer, "aclose", None)
            if close is not None:
                await close()


def take_off_fence(agent: Any) -> None:
    """Let an agent have its own model again, if something stands for it."""
    model = own = getattr(agent, "model", None)
    while type(own) is FencedModel:
        own = object.__getattribute__(own, "fenced")[0]
    if own is not model:
        agent.model = own


async def _held_back(
    answer: AsyncIterator[Any], fence: TurnFence, settle: Callable[[], object], ending: CallSignal
) -> AsyncIterator[Any]:
    failure: Exception | None = None
    first: list[Any] = []
    try:
        first = await _first_of(answer, fence, ending)
    except Exception as error:  # noqa: BLE001 - raised below, unless the turn does not exist
        failure = error
    await fence.known()
    settle()
    if fence.has_changed_conversation:
        raise AskedTooEarlyError from failure
    if failure is not None:
        raise failure
    for event in first:
        yield event
    async for event in answer:
        yield event


async def _first_of(answer: AsyncIterator[Any], fence: TurnFence, ending: CallSignal) -> list[Any]:
    """The answer's first event, if it has one. Waiting for it ends when the fence is refused."""
    import asyncio

    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as waiting:
        is_waiting = True

        def stop() -> None:
            ending.set()
            if is_waiting:
                waiting.reschedule(loop.time())

        fence.when_the_model_was_asked_in_vain(stop)
        try:
            return [await anext(answer)]
        except StopAsyncIteration:
            return []
        finally:
            is_waiting = False
