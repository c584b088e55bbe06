"""Strands' model of Google's Gemini API, which also tells when Google has filtered a prompt or an answer.

Strands knows two reasons for which an answer ends early. With the others, and when a prompt is blocked so that there is
no answer at all, it says that the model had nothing more to say.

Source: Gemini API reference, "FinishReason" and "BlockReason".
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from strands.models.gemini import GeminiModel as StrandsGeminiModel

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from strands.types.content import Messages
    from strands.types.streaming import StreamEvent

_FILTERED = {"BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT"}


class GeminiModel(StrandsGeminiModel):
    """A model of Google's Gemini API."""

    _says_something = False

    async def stream(self, messages: Messages, *args: Any, **options: Any) -> AsyncGenerator[StreamEvent]:
        """Stream an answer. One model may give several at once: what is known of each is kept apart."""
        async for event in StrandsGeminiModel.stream(copy.copy(self), messages, *args, **options):
            yield event

    def _format_chunk(self, event: dict[str, Any]) -> StreamEvent:
        kind = event["chunk_type"]
        if kind in {"message_start", "content_start"}:
            self._says_something = kind == "content_start"
        if kind == "message_stop" and self._is_filtered(event["data"]):
            return {"messageStop": {"stopReason": "content_filtered"}}
        return super()._format_chunk(event)

    def _is_filtered(self, reason: Any) -> bool:
        # Google's reasons are members of an enumeration. Where the last piece has no candidate for an answer, Strands
        # puts a plain "STOP" in the place of its reason.
        has_candidate = type(reason) is not str
        return getattr(reason, "value", reason) in _FILTERED or not (has_candidate or self._says_something)
