"""Whether a record is the one that was asked for, by what it says itself.

A file system that ignores letter case or the form of composed characters finds a record under names that it was not
written under. Two ids that differ are two, or the second is refused: what is read is compared with what was asked for.
"""

from __future__ import annotations

from agent_sessions._records.record_format import Record, corrupt
from agent_sessions.exceptions import InvalidIdentifierError
from agent_sessions.identifiers import look_alike

_STRANDS_ORCHESTRATORS = ("graph", "swarm")  # no set: what was read need not be hashable


def checked_agent(record: Record, agent_id: str) -> Record:
    """The record, when it is the agent's.

    Raises:
        InvalidIdentifierError: It is that of an agent whose id the store cannot tell from this one.
        SessionCorruptError: It is another's altogether; the error names its key.
    """
    return _checked("agent", record, record.content.get("agent_id"), agent_id)


def checked_multi_agent(record: Record, multi_agent_id: str) -> Record:
    """The record, when it is the orchestrator's: as this kit has noted, or as Strands' graphs and swarms say.

    Raises:
        InvalidIdentifierError: It is that of an orchestrator whose id the store cannot tell from this one.
        SessionCorruptError: It is another's altogether; the error names its key.
    """
    own = record.kit.get("id")
    if own is None and record.content.get("type") in _STRANDS_ORCHESTRATORS:
        own = record.content.get("id")
    return _checked("multi-agent", record, own, multi_agent_id)


def cannot_be_told_apart(kind: str, asked_for: str, key: str) -> InvalidIdentifierError:
    """The error for an id in whose place another one's record lies."""
    return InvalidIdentifierError(
        f"{kind}_id={asked_for!r} | this store cannot tell it from another {kind}'s id, which is in use: letter case, "
        "composed characters and what stands at the end may make no difference here; choose another",
        key=key,
    )


def _checked(kind: str, record: Record, own: object, asked_for: str) -> Record:
    if not isinstance(own, str) or own == asked_for:
        return record  # whether it is a record at all is asked elsewhere
    if look_alike(own, asked_for):
        raise cannot_be_told_apart(kind, asked_for, record.key)
    raise corrupt(record.key, f"not of {kind} {asked_for!r}: it says that it is of {own!r}")
