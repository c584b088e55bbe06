"""What one step of an erasure finds, deletes and leaves, and the tally of what cannot be deleted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from agent_sessions.exceptions import SessionStorageError

if TYPE_CHECKING:
    from collections.abc import Iterable

NAMED = 20
"""So many of what is left are named; the others are counted."""


class ListedVersion(NamedTuple):
    """An object, an older version of one, or a delete marker, as a step of an erasure lists it.

    Attributes:
        key: The object's key.
        etag: Names the content; ``None`` for a delete marker.
        version_id: Names the version in a store that keeps versions, else ``None``.
        is_current: Whether it is the newest of its key.
        is_marker: Whether it is a delete marker.
        size: Its bytes.
    """

    key: str
    etag: str | None
    version_id: str | None = None
    is_current: bool = True
    is_marker: bool = False
    size: int = 0


Choose = Callable[[Sequence[ListedVersion]], Sequence[ListedVersion]]
"""Chooses, of what a step of a sweep has listed, what is to go."""


def all_but(keep: Sequence[str]) -> Choose:
    """Choose everything but the current versions of some keys."""
    kept = frozenset(keep)
    return lambda listed: [entry for entry in listed if not (entry.is_current and entry.key in kept)]


class VersionPage(NamedTuple):
    """One page of what lies below a prefix, older versions and delete markers included.

    Attributes:
        entries: In the order of their keys. The versions of a key come together, unless there are more of one than a
            page holds.
        behind: The key behind which the next page begins; ``None`` on the last page. The next page may list the last
            key again.
    """

    entries: Sequence[ListedVersion]
    behind: str | None


class Undeleted(NamedTuple):
    """What could not be deleted.

    Attributes:
        name: Its key; on a disk its path, which may be a folder's that cannot be read.
        code: Why: an error code of S3, or the name of an error number.
    """

    name: str
    code: str


class Swept(NamedTuple):
    """What one step of a sweep came to.

    Attributes:
        gone: What it deleted.
        left: What could not be deleted.
        changed: Whether something was written anew after the step had listed it, and was left alone.
        behind: The key behind which the next step goes on; ``None`` when this step came to the end.
        missing: What it would have deleted, and what was gone by then: an earlier try of the same request, whose answer
            was lost, had deleted it, or somebody else.
    """

    gone: Sequence[ListedVersion]
    left: Sequence[Undeleted] = ()
    changed: bool = False
    behind: str | None = None
    missing: Sequence[ListedVersion] = ()


class LeftBehind:
    """Counts what could not be deleted, and keeps the first names. So it stays small, however much is left."""

    def __init__(self) -> None:
        self.count = 0
        self.can_pass = False
        """Whether something of it may be deleted another time, as far as the reasons tell."""
        self.named: list[Undeleted] = []
        self._worst: SessionStorageError | None = None

    def add(self, left: Iterable[Undeleted]) -> None:
        """Count what a step has left."""
        for undeleted in left:
            self.count += 1
            if len(self.named) < NAMED:
                self.named.append(undeleted)
            error = SessionStorageError("", code=undeleted.code)
            self.can_pass = self.can_pass or error.is_transient
            if self._worst is None or self._worst.is_transient:
                self._worst = error  # of several reasons, one that does not pass by itself is told

    @property
    def code(self) -> str:
        """The reason that is told; empty when nothing is left."""
        return (self._worst.code or "") if self._worst is not None else ""

    def error(self, where: str, *, session_id: str | None = None) -> SessionStorageError:
        """The error that names what is left.

        Args:
            where: What was to be erased, such as ``session_id=ada``.
            session_id: The session, when it is one.
        """
        named = ", ".join(f"{name} ({code})" for name, code in self.named)
        more = f" and {self.count - NAMED} more" if self.count > NAMED else ""
        return SessionStorageError(
            f"{where} | {self.count} could not be deleted: {named}{more}",
            code=self.code,
            session_id=session_id,
            key=self.named[0].name if self.named else None,
        )


class Sweeping:
    """Sweeps in passes, until a pass finds nothing that was written anew. What cannot be deleted is passed.

    Args:
        step: Takes one step behind a key: ``ObjectStore.sweep``.
    """

    def __init__(self, step: Callable[[str], Swept]) -> None:
        self._step = step
        self._behind = ""
        self._goes_again = False
        self.erased = 0
        self.vain_steps = 0
        self.left = LeftBehind()

    def take_step(self) -> bool:
        """Take one step.

        Returns:
            Whether there is more to do. If not, ``left`` is what cannot be deleted.
        """
        swept = self._step(self._behind)
        self.erased += len(swept.gone)
        self.vain_steps = self.vain_steps + 1 if swept.changed and not swept.gone else 0
        self.left.add(swept.left)
        self._goes_again = self._goes_again or swept.changed
        if swept.behind is not None:
            self._behind = swept.behind
            return True
        if not self._goes_again:
            return False
        self._behind, self._goes_again, self.left = "", False, LeftBehind()
        return True
