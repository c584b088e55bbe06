"""Sessions of Strands agents on Amazon S3 or on disk, whole, in order, and without lost turns.

Each name can be imported from its module, as with Strands' own session package, or from here:

    from agent_sessions.s3_session_manager import S3SessionManager
    from agent_sessions import S3SessionManager

Importing this package imports nothing else: a name's module is imported when the name is asked for. A function that
only computes a key prefix or an expiry date pays for neither boto3 nor an agent runtime.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent_sessions.exceptions import (
        ConditionsNotKeptError,
        InvalidIdentifierError,
        NotForkableError,
        SessionBusyError,
        SessionConflictError,
        SessionCorruptError,
        SessionException,
        SessionExistsError,
        SessionNotFoundError,
        SessionStorageError,
        UnstorableValueError,
    )
    from agent_sessions.file_session_manager import FileSessionManager
    from agent_sessions.lease import SessionLease
    from agent_sessions.multi_agent import MultiAgentBase
    from agent_sessions.object_store import ObjectStore
    from agent_sessions.owner import owner_prefix, part_prefix
    from agent_sessions.repository_session_manager import RepositorySessionManager
    from agent_sessions.s3_session_manager import S3SessionManager
    from agent_sessions.session_manager import SessionManager
    from agent_sessions.session_repository import SessionRepository
    from agent_sessions.session_store import ObjectSessionStore, SessionStore
    from agent_sessions.types import Session, SessionAgent, SessionMessage, SessionType

__version__ = "0.1.0"

_MODULES = {
    "exceptions": (
        "ConditionsNotKeptError",
        "InvalidIdentifierError",
        "NotForkableError",
        "SessionBusyError",
        "SessionConflictError",
        "SessionCorruptError",
        "SessionException",
        "SessionExistsError",
        "SessionNotFoundError",
        "SessionStorageError",
        "UnstorableValueError",
    ),
    "file_session_manager": ("FileSessionManager",),
    "lease": ("SessionLease",),
    "multi_agent": ("MultiAgentBase",),
    "object_store": ("ObjectStore",),
    "owner": ("owner_prefix", "part_prefix"),
    "repository_session_manager": ("RepositorySessionManager",),
    "s3_session_manager": ("S3SessionManager",),
    "session_manager": ("SessionManager",),
    "session_repository": ("SessionRepository",),
    "session_store": ("ObjectSessionStore", "SessionStore"),
    "types": ("Session", "SessionAgent", "SessionMessage", "SessionType"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "ConditionsNotKeptError",
    "FileSessionManager",
    "InvalidIdentifierError",
    "MultiAgentBase",
    "NotForkableError",
    "ObjectSessionStore",
    "ObjectStore",
    "RepositorySessionManager",
    "S3SessionManager",
    "Session",
    "SessionAgent",
    "SessionBusyError",
    "SessionConflictError",
    "SessionCorruptError",
    "SessionException",
    "SessionExistsError",
    "SessionLease",
    "SessionManager",
    "SessionMessage",
    "SessionNotFoundError",
    "SessionRepository",
    "SessionStorageError",
    "SessionStore",
    "SessionType",
    "UnstorableValueError",
    "owner_prefix",
    "part_prefix",
]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
