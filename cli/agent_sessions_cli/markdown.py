"""A conversation in Markdown, for reading. A pure function of the messages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agent_sessions_cli.blocks import lines_of
from agent_sessions_cli.output import minute

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from agent_sessions.types import SessionMessage


def conversation_lines(messages: Iterable[SessionMessage]) -> Iterator[str]:
    """The conversation, piece by piece. What was said stays as it is; what tools did stands in fences."""
    for record in messages:
        message = record.to_message()
        redacted = ", redacted" if record.redact_message is not None else ""
        yield f"\n### {message['role']} (#{record.message_id}, {minute(record.created_at)} UTC{redacted})\n"
        for line in lines_of(message["content"], longest=None):
            yield f"\n{line.text}\n" if line.kind == "text" else f"\n{_fenced(line.text)}\n"


def _fenced(text: str) -> str:
    """A text in a fence that nothing in it can close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
