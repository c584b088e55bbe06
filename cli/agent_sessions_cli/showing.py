"""``agent-sessions show``: a session as a person reads it, or as it is stored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agent_sessions.exceptions import SessionCorruptError, SessionNotFoundError
from agent_sessions.types import Session, SessionAgent, encode_bytes_values, is_of_life
from agent_sessions_cli import following
from agent_sessions_cli.blocks import Line, lines_of
from agent_sessions_cli.listing import read_lease
from agent_sessions_cli.output import Printer, minute, print_json
from agent_sessions_cli.place import Place, works_in_place
from agent_sessions_cli.turns import turns_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent_sessions.session_store import SessionStore
    from agent_sessions.types import SessionMessage

_Record = TypeVar("_Record", Session, SessionAgent)

_ROLES = {"user": "bold cyan", "assistant": "bold green"}
_KINDS = {"text": "", "tool": "yellow", "aside": "dim"}


@click.command()
@click.argument("session_id", metavar="ID")
@click.option("--agent", "agent_id", metavar="ID", help="Only this agent. Not given: every agent, ordered by id.")
@click.option("--raw", "view", flag_value="raw", help="The message records as they are stored, in JSON.")
@click.option("--state", "view", flag_value="state", help="The stored state of agents and orchestrators.")
@click.option("--turns", "view", flag_value="turns", help="The turns of requests, and what became of them.")
@click.option("--follow", is_flag=True, help="Go on with what a running turn stores, until nobody holds the session.")
@works_in_place
def show(place: Place, session_id: str, agent_id: str | None, view: str | None, *, follow: bool) -> None:
    """Show a session: what was said, by whom and when.

    Redacted messages are shown as they were redacted. Characters that could drive the terminal are shown as escapes.
    Reading is no use: it extends nothing. Of --raw, --state and --turns the last one counts.

    --follow looks once a second whether the next message is stored and whether somebody still holds the session's
    lease. It sees messages as they are stored, not words as they are said, and it slows no turn down.
    """
    if follow and view in {"state", "turns"}:
        raise click.UsageError("--follow shows messages. Leave --state and --turns out.")
    store = place.open()
    agents = [agent_id] if agent_id is not None else list(agent_ids(store, session_id))
    if agent_id is not None:
        store.messages(session_id, agent_id, limit=1)  # tells a session or an agent that is not there
    printer = Printer()
    if not place.as_json and view != "raw":
        _print_head(printer, store, session_id)
    teller = _Teller(printer, place, is_raw=view == "raw")
    next_ids: dict[str, int] = {}
    for name in agents:
        match view:
            case "state":
                _show_state(printer, place, read_agent(store, session_id, name))
            case "turns":
                _show_turns(printer, place, store, session_id, name)
            case _:
                next_ids[name] = teller.tell_all(name, records(store, session_id, name))
    if view == "state" and agent_id is None:
        for name, state in orchestrators(store, session_id):
            _show_orchestrator(printer, place, name, state)
    if follow:
        all_of_them = agents if agent_id is not None else None
        following.follow(
            store, session_id, next_ids, teller.tell, others=lambda: all_of_them or [*agent_ids(store, session_id)]
        )


def agent_ids(store: SessionStore, session_id: str) -> Iterator[str]:
    """The agents of a session, ordered by id.

    Raises:
        SessionNotFoundError: There is no such session.
    """
    summary = store.describe(session_id)
    while True:
        yield from (agent.agent_id for agent in summary.agents)
        if summary.next_cursor is None:
            return
        summary = store.describe(session_id, cursor=summary.next_cursor)


def records(store: SessionStore, session_id: str, agent_id: str) -> Iterator[SessionMessage]:
    """An agent's message records in order, of which a page is held in memory."""
    cursor = None
    while True:
        page = store.messages(session_id, agent_id, cursor=cursor)
        yield from page.messages
        cursor = page.next_cursor
        if cursor is None:
            return


def read_agent(store: SessionStore, session_id: str, agent_id: str) -> SessionAgent:
    """An agent's record.

    Raises:
        SessionNotFoundError: The session has no such agent.
        SessionCorruptError: The record cannot be read.
    """
    key = store.layout.agent(session_id, agent_id)
    content = _read_json(store, key)
    agent = None if content is None else _parsed(SessionAgent, content, key)
    # An agent's record of an earlier life, written late, is no part of this one.
    life = _life(store, session_id)
    if agent is None or not is_of_life((agent.kit or {}).get("incarnation"), life):
        raise SessionNotFoundError(f"Session {session_id} has no agent {agent_id}", key=key)
    return agent


def orchestrators(store: SessionStore, session_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The graphs, swarms and other orchestrators of a session, each with its state as it is stored.

    Raises:
        SessionCorruptError: A state cannot be read.
    """
    life = _life(store, session_id)
    prefix = "multi_agent_"
    for folder in store.objects.list_folders(f"{store.layout.session_folder(session_id)}multi_agents/", named=prefix):
        name = folder.strip("/").removeprefix(prefix)
        key = store.layout.multi_agent(session_id, name)
        state = _read_json(store, key)
        if state is None:
            continue
        if not isinstance(state, dict):
            raise SessionCorruptError(f"key={key} | not a JSON object", key=key)
        kit = state.pop("kit", None)
        if not isinstance(kit, dict) or is_of_life(kit.get("incarnation"), life):
            yield name, state


def _life(store: SessionStore, session_id: str) -> str | None:
    """The name of the session's present life; ``None`` if Strands began it."""
    key = store.layout.session(session_id)
    session = _read_json(store, key)
    return None if session is None else (_parsed(Session, session, key).kit or {}).get("incarnation")


def _read_json(store: SessionStore, key: str) -> Any:
    found = store.objects.get(key)
    if found is None:
        return None
    try:
        return json.loads(found.body)
    except (ValueError, RecursionError) as error:
        raise SessionCorruptError(f"key={key} | not JSON: {type(error).__name__}", key=key) from None


def _parsed(kind: type[_Record], content: Any, key: str) -> _Record:
    try:
        return kind.from_dict(content)
    except SessionCorruptError as error:
        raise SessionCorruptError(f"key={key} | {error}", key=key) from None


def _print_head(printer: Printer, store: SessionStore, session_id: str) -> None:
    summary = store.describe(session_id)
    is_leased, holder = read_lease(store, session_id)
    facts = [f"created {minute(summary.created_at)}", f"used {minute(summary.last_used_at)}"]
    facts += [f"expires {minute(summary.expires_at)}"] if summary.expires_at else []
    facts += [f"held by {holder}" if holder else "held"] if is_leased else []
    printer.line(f"session {session_id}", "bold")
    if summary.title is not None:
        printer.line(f"“{summary.title}”")
    if summary.fork is not None:
        printer.line(f"forked from {summary.fork.forked_from} before message {summary.fork.before_message}", "dim")
    printer.line(f"{', '.join(facts)} (UTC)", "dim")


class _Teller:
    """Prints messages, and whose they are when that changes.

    Args:
        printer: Prints lines.
        place: Whether a script reads.
        is_raw: Whether records are printed as they are stored.
    """

    def __init__(self, printer: Printer, place: Place, *, is_raw: bool) -> None:
        self._printer = printer
        self._as_json = place.as_json
        self._is_raw = is_raw
        self._agent_id: str | None = None

    def tell_all(self, agent_id: str, messages: Iterator[SessionMessage]) -> int:
        """Print an agent's messages; an agent without any is named, too.

        Returns:
            The id of the message after them.
        """
        self._name(agent_id)
        next_id = 0
        for message in messages:
            self.tell(agent_id, message)
            next_id = message.message_id + 1
        return next_id

    def tell(self, agent_id: str, record: SessionMessage) -> None:
        """Print a message."""
        self._name(agent_id)
        if self._is_raw:
            print_json({"agent_id": agent_id, **record.to_dict()})
        elif self._as_json:
            print_json(_as_json(agent_id, record))
        else:
            _print_message(self._printer, record)

    def _name(self, agent_id: str) -> None:
        if agent_id != self._agent_id and not (self._is_raw or self._as_json):
            _print_agent(self._printer, agent_id)
        self._agent_id = agent_id


def _as_json(agent_id: str, record: SessionMessage) -> dict[str, Any]:
    message = record.to_message()
    return {
        "agent_id": agent_id,
        "message_id": record.message_id,
        "created_at": record.created_at,
        "role": message["role"],
        "is_redacted": record.redact_message is not None,
        "content": encode_bytes_values(message["content"]),
    }


def _print_message(printer: Printer, record: SessionMessage) -> None:
    message = record.to_message()
    redacted = ", redacted" if record.redact_message is not None else ""
    printer.line()
    title = f"{message['role']}  #{record.message_id}, {minute(record.created_at)}{redacted}"
    printer.line(title, _ROLES.get(message["role"], "bold"))
    for line in lines_of(message["content"]):
        _print_line(printer, line)


def _print_line(printer: Printer, line: Line) -> None:
    printer.line(line.text, _KINDS[line.kind])


def _show_state(printer: Printer, place: Place, agent: SessionAgent) -> None:
    record = agent.to_dict()
    names = ("state", "conversation_manager_state", "_internal_state")
    if place.as_json:
        print_json({"agent_id": agent.agent_id, **{name: record[name] for name in names}})
        return
    _print_agent(printer, agent.agent_id)
    for name in names:
        printer.line(f"{name} {json.dumps(record[name], indent=2, ensure_ascii=False)}")


def _show_orchestrator(printer: Printer, place: Place, name: str, state: dict[str, Any]) -> None:
    if place.as_json:
        print_json({"multi_agent_id": name, "state": state})
        return
    printer.line()
    printer.line(f"orchestrator {name}", "bold magenta")
    printer.line(f"state {json.dumps(state, indent=2, ensure_ascii=False)}")


def _show_turns(printer: Printer, place: Place, store: SessionStore, session_id: str, agent_id: str) -> None:
    if not place.as_json:
        _print_agent(printer, agent_id)
    for turn in turns_of(store, session_id, agent_id, records(store, session_id, agent_id)):
        if place.as_json:
            print_json({"agent_id": agent_id, **turn._asdict()})
            continue
        messages = f"#{turn.first_id}" if turn.first_id == turn.last_id else f"#{turn.first_id} to #{turn.last_id}"
        printer.line(f"{turn.turn_id}  {messages}, {minute(turn.began_at)}: {turn.became}")


def _print_agent(printer: Printer, agent_id: str) -> None:
    printer.line()
    printer.line(f"agent {agent_id}", "bold magenta")
