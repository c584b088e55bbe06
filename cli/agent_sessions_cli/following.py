"""Following a session on a terminal: what a running turn stores, as it is stored. Nothing is written."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from agent_sessions.lease import SessionLease

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_sessions.session_store import SessionStore
    from agent_sessions.types import SessionMessage

LOOK_SECONDS = 1.0
"""How often a follower looks: at the lease, and at the next message of each agent. A look costs a read of each."""

_LOOKS_UNTIL_OTHERS = 10
"""After so many looks, agents that have come meanwhile are looked for."""

pause = time.sleep


def follow(
    store: SessionStore,
    session_id: str,
    next_ids: dict[str, int],
    tell: Callable[[str, SessionMessage], object],
    *,
    others: Callable[[], list[str]],
) -> None:
    """Tell of messages as they are stored, until nobody holds the session's lease.

    Args:
        store: Where the session is.
        session_id: The session.
        next_ids: Of each agent the id of its next message.
        tell: Gets each agent's messages in order.
        others: Which agents there are by now.
    """
    reader = store.turns(session_id)
    lease = SessionLease(store, session_id, holder="agent-sessions show")
    looks = 0
    while True:
        # Asked first: whatever a turn has stored before it gave its lease back is read below.
        in_use = lease.is_taken()
        if not in_use or looks % _LOOKS_UNTIL_OTHERS == _LOOKS_UNTIL_OTHERS - 1:
            next_ids |= {agent_id: 0 for agent_id in others() if agent_id not in next_ids}
        for agent_id in next_ids:
            while (message := reader.read_message(agent_id, next_ids[agent_id])) is not None:
                tell(agent_id, message)
                next_ids[agent_id] += 1
        if not in_use:
            return
        looks += 1
        pause(LOOK_SECONDS)
