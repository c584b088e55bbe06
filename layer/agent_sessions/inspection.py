"""Looking a session over: what of it cannot be read, is missing, or is left behind.

    for finding in inspect_session(store, "chat"):
        print(finding.severity, finding.key, finding.what, finding.remedy)
        if finding.is_mendable:
            mend(store, finding)

Inspecting reads every object of the session and writes nothing. ``agent_sessions.mending`` mends.
"""
# Over 300 lines: one look at each object, and every finding with its words.

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from agent_sessions._life.standing import goes_on
from agent_sessions._objects.tail_and_base import read_base, read_log
from agent_sessions._records.layout import (
    agent_id_of,
    is_head,
    is_written_by_turns,
    lasts_with_session,
    message_id_below,
)
from agent_sessions._records.message_records import message_in
from agent_sessions._records.own_names import checked_multi_agent
from agent_sessions._records.record_format import (
    decode,
    incarnation_of,
    is_erased,
    life_of,
    parse,
    parsed,
)
from agent_sessions._records.shapes import session_problem
from agent_sessions.exceptions import SessionCorruptError
from agent_sessions.findings import Finding, Kind, Severity
from agent_sessions.lease import SessionLease
from agent_sessions.types import SessionAgent, is_of_life

if TYPE_CHECKING:
    from datetime import datetime

    from agent_sessions._records.layout import Layout
    from agent_sessions._records.record_format import Record
    from agent_sessions.object_store import ListedObject, ObjectStore, StoredObject
    from agent_sessions.session_store import SessionStore

_AT_ONCE = 16
_FOLDER_IN_PLACE = "A folder is in its place: move it away by hand."
_SEVERAL_LIVES = "Its records are of several lives, and none says which is the present one. Restore it."
_NAMED = 5


class _Agent:
    """What is stored of an agent."""

    def __init__(self) -> None:
        self.record: Record | None = None
        self.has_object = False
        self.stored_ids: set[int] = set()
        self.aside_ids: set[int] = set()
        self.base: StoredObject | None = None


def inspect_session(store: SessionStore, session_id: str) -> list[Finding]:
    """Look a session over. Reads each of its objects once, some at the same time.

    Args:
        store: Where it is.
        session_id: The session. One without a record is looked over, too.

    Returns:
        What was found, ordered by severity and key; empty when everything is as it should be.

    Raises:
        SessionStorageError: The storage failed.
    """
    findings = _Inspection(store, session_id).run()
    order = list(Severity)
    return sorted(findings, key=lambda finding: (order.index(finding.severity), finding.key))


class _Inspection:
    def __init__(self, store: SessionStore, session_id: str) -> None:
        self._objects = store.objects
        self._layout = store.layout
        self._session_id = session_id
        self._folder = store.layout.session_folder(session_id)
        self._findings: list[Finding] = []
        self._agents: dict[str, _Agent] = {}
        self._strays: list[str] = []
        self._lives: set[str] = set()
        self._named_lives: set[str] = set()
        self._broken_record: str | None = None
        self._ttl_days = store.ttl_days
        self._records: list[tuple[Record, bool]] = []
        self._used: datetime | None = None
        self._present = False

    def run(self) -> list[Finding]:
        key = self._layout.session(self._session_id)
        found, problem = look(self._objects, key)
        session = None if found is None else self._session_record(found)
        if problem is not None:
            self._note(Kind.UNREADABLE, Severity.BROKEN, key, problem, _FOLDER_IN_PLACE)
        if session is not None and is_erased(session):
            what = "its erasure has begun and is not finished; nobody reads it"
            self._note(Kind.CLOSED, Severity.NOTICE, key, what, "`rm` finishes it, or the next session of this id.")
            return self._findings
        life = None if session is None else life_of(session.content)
        count = self._look_at_all(life)
        if found is None and problem is None and count:
            self._missing_session(key)
        if self._broken_record is not None:
            self._unreadable_session(key, self._broken_record)
        if self._strays and not self._present:
            what = f"none of its {len(self._strays)} records is of the life that session.json names: nobody reads them"
            remedy = (
                "If that record has been damaged or replaced, restore it before the session is used: a use erases them."
            )
            self._note(Kind.STRAY, Severity.LOST, key, what, remedy)
            return self._findings
        for agent_id, agent in sorted(self._agents.items()):
            self._look_at_agent(agent_id, agent, life)
        if self._strays:
            what = f"{len(self._strays)} records of an earlier life: {', '.join(self._strays[:_NAMED])}"
            remedy = "Nobody reads them. The next life, `rm` or the lifecycle rule removes them."
            self._note(Kind.STRAY, Severity.NOTICE, f"{self._folder}{self._strays[0]}", what, remedy)
        return self._findings

    def _look_at_all(self, life: str | None) -> int:
        """Look at each object; how many are part of what was said or remembered."""
        count = 0
        listed = self._objects.list(self._folder)
        while entries := list(islice(listed, _AT_ONCE)):
            for entry, (stored, why) in zip(entries, self._read(entries), strict=True):
                if is_written_by_turns(entry.key[len(self._folder) :]):
                    self._used = max(self._used or entry.last_modified, entry.last_modified)
                count += self._look_at(entry.key, stored, why, life)
                if stored is not None and lasts_with_session(entry.key[len(self._folder) :]):
                    self._named_lives |= {life_named_in(entry.key, stored)} - {None}  # type: ignore[arg-type] # names
        return count

    def _read(self, entries: list[ListedObject]) -> list[tuple[StoredObject | None, str | None]]:
        keys = [entry.key for entry in entries]
        try:
            return [(stored, None) for stored in self._objects.get_many(keys)]
        except SessionCorruptError:  # one of them is no object at all
            return [look(self._objects, key) for key in keys]

    def _session_record(self, found: StoredObject) -> Record | None:
        key = self._layout.session(self._session_id)
        try:
            record = parse(key, found)
        except SessionCorruptError as error:
            self._broken_record = str(error)
            return None
        if record is None or is_erased(record):
            return record
        problem = session_problem(record.content)
        if problem is None and record.content["session_id"] != self._session_id:
            problem = f"it is of session {record.content['session_id']!r}"
        if problem is not None:
            self._broken_record = f"not a session: {problem}"
            return None
        return record

    def _look_at(self, key: str, stored: StoredObject | None, why: str | None, life: str | None) -> bool:
        """Look at an object; whether it is part of what was said or remembered."""
        name = key[len(self._folder) :]
        if name in {"session.json", "lease.json"}:
            if name == "lease.json" and stored is not None:
                self._look_at_lease(key)
            return False
        agent_id, rest = agent_id_of(name) or ("", "")
        agent = self._agents.setdefault(agent_id, _Agent()) if agent_id else None
        if agent is not None and rest.startswith("quarantine/"):
            aside = message_id_below(f"messages/{rest.removeprefix('quarantine/').partition('-')[0]}.json")
            agent.aside_ids |= {aside} - {None}  # type: ignore[arg-type] # a set of numbers
            return False
        message_id = message_id_below(rest) if agent is not None else None
        if agent is not None and rest == "history.json":
            agent.base = stored
            return False
        if not lasts_with_session(name):
            if not (name.startswith(("turns/turn_", "quarantine/")) or rest == "cancel.json"):
                self._note(Kind.FOREIGN, Severity.NOTICE, key, "no record of this kit", "It is ignored.")
            return False
        if agent is not None:
            agent.has_object |= rest == "agent.json"
            agent.stored_ids |= {message_id} - {None}  # type: ignore[arg-type] # likewise
        if why is not None:
            self._note(Kind.UNREADABLE, Severity.BROKEN, key, why, _FOLDER_IN_PLACE)
        elif stored is not None:
            self._look_at_record(key, name, stored, life, agent)
        return True

    def _look_at_record(
        self, key: str, name: str, stored: StoredObject, life: str | None, agent: _Agent | None
    ) -> None:
        try:
            record = parse(key, stored)
            if record is None:
                return
            incarnation = incarnation_of(record.content)
            if life is not None and not is_of_life(incarnation, life):
                self._strays.append(name)
                if agent is not None:
                    agent.stored_ids.discard(message_id_below(agent_id_of(name)[1]) or 0)  # type: ignore[index] # an agent's
                return
            if agent is None:
                checked_multi_agent(record, name.split("/")[1].removeprefix("multi_agent_"))
            elif name.endswith("/agent.json"):
                self._require_agent(record, name)
                agent.record = record
            else:
                message_in(record)
            self._present = True
            if incarnation is not None:
                self._lives.add(incarnation)
            if life is None and (is_head(name) or not self._records):
                self._records.append((record, is_head(name)))
        except SessionCorruptError as error:
            self._unreadable(key, str(error))

    @staticmethod
    def _require_agent(record: Record, name: str) -> None:
        agent = parsed(SessionAgent, record)
        wrong = _wrong_count(agent.conversation_manager_state)
        if wrong is not None:
            raise SessionCorruptError(f"key={record.key} | not an agent: its {wrong} is no number")
        try:
            json.dumps(agent.state)
        except (TypeError, ValueError, RecursionError):  # Strands' AgentState takes JSON alone
            raise SessionCorruptError(f"key={record.key} | not an agent: its state is no JSON") from None
        stated = agent.agent_id
        named, _ = agent_id_of(name) or ("", "")
        if stated != named:
            raise SessionCorruptError(f"key={record.key} | not agent {named!r}: it says that it is {stated!r}")

    def _look_at_lease(self, key: str) -> None:
        if SessionLease(_At(self._objects, self._layout), self._session_id, holder="inspection").is_taken():
            return
        what = "its holder has died, or has left something unwritten"
        remedy = "The next caller takes it over, and writes what is missing. Removed, it could not tell of that."
        self._note(Kind.LEFT_LEASE, Severity.NOTICE, key, what, remedy)

    def _missing_session(self, key: str) -> None:
        # Messages alone were written late, for an erased life; and what has expired does not come back.
        used, ttl_days = self._used, self._ttl_days
        if used is None or not any(
            goes_on(record, is_head=head, used=used, ttl_days=ttl_days) for record, head in self._records
        ):
            what = "what a life that has ended has left, or an agent's record that cannot be read any more"
            remedy = "Nobody reads it. The next session of this id, `rm` or the lifecycle rule removes it."
            self._note(Kind.STRAY, Severity.NOTICE, key, what, remedy)
            return
        what = "session.json is missing: the session is in no list, and its next turn has to find that out"
        if len(self._named_lives) > 1:
            self._note(Kind.NO_SESSION_RECORD, Severity.BROKEN, key, what, _SEVERAL_LIVES)
            return
        remedy = "It is written anew, for the life that the other records name."
        self._note(Kind.NO_SESSION_RECORD, Severity.BROKEN, key, what, remedy, is_mendable=True)

    def _unreadable_session(self, key: str, why: str) -> None:
        # Whatever life a new record named, the records of the others would be swept as left over.
        if len(self._named_lives) > 1:
            self._note(Kind.UNREADABLE, Severity.BROKEN, key, _without_key(why), _SEVERAL_LIVES)
            return
        remedy = "It is written anew, for the life that the other records name. Its bytes are put aside, unchanged."
        self._note(Kind.UNREADABLE, Severity.BROKEN, key, _without_key(why), remedy, is_mendable=True, puts_aside=True)

    def _look_at_agent(self, agent_id: str, agent: _Agent, life: str | None) -> None:
        record_key = self._layout.agent(self._session_id, agent_id)
        ids = agent.stored_ids
        if ids and not agent.has_object:
            what = "agent.json is missing: its state is lost; its messages are there"
            remedy = "Nothing stored holds the state. The next turn writes the record, and goes on with the messages."
            self._note(Kind.NO_AGENT_RECORD, Severity.LOST, record_key, what, remedy)
        last = max(ids, default=-1)
        known = ids | {each for each in agent.aside_ids if each <= last}
        # One stray id may be huge: nothing here grows with it.
        if count := last + 1 - len(known):
            missing = list(islice((each for each in range(last) if each not in known), _NAMED))
            shown = ", ".join(map(str, missing)) + (", …" if count > _NAMED else "")
            key = self._layout.message(self._session_id, agent_id, missing[0])
            what = f"{count} messages are missing: {shown}"
            remedy = "Nothing of the session's records has them. The others are kept in order; a backup may have these."
            self._note(Kind.GAP, Severity.LOST, key, what, remedy)
        if agent.base is not None:
            self._look_at_base(agent_id, agent, agent.base.body, life)

    def _look_at_base(self, agent_id: str, agent: _Agent, body: bytes, life: str | None) -> None:
        key = self._layout.history(self._session_id, agent_id)
        incarnation = life or max(self._lives, key=len, default="")  # a fork's, before those it was forked from
        base = read_base(body, session_id=self._session_id, agent_id=agent_id, incarnation=incarnation)
        log = None if agent.record is None else read_log(agent.record.kit.get("log"))
        if base is not None and log is not None and log.goes_with(base.base):
            return
        if base is not None and set(base.ids) - agent.stored_ids:
            what = "no agent's record goes with it, and it holds copies of messages that are not stored any more"
            self._note(Kind.UNUSED_BASE, Severity.NOTICE, key, what, "It is kept: it may be their only copy.")
            return
        what = "it is truncated, or no agent's record goes with it; it is not believed"
        if life is None and len(self._named_lives) > 1:
            self._note(Kind.UNUSED_BASE, Severity.NOTICE, key, what, "It is kept: restore session.json first.")
            return
        if base is None:
            remedy = "Its bytes are put aside. The next turn makes another of the messages."
        else:
            remedy = "It is removed: every message in it is stored. The next turn makes another of them."
        self._note(Kind.UNUSED_BASE, Severity.NOTICE, key, what, remedy, is_mendable=True, puts_aside=base is None)

    def _unreadable(self, key: str, why: str) -> None:
        remedy = "Its bytes are put aside, unchanged, so that the rest can be used."
        self._note(Kind.UNREADABLE, Severity.BROKEN, key, _without_key(why), remedy, is_mendable=True, puts_aside=True)

    def _note(
        self,
        kind: Kind,
        severity: Severity,
        key: str,
        what: str,
        remedy: str,
        *,
        is_mendable: bool = False,
        puts_aside: bool = False,
    ) -> None:
        found = Finding(self._session_id, kind, severity, str(key), what, remedy, is_mendable, puts_aside)
        self._findings.append(found)


def _wrong_count(manager: dict[str, Any]) -> str | None:
    """A count in the state of one of Strands' conversation managers that they cannot count with."""
    counts: dict[str, int | None] = {"removed_message_count": None} if "__name__" in manager else {}
    if manager.get("__name__") == "SlidingWindowConversationManager":
        counts |= {"model_call_count": 0}
    for name, otherwise in counts.items():
        found = manager.get(name, otherwise)
        if type(found) is not int or found < 0:
            return name
    return None


class _At(NamedTuple):
    objects: ObjectStore
    layout: Layout


def look(objects: ObjectStore, key: str) -> tuple[StoredObject | None, str | None]:
    """An object; or why what lies there is none."""
    try:
        return objects.get(key), None
    except SessionCorruptError as error:
        return None, _without_key(str(error))


def life_named_in(key: str, stored: StoredObject) -> str | None:
    """The life that an object of a session names; ``None`` when Strands wrote it or it cannot be read."""
    try:
        content = decode(key, stored)
    except SessionCorruptError:
        return None
    named = content.get("incarnation") if key.endswith("/history.json") else incarnation_of(content)
    return named if isinstance(named, str) else None


def _without_key(why: str) -> str:
    return why.partition(" | ")[2] or why
