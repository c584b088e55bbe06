"""A session repository over an object store, in the layout Strands' own managers use.

Creation expects nothing at the key, an update expects the version that was read: nobody's write is ever overwritten
unseen. Every record carries under ``kit`` the *incarnation* it belongs to, the random name of one life of a session.
What a writer of an earlier life lands late is not of this life, and is not read. Records without one were written by
Strands and belong to the session as it is.
"""

from __future__ import annotations

import json
import logging
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from agent_sessions.exceptions import (
    SessionConflictError,
    SessionCorruptError,
    SessionException,
    SessionExistsError,
    SessionNotFoundError,
)
from agent_sessions.layout import Layout, message_id_of
from agent_sessions.object_store import (
    Absent,
    Expectation,
    ObjectStore,
    PreconditionFailedError,
    StoredObject,
    Unchanged,
)
from agent_sessions.session_repository import SessionRepository
from agent_sessions.types import (
    Session,
    SessionAgent,
    SessionMessage,
    SessionType,
    decode_bytes_values,
    encode_bytes_values,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

logger = logging.getLogger(__name__)

KIT_FORMAT = 1
"""Version of what stands under ``kit``."""


@dataclass(frozen=True)
class _Known:
    """The version of a record this repository has read or written last."""

    etag: str
    created_at: str | None


class ObjectSessionRepository(SessionRepository):
    """Sessions as objects.

    Args:
        objects: Where the objects live.
        layout: How they are named.
    """

    def __init__(self, objects: ObjectStore, layout: Layout) -> None:
        self.objects = objects
        self.layout = layout
        self._known: dict[str, _Known] = {}
        self._incarnations: dict[str, str] = {}
        # Nonces of writes whose fate is unknown: an update of ours must not lose against ourselves.
        self._unanswered: dict[str, str] = {}

    # --- sessions ---------------------------------------------------------------------------------------

    def create_session(self, session: Session, **kwargs: Any) -> Session:  # noqa: ARG002
        """Create a session with one conditional write.

        Raises:
            SessionExistsError: There is one of this id.
        """
        session_id = session.session_id
        key = self.layout.session(session_id)
        incarnation = str((session.kit or {}).get("incarnation") or uuid.uuid4().hex)
        body, _ = _encode(key, session.to_dict(), incarnation)
        self.objects.make_folder(f"{self.layout.session_folder(session_id)}agents/")
        self.objects.make_folder(f"{self.layout.session_folder(session_id)}multi_agents/")
        try:
            written = self.objects.put(key, body, Absent())
        except PreconditionFailedError as error:
            raise SessionExistsError(f"Session {session_id} already exists", session_id=session_id, key=key) from error
        self._known[key] = _Known(written.etag, session.created_at)
        self._incarnations[session_id] = incarnation
        return session

    def read_session(self, session_id: str, **kwargs: Any) -> Session | None:  # noqa: ARG002
        """Read a session, or ``None`` when there is none or it is being erased."""
        found = self._get(self.layout.session(session_id))
        if found is None or _is_erased(found.record):
            return None
        session: Session = self._parsed(Session, found)
        self._incarnations[session_id] = _incarnation_of(found.record) or f"created:{session.created_at}"
        return session

    def delete_session(self, session_id: str, **kwargs: Any) -> None:  # noqa: ARG002
        """Erase everything of a session.

        Raises:
            SessionNotFoundError: There is nothing of it.
            SessionStorageError: Something could not be deleted; the error names what is left.
        """
        key = self.layout.session(session_id)
        folder = self.layout.session_folder(session_id)
        found = self.objects.get(key)
        if found is not None:
            # From here on the session is gone to every reader, however long the rest takes. Without the mark, what
            # a crash left over would look like a session that a lifecycle rule has damaged, and be restored.
            self._mark_erased(session_id, found)
        erased = self.objects.erase(folder, keep=[key])
        if found is None and not erased:
            raise SessionNotFoundError(f"Session {session_id} does not exist", session_id=session_id)
        self.objects.erase(folder)
        self._forget(session_id)

    def _mark_erased(self, session_id: str, found: StoredObject) -> None:
        key = self.layout.session(session_id)
        mark = Session(session_id=session_id, session_type=SessionType.AGENT)
        while True:
            body, _ = _encode(key, {**mark.to_dict(), "kit": {"erased": True}}, uuid.uuid4().hex)
            try:
                self.objects.put(key, body, Unchanged(found.etag))
            except PreconditionFailedError as error:
                if error.found is None:
                    return
                found = error.found
            else:
                return

    def _forget(self, session_id: str) -> None:
        folder = self.layout.session_folder(session_id)
        self._incarnations.pop(session_id, None)
        for known in (self._known, self._unanswered):
            for key in [key for key in known if key.startswith(folder)]:
                del known[key]

    # --- agents -----------------------------------------------------------------------------------------

    def create_agent(self, session_id: str, session_agent: SessionAgent, **kwargs: Any) -> None:  # noqa: ARG002
        """Create an agent.

        Raises:
            SessionConflictError: The session has an agent of this id.
        """
        agent_id = session_agent.agent_id
        self.objects.make_folder(self.layout.messages_folder(session_id, agent_id))
        self._create_record(session_id, self.layout.agent(session_id, agent_id), session_agent.to_dict())

    def read_agent(self, session_id: str, agent_id: str, **kwargs: Any) -> SessionAgent | None:  # noqa: ARG002
        """Read an agent, or ``None`` when the session has none of this id."""
        found = self._get_own(session_id, self.layout.agent(session_id, agent_id))
        return None if found is None else self._parsed(SessionAgent, found)

    def update_agent(self, session_id: str, session_agent: SessionAgent, **kwargs: Any) -> None:  # noqa: ARG002
        """Replace an agent.

        Raises:
            SessionConflictError: It has changed since it was read.
            SessionNotFoundError: There is none of this id.
        """
        key = self.layout.agent(session_id, session_agent.agent_id)
        known = self._known_version(session_id, key, f"Agent {session_agent.agent_id} in session {session_id}")
        session_agent.created_at = known.created_at or session_agent.created_at
        self._update_record(session_id, key, session_agent.to_dict(), known)

    # --- messages ---------------------------------------------------------------------------------------

    def create_message(
        self,
        session_id: str,
        agent_id: str,
        session_message: SessionMessage,
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Create a message.

        Raises:
            SessionConflictError: There is a message of this id: another writer came first.
        """
        key = self.layout.message(session_id, agent_id, session_message.message_id)
        self._create_record(session_id, key, session_message.to_dict())

    def read_message(
        self,
        session_id: str,
        agent_id: str,
        message_id: int,
        **kwargs: Any,  # noqa: ARG002
    ) -> SessionMessage | None:
        """Read a message, or ``None`` when there is none of this id."""
        found = self._get_own(session_id, self.layout.message(session_id, agent_id, message_id))
        return None if found is None else self._parsed(SessionMessage, found)

    def update_message(
        self,
        session_id: str,
        agent_id: str,
        session_message: SessionMessage,
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Replace a message.

        Raises:
            SessionConflictError: It has changed since it was read.
            SessionNotFoundError: There is none of this id.
        """
        key = self.layout.message(session_id, agent_id, session_message.message_id)
        known = self._known_version(session_id, key, f"Message {session_message.message_id}")
        session_message.created_at = known.created_at or session_message.created_at
        self._update_record(session_id, key, session_message.to_dict(), known)

    def list_messages(
        self,
        session_id: str,
        agent_id: str,
        limit: int | None = None,
        offset: int = 0,
        *,
        first_id: int = 0,
        **kwargs: Any,  # noqa: ARG002
    ) -> list[SessionMessage]:
        """List an agent's messages in the order of their ids.

        Args:
            session_id: The session.
            agent_id: The agent.
            limit: At most so many; ``None`` for all.
            offset: Leave out so many from the start: a position, as in every repository.
            first_id: The smallest id wanted. Unlike ``offset`` it means the same message whatever is missing.
            **kwargs: For later additions.

        Raises:
            SessionCorruptError: A message cannot be read; the error names its key.
        """
        folder = self.layout.messages_folder(session_id, agent_id)
        ids = sorted(
            message_id
            for entry in self.objects.list(folder)
            if (message_id := _id_below(folder, entry.key)) is not None and message_id >= first_id
        )
        if offset == 0:
            # Records of an earlier life take no part in the count, and which they are shows only when they are read.
            return self.read_messages(session_id, agent_id, ids, limit)
        return self.read_messages(session_id, agent_id, ids)[offset:][:limit]

    def read_messages(
        self, session_id: str, agent_id: str, ids: list[int], limit: int | None = None
    ) -> list[SessionMessage]:
        """Read messages by their ids, at once. Ids without a message of this life of the session are left out."""
        records: list[SessionMessage] = []
        while ids and (limit is None or len(records) < limit):
            batch, ids = (ids, []) if limit is None else (ids[: limit - len(records)], ids[limit - len(records) :])
            keys = [self.layout.message(session_id, agent_id, message_id) for message_id in batch]
            found = self._only_own(session_id, [self._stored(key, item) for key, item in self._get_many(keys)])
            records += [self._parsed(SessionMessage, item) for item in found]
        return records

    def quarantine_message(self, session_id: str, agent_id: str, message_id: int) -> str:
        """Put a message that cannot be read aside, so that the rest of the session can be used again.

        Returns:
            The key under which its bytes are kept, unchanged, within the session.

        Raises:
            SessionNotFoundError: There is no object of this id.
        """
        key = self.layout.message(session_id, agent_id, message_id)
        found = self.objects.get(key)
        if found is None:
            raise SessionNotFoundError(f"Message {message_id} does not exist", session_id=session_id, key=key)
        folder = self.layout.agent_folder(session_id, agent_id)
        aside = f"{folder}quarantine/message_{message_id}-{uuid.uuid4().hex}.json"
        self.objects.put(aside, found.body, Absent())
        self.objects.delete([key])
        self._known.pop(key, None)
        logger.warning("session_id=<%s>, key=<%s>, aside=<%s> | message put into quarantine", session_id, key, aside)
        return aside

    # --- orchestrators ----------------------------------------------------------------------------------

    def create_multi_agent(self, session_id: str, multi_agent: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Create an orchestrator's state.

        Raises:
            SessionConflictError: The session has one of this id.
        """
        key = self.layout.multi_agent(session_id, multi_agent.id)
        self._create_record(session_id, key, encode_bytes_values(multi_agent.serialize_state()))

    def read_multi_agent(self, session_id: str, multi_agent_id: str, **kwargs: Any) -> dict[str, Any] | None:  # noqa: ARG002
        """Read an orchestrator's state, or ``None`` when the session has none of this id."""
        found = self._get_own(session_id, self.layout.multi_agent(session_id, multi_agent_id))
        if found is None:
            return None
        state = {name: value for name, value in found.record.items() if name != "kit"}
        return cast("dict[str, Any]", decode_bytes_values(state))

    def update_multi_agent(self, session_id: str, multi_agent: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Replace an orchestrator's state.

        Raises:
            SessionConflictError: It has changed since it was read.
            SessionNotFoundError: There is none of this id.
        """
        key = self.layout.multi_agent(session_id, multi_agent.id)
        known = self._known_version(session_id, key, f"MultiAgent state {multi_agent.id} in session {session_id}")
        self._update_record(session_id, key, encode_bytes_values(multi_agent.serialize_state()), known)

    # --- records ----------------------------------------------------------------------------------------

    def _create_record(self, session_id: str, key: str, record: dict[str, Any]) -> None:
        incarnation = self._incarnation(session_id)
        body, _ = _encode(key, record, incarnation)
        expect: Expectation = Absent()
        while True:
            try:
                written = self.objects.put(key, body, expect)
            except PreconditionFailedError as error:
                found = error.found
                if found is None:
                    expect = Absent()
                    continue
                if self._is_of_this_life(session_id, _decode(key, found)):
                    raise SessionConflictError(
                        f"session_id={session_id}, key={key} | another writer came first; reload the session",
                        session_id=session_id,
                        key=key,
                    ) from error
                # Landed late by a writer of an earlier life of this session: nobody can read it, so it may go.
                expect = Unchanged(found.etag)
                continue
            self._known[key] = _Known(written.etag, record.get("created_at"))
            return

    def _update_record(self, session_id: str, key: str, record: dict[str, Any], known: _Known) -> None:
        body, nonce = _encode(key, record, self._incarnation(session_id))
        etag = known.etag
        while True:
            try:
                written = self.objects.put(key, body, Unchanged(etag))
            except PreconditionFailedError as error:
                if error.found is None:
                    raise SessionNotFoundError(
                        f"session_id={session_id}, key={key} | it has been deleted", session_id=session_id, key=key
                    ) from error
                stored = _decode(key, error.found)
                if _kit(stored).get("nonce") == self._unanswered.get(key, ""):
                    etag = error.found.etag  # our own earlier write, whose answer we never got
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
            self._known[key] = _Known(written.etag, known.created_at)
            return

    def _known_version(self, session_id: str, key: str, what: str) -> _Known:
        """The version an update is to replace: the one read or written last, or the one stored now."""
        if key not in self._known and self._get_own(session_id, key) is None:
            raise SessionNotFoundError(f"{what} does not exist", session_id=session_id, key=key)
        return self._known[key]

    def _incarnation(self, session_id: str) -> str:
        if session_id not in self._incarnations and self.read_session(session_id) is None:
            raise SessionNotFoundError(f"Session {session_id} does not exist", session_id=session_id)
        return self._incarnations[session_id]

    def _is_of_this_life(self, session_id: str, record: dict[str, Any]) -> bool:
        incarnation = _incarnation_of(record)
        return incarnation is None or incarnation == self._incarnation(session_id)

    def _get(self, key: str) -> _Record | None:
        return self._stored(key, self.objects.get(key))

    def _get_own(self, session_id: str, key: str) -> _Record | None:
        found = self._only_own(session_id, [self._get(key)])
        return found[0] if found else None

    def _get_many(self, keys: list[str]) -> Iterable[tuple[str, StoredObject | None]]:
        return zip(keys, self.objects.get_many(keys), strict=True)

    def _stored(self, key: str, found: StoredObject | None) -> _Record | None:
        return None if found is None else _Record(key, _decode(key, found), found)

    def _only_own(self, session_id: str, records: list[_Record | None]) -> list[_Record]:
        """The records of this life of the session; their versions are remembered for updates."""
        own = []
        for item in records:
            if item is None:
                continue
            if self._is_of_this_life(session_id, item.record):
                own.append(item)
                self._known[item.key] = _Known(item.stored.etag, item.record.get("created_at"))
            else:
                logger.warning("session_id=<%s>, key=<%s> | left over from an earlier life", session_id, item.key)
        return own

    def _parsed(self, kind: Any, item: _Record) -> Any:
        try:
            return kind.from_dict(item.record)
        except (TypeError, ValueError) as error:
            raise SessionCorruptError(f"key={item.key} | not a {kind.__name__}: {error}", key=item.key) from error


@dataclass(frozen=True)
class _Record:
    """An object that holds a record."""

    key: str
    record: dict[str, Any]
    stored: StoredObject


def _encode(key: str, record: dict[str, Any], incarnation: str) -> tuple[bytes, str]:
    """The bytes of a record, and the nonce that tells them from every other writer's."""
    nonce = uuid.uuid4().hex
    kit = {**(record.get("kit") or {}), "format": KIT_FORMAT, "incarnation": incarnation, "nonce": nonce}
    try:
        text = json.dumps({**record, "kit": kit}, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise SessionException(f"key={key} | cannot be stored as JSON: {error}", key=key) from error
    try:
        return text.encode(), nonce
    except UnicodeEncodeError:  # half of a surrogate pair, as some models emit it
        return json.dumps({**record, "kit": kit}).encode(), nonce


def _decode(key: str, found: StoredObject) -> dict[str, Any]:
    try:
        record = json.loads(found.body)
    except ValueError as error:
        raise SessionCorruptError(f"key={key} | not JSON: {error}", key=key) from error
    if not isinstance(record, dict):
        raise SessionCorruptError(f"key={key} | not a JSON object", key=key)
    return record


def _kit(record: dict[str, Any]) -> dict[str, Any]:
    kit = record.get("kit")
    return kit if isinstance(kit, dict) else {}


def _incarnation_of(record: dict[str, Any]) -> str | None:
    return _kit(record).get("incarnation")


def _is_erased(record: dict[str, Any]) -> bool:
    return bool(_kit(record).get("erased"))


def _id_below(folder: str, key: str) -> int | None:
    """The id of the message at a key directly below a folder, or ``None`` for foreign objects."""
    return None if "/" in key[len(folder) :] else message_id_of(key)
