"""What an agent's record holds beside the copies of its messages: as it is stored, or shall be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_sessions._life.recent_markers import RECENT, day_in
from agent_sessions._objects.assembly import NOTHING, Span, neighbours, span_in
from agent_sessions._objects.before_turn import BEFORE, FIELDS, Carrier, before_turn
from agent_sessions._objects.log_removal import without
from agent_sessions.types import ids_in
from agent_sessions.values import canonical

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_sessions._records.record_format import Record
    from agent_sessions.types import SessionAgent

UNSEARCHED = "unsearched"
"""Under ``kit``: the messages of a session of Strands' that nobody has searched for pins, as ``[first, end]``."""

_NOT_COMPARED = frozenset({"created_at", "updated_at", "kit"})


class AgentContent:
    """The value of an agent's record.

    Attributes:
        pinned: The messages that carry a pin.
        joined: See ``StoredAgent``.
        turns: See ``turn_request``.
        unsearched: The messages that nobody has searched for pins.
        recent_day: The day of the agent's marker: see ``recent_markers``.
        is_of_kit: Whether the kit wrote what is stored, and not Strands.
    """

    def __init__(self) -> None:
        self.pinned: frozenset[int] = frozenset()
        self.joined: list[int] = []
        self.turns: Any = None
        self.unsearched = NOTHING
        self.recent_day: int | None = None
        self._found: frozenset[int] = frozenset()  # pinned, and not held by the agent: for the next restore
        self._carrier: Carrier | None = None
        self._fields: dict[str, Any] = {}
        self._as_read: dict[str, Any] = {}
        self.is_of_kit = True

    def read(self, record: Record) -> None:
        """Take over what is stored."""
        self._fields = {name: value for name, value in record.content.items() if name != "kit"}
        self._take_kit(record.kit)
        self.unsearched, self._found = span_in(record.kit, UNSEARCHED), frozenset()
        self._as_read = {**self._fields, "kit": {"turns": self.turns}}
        self.recent_day = day_in(record.kit)
        self._carrier = Carrier.noted_in(record.kit)
        self.is_of_kit = bool(record.kit)

    def replace(self, agent: SessionAgent) -> None:
        """The record shall have this value, from its next writing on."""
        self._take_kit(agent.kit or {})
        self._fields = {name: value for name, value in agent.to_dict().items() if name != "kit"}

    def _take_kit(self, kit: dict[str, Any]) -> None:
        self.pinned = frozenset(ids_in(kit, "pinned"))
        self.joined = ids_in(kit, "joined")
        self.turns = kit.get("turns")

    def equals(self, agent: SessionAgent) -> bool:
        """Whether the record has this value already, apart from its timestamps."""
        content, kit = agent.to_dict(), agent.kit or {}
        return (
            all(
                canonical(content[name]) == canonical(self._fields.get(name))
                for name in content
                if name not in _NOT_COMPARED
            )
            and frozenset(ids_in(kit, "pinned")) == self.pinned
            and ids_in(kit, "joined") == self.joined
            and kit.get("turns") == self.turns
        )

    def unsearched_below(self, removed: int) -> Span:
        """The messages below the window that nobody has searched for pins: where Strands wrote last, all of them."""
        return self.unsearched if self.is_of_kit else Span(0, removed)

    def note_searched(self, found: frozenset[int], left: Span) -> None:
        """A search for pins has come so far: the next record says so."""
        self._found |= found
        self.unsearched = left

    @property
    def removed_count(self) -> int:
        """How many messages the conversation manager has removed; 0 where it does not say."""
        removed = self._fields.get("conversation_manager_state", {}).get("removed_message_count", 0)
        return removed if isinstance(removed, int) else 0

    @property
    def kept_below(self) -> set[int]:
        """The messages that a restore may show although they are below the window: pinned ones, and those beside."""
        return neighbours(self.pinned)

    def before_turn(self) -> dict[str, Any]:
        """What the first message of a turn says of the record as it is now."""
        held = {name: self._fields.get(name) or {} for name in FIELDS}
        return before_turn({**held, "pinned": sorted(self.pinned), "joined": self.joined}, self._carrier)

    def redact(self, redacted: Callable[[Any], Any]) -> bool:
        """Take something back, out of what an agent waits with and what turns came to.

        Returns:
            Whether it was in there, or in what was read.
        """
        current = {**self._fields, "kit": {"turns": self.turns}}
        changed = without(current, redacted)
        was_in = without(self._as_read, redacted) != self._as_read or changed != current
        self.turns = changed.pop("kit")["turns"]
        self._fields = changed
        return was_in

    def note_rewritten(self, message_id: int, kit: dict[str, Any]) -> None:
        """A message has been stored anew: it may not carry any more what it did."""
        if self._carrier is not None and self._carrier.message_id == message_id:
            self._carrier = Carrier.of(message_id, kit.get(BEFORE) or {}) and self._carrier

    def note_first(self, message_id: int, before: dict[str, Any]) -> None:
        """A turn's first message has been stored, with this under ``before``."""
        if "as" not in before:
            self._carrier = Carrier.of(message_id, before)

    def to_dict(self, *, log: dict[str, Any] | None) -> dict[str, Any]:
        """The record as it is written.

        Args:
            log: The copies, if there are to be any.
        """
        kit: dict[str, Any] = {}
        if self.pinned or self._found:
            kit["pinned"] = sorted(self.pinned | self._found)
        if self.joined:
            kit["joined"] = self.joined
        if self.turns is not None:
            kit["turns"] = self.turns
        if self._carrier is not None:
            kit[BEFORE] = self._carrier.to_dict()
        if self.recent_day is not None:
            kit[RECENT] = self.recent_day
        if self.unsearched:
            kit[UNSEARCHED] = list(self.unsearched)
        if log is not None:
            kit["log"] = log
        return {**self._fields, "kit": kit}
