"""Searches messages below the window for pins while a turn's model works: in sessions that Strands wrote.

    restore       the first 128, when the session is taken over from Strands: it waits for them
    fence         ──▶ GET, GET, GET … one after the other, up to 128; nobody waits for them
    last round    no more of them is sent. What was found and what is left stand in the agent's record, which the turn
                  writes anyway.

One at a time: a turn that needs a thread waits for one read at most, and what has been searched has no gaps. A search
that ends early, whatever the reason, goes on with the next turn.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from agent_sessions._conversation.window import is_pinned
from agent_sessions._objects.assembly import PINS_SEARCHED_AT_ONCE, Span
from agent_sessions._records.background import submit
from agent_sessions._records.message_records import checked_message, message_in
from agent_sessions._records.record_format import parse
from agent_sessions.exceptions import SessionCorruptError, SessionException, named

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_sessions._records.records import Records

logger = logging.getLogger(__name__)

SEARCHED_IN_PLACE = 32
"""Messages that a turn searches where a store has no threads to wait with: the model waits for those."""

HEAD_START_SECONDS = 0.02
"""Before the first read: Strands needs some milliseconds to call the model."""


class Searched(NamedTuple):
    """How far a search has come.

    Attributes:
        found: The messages that carry a pin.
        left: The messages that nobody has searched.
    """

    found: frozenset[int]
    left: Span


class PinSearch:
    """One turn's part of a search.

    Args:
        records: Where the messages are. None of them becomes known there: nobody is about to write one.
        session_id: The session.
        key_of: The key of a message.
        unsearched: What is to be searched, from its beginning.

    Attributes:
        searched: How far it has come. It changes at once, on whatever thread has read a message.
    """

    def __init__(self, records: Records, session_id: str, key_of: Callable[[int], str], unsearched: Span) -> None:
        self.searched = Searched(frozenset(), unsearched)
        self._records = records
        self._session_id = session_id
        self._key_of = key_of
        most = SEARCHED_IN_PLACE if records.objects.executor is None else PINS_SEARCHED_AT_ONCE
        self._end = min(unsearched.end, unsearched.first + most)
        self._stopped = False

    def start(self) -> None:
        """Begin. Where the store has no threads to wait with, it has ended on return."""
        if self._records.objects.executor is not None:
            self._submit(head_start=HEAD_START_SECONDS)
            return
        while self._goes_on():
            self._take_step()

    def stop(self) -> None:
        """Send no more requests. One that is on its way is not waited for, and does not count."""
        self._stopped = True

    def _goes_on(self) -> bool:
        return self.searched.left.first < self._end and self._is_wanted()

    def _is_wanted(self) -> bool:
        return not self._stopped and not self._records.is_stopped

    def _submit(self, head_start: float = 0.0) -> None:
        # Each read is asked for behind what the turn has asked for meanwhile.
        with suppress(RuntimeError):  # the process is ending, and its threads take nothing more
            submit(self._records.objects, self._work, head_start=head_start)

    def _work(self) -> None:
        if self._goes_on():
            self._take_step()
        if self._goes_on():
            self._submit()

    def _take_step(self) -> None:
        """Search the next message. The turn does not fail by it: what cannot be read now is read by another one."""
        found, left = self.searched
        try:
            has_pin = self._has_pin(left.first)
        except Exception as error:  # noqa: BLE001 - nobody waits who could be told
            if self._is_wanted():
                why = named(error) if isinstance(error, SessionException) else type(error).__name__
                logger.warning("session_id=<%s> | pins are searched for by the next turn: %s", self._session_id, why)
            self.stop()
            return
        if not self._stopped:
            self.searched = Searched(found | {left.first} if has_pin else found, Span(left.first + 1, left.end))

    def _has_pin(self, message_id: int) -> bool:
        key = self._key_of(message_id)
        try:
            with self._records.objects.only_while(self._is_wanted):
                record = parse(key, self._records.objects.get(key))
            if record is None or not self._records.is_of_this_life(self._session_id, record.content):
                return False
            return is_pinned(message_in(checked_message(record)).to_message())
        except SessionCorruptError as error:
            # No restore could show it. An inspection reports it.
            logger.warning("session_id=<%s>, key=<%s> | no pin can be seen: %s", self._session_id, key, named(error))
            return False
