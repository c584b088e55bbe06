"""``agent-sessions fork``: a new session that begins as another one was before a turn."""

from __future__ import annotations

import click

from agent_sessions.exceptions import InvalidIdentifierError, SessionNotFoundError
from agent_sessions_cli.output import Printer, print_json
from agent_sessions_cli.place import Place, works_in_place


@click.command()
@click.argument("session_id", metavar="ID")
@click.option("--before-turn", metavar="TURN", help="The turn before which it begins, as `show --turns` names it.")
@click.option(
    "--before-message",
    metavar="NUMBER",
    type=click.IntRange(min=0),
    help="The same by the number of the turn's first message, as `show` tells it.",
)
@click.option("--agent", "agent_id", metavar="ID", help="Whose turn. Needed when the session has several agents.")
@click.option("--to", "fork_id", metavar="ID", help="The new session's id. Not given: one that cannot be guessed.")
@works_in_place
def fork(
    place: Place,
    session_id: str,
    *,
    before_turn: str | None,
    before_message: int | None,
    agent_id: str | None,
    fork_id: str | None,
) -> None:
    """Begin a new session as this one was before a turn: its messages, and its agents' state of that moment.

    The session itself stays as it is. The turn goes by its id, of the last 32 of each agent, or by the number of its
    first message. The storage copies messages by itself where it can. If the command is stopped, nothing is found of
    the new session.
    """
    if (before_turn is None) == (before_message is None):
        raise click.UsageError("Give either --before-turn or --before-message.")
    store = place.open()
    if before_turn is not None:
        agent_id, before_message = _first_of(place, session_id, before_turn, agent_id)
    try:
        made = store.fork(session_id, agent_id, before_message=before_message or 0, fork_id=fork_id)
    except InvalidIdentifierError:
        raise  # it says which id it is
    except ValueError as error:
        raise click.UsageError(f"{str(error).rpartition(' | ')[2]}: --agent names it.") from None
    if place.as_json:
        print_json(made.to_kit())
        return
    printer = Printer()
    printer.line(f"session {made.session_id}: {made.message_count} messages of {session_id}, agent {made.agent_id}")
    if made.state == "unknown":
        printer.line("Nobody kept what its agents' state was at that moment: it is empty.", "yellow")


def _first_of(place: Place, session_id: str, turn_id: str, agent_id: str | None) -> tuple[str, int]:
    """Whose turn it is, and its first message."""
    found = place.open().turns(session_id).find(agent_id or "default", lambda turn: turn.turn_id == turn_id)
    if found is None or found.turn.first_id is None or agent_id not in {None, found.agent_id}:
        raise SessionNotFoundError(
            f"turn_id={turn_id} | the session has no such turn with messages, or has taken many since; "
            "--before-message names it by its first message",
            session_id=session_id,
        )
    return found.agent_id, found.turn.first_id
