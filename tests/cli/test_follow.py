"""``agent-sessions show --follow``: what a running turn stores is shown as it is stored."""

import json
from collections.abc import Iterator

import pytest

from agent_sessions.lease import SessionLease
from agent_sessions_cli import following
from tests.cli.conftest import Terminal


def while_it_waits(monkeypatch: pytest.MonkeyPatch, steps: Iterator[None]) -> None:
    """Take a step each time the command waits."""
    monkeypatch.setattr(following, "pause", lambda _seconds: next(steps))


def test_messages_are_shown_as_they_are_stored_until_the_lease_is_free(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.talk("ada", "Before.")
    lease = SessionLease(terminal.store, "ada", holder="a turn", renew_seconds=None)
    lease.acquire()

    def turn() -> Iterator[None]:
        terminal.talk("ada", "Meanwhile.")
        yield
        terminal.talk("ada", "At its end.")
        lease.release()
        yield

    while_it_waits(monkeypatch, turn())
    seen = terminal.run("show", "ada", "--follow", "--json")

    assert seen.exit_code == 0, seen.output
    rows = [json.loads(line) for line in seen.output.splitlines()]
    assert [row["message_id"] for row in rows] == [0, 1, 2, 3, 4, 5]
    assert [row["content"][0]["text"] for row in rows[1::2]] == ["Before.", "Meanwhile.", "At its end."]


def test_an_agent_that_comes_with_the_turn_is_shown_and_named(
    on_folder: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_folder.talk("ada", "Before.", agent_id="first")
    lease = SessionLease(on_folder.store, "ada", holder="a turn", renew_seconds=None)
    lease.acquire()

    def turn() -> Iterator[None]:
        on_folder.talk("ada", "New here.", agent_id="second")
        lease.release()
        yield

    while_it_waits(monkeypatch, turn())
    lines = on_folder.run("show", "ada", "--follow").output.splitlines()

    assert lines.index("agent second") < lines.index("New here.")


def test_without_a_turn_it_ends_at_once_and_only_messages_can_be_followed(on_folder: Terminal) -> None:
    on_folder.talk("ada", "One.")

    assert on_folder.run("show", "ada", "--follow").output == on_folder.run("show", "ada").output
    refused = on_folder.run("show", "ada", "--follow", "--state")
    assert (refused.exit_code, "--follow shows messages" in refused.stderr) == (2, True)
