"""What can be done with the sessions of a place without an agent runtime: read, list, fork, cancel and erase them."""
# Over 300 lines: the verbs of a store, and most of it is what each promises.

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from agent_sessions._objects import cancelling
from agent_sessions._objects.object_repository import ObjectSessionRepository
from agent_sessions.expiry import checked_ttl

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_sessions._life.erasure import SessionErasure
    from agent_sessions._life.owner_erasure import OwnerErasure
    from agent_sessions._records.layout import Layout
    from agent_sessions.accepted_turns import AcceptedTurns
    from agent_sessions.object_store import ObjectStore
    from agent_sessions.session_export import SessionsExport
    from agent_sessions.session_pages import (
        ErasureReceipt,
        ErasureReport,
        Fork,
        MessagePage,
        RecentPage,
        SessionPage,
        SessionSummary,
    )
    from agent_sessions.turn_reader import TurnReader


class SessionVerbs(ABC):
    """Reads, lists, forks, cancels and erases sessions.

    Reading does not count as use: it creates nothing and extends nothing. An expired session counts as absent.
    Every verb may raise ``SessionStorageError``.

    Args:
        ttl_days: Days after its last use at which a session expires; ``0`` or ``None`` for never.
    """

    clock: Callable[[], float] = staticmethod(time.monotonic)
    """Seconds, for work that is to end in time."""

    def __init__(self, *, ttl_days: float | None = None) -> None:
        self.ttl_days = checked_ttl(ttl_days)

    @property
    @abstractmethod
    def objects(self) -> ObjectStore:
        """Where the objects live."""

    @property
    @abstractmethod
    def layout(self) -> Layout:
        """How the objects are named."""

    def describe(self, session_id: str, *, cursor: str | None = None) -> SessionSummary:
        """What is known of a session without reading its messages.

        Args:
            session_id: The session.
            cursor: ``next_cursor`` of an earlier summary: gets the agents after those.

        Raises:
            SessionNotFoundError: There is none of this id.
            ValueError: The cursor is not one of ours.
        """
        from agent_sessions._objects.description import describe_session

        return describe_session(self._repository(), session_id, cursor=cursor)

    def messages(
        self,
        session_id: str,
        agent_id: str | None = None,
        *,
        limit: int = 100,
        cursor: str | None = None,
        max_bytes: int = 5_000_000,
        within_seconds: float | None = None,
    ) -> MessagePage:
        """Read a conversation, page by page. A page costs a page, however long the conversation is.

        Args:
            session_id: The session.
            agent_id: Whose conversation; not needed when the session has one agent.
            limit: At most so many messages, 1 or more.
            cursor: ``next_cursor`` of the page before.
            max_bytes: At most so many bytes as stored; a single larger message comes alone.
            within_seconds: When to end the page with what has been read; ``None`` waits for all of it.

        Raises:
            SessionNotFoundError: There is no such session or agent.
            SessionCorruptError: A message of the page cannot be read; the error names its key.
            ValueError: The limit or the cursor is invalid, or the session has several agents and none was named.
        """
        from agent_sessions._objects.conversation_pages import read_conversation

        return read_conversation(
            self._repository(),
            session_id,
            agent_id,
            limit=_checked_limit(limit),
            cursor=cursor,
            max_bytes=max_bytes,
            time_is_up=self._timer(within_seconds),
        )

    def sessions(
        self, *, limit: int = 100, cursor: str | None = None, within_seconds: float | None = None
    ) -> SessionPage:
        """List sessions, ordered by id: S3 cannot order them by time.

        A page may hold fewer than ``limit``, even none, and still have a cursor: it passes at most 10,000 folders, and
        ends after 100 listing requests about sessions that may have expired.

        Args:
            limit: At most so many, 1 or more.
            cursor: ``next_cursor`` of the page before.
            within_seconds: When to end the page with what has been found; ``None`` for no such time.

        Raises:
            ValueError: The limit or the cursor is invalid.
        """
        from agent_sessions._life.living import list_living

        return list_living(
            self.objects,
            self.layout,
            ttl_days=self.ttl_days,
            limit=_checked_limit(limit),
            cursor=cursor,
            time_is_up=self._timer(within_seconds),
        )

    def list_recent(
        self, *, limit: int = 50, cursor: str | None = None, within_seconds: float | None = None
    ) -> RecentPage:
        """List the sessions used last, the latest first, each with its title and the turn that runs in it.

        Sessions are in the list from the first turn that a session manager takes in them with ``recent=True``, as those
        of the endpoint do. Days, in UTC, follow each other. Within a day, up to 128 sessions are in the order of their
        last use; of more, those come first whose first turn of the day was later. A session that is used while pages
        are read moves to the front, and may be on none of those that follow.

        A page may hold fewer than ``limit``, even none, and still have a cursor. It costs one listing, and at once two
        or three reads for each session of it, and for those that are ordered with them.

        Args:
            limit: At most so many, 1 or more; a page has 100 at most.
            cursor: ``next_cursor`` of the page before.
            within_seconds: When to end the page with what has been found; ``None`` for no such time.

        Raises:
            ValueError: The limit or the cursor is invalid.
        """
        from agent_sessions.recent_sessions import list_recent

        return list_recent(
            self._repository(),
            ttl_days=self.ttl_days,
            limit=_checked_limit(limit),
            cursor=cursor,
            time_is_up=self._timer(within_seconds),
        )

    def rename(self, session_id: str, title: str | None) -> str | None:
        """Give a session a title of its own, or take it back.

        That does not count as use, and a turn that runs meanwhile goes on. Turns, forks and copies keep the title.

        Args:
            session_id: The session.
            title: 1 to 200 characters without control characters; blanks around it are left out. ``None`` gives the
                title back that the first prompt has made.

        Returns:
            The title that is shown from now on; ``None`` when the session has no prompt with words in it yet.

        Raises:
            SessionNotFoundError: There is none of this id.
            ValueError: The title is none. The error does not repeat it.
        """
        from agent_sessions.renaming import rename_session

        return rename_session(self._repository(), session_id, title)

    def delete_session(self, session_id: str, *, within_seconds: float | None = None) -> ErasureReport:
        """Erase everything of a session.

        The session is closed first: from then on nobody reads it, and what is stored of it is deleted in steps.

        Args:
            session_id: The session.
            within_seconds: When to stop, at the end of a step, and report what is left; another call goes on. ``None``
                stops when nothing is left.

        Returns:
            How much was deleted, and what is left: nothing, unless a time was given.

        Raises:
            SessionNotFoundError: There is nothing of the session.
            SessionStorageError: Something could not be deleted; the error names what is left.
        """
        return self.erasure(session_id).run(within_seconds=within_seconds)

    def erasure(self, session_id: str) -> SessionErasure:
        """An erasure that another thread can watch and abandon; :meth:`SessionErasure.run` erases."""
        return self._repository().erasure(session_id, clock=self.clock)

    def erase_all(self, *, within_seconds: float | None = None, keep_receipt: bool = True) -> ErasureReceipt:
        """Erase every session here, with its older versions and delete markers, and count what goes.

        Of an owner's store (:meth:`for_owner`) that is everything of this owner. Spaces of other owners below it, as
        ``Session-Owner`` makes them, are not touched; each is erased by its own name. What lies beside the sessions'
        folders is not touched either.

        Each session is closed before anything of it is deleted; a turn that runs in it is refused. Its lease is left
        while it runs: call again. What cannot be deleted is named, and everything else goes. A call that was cut off,
        wherever, is gone on with by the next one, and the receipt counts what both have deleted.

        Args:
            within_seconds: When to stop, at the end of a step of about a thousand objects; another call goes on.
                ``None`` stops when nothing more can be deleted.
            keep_receipt: Whether the numbers stay, as ``erasure.json``, when nothing else is left: then another call
                returns the same receipt. It names neither sessions nor people.

        Raises:
            SessionBusyError: Another erasure of the same sessions is at work.
            SessionStorageError: The storage failed; another call goes on.
        """
        return self.owner_erasure().run(within_seconds=within_seconds, keep_receipt=keep_receipt)

    def owner_erasure(self) -> OwnerErasure:
        """An erasure of every session here that another thread can watch and abandon: see :meth:`erase_all`."""
        from agent_sessions._life.owner_erasure import OwnerErasure

        return OwnerErasure(self.objects, self.layout, clock=self.clock)

    def fork(
        self,
        session_id: str,
        agent_id: str | None = None,
        *,
        before_message: int,
        fork_id: str | None = None,
        request: str | None = None,
    ) -> Fork:
        """Begin a new session as this one was before a turn: see ``agent_sessions.forking``, also for the errors."""
        from agent_sessions.forking import fork_session

        return fork_session(
            self._repository(), session_id, agent_id, before_message=before_message, fork_id=fork_id, request=request
        )

    def export(
        self, *, cursor: str | None = None, max_bytes: int = 150_000_000, goes_on: Callable[[], bool] = lambda: True
    ) -> SessionsExport:
        """All sessions here as JSON lines, in pages: see :class:`~agent_sessions.session_export.SessionsExport`.

        Args:
            cursor: ``next_cursor`` in the last line of the page before.
            max_bytes: A page ends before the session that would make it larger.
            goes_on: Asked before each session and each of its records; when it says no, the page ends.
        """
        from agent_sessions.session_export import SessionsExport

        return SessionsExport(self.objects, self.layout, self.ttl_days, max_bytes, goes_on, cursor)

    def turns(self, session_id: str) -> TurnReader:
        """Read what became of a session's turns.

        Args:
            session_id: The session.

        Raises:
            SessionNotFoundError: There is none of this id.
        """
        from agent_sessions.turn_reader import TurnReader

        return TurnReader(self._repository(), session_id)

    def accepted_turns(self, session_id: str) -> AcceptedTurns:
        """A session's turns that were accepted and have not begun. Nothing is read or written yet."""
        from agent_sessions.accepted_turns import AcceptedTurns

        return AcceptedTurns(self._repository(), session_id)

    def ask_to_cancel(self, session_id: str, agent_id: str, turn_id: str) -> None:
        """Leave a note for a running turn that it is to stop. The turn looks for it about once a second."""
        cancelling.ask_to_cancel(self.objects, self.layout, session_id, agent_id, turn_id)

    def is_asked_to_cancel(self, session_id: str, agent_id: str, turn_id: str) -> bool:
        """Whether a turn is to stop. It costs one read."""
        return cancelling.is_asked_to_cancel(self.objects, self.layout, session_id, agent_id, turn_id)

    def _repository(self) -> ObjectSessionRepository:
        return ObjectSessionRepository(self.objects, self.layout, ttl_days=self.ttl_days)

    def _timer(self, within_seconds: float | None) -> Callable[[], bool]:
        """A function that tells whether so many seconds have passed since now."""
        if within_seconds is None:
            return lambda: False
        ends = self.clock() + within_seconds
        return lambda: self.clock() >= ends


def _checked_limit(limit: int) -> int:
    if limit < 1:
        raise ValueError(f"limit={limit} | must be 1 or more")
    return limit
