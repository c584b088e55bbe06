"""Redacts a title with the message that it was made of.

    title, message ──▶ no title, message ──▶ its older versions go ──▶ no title, redacted ──▶ title as redacted
                       └────────── a crash leaves no title: the next turn's prompt gives one ──────────┘

The title goes first: a message that is seen redacted has left no words in the session's record, whoever died meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_sessions._records.titles import derived_title, with_derived, with_title
from agent_sessions.session_title import title_in

if TYPE_CHECKING:
    from agent_sessions._life.session_life import SessionLife
    from agent_sessions._records.layout import Layout
    from agent_sessions._records.records import Records
    from agent_sessions.types import SessionMessage


def drop_title(
    records: Records, layout: Layout, life: SessionLife, session_id: str, agent_id: str, message: SessionMessage
) -> None:
    """Leave nothing of a title that was made of a message, for the message is about to be redacted.

    Args:
        records: Where the session's record is.
        layout: How it is named.
        life: Knows the session.
        session_id: The session.
        agent_id: Whose message it is.
        message: The message as it is about to be.

    Raises:
        SessionException: The session's record could not be read or written.
    """
    record = life.reread(session_id)  # somebody else may have made the title since
    if record is None or not title_in(record.kit).is_derived:
        return
    becomes = derived_title(message)

    def change(kit: dict[str, Any]) -> dict[str, Any]:
        title = title_in(kit)
        drops = title.is_of(agent_id, message.message_id) and title.derived != becomes
        return with_title(kit, title._replace(derived=None)) if drops else kit

    life.change_record(session_id, change, is_use=True)
    # Whoever dropped the title before may have died here, and a later prompt may have given another title since.
    _erase_older_versions(records, layout, session_id)


def redact_title(
    records: Records, layout: Layout, life: SessionLife, session_id: str, agent_id: str, message: SessionMessage
) -> None:
    """Make a session's title anew if it was made of this message, which has been redacted.

    Args: and errors as of :func:`drop_title`; ``message`` is the message as it is now.
    """
    record = life.reread(session_id)
    if record is None or not title_in(record.kit).is_of(agent_id, message.message_id):
        return

    def change(kit: dict[str, Any]) -> dict[str, Any]:
        return with_derived(kit, agent_id, message) if title_in(kit).is_of(agent_id, message.message_id) else kit

    life.change_record(session_id, change, is_use=True)
    # Somebody may have made the title while the message was being redacted.
    _erase_older_versions(records, layout, session_id)


def _erase_older_versions(records: Records, layout: Layout, session_id: str) -> None:
    key = layout.session(session_id)
    records.objects.erase(key, keep=[key])
