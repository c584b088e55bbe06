"""Makes the roles of a restored conversation alternate, as many models want them.

What is stored is what was said, in order. Where a caller takes messages out of an agent's conversation (a prompt that
had no answer, before asking anew) two messages of one role stand behind each other there which have never been
neighbours in the agent's memory. They are restored as one. Those that were neighbours are restored as they were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from agent_sessions._conversation.window import is_pinned

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from strands.types.content import Message

    from agent_sessions.tool_pairing import Repaired


class RestoredMessage(NamedTuple):
    """A message of a restored conversation.

    Attributes:
        message: The message.
        sources: The positions of the stored messages that it shows; none when it was added.
    """

    message: Message
    sources: tuple[int, ...]


def with_alternating_roles(
    messages: Sequence[Repaired], joined: Container[int], *, window_at: int
) -> list[RestoredMessage]:
    """Make one message of two, where the writer has noted that they were never neighbours.

    Pinned messages stay alone: a pin is one message's.

    Args:
        messages: A conversation in order, tool calls followed by their results.
        joined: The positions, among the stored messages, of those that are one with the message before.
        window_at: The position where the window begins. Something may be put in between.
    """
    restored: list[RestoredMessage] = []
    for item in messages:
        sources = () if item.source is None else (item.source,)
        last = restored[-1] if restored else None
        if last is None or item.source not in joined or not _may_join(last, item.message, sources, window_at):
            restored.append(RestoredMessage(item.message, sources))
        else:
            restored[-1] = RestoredMessage(_joined(last.message, item.message), (*last.sources, *sources))
    return restored


def _may_join(last: RestoredMessage, message: Message, sources: tuple[int, ...], window_at: int) -> bool:
    is_apart = any(before < window_at for before in last.sources) and any(after >= window_at for after in sources)
    return (
        not is_apart
        and last.message["role"] == message["role"]
        and not is_pinned(last.message)
        and not is_pinned(message)
    )


def _joined(first: Message, second: Message) -> Message:
    """One message that says what two said. Whatever else it carries is of the second, which was stored last."""
    content = [*cast("list[Any]", first["content"]), *cast("list[Any]", second["content"])]
    return cast("Message", {**second, "content": content})
