"""JSON records in an object store: whose they are, which version is known, and nobody overwritten unseen.

Creation expects nothing at the key, an update expects the version that was read. Every record carries under ``kit``
the *incarnation* it belongs to, the random name of one life of a session: what a writer of an earlier life lands late
is not of this life, and is not read. A record without one was written by Strands and belongs to the session as it is.
It also carries a nonce, new at every write: equal contents are different versions then, on stores whose ETag is a
digest too, and a writer recognises its own write when the answer to it was lost.
"""
# Over 300 lines: what is known of versions, and what each refused write means.

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from agent_sessions._records.layout import is_head
from agent_sessions._records.record_format import (
    Record,
    decode,
    encode,
    incarnation_of,
    kit_of,
    life_of,
    nobodys_record,
    parse,
    write_name,
)
from agent_sessions.exceptions import (
    SessionConflictError,
    SessionException,
    SessionNotFoundError,
    SessionStorageError,
)
from agent_sessions.object_store import (
    Absent,
    Expectation,
    ObjectStore,
    PreconditionFailedError,
    StoredObject,
    Unchanged,
    Written,
)
from agent_sessions.types import is_of_life

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from datetime import datetime

    from agent_sessions._records.layout import Layout

logger = logging.getLogger(__name__)


class Version(NamedTuple):
    """The version of a record that was read or written last.

    Attributes:
        etag: What an update expects to find.
        created_at: The record's own field, which updates keep.
        nonce: What tells this write from every other: see :func:`write_name`.
        written_at: When it was written, by the storage's clock. A renewal writes, too.
    """

    etag: str
    created_at: str | None
    nonce: str
    written_at: datetime


class Records:
    """The records of an object store.

    Args:
        objects: Where the objects live.
        layout: How they are named.
    """

    def __init__(self, objects: ObjectStore, layout: Layout) -> None:
        self.objects = objects
        self._layout = layout
        self.ttl_days = 0.0
        """Stands in what every turn writes: see :meth:`_stamped`."""
        self._known: dict[str, Version] = {}
        self._incarnations: dict[str, str] = {}
        # Nonces of writes whose fate is unknown: an update of ours must not lose against ourselves.
        self._unanswered: dict[str, str] = {}
        self._stopped = False
        self._condition: Future[Any] | None = None
        self._condition_of: str | None = None

    def write_only_after(self, condition: Future[Any], session_id: str) -> None:
        """From now on, write nothing before something is known; if it fails, nothing at all, and that is why.

        Args:
            condition: What is to be known.
            session_id: The session that it is to be known of.
        """
        self._condition, self._condition_of = condition, session_id

    def wait_for_condition(self, session_id: str | None = None) -> None:
        """Wait until it is known whether anything may be written: see :meth:`write_only_after`.

        Args:
            session_id: Wait only if it is to be known of this session.

        Raises:
            SessionException: Nothing may.
        """
        if self._condition is not None and session_id in {None, self._condition_of}:
            self._condition.result()

    def stop(self) -> None:
        """From now on, write nothing, and repeat no write that is on its way."""
        self._stopped = True

    @property
    def is_stopped(self) -> bool:
        """Whether nothing more is written: see :meth:`stop`."""
        return self._stopped

    def put(self, key: str, body: bytes, expect: Expectation) -> Written:
        """Write an object, as :meth:`ObjectStore.put` does, unless the writer was stopped.

        Raises:
            SessionStorageError: With the code ``Abandoned``: see :meth:`stop`.
            SessionException: What :meth:`write_only_after` waits for has failed.
        """
        self.wait_for_condition()
        if self._stopped:
            raise SessionStorageError(f"key={key} | stopped, nothing was sent", code="Abandoned", key=key)
        with self.objects.only_while(lambda: not self._stopped):
            return self.objects.put(key, body, expect)

    def live_in(self, session_id: str, incarnation: str) -> None:
        """From now on, records of this life of the session are read and written."""
        self._incarnations[session_id] = incarnation

    def incarnation(self, session_id: str) -> str | None:
        """The life of the session that is read and written; ``None`` before :meth:`live_in`."""
        return self._incarnations.get(session_id)

    def forget(self, session_id: str, folder: str) -> None:
        """Forget everything known below a session's folder."""
        self._incarnations.pop(session_id, None)
        for key in [key for key in self._known if key.startswith(folder)]:
            del self._known[key]
        for key in [key for key in self._unanswered if key.startswith(folder)]:
            del self._unanswered[key]

    def known(self, key: str) -> Version | None:
        """The version of a record that was read or written last."""
        return self._known.get(key)

    def get(self, key: str) -> Record | None:
        """Read a record of any life.

        Raises:
            SessionCorruptError: There is an object, and it is no record.
        """
        return parse(key, self.objects.get(key))

    def own(self, session_id: str, key: str) -> Record | None:
        """Read a record of this life of the session."""
        return self.accept(session_id, self.get(key))

    def own_many(self, session_id: str, keys: Sequence[str], *, sweeps: bool = False) -> list[Record]:
        """Read records of this life of the session, at once; keys without one are left out.

        Args:
            session_id: The session.
            keys: The objects' keys.
            sweeps: Whether to delete what an earlier life has left there.
        """
        found = [parse(key, stored) for key, stored in zip(keys, self.objects.get_many(keys), strict=True)]
        accepted = [self.accept(session_id, record) for record in found]
        left = [old for old, own in zip(found, accepted, strict=True) if old is not None and own is None]
        # If our session was erased meanwhile, these records belong to its successor: they are kept.
        if sweeps and left and self._lives_still(session_id):
            for record in left:
                self.objects.delete_version(record.key, record.stored.etag, instead=nobodys_record())
        return [record for record in accepted if record is not None]

    def accept(self, session_id: str, record: Record | None) -> Record | None:
        """The record if it is of this life of the session. Its version is known from now on."""
        if record is None:
            return None
        if not self.is_of_this_life(session_id, record.content):
            logger.warning("session_id=<%s>, key=<%s> | left over from an earlier life", session_id, record.key)
            return None
        stored = record.stored
        name = write_name(record.content, stored.body)
        self._known[record.key] = Version(stored.etag, record.content.get("created_at"), name, stored.last_modified)
        return record

    def is_known(self, key: str, stored: StoredObject | None) -> bool:
        """Whether what is stored is what was read or written last. A renewal changes nothing of it but the ETag."""
        known = self._known.get(key)
        if known is None or stored is None:
            return known is None and stored is None
        return known.etag == stored.etag or known.nonce == write_name(decode(key, stored), stored.body)

    def create(self, session_id: str, key: str, content: dict[str, Any], *, nonce: str | None = None) -> Version:
        """Create a record.

        Args:
            session_id: The session.
            key: The object's key.
            content: The record, without what is this package's own of every record.
            nonce: What to tell this write by, when somebody else may do it for this writer; a new one when not given.

        Raises:
            SessionConflictError: There is one of this life already.
        """
        body, name = encode(key, self._stamped(session_id, key, content), self._living_in(session_id), nonce)
        expect: Expectation = Absent()
        while True:
            try:
                written = self.put(key, body, expect)
            except PreconditionFailedError as error:
                if error.found is None:
                    expect = Absent()
                    continue
                found = Record(key, decode(key, error.found), error.found)
                if nonce is not None and found.kit.get("nonce") == nonce and self.accept(session_id, found):
                    return self._known[key]  # whoever restored it from the tail was faster
                if self.is_of_this_life(session_id, found.content):
                    raise SessionConflictError(
                        f"session_id={session_id}, key={key} | another writer came first; reload the session",
                        session_id=session_id,
                        key=key,
                    ) from error
                if not self._lives_still(session_id):
                    raise SessionConflictError(
                        f"session_id={session_id}, key={key} | the session has been erased and begun anew since",
                        session_id=session_id,
                        key=key,
                    ) from error
                # Landed late by a writer of an earlier life of this session: nobody reads it, so it may go.
                expect = Unchanged(error.found.etag)
                continue
            self._known[key] = Version(written.etag, content.get("created_at"), name, written.at)
            return self._known[key]

    def take_back(self, key: str, version: Version) -> None:
        """Delete what has just been created, for it should not have been; what somebody made of it since stays."""
        self.objects.delete_version(key, version.etag, instead=nobodys_record())
        self._known.pop(key, None)

    def create_head(self, session_id: str, key: str, content: dict[str, Any]) -> Version:
        """Create the record of an agent or an orchestrator, which makes what lies below it a session.

        Raises:
            SessionConflictError: There is one of this life already.
            SessionNotFoundError: The session has been erased since it was opened; nothing is left of the record.
        """
        version = self.create(session_id, key, content)
        if not self._lives_still(session_id):
            # Left there, it would pass for a session that a lifecycle rule has damaged, and be restored.
            self.take_back(key, version)
            raise SessionNotFoundError(f"Session {session_id} does not exist", session_id=session_id, key=key)
        return version

    def update(self, session_id: str, key: str, content: dict[str, Any]) -> Version:
        """Replace a record whose version is known.

        Raises:
            SessionConflictError: It has changed since.
            SessionNotFoundError: It is gone.
        """
        known = self._known[key]
        body, nonce = encode(key, self._stamped(session_id, key, content), self._living_in(session_id))
        etag = known.etag
        while True:
            try:
                written = self.put(key, body, Unchanged(etag))
            except PreconditionFailedError as error:
                if error.found is None:
                    raise SessionNotFoundError(
                        f"session_id={session_id}, key={key} | it has been deleted", session_id=session_id, key=key
                    ) from error
                # The version that is known, renewed by somebody; or our own later one, whose answer we never got.
                name = write_name(decode(key, error.found), error.found.body)
                if error.found.etag != etag and name in {known.nonce, self._unanswered.get(key)}:
                    etag = error.found.etag
                    continue
                raise SessionConflictError(
                    f"session_id={session_id}, key={key} | another writer has changed it; reload the session",
                    session_id=session_id,
                    key=key,
                ) from error
            except SessionException:
                self._unanswered[key] = nonce
                raise
            self._unanswered.pop(key, None)
            self._known[key] = Version(written.etag, known.created_at, nonce, written.at)
            return self._known[key]

    def restore_known(self, key: str, version: Version) -> None:
        """Let the next update expect this version again."""
        self._known[key] = version

    def delete(self, key: str) -> None:
        """Delete a record, whatever its version."""
        self.objects.delete([key])
        self._known.pop(key, None)

    def _stamped(self, session_id: str, key: str, content: dict[str, Any]) -> dict[str, Any]:
        """Say in what every turn writes how long the session was to live.

        Should the session's own record be missing one day, it tells the remains of a session that had expired, which a
        lifecycle rule was removing when the ttl was raised, from a session that somebody else's rule has damaged.
        """
        if not self.ttl_days or not is_head(key.removeprefix(self._layout.session_folder(session_id))):
            return content
        return {**content, "kit": {**kit_of(content), "ttl_days": self.ttl_days}}

    def _living_in(self, session_id: str) -> str:
        incarnation = self._incarnations.get(session_id)
        if incarnation is None:
            raise SessionNotFoundError(f"Session {session_id} does not exist", key=self._layout.session(session_id))
        return incarnation

    def _lives_still(self, session_id: str) -> bool:
        """Whether the life that is written is the session's present one: only then is another one's record old."""
        present = self.get(self._layout.session(session_id))
        return present is not None and life_of(present.content) == self._incarnations.get(session_id)

    def is_of_this_life(self, session_id: str, content: dict[str, Any]) -> bool:
        """Whether a record was written in the life of the session that is read and written, or by Strands."""
        return is_of_life(incarnation_of(content), self._incarnations.get(session_id))
