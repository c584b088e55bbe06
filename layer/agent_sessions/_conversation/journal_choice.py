"""Which form of journal keeps a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_sessions._conversation.journal import Journal
from agent_sessions.exceptions import SessionException

if TYPE_CHECKING:
    from agent_sessions.session_repository import SessionRepository


def journal_of(repository: SessionRepository, session_id: str) -> Journal:
    """The best journal a repository offers."""
    make = getattr(type(repository), "session_journal", None)
    if make is None:
        from agent_sessions._conversation.repository_journal import RepositoryJournal

        return RepositoryJournal(repository, session_id)
    journal = make(repository, session_id)
    if not isinstance(journal, Journal):
        raise SessionException(f"{type(repository).__name__}.session_journal() must return a Journal")
    return journal
