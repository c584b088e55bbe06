"""``agent-sessions rename``: give a session a title."""

from __future__ import annotations

import click

from agent_sessions_cli.output import Printer, print_json
from agent_sessions_cli.place import Place, works_in_place


@click.command()
@click.argument("session_id", metavar="ID")
@click.argument("title", metavar="[TITLE]", required=False)
@click.option("--clear", is_flag=True, help="Take a given title back: the first prompt's first words are shown again.")
@works_in_place
def rename(place: Place, session_id: str, title: str | None, *, clear: bool) -> None:
    """Give a session a title: 1 to 200 characters.

    Without a title a session is called by the first words of its first prompt. Renaming is no use: it extends nothing,
    and a turn that runs meanwhile goes on. Turns, forks, exports and copies keep a given title.
    """
    if (title is None) != clear:
        raise click.UsageError("Give either a title or --clear.")
    try:
        shown = place.open().rename(session_id, title)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    if place.as_json:
        print_json({"session_id": session_id, "title": shown})
    else:
        Printer().line(f"session {session_id}: {shown or 'no title, and no words yet'}")
