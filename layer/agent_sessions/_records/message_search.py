"""Finding messages by their numbers, without listing a conversation.

A listing has the keys in the order of their letters, ``message_10`` before ``message_2``: whoever wants the messages
behind a number would have to list them all. But they are numbered without gaps, so that their names are known and can
be asked for. Where a gap is (a message in quarantine, what somebody deleted), the names behind it are tried at growing
distances, and what lies between two answers is searched in rounds of a few names at once.

A search asks for fewer than two hundred names, in fewer than ten rounds, however long the conversation is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_sessions._records.layout import Layout
    from agent_sessions.object_store import ObjectStore

Present = Callable[[Sequence[int]], Sequence[bool]]
"""Tells of several ids at once whether there are messages of them."""

FURTHEST = 2**22
"""Behind a gap of so many ids nobody looks for another message."""

_AT_ONCE = 16
_SMALL_GAPS = 3
_GROWTH = 1.25
"""A run of messages behind a gap is found if it has a quarter of the gap's length."""


def next_message_id(present: Present, first_id: int) -> int | None:
    """The smallest id from ``first_id`` on of which there is a message, or ``None`` when there are none.

    Args:
        present: See :data:`Present`.
        first_id: Where to begin.
    """
    tried = _distances(first_id)
    found = present(tried)
    if not any(found):
        return None
    hit = list(found).index(True)
    low, high = (tried[hit - 1] if hit else first_id - 1), tried[hit]  # absent, present
    while high - low > 1:
        between = _between(low, high)
        answers = list(present(between))
        hit = answers.index(True) if any(answers) else len(between)
        low, high = ([low, *between][hit], [*between, high][hit])
    return high


def last_message_id(present: Present, *, likely_next: int = 0) -> int | None:
    """The largest id of which there is a message, or ``None`` when there are none.

    Args:
        present: See :data:`Present`.
        likely_next: An id that probably comes right behind the last one; costs a round when it does not.
    """
    if likely_next > 0:
        near = [likely_next - 1, likely_next, likely_next + 1, likely_next + 2]
        here, *later = present(near)
        if here and not any(later):
            return likely_next - 1
        if not here and not any(later):
            likely_next = 0
    tried = _distances(likely_next)
    found = list(present(tried))
    if not any(found):
        return likely_next - 1 if likely_next > 0 else None
    hit = len(found) - 1 - found[::-1].index(True)
    low, high = tried[hit], tried[hit + 1] if hit + 1 < len(tried) else tried[hit] + 1  # present, absent
    while high - low > 1:
        between = _between(low, high)
        answers = list(present(between))
        hit = len(between) - 1 - answers[::-1].index(True) if any(answers) else -1
        low, high = ([low, *between][hit + 1], [*between, high][hit + 1])
    return _behind_small_gaps(present, low)


def _behind_small_gaps(present: Present, last_id: int) -> int:
    """What was taken for the end may have been a gap of a few messages."""
    for _ in range(_SMALL_GAPS):
        near = range(last_id + 1, last_id + 1 + _AT_ONCE)
        behind = [message_id for message_id, found in zip(near, present(near), strict=True) if found]
        if not behind:
            break
        last_id = behind[-1]
    return last_id


def look_for_messages(objects: ObjectStore, layout: Layout, session_id: str, agent_id: str) -> Present:
    """Ask a store for an agent's messages, without reading them."""

    def present(ids: Sequence[int]) -> Sequence[bool]:
        keys = [layout.message(session_id, agent_id, message_id) for message_id in ids]
        return [found is not None for found in objects.stat_many(keys)]

    return present


def _distances(first_id: int) -> list[int]:
    """Ids from the first one on, further and further apart."""
    found, distance = [first_id], 1.0
    while distance <= FURTHEST:
        if first_id + int(distance) != found[-1]:
            found.append(first_id + int(distance))
        distance = max(distance * _GROWTH, int(distance) + 1)
    return found


def _between(low: int, high: int) -> list[int]:
    """Some ids strictly between two, evenly."""
    count = min(_AT_ONCE, high - low - 1)
    return [low + (high - low) * number // (count + 1) for number in range(1, count + 1)]
