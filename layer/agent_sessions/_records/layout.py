"""Where each record of a session lives: the layout that Strands' S3 and file managers share.

    <prefix>/session_<session_id>/
        session.json
        agents/agent_<agent_id>/agent.json
        agents/agent_<agent_id>/messages/message_<n>.json
        multi_agents/multi_agent_<id>/multi_agent.json
        lease.json, agents/agent_<agent_id>/history.json, agents/agent_<agent_id>/cancel.json     ours
        turns/turn_<turn_id>.json                                                                 ours

Beside the sessions lie, ours: ``erasure.json``, how far an erasure of all of them has come; and for each session that
is to be found among those used last, a marker for the day of its last turn. Days are counted down, so that a listing
begins with the latest:

    <prefix>/recent/<day>/session_<session_id>/agent_<agent_id>.json

The same names are keys in a bucket and relative paths in a folder.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from agent_sessions.identifiers import check_identifier, check_message_id
from agent_sessions.object_store import Key

_MESSAGE_NAME = re.compile(r"message_(0|[1-9][0-9]*)\.json\Z")
# Compiled by what uses them first: most cold starts use none of these.
_HEAD = r"(agents/agent_[^/]+/agent|multi_agents/multi_agent_[^/]+/multi_agent)\.json\Z"
_AGENT_KEY = r"agents/agent_(?P<agent_id>[^/]+)/(?P<rest>(?s:.+))\Z"
_WRITTEN_BY_TURNS = (
    r"(agents/agent_[^/]+/(agent|messages/message_(0|[1-9][0-9]*))|multi_agents/multi_agent_[^/]+/multi_agent)\.json\Z"
)
_KEPT_WITH_THEM = r"agents/agent_[^/]+/(history\.json|quarantine/[^/]+)\Z"
_MARKER = r"(?P<day>[0-9]{5})/session_(?P<session_id>[^/]+)/agent_(?P<agent_id>[^/]+)\.json\Z"
_LAST_DAY = 99_999
"""From which days since 1970 are counted down: five digits last until 2243."""
_SESSION_FOLDER = r"session_(?P<session_id>[^/]+)/?\Z"


class Layout(NamedTuple):
    """Builds keys below a prefix and reads them back.

    Attributes:
        prefix: Where the sessions live. ``""``, ``"p"``, ``"p/"`` and ``"/p/"`` all give clean keys.
    """

    prefix: str = ""

    @property
    def root(self) -> str:
        """The prefix with its trailing slash, or nothing."""
        clean = self.prefix.strip("/")
        return f"{clean}/" if clean else ""

    def erasure(self) -> Key:
        """The record of the last erasure of all sessions here. It belongs to none of them."""
        return Key(f"{self.root}erasure.json")

    def recent(self) -> Key:
        """The folder of the markers of all sessions here, with its trailing slash."""
        return Key(f"{self.root}recent/")

    def recent_day(self, day: int) -> Key:
        """The folder of a day's markers, with its trailing slash. A day is counted in days since 1970, UTC."""
        return Key(f"{self.recent()}{_LAST_DAY - day:05}/")

    def recent_session(self, day: int, session_id: str) -> Key:
        """The folder of a session's markers for a day, with its trailing slash."""
        return Key(f"{self.recent_day(day)}session_{check_identifier('session', session_id)}/", session_id)

    def recent_marker(self, day: int, session_id: str, agent_id: str) -> Key:
        """The marker of an agent that took a turn on a day."""
        name = f"agent_{check_identifier('agent', agent_id)}.json"
        return Key(f"{self.recent_session(day, session_id)}{name}", session_id)

    def session_folder(self, session_id: str) -> Key:
        """The folder of a session, with its trailing slash: ``user1`` is no prefix of ``user10`` then."""
        return Key(f"{self.root}session_{check_identifier('session', session_id)}/", session_id)

    def session(self, session_id: str) -> Key:
        """The session's own record."""
        return self._below(session_id, "session.json")

    def lease(self, session_id: str) -> Key:
        """The lease that keeps two callers from taking a turn at once."""
        return self._below(session_id, "lease.json")

    def agent_folder(self, session_id: str, agent_id: str) -> Key:
        """The folder of an agent, with its trailing slash."""
        return self._below(session_id, f"agents/agent_{check_identifier('agent', agent_id)}/")

    def agent(self, session_id: str, agent_id: str) -> Key:
        """An agent's record."""
        return self._of_agent(session_id, agent_id, "agent.json")

    def history(self, session_id: str, agent_id: str) -> Key:
        """An agent's consolidated messages: derived, and never the only copy."""
        return self._of_agent(session_id, agent_id, "history.json")

    def cancel(self, session_id: str, agent_id: str) -> Key:
        """The note that asks a running turn of an agent to stop."""
        return self._of_agent(session_id, agent_id, "cancel.json")

    def messages_folder(self, session_id: str, agent_id: str) -> Key:
        """The folder of an agent's messages, with its trailing slash."""
        return self._of_agent(session_id, agent_id, "messages/")

    def message(self, session_id: str, agent_id: str, message_id: int) -> Key:
        """One message."""
        return self._of_agent(session_id, agent_id, f"messages/message_{check_message_id(message_id)}.json")

    def quarantine(self, session_id: str, agent_id: str, message_id: int, name: str) -> Key:
        """Where a message that cannot be read is put aside, under a name that nothing else has there."""
        return self._of_agent(session_id, agent_id, f"quarantine/message_{check_message_id(message_id)}-{name}.json")

    def multi_agent(self, session_id: str, multi_agent_id: str) -> Key:
        """The state of a graph, a swarm or another orchestrator."""
        name = check_identifier("multi-agent", multi_agent_id)
        return self._below(session_id, f"multi_agents/multi_agent_{name}/multi_agent.json")

    def accepted_turn(self, session_id: str, turn_id: str) -> Key:
        """What is known of a turn that was accepted and has not begun. The name comes last in a session's folder."""
        return self._below(session_id, f"turns/turn_{check_identifier('turn', turn_id)}.json")

    def _below(self, session_id: str, rest: str) -> Key:
        return Key(f"{self.session_folder(session_id)}{rest}", session_id)

    def _of_agent(self, session_id: str, agent_id: str, rest: str) -> Key:
        return Key(f"{self.agent_folder(session_id, agent_id)}{rest}", session_id)


class Marker(NamedTuple):
    """What the key of a marker says.

    Attributes:
        day: Days since 1970, UTC.
        session_id: The session.
        agent_id: An agent that took a turn on this day.
    """

    day: int
    session_id: str
    agent_id: str


def marker_of(key_below_recent: str) -> Marker | None:
    """What a key below the markers' folder says, or ``None`` when it is no marker's."""
    found = re.match(_MARKER, key_below_recent)
    return Marker(_LAST_DAY - int(found["day"]), found["session_id"], found["agent_id"]) if found else None


def message_id_of(key: str) -> int | None:
    """The index a message's key names, or ``None`` when the key is no message's."""
    found = _MESSAGE_NAME.match(key.rpartition("/")[2])
    return int(found.group(1)) if found else None


def agent_id_of(key_in_session: str) -> tuple[str, str] | None:
    """Split a key below a session's folder into the agent's id and the rest, or ``None`` for other keys."""
    found = re.match(_AGENT_KEY, key_in_session)
    return (found.group("agent_id"), found.group("rest")) if found else None


def message_id_below(key_below_agent: str) -> int | None:
    """The index that a key below an agent's folder names, or ``None`` when it is no message's."""
    folder, _, name = key_below_agent.partition("/")
    return message_id_of(name) if folder == "messages" and "/" not in name else None


def is_head(key_in_session: str) -> bool:
    """Whether a key below a session's folder is the record of an agent or an orchestrator: what every turn writes."""
    return re.match(_HEAD, key_in_session) is not None


def is_written_by_turns(key_in_session: str) -> bool:
    """Whether a key below a session's folder is an agent's, a message's or an orchestrator's."""
    return re.match(_WRITTEN_BY_TURNS, key_in_session) is not None


def lasts_with_session(key_in_session: str) -> bool:
    """Whether a key below a session's folder names what has to last as long as the session.

    That is what turns write, what is derived from it, and what was put into quarantine; neither the lease, nor what
    somebody else keeps there, nor the session's own record.
    """
    return is_written_by_turns(key_in_session) or re.match(_KEPT_WITH_THEM, key_in_session) is not None


def session_id_of(folder: str) -> str | None:
    """The session a folder's name stands for, or ``None`` when it is no session's."""
    found = re.match(_SESSION_FOLDER, folder)
    return found.group("session_id") if found else None
