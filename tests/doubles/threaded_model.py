"""A Strands model that answers from a thread, as ``BedrockModel`` does: only its cancel signal ends the answer."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from typing import Any

from strands.types.streaming import StreamEvent

from tests.doubles.scripted_model import Request, ScriptedModel

WORDS = 20_000


class ThreadedModel(ScriptedModel):
    """Answers a call with so many words that whoever waits for the last one has made a mistake.

    Args:
        silent: Say no word, until the answer is at an end.

    Attributes:
        ended: Set once the thread has nothing more to say.
        said: How many words it has said.
    """

    def __init__(self, *, silent: bool = False) -> None:
        super().__init__(otherwise="unused")
        self.ended = threading.Event()
        self.said = 0
        self._silent = silent

    async def stream(self, *_: Any, **options: Any) -> AsyncGenerator[StreamEvent, None]:
        """Say words in a thread until the signal is set."""
        self._script.answer(Request(messages=[]))
        cancel_signal: threading.Event = options["cancel_signal"]
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[StreamEvent | None] = asyncio.Queue()

        def answer() -> None:
            for _ in range(WORDS):
                if cancel_signal.wait(0.001):
                    break
                self.said += 1
                if not self._silent:
                    word: StreamEvent = {"contentBlockDelta": {"delta": {"text": "word "}}}
                    loop.call_soon_threadsafe(events.put_nowait, word)
            self.ended.set()
            loop.call_soon_threadsafe(events.put_nowait, None)

        thread = asyncio.ensure_future(asyncio.to_thread(answer))
        while (event := await events.get()) is not None:
            yield event
        await thread
