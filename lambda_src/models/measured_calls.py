"""Measures a call of a model: how long it takes, how many tokens it uses, and how it fails.

Every call of a turn passes here: of the agent's model or of a node's, a summary's too, each attempt for itself. Tokens
are those that the model reports at the end of its answer, so those of a turn that fails later count as well.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from lambda_src.answers.error_answers import answer_for
from lambda_src.answers.errors import ContextTooLongError, ModelThrottledError
from lambda_src.metrics import recorded, table

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

_TOKENS = {
    "inputTokens": table.INPUT_TOKENS,
    "outputTokens": table.OUTPUT_TOKENS,
    "cacheReadInputTokens": table.CACHE_READ_TOKENS,
    "cacheWriteInputTokens": table.CACHE_WRITE_TOKENS,
}


async def measured(answer: AsyncIterator[Any]) -> AsyncGenerator[Any]:
    """Pass on what a model answers, and add it to the metrics of the present request.

    Raises:
        Exception: What the model raises.
    """
    recorded.add(table.MODEL_CALLS)
    with recorded.running("model"):
        try:
            async with aclosing(answer) as events:  # type: ignore[type-var] # a generator
                async for event in events:
                    _count_tokens(event)
                    yield event
        except Exception as error:
            _count_failure(error)
            raise


def _count_tokens(event: Any) -> None:
    usage = event.get("metadata", {}).get("usage") if isinstance(event, dict) else None
    if usage:
        for name, metric in _TOKENS.items():
            recorded.add(metric, usage.get(name) or 0)


def _count_failure(error: Exception) -> None:
    answer = answer_for(error, error)
    if isinstance(answer, ModelThrottledError):
        recorded.add(table.MODEL_THROTTLES)
    elif not isinstance(answer, ContextTooLongError):
        recorded.add(table.MODEL_ERRORS)
