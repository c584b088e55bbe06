"""The form of a JSON record: what is this package's own in it, its bytes, and what makes it unlike any other.

Every record carries under ``kit`` the *incarnation* it belongs to, the random name of one life of a session, and a
nonce that is new at every write. A record without them was written by Strands.

A fork's life is named behind its source's, ``source/fork``: the messages that were copied belong to it, and what an
agent of an earlier fork of this id writes late does not.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from agent_sessions._records.shapes import agent_problem
from agent_sessions.exceptions import SessionCorruptError, UnstorableValueError
from agent_sessions.types import SessionAgent, SessionMessage
from agent_sessions.values import as_bytes, read_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_sessions.object_store import StoredObject

_T = TypeVar("_T", SessionAgent, SessionMessage)

KIT_FORMAT = 1
"""Version of what stands under ``kit``."""

_NAME_OF_A_FORK = 12
"""Its hex digits. A conversation that is forked again and again has one behind the other."""

INCOMING = "incoming"
"""Under ``kit`` of a mark: a session is being brought in."""


class Record(NamedTuple):
    """A record as it was read.

    Attributes:
        key: The object's key.
        content: The JSON object.
        stored: The object.
    """

    key: str
    content: dict[str, Any]
    stored: StoredObject

    @property
    def kit(self) -> dict[str, Any]:
        """This package's own fields."""
        return kit_of(self.content)


def encode(key: str, content: dict[str, Any], incarnation: str, nonce: str | None = None) -> tuple[bytes, str]:
    """The bytes of a record, and the nonce that tells them from every other writer's.

    Raises:
        UnstorableValueError: The content cannot be expressed in JSON.
    """
    nonce = nonce or new_nonce()
    kit = {**kit_of(content), "format": KIT_FORMAT, "incarnation": incarnation, "nonce": nonce}
    body, problem = as_bytes({**content, "kit": kit}, "record")
    if problem is not None:
        raise UnstorableValueError(*problem, key=key)
    return body, nonce


def nobodys_record() -> bytes:
    """A record of no life of any session, which nobody reads: for stores without conditional deletes."""
    body, _ = encode("", {"kit": {"erased": True}}, uuid.uuid4().hex)
    return body


def new_nonce() -> str:
    """A name for a write that no other write has."""
    return uuid.uuid4().hex


def write_name(content: dict[str, Any], body: bytes) -> str:
    """What tells the write of a record from every other: its nonce, or for one that Strands wrote its bytes."""
    return str(kit_of(content).get("nonce") or f"sha256:{hashlib.sha256(body).hexdigest()}")


def parse(key: str, stored: StoredObject | None) -> Record | None:
    """The record an object holds.

    Raises:
        SessionCorruptError: It holds none.
    """
    return None if stored is None else Record(key, decode(key, stored), stored)


def decode(key: str, stored: StoredObject) -> dict[str, Any]:
    """The JSON object an object holds.

    Raises:
        SessionCorruptError: It holds none.
    """
    content, problem = read_text(stored.body)
    if problem is not None:
        raise corrupt(key, f"not JSON: {problem}")
    if not isinstance(content, dict):
        raise corrupt(key, "not a JSON object")
    return content


def corrupt(key: str, why: str) -> SessionCorruptError:
    """The error for an object that cannot be understood."""
    return SessionCorruptError(f"key={key} | {why}", key=key)


def kit_of(content: dict[str, Any]) -> dict[str, Any]:
    """This package's own fields of a record."""
    kit = content.get("kit")
    return kit if isinstance(kit, dict) else {}


def incarnation_of(content: dict[str, Any]) -> str | None:
    """The life of the session a record was written in; ``None`` when Strands wrote it."""
    return kit_of(content).get("incarnation")


def fork_life(life: str) -> str:
    """Name the life of a fork behind the life of its source."""
    return f"{life}/{new_nonce()[:_NAME_OF_A_FORK]}"


def is_erased(record: Record) -> bool:
    """Whether a session's record says that the session is being erased."""
    return bool(record.kit.get("erased"))


def is_incoming(record: Record) -> bool:
    """Whether a mark stands where a session is being brought in: see ``agent_sessions.incoming_session``."""
    return is_erased(record) and record.kit.get(INCOMING) is True


def life_of(content: dict[str, Any]) -> str:
    """The name of the life that a session's own record begins. Strands gives none: when it was created does as well."""
    return incarnation_of(content) or f"created:{content.get('created_at')}"


_PROBLEMS: dict[type, Callable[[dict[str, Any]], str | None]] = {SessionAgent: agent_problem}


def parsed(kind: type[_T], record: Record) -> _T:
    """A record as the type it is of.

    Raises:
        SessionCorruptError: It is none.
    """
    problem_of = _PROBLEMS.get(kind)
    problem = problem_of(record.content) if problem_of is not None else None
    if problem is not None:
        raise corrupt(record.key, f"not an agent: {problem}")
    try:
        return kind.from_dict(record.content)
    except SessionCorruptError as error:
        raise corrupt(record.key, str(error)) from error


def incarnation_in(stored: StoredObject) -> str | None:
    """The life of the session an object was written in; ``None`` when Strands wrote it or it is no record."""
    try:
        return incarnation_of(decode("", stored))
    except SessionCorruptError:
        return None
