"""Gives a session a title, whoever else writes to it meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_sessions._objects.description import title_of
from agent_sessions._records.titles import checked_title, with_title
from agent_sessions.exceptions import SessionNotFoundError
from agent_sessions.session_title import title_in

if TYPE_CHECKING:
    from agent_sessions._objects.object_repository import ObjectSessionRepository


def rename_session(repository: ObjectSessionRepository, session_id: str, title: str | None) -> str | None:
    """Give a session a title, or take it back: see :meth:`SessionVerbs.rename`.

    Raises:
        SessionNotFoundError: There is none of this id.
        ValueError: The title is none. The error does not repeat it.
    """
    given = None if title is None else checked_title(title)
    found = repository.read_session(session_id)
    changed = None
    if found is not None:
        changed = repository.life.change_record(
            session_id, lambda kit: with_title(kit, title_in(kit)._replace(given=given)), is_use=False
        )
    if changed is None:
        raise SessionNotFoundError(
            f"Session {session_id} does not exist", session_id=session_id, key=repository.layout.session(session_id)
        )
    shown = title_in(changed.kit).shown
    return title_of(repository, session_id) if shown is None else shown
