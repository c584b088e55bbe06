"""The end of a conversation that was restored from copies: what the copies cannot tell of it.

Copies may be ahead of the messages by one: the last message of a turn and the agent's record, which has a copy of it,
leave at the same time. They may be behind by any number: of a turn that was cut off, the messages are stored and the
record is not. Two background GETs answer both: one for the message behind the end, beside the restore, and one for the
last message, beside the next one. We wait for an answer only when it decides something.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from agent_sessions._records.background import HEAD_START_SECONDS, submit
from agent_sessions._records.record_format import parse
from agent_sessions.exceptions import SessionConflictError, SessionException

if TYPE_CHECKING:
    from concurrent.futures import Future

    from agent_sessions._objects.agent_objects import AgentObjects
    from agent_sessions._records.layout import Layout
    from agent_sessions._records.records import Records
    from agent_sessions.object_store import StoredObject

logger = logging.getLogger(__name__)


class RestoredEnd:
    """The end of a restored conversation that has not been added to yet.

    Args:
        records: Where the records are.
        layout: How they are named.
        agent: Whose conversation it is. Its record has just been read.
        holds_lease: Whether nobody else may be taking a turn. Then nothing has to be asked to know what a message
            that is found later is: left by a turn that was cut off.
    """

    def __init__(self, records: Records, layout: Layout, agent: AgentObjects, *, holds_lease: bool) -> None:
        self._records = records
        self._layout = layout
        self._agent = agent
        asks = agent.stated_next_id is not None and not holds_lease
        # It is sent now. If it waited for a connection, it could find a message that was written after this restore.
        self._next = self._ask_for(agent.stated_next_id or 0, begun=True) if asks else None
        self._last: Future[StoredObject | None] | None = None

    def ask_for_last(self) -> None:
        """Begin to read what :meth:`confirm` needs, beside the caller."""
        if self._agent.unconfirmed is not None:
            self._last = self._ask_for(self._agent.next_id - 1, head_start=HEAD_START_SECONDS)

    def _ask_for(self, message_id: int, *, head_start: float = 0.0, begun: bool = False) -> Future[StoredObject | None]:
        key = self._key(message_id)
        objects = self._records.objects
        return submit(objects, lambda: objects.get(key), head_start=head_start, begun=begun)

    def _key(self, message_id: int) -> str:
        return self._layout.message(self._agent.session_id, self._agent.agent_id, message_id)

    def has_more(self) -> bool:
        """Whether there is a message behind the conversation, at least by now."""
        if self._next is not None and self._agent.from_copies:
            return self._stood_there()
        return self._records.own(self._agent.session_id, self._key(self._agent.next_id)) is not None

    def goes_on(self, *, holds_lease: bool) -> bool:
        """Whether a message in the next one's place was left by a turn that was cut off, which this writer goes behind.

        Yes if we hold the lease, or if the message existed when we restored: without a lease its writer may still live,
        but comes second from now on and is refused at its next write. No if the message came later, or if its turn has
        ended since, which the agent's record shows.
        """
        return (holds_lease or self._stood_there()) and self._records.is_known(
            self._agent.key, self._records.objects.get(self._agent.key)
        )

    def _stood_there(self) -> bool:
        if self._next is None or not self._agent.from_copies:
            return False  # a listing has shown every message there was
        try:
            found = parse(self._key(self._agent.next_id), self._next.result())
        except SessionException:
            return False  # nobody knows; to refuse is safe
        return found is not None and self._records.is_of_this_life(self._agent.session_id, found.content)

    def confirm(self) -> bool:
        """See that the conversation's last message is stored. If its writer died before it was, write it from its copy.

        Returns:
            Whether it is. Otherwise another message stands in its place, and what was restored last is not what
            happened.
        """
        agent, nonce = self._agent, self._agent.unconfirmed
        if nonce is None:
            return True
        last_id = agent.next_id - 1
        key = self._key(last_id)
        asked, self._last = self._last, None
        stored = asked.result() if asked is not None else self._records.objects.get(key)
        record = self._records.accept(agent.session_id, parse(key, stored))
        if record is not None and record.kit.get("nonce") == nonce:
            self._record_stored(record.content, key)
            return True
        content = agent.content_in_tail(last_id)
        if record is None and content is not None:
            logger.warning("session_id=<%s>, key=<%s> | a turn was cut off before it was stored", agent.session_id, key)
            try:
                self._records.create(agent.session_id, key, content, nonce=nonce)
            except SessionConflictError:
                pass  # another one stands there since
            else:
                self._record_stored(content, key)
                return True
        agent.unconfirmed = None
        agent.forget_last()
        return False

    def _record_stored(self, content: dict[str, object], key: str) -> None:
        version = self._records.known(key)
        if version is not None:
            self._agent.record_message(content, version)
        self._agent.unconfirmed = None
