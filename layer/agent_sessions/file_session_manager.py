"""Sessions in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_sessions._objects.object_repository import ObjectSessionRepository
from agent_sessions._records.layout import Layout
from agent_sessions._storage.file_objects import FileObjects
from agent_sessions.exceptions import SessionStorageError
from agent_sessions.repository_session_manager import RepositorySessionManager

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_sessions._objects.turn_writer import Durability, Fence
    from agent_sessions.lease import SessionLease


class FileSessionManager(RepositorySessionManager, ObjectSessionRepository):
    """Keeps agents and orchestrators in one session in a folder.

    Takes the arguments of Strands' manager of the same name, and reads and writes the same layout.

    Args:
        session_id: The session. It is created when the folder holds none of this id.
        storage_dir: The folder; ``~/.strands/sessions`` when not given, which only its user may enter.
        root: Where the store begins, when ``storage_dir`` is a part of it: symbolic links between the two are refused.
            The folder itself when not given, which may be one.
        durability: When a message is durable: ``message``: when it has been appended; ``turn``: at the latest when
            the turn has ended. On a disk the one is as quick as the other.
        fence: See ``S3SessionManager``. On a disk the first message is stored before the model is called in any case;
            with ``effects`` a turn that goes on after an interrupt also has a fence before its tools run.
        lease: The session's lease, if the caller has taken it. While it is held, messages beyond the restored
            conversation were left by a turn that was cut off.
        ttl_days: Days after its last use at which the session expires; ``0`` or ``None`` keeps it for ever. Every
            writer of a session has to know it: see ``docs/EXPIRY.md``.
        time_left: Tells the seconds until the turn's caller has to be answered. Work that can wait for the next turn,
            such as renewing a long session, then ends in time. When not given, nothing is cut short. In a folder
            nothing has to be renewed.
        recent: Whether turns keep the session in the list of those used last, and give it a title: see
            ``SessionStore.list_recent``. In the first turn of a UTC day it costs a write and a deletion more, in a
            session's first turn two writes.
        **kwargs: For later additions.

    Raises:
        InvalidIdentifierError: The id cannot become part of a path.
        SessionStorageError: The file system refused or failed, or a symbolic link stands in the way.
    """

    def __init__(
        self,
        session_id: str,
        storage_dir: str | None = None,
        *,
        root: str | None = None,
        durability: Durability = "message",
        fence: Fence = "model",
        lease: SessionLease | None = None,
        ttl_days: float | None = None,
        time_left: Callable[[], float] | None = None,
        recent: bool = False,
        **kwargs: Any,
    ) -> None:
        self.storage_dir = storage_dir or _default_folder()
        objects = FileObjects(Path(self.storage_dir), root=Path(root) if root else None)
        objects.make_folder("")
        ObjectSessionRepository.__init__(
            self,
            objects,
            Layout(),
            durability=durability,
            fence=fence,
            lease=lease,
            ttl_days=ttl_days,
            time_left=time_left,
            recent=recent,
        )
        RepositorySessionManager.__init__(self, session_id, session_repository=self, **kwargs)


def _default_folder() -> str:
    try:
        return str(Path.home() / ".strands" / "sessions")
    except RuntimeError as error:
        raise SessionStorageError(
            f"no storage_dir is given, and the user has no home: {error}", code="ENOENT"
        ) from error
