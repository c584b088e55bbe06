"""A bidirectional model that answers each message with a transcript, for both bidirectional halves of Strands.

Strands before 1.56 has them in ``strands.experimental.bidi`` and streams a transcript as one final event; later ones
have ``strands.bidi``, reserve a message when a transcript starts and replace it when it stops.
"""

import asyncio
import importlib
import itertools
from collections.abc import AsyncIterator
from typing import Any, Final

from tests.contract.strands_features import HAS_BIDI

_PACKAGE: Final = "strands.bidi" if HAS_BIDI else "strands.experimental.bidi"
_base: Any = importlib.import_module(f"{_PACKAGE}.models").BidiModel
_events: Any = importlib.import_module(f"{_PACKAGE}.types.events")
_numbers = itertools.count(1)

BidiAgent: Any = importlib.import_module(f"{_PACKAGE}.agent").BidiAgent


class TranscriptModel(_base):  # type: ignore[misc] # the base class depends on the installed Strands
    """Speaks each reply in turn.

    Args:
        *replies: What it says to the first, second, … message.
    """

    def __init__(self, *replies: str) -> None:
        self.model_id_given = "transcripts"
        self.config: dict[str, Any] = {"model_id": "transcripts"}
        self.started_with: list[Any] = []
        self._replies = list(replies)
        self._queue: asyncio.Queue[Any] = asyncio.Queue()

    def update_config(self, **model_config: Any) -> None:
        self.config.update(model_config)

    def get_config(self) -> dict[str, Any]:
        return self.config

    async def start(self, system_prompt: Any = None, tools: Any = None, messages: Any = None, **kwargs: Any) -> None:
        self.started_with = [dict(message) for message in messages or []]
        self._queue = asyncio.Queue()

    async def stop(self) -> None:
        await self._queue.put(None)

    async def send(self, content: Any) -> None:
        for event in transcript(self._replies.pop(0)):
            await self._queue.put(event)

    async def receive(self) -> AsyncIterator[Any]:
        while (event := await self._queue.get()) is not None:
            yield event


def transcript(text: str, role: str = "assistant") -> list[Any]:
    """The events by which a model of this Strands says something."""
    if not HAS_BIDI:
        return [_events.BidiTranscriptStreamEvent(delta={"text": text}, text=text, role=role, is_final=True)]
    content_id = f"content-{next(_numbers)}"
    return [
        _events.BidiTranscriptStartEvent(role, content_id),
        *[_events.BidiTranscriptDeltaEvent(piece, role, content_id) for piece in text],
        _events.BidiTranscriptStopEvent(role, content_id),
    ]


def is_end_of_transcript(event: Any) -> bool:
    """Whether the agent has put the whole reply into its conversation when it yields this event."""
    if not HAS_BIDI:
        return isinstance(event, _events.BidiTranscriptStreamEvent)
    return isinstance(event, _events.BidiTranscriptBlockEvent)


async def talk(agent: Any, *prompts: str) -> None:
    """Say each prompt and wait for the reply."""
    await agent.start()
    try:
        for prompt in prompts:
            await agent.send(prompt)
            async for event in agent.receive():
                if is_end_of_transcript(event):
                    break
    finally:
        await agent.stop()
