"""The derived copy of a conversation that makes a restore one round trip.

The message objects are the truth. Beside them stand, both derived from the messages as they were stored:

* the *tail*, inside ``agent.json`` under ``kit.log``: the messages of the last turns. Every turn of ours rewrites
  ``agent.json``; a turn of Strands' manager rewrites it too, without our part, and so invalidates it by itself;
* the *base*, ``history.json``: the messages before the tail. ``kit.log`` names the base it goes with by a nonce, so
  that a base from anywhere else is not believed.

When the tail outgrows the root of the base, both become a new base. So a long conversation is not rewritten every
turn: with H bytes of history, a turn writes in the order of √H bytes.

A copy holds what a restored conversation shows, redactions applied, and the ETag of the object it is a copy of.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from agent_sessions._records.shapes import message_problem
from agent_sessions.types import is_message_id
from agent_sessions.values import holds_text_over, read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FORMAT = 1
"""Version of ``history.json`` and of ``kit.log``. Another version is not believed."""

INLINE_BYTES = 64 * 1024
"""Larger messages (images, documents) are only referred to, and fetched one by one: they are not rewritten."""

SMALLEST_BASE_BYTES = 32 * 1024
"""A tail below this size needs no base."""


TAIL_PER_ROOT = 64
"""Bytes of tail for each byte of the base's root: a turn of about 2 kB makes the two costs of ``tail_limit`` equal."""


class Copy(NamedTuple):
    """A copy of a message.

    Attributes:
        message_id: The message's id.
        etag: The version of the message object that this is a copy of.
        message: The message with its bytes encoded, or ``None`` for a mere reference.
    """

    message_id: int
    etag: str
    message: dict[str, Any] | None


class Entry(NamedTuple):
    """A copy as it is written.

    Attributes:
        message_id: See :class:`Copy`.
        etag: See :class:`Copy`.
        text: The message as JSON in one line; ``null`` for a mere reference.
    """

    message_id: int
    etag: str
    text: str

    @property
    def is_reference(self) -> bool:
        """Whether the message is too large to be copied, and only referred to."""
        return self.text == "null"

    @classmethod
    def of(cls, content: dict[str, Any], etag: str) -> Entry:
        """The entry of a message's record as it is stored."""
        message = content["message"] if content.get("redact_message") is None else content["redact_message"]
        # A long text is not written down only to be measured.
        is_long = holds_text_over(INLINE_BYTES, message)
        text = "null" if is_long else json.dumps(message, separators=(",", ":"))
        return cls(int(content["message_id"]), etag, text if len(text) <= INLINE_BYTES else "null")

    @classmethod
    def again(cls, copy: Copy) -> Entry:
        """The entry of a copy that was read, before anybody has changed the message."""
        return cls(copy.message_id, copy.etag, json.dumps(copy.message, separators=(",", ":")))


class Base(NamedTuple):
    """A ``history.json``.

    Attributes:
        nonce: Names it.
        first_id: Every stored message from this id to ``last_id`` is in it, and pinned ones below.
        last_id: See ``first_id``.
        body: Its bytes.
    """

    nonce: str
    first_id: int
    last_id: int
    body: bytes

    def entries(self) -> list[Entry]:
        """What is in it, as it was written: the lines of the body are taken over as they are."""
        head, *lines = self.body.decode("ascii").split("\n")[:-1]
        found = json.loads(f"{head}]}}")
        texts = (line.removesuffix(",") for line in lines)
        return [Entry(*entry) for entry in zip(_ids_of(found["runs"]), found["etags"].split(" "), texts, strict=True)]


def write_base(
    entries: Sequence[Entry], *, first_id: int, nonce: str, session_id: str, agent_id: str, incarnation: str
) -> Base:
    """A new base: valid JSON, one message a line, so that the next base can take the lines over.

    Args:
        entries: One or more, in the order of their ids.
        first_id: See :class:`Base`.
        nonce: See :class:`Base`.
        session_id: Whose it is.
        agent_id: Whose it is.
        incarnation: The life of the session in which it was written.
    """
    head = {
        "format": FORMAT,
        "session_id": session_id,
        "agent_id": agent_id,
        "incarnation": incarnation,
        "nonce": nonce,
        "first_id": first_id,
        "runs": _runs_of([entry.message_id for entry in entries]),
        "etags": " ".join(entry.etag for entry in entries),
    }
    body = json.dumps(head)[:-1] + ', "messages": [\n' + ",\n".join(entry.text for entry in entries) + "\n]}"
    return Base(nonce, first_id, entries[-1].message_id, body.encode("ascii"))


class FoundBase(NamedTuple):
    """A base that was read, and the messages in it with their ids; a mere reference has ``None`` for a message."""

    base: Base
    ids: list[int]
    messages: list[dict[str, Any] | None]
    etags: str

    def copies(self) -> list[Copy]:
        """What is in it, with the ETags."""
        return [Copy(*copy) for copy in zip(self.ids, self.etags.split(" "), self.messages, strict=True)]


def read_base(body: bytes, *, session_id: str, agent_id: str, incarnation: str) -> FoundBase | None:
    """Read a ``history.json``.

    Returns:
        The base, or ``None`` when it is truncated, of an unknown version, or of another session, agent or life.
    """
    found, problem = read_text(body)
    if problem is not None or not isinstance(found, dict):
        return None
    belongs = [found.get(name) for name in ("format", "session_id", "agent_id", "incarnation")]
    nonce, first_id, etags, messages = (found.get(name) for name in ("nonce", "first_id", "etags", "messages"))
    if belongs != [FORMAT, session_id, agent_id, incarnation] or not isinstance(messages, list):
        return None
    ids = _ids_in(found.get("runs"), len(messages))
    if not (
        isinstance(nonce, str) and isinstance(etags, str) and is_message_id(first_id) and first_id <= (ids or [-1])[-1]
    ):
        return None
    if not len(ids) == len(messages) == etags.count(" ") + 1 or not all(_may_be_copied(item) for item in messages):
        return None
    if not body.isascii() or body.count(b"\n") != len(messages) + 1:
        return None  # its lines could not be taken over
    return FoundBase(Base(nonce, first_id, ids[-1], body), ids, messages, etags)


class Log(NamedTuple):
    """What ``agent.json`` says of the conversation, under ``kit.log``.

    Attributes:
        first_id: Every stored message from this id on is in the base or the tail. Pinned ones below are, too.
        next_id: The id the next message gets.
        base: The nonce of the base that goes with it; ``None`` when the tail is everything.
        tail: The messages after the base.
        unconfirmed: The nonce of the last message, when it was written at the same time as this log. After a crash
            that message may be missing; then it is written from the tail before anything else is.
    """

    first_id: int
    next_id: int
    base: str | None
    tail: list[Copy]
    unconfirmed: str | None

    def goes_with(self, base: Base | None) -> bool:
        """Whether this is the base that is named here, and the conversation ends where the two end."""
        if self.base != (base.nonce if base else None):
            return False
        return bool(self.tail) or base is None or base.last_id + 1 == self.next_id


def write_log(
    *, first_id: int, next_id: int, base: str | None, tail: Iterable[Entry], unconfirmed: str | None
) -> dict[str, Any]:
    """What stands under ``kit.log``. See :class:`Log` for the arguments."""
    return {
        "format": FORMAT,
        "first_id": first_id,
        "next_id": next_id,
        "base": base,
        "tail": [[entry.message_id, entry.etag, json.loads(entry.text)] for entry in tail],
        "unconfirmed": unconfirmed,
    }


def read_log(found: object) -> Log | None:
    """Read what stands under ``kit.log``, or return ``None`` when it is not to be believed."""
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        return None
    first_id, next_id, base, entries, unconfirmed = (
        found.get(name) for name in ("first_id", "next_id", "base", "tail", "unconfirmed")
    )
    if not is_message_id(first_id) or not is_message_id(next_id) or not isinstance(entries, list):
        return None
    if not all(name is None or isinstance(name, str) for name in (base, unconfirmed)):
        return None
    if not all(isinstance(entry, list) and len(entry) == len(Copy._fields) and _is_copy(*entry) for entry in entries):
        return None
    log = Log(first_id, next_id, base, [Copy(*entry) for entry in entries], unconfirmed)
    ids = [copy.message_id for copy in log.tail]
    last_id = ids[-1] if ids else log.first_id - 1
    if ids != sorted(set(ids)) or (log.next_id != last_id + 1 and (ids or log.base is None)):
        return None
    return log


def _is_copy(message_id: object, etag: object, message: object) -> bool:
    return is_message_id(message_id) and isinstance(etag, str) and _may_be_copied(message)


def _may_be_copied(message: object) -> bool:
    """Whether this may stand for a message in a copy: a message, or nothing for a mere reference."""
    return message is None or message_problem(message) is None


def tail_limit(base_bytes: int) -> int:
    """The size in bytes at which a tail and its base become a new base.

    Rewriting the tail costs its size each turn, rewriting the base costs its size once per tail: the sum is least
    when the tail is in the order of the base's root.
    """
    return max(SMALLEST_BASE_BYTES, math.isqrt(base_bytes) * TAIL_PER_ROOT)


def _runs_of(ids: Sequence[int]) -> list[list[int]]:
    """Ids as runs of ``[first, count]``: a whole conversation is one."""
    runs: list[list[int]] = []
    for message_id in ids:
        if runs and sum(runs[-1]) == message_id:
            runs[-1][1] += 1
        else:
            runs.append([message_id, 1])
    return runs


def _ids_of(runs: Sequence[Sequence[int]]) -> list[int]:
    return [message_id for first, count in runs for message_id in range(first, first + count)]


def _ids_in(runs: object, count: int) -> list[int]:
    """The ids that stand as runs in a base of so many messages; none when they are none, or others in number."""
    if not isinstance(runs, list) or not all(
        isinstance(run, list) and len(run) == 2 and all(is_message_id(number) for number in run)  # noqa: PLR2004 - a pair
        for run in runs
    ):
        return []
    ids = _ids_of(runs) if sum(length for _, length in runs) == count else []
    return ids if ids == sorted(set(ids)) else []
