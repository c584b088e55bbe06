"""What a restore asks for, asked for while the session's lease is being taken.

    lease     PUT ────────────▶ held at once: the answers count, as if they had been asked for now
    restore   GET ───────▶      held after somebody else: nobody looks at them, and the restore asks again

An answer may be older than the lease by the time between the two requests. A turn that somebody has ended in that time
stands where this one's first message is to be: the fence refuses it, and whoever takes it restores once more. A session
that was erased in that time has nothing standing there. So its record is not asked for ahead: it is read under the
lease, beside the building of the agent. Until it shows the life that the agent's record is of, nothing is written, so
the turn has no fence and no effect.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from agent_sessions._records.background import submit

if TYPE_CHECKING:
    from concurrent.futures import Future

    from agent_sessions._records.layout import Layout
    from agent_sessions.lease import SessionLease
    from agent_sessions.object_store import ObjectStore, StoredObject

    Asked = dict[str, Future[StoredObject | None]]

DEFAULT_AGENT_ID = "default"
"""The id Strands gives to an agent that has none."""


def expected_agent(objects: ObjectStore) -> str:
    """The agent that is probably restored next: the one restored last."""
    return objects.hints.get("agent_id", DEFAULT_AGENT_ID)


class ReadAhead:
    """Asks for the record and the base of the agent that is expected.

    Args:
        objects: Where they are. It has threads to wait with.
        layout: How they are named.
        session_id: The session.
        agent_id: The agent that will be restored; the one restored last when not given.
    """

    def __init__(self, objects: ObjectStore, layout: Layout, session_id: str, agent_id: str | None = None) -> None:
        self.session_id = session_id
        self.agent_id = agent_id or expected_agent(objects)
        self._objects = objects
        self._is_closed = False
        keys = (layout.agent(session_id, self.agent_id), layout.history(session_id, self.agent_id))
        self._asked: Asked = {key: submit(objects, partial(self._get, key)) for key in keys}

    def _get(self, key: str) -> StoredObject | None:
        with self._objects.only_while(lambda: not self._is_closed):
            return self._objects.get(key)

    def close(self) -> None:
        """Ask for nothing more, and repeat no request: nobody will look at the answers."""
        self._is_closed = True
        for asked in self._asked.values():
            asked.cancel()
        self._asked = {}

    def take(self, lease: SessionLease | None) -> Asked:
        """What was asked for, by key, if the lease was free when it was; once. Nothing otherwise."""
        if lease is None or not lease.held or lease.waited_seconds or lease.found_unfinished:
            self.close()
        asked, self._asked = self._asked, {}
        return asked
