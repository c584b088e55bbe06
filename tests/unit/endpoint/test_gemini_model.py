"""One model of Gemini's that answers two callers at once, as two nodes of a graph may share it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from strands.models.gemini import GeminiModel as StrandsGeminiModel

from lambda_src.models.gemini_model import GeminiModel

SAYS_SOMETHING = ["message_start", "content_start", "message_stop"]
SAYS_NOTHING = ["message_start", "message_stop"]


def test_a_blocked_prompt_is_told_from_an_answer_that_another_caller_gets_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def play(self: Any, messages: Any, *_: Any, **__: Any) -> AsyncIterator[Any]:
        for kind in messages:
            yield self._format_chunk({"chunk_type": kind, "data_type": "text", "data": "STOP"})
            await asyncio.sleep(0)  # the other one goes on

    monkeypatch.setattr(StrandsGeminiModel, "stream", play)
    model = GeminiModel(client_args={"api_key": "none"}, model_id="gemini-2.5-flash")

    async def end_of(kinds: list[str]) -> Any:
        return [event async for event in model.stream(kinds)][-1]  # type: ignore[arg-type]

    async def both(*scripts: list[str]) -> Any:
        ends = await asyncio.gather(*map(end_of, scripts))
        return [end["messageStop"]["stopReason"] for end in ends]

    assert asyncio.run(both(SAYS_SOMETHING, SAYS_NOTHING)) == ["end_turn", "content_filtered"]
    assert asyncio.run(both(SAYS_NOTHING, SAYS_SOMETHING)) == ["content_filtered", "end_turn"]
