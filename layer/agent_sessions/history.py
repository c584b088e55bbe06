"""The derived copy of a conversation that makes a restore one round trip.

The message objects are the truth. Beside them stand, both derived from the records as they were stored:

* the *tail*, inside ``agent.json`` under ``kit.log``: the records of the last turns. Every turn of ours rewrites
  ``agent.json``; a turn of Strands' manager rewrites it too, without our part, and so invalidates it by itself;
* the *base*, ``history.json``: the records before the tail. ``kit.log`` names the base it goes with by a nonce, so that
  a base from anywhere else is not believed.

When the tail outgrows the root of the base, both become a new base. So a long conversation is not rewritten every
turn: with H bytes of history, a turn writes in the order of √H bytes.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_sessions.types import SessionMessage, decode_bytes_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FORMAT = 1
"""Version of ``history.json`` and of ``kit.log``. Another version is not believed."""

INLINE_BYTES = 64 * 1024
"""Larger records (images, documents) are only referred to, and fetched one by one: they are not rewritten."""

SMALLEST_BASE_BYTES = 32 * 1024
"""A tail below this size needs no base."""

_OF_THE_OBJECT = frozenset({"format", "incarnation", "nonce"})
"""What ``kit`` says of a single object; the derived copy says it once for all."""


@dataclass(frozen=True)
class Entry:
    """A stored message as the derived copy knows it.

    Attributes:
        message_id: Its id.
        etag: The version of the message object that this is a copy of.
        text: The record as JSON in one line, or ``None`` for a mere reference.
    """

    message_id: int
    etag: str
    text: str | None

    @classmethod
    def of(cls, content: dict[str, Any], etag: str) -> Entry:
        """The entry of a record as it is stored."""
        kit = {name: value for name, value in (content.get("kit") or {}).items() if name not in _OF_THE_OBJECT}
        slim = {name: value for name, value in content.items() if name != "kit"}
        text = json.dumps({**slim, "kit": kit} if kit else slim, separators=(",", ":"))
        return cls(int(content["message_id"]), etag, text if len(text) <= INLINE_BYTES else None)

    @classmethod
    def again(cls, copy: Copy) -> Entry:
        """The entry of a copy that was read back and is not changed yet."""
        text = None if copy.content is None else json.dumps(copy.content, separators=(",", ":"))
        return cls(copy.message_id, copy.etag, text)

    @property
    def line(self) -> str:
        """The entry as an element of a JSON array, in one line."""
        return f"[{self.message_id},{json.dumps(self.etag)},{self.text or 'null'}]"


@dataclass(frozen=True)
class Copy:
    """An entry as it was read back.

    Attributes:
        message_id: See :class:`Entry`.
        etag: See :class:`Entry`.
        content: The record, or ``None`` for a mere reference.
    """

    message_id: int
    etag: str
    content: dict[str, Any] | None


@dataclass(frozen=True)
class Base:
    """A ``history.json``.

    Attributes:
        nonce: Names it.
        first_id: Every stored message from this id to ``last_id`` is in it.
        last_id: See ``first_id``.
        lines: Its entries, each as the text of a line.
    """

    nonce: str
    first_id: int
    last_id: int
    lines: tuple[str, ...]

    @property
    def size(self) -> int:
        """Its size in bytes, near enough to decide when to write the next."""
        return sum(map(len, self.lines))

    def encode(self, *, session_id: str, agent_id: str, incarnation: str) -> bytes:
        """Its bytes: valid JSON, one entry a line, so that lines can be taken over as they are."""
        head = {
            "format": FORMAT,
            "session_id": session_id,
            "agent_id": agent_id,
            "incarnation": incarnation,
            "nonce": self.nonce,
            "first_id": self.first_id,
        }
        return (json.dumps(head)[:-1] + ',"entries":[\n' + ",\n".join(self.lines) + "\n]}").encode("ascii")


def read_base(body: bytes, *, session_id: str, agent_id: str, incarnation: str) -> tuple[Base, list[Copy]] | None:
    """Read a ``history.json``.

    Returns:
        The base and what is in it, or ``None`` when it is truncated, of an unknown version, or of another session,
        agent or life.
    """
    try:
        found = json.loads(body)
        belongs = (found["format"], found["session_id"], found["agent_id"], found["incarnation"])
        if belongs != (FORMAT, session_id, agent_id, incarnation):
            return None
        copies = _copies(found["entries"])
        lines = tuple(line.removesuffix(",") for line in body.decode("ascii").split("\n")[1:-1])
        if not copies or len(lines) != len(copies):
            return None
        return Base(str(found["nonce"]), int(found["first_id"]), copies[-1].message_id, lines), copies
    except (ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True)
class Log:
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


def write_log(
    *, first_id: int, next_id: int, base: str | None, tail: Iterable[Entry], unconfirmed: str | None
) -> dict[str, Any]:
    """What stands under ``kit.log``. See :class:`Log` for the arguments."""
    return {
        "format": FORMAT,
        "first_id": first_id,
        "next_id": next_id,
        "base": base,
        "tail": [json.loads(entry.line) for entry in tail],
        "unconfirmed": unconfirmed,
    }


def read_log(found: object) -> Log | None:
    """Read what stands under ``kit.log``, or return ``None`` when it is not to be believed."""
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        return None
    try:
        tail = _copies(found["tail"])
        log = Log(int(found["first_id"]), int(found["next_id"]), found["base"], tail, found["unconfirmed"])
    except (KeyError, TypeError, ValueError):
        return None
    if tail and log.next_id != tail[-1].message_id + 1:
        return None
    return log


def tail_limit(base_bytes: int) -> int:
    """The size in bytes at which a tail and its base become a new base.

    Rewriting the tail costs its size each turn, rewriting the base costs its size once per tail: the sum is least
    when the tail is in the order of the base's root.
    """
    return max(SMALLEST_BASE_BYTES, math.isqrt(base_bytes) * 64)


def messages_of(copies: Sequence[Copy], *, with_bytes: bool) -> list[SessionMessage]:
    """The messages of copies that are more than references.

    Args:
        copies: The copies.
        with_bytes: Whether any of them may hold encoded bytes: looking for them in every message costs more than
            reading the messages.
    """
    decode: Any = decode_bytes_values if with_bytes else _as_it_is
    return [
        SessionMessage(
            message=decode(content["message"]),
            message_id=content["message_id"],
            redact_message=decode(content["redact_message"]),
            created_at=content["created_at"],
            updated_at=content["updated_at"],
            kit=content.get("kit"),
        )
        for content in (copy.content for copy in copies)
        if content is not None
    ]


def copies_of(lines: Iterable[str]) -> list[Copy]:
    """The entries of lines."""
    return _copies([json.loads(line) for line in lines])


def _as_it_is(value: Any) -> Any:
    return value


def _copies(entries: list[Any]) -> list[Copy]:
    """Entries in the order of their ids.

    Raises:
        ValueError: They are not.
    """
    copies = [Copy(int(message_id), str(etag), content) for message_id, etag, content in entries]
    for previous, copy in zip([None, *copies], copies, strict=False):
        in_order = previous is None or previous.message_id < copy.message_id
        if not in_order or (copy.content is not None and copy.content["message_id"] != copy.message_id):
            raise ValueError("not entries in the order of their ids")
    return copies
