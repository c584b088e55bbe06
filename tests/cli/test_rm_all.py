"""``agent-sessions rm --all-of``: everything of an owner, with a receipt."""

import json
from dataclasses import replace
from typing import Any

import pytest

from agent_sessions._life.owner_erasure import OwnerErasure
from agent_sessions.exceptions import SessionStorageError
from agent_sessions.lease import SessionLease
from agent_sessions.owner import owner_prefix, part_prefix
from agent_sessions_cli import erasing_all
from tests.cli.conftest import Terminal
from tests.doubles.s3_server import Fault, S3Server

OWNER = owner_prefix("local", "ada")
NAMED = ("--all-of", "ada", "--issuer", "local")


def fill(terminal: Terminal, prefix: str = OWNER, *session_ids: str) -> None:
    owner = replace(terminal, store=terminal.store.for_owner(prefix))
    for session_id in session_ids or ("one", "two"):
        owner.talk(session_id, "Hi.")


def left(terminal: Terminal, prefix: str = OWNER) -> list[str]:
    """What is stored of an owner and of those below it."""
    return sorted(key for key in terminal.stored() if f"{prefix}/" in key and "/.locks/" not in key)


def test_it_says_what_there_is_asks_and_prints_the_receipt(terminal: Terminal) -> None:
    fill(terminal)
    fill(terminal, owner_prefix("local", "bob"))
    count = len(left(terminal))

    seen = terminal.run("rm", *NAMED, answer="y\n")

    assert seen.exit_code == 0, seen.output
    assert "2 sessions (one, two)" in seen.output
    assert "cannot be undone" in seen.output
    assert f"erased 2 sessions, {count} objects" in seen.output
    assert left(terminal) == [], "nor is the record of the numbers left"
    assert len(left(terminal, owner_prefix("local", "bob"))) == count


def test_without_a_yes_nothing_is_erased(terminal: Terminal) -> None:
    fill(terminal)
    before = left(terminal)

    seen = terminal.run("rm", *NAMED, answer="n\n")

    assert seen.exit_code == 130
    assert left(terminal) == before


def test_a_script_gets_the_receipt_as_json(on_bucket: Terminal) -> None:
    fill(on_bucket)
    count = len(left(on_bucket))

    seen = on_bucket.run("rm", "--all-of", OWNER, "--yes", "--json")

    receipt = json.loads(seen.output)
    assert (receipt["owner"], receipt["sessions"], receipt["objects"]) == (OWNER, 2, count)
    assert (receipt["complete"], receipt["left"], receipt["left_count"]) == (True, [], 0)


def test_people_that_the_owner_speaks_for_stay_unless_they_are_meant(on_folder: Terminal) -> None:
    person = part_prefix(OWNER, "eve")
    fill(on_folder)
    fill(on_folder, person)

    told = on_folder.run("rm", *NAMED, answer="y\n")
    assert "1 people that this owner speaks for, which stay" in told.output
    assert left(on_folder, person)

    seen = on_folder.run("rm", *NAMED, "--with-people", "--yes", "--json")
    assert [json.loads(line)["sessions"] for line in seen.output.splitlines()] == [0, 2]
    assert left(on_folder) == []


def test_what_is_left_is_named_and_the_same_command_goes_on(on_bucket: Terminal, bucket_server: S3Server) -> None:
    fill(on_bucket)
    count = len(left(on_bucket))
    bucket_server.faults.add(Fault("key_error", key="*session_one*message_1.json", times=None, code="AccessDenied"))

    seen = on_bucket.run("rm", *NAMED, "--yes")
    bucket_server.faults.clear()
    again = on_bucket.run("rm", *NAMED, "--yes", "--json")

    assert seen.exit_code == 8
    assert "message_1.json (AccessDenied)" in seen.stderr
    assert len(seen.stderr.splitlines()) == 1
    assert json.loads(again.output)["objects"] == count, "the receipt counts both"


def test_a_session_in_use_is_closed_and_named(terminal: Terminal) -> None:
    fill(terminal)

    with SessionLease(terminal.store.for_owner(OWNER), "one", holder="a turn"):
        seen = terminal.run("rm", *NAMED, "--yes")

    assert seen.exit_code == 8
    assert "session_one/lease.json (InUse)" in seen.stderr
    assert terminal.store.for_owner(OWNER).sessions().session_ids == ()
    assert terminal.run("rm", *NAMED, "--yes").exit_code == 0


def test_ctrl_c_says_how_to_go_on(on_folder: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(on_folder)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(OwnerErasure, "run", interrupted)
    seen = on_folder.run("rm", *NAMED, "--yes")

    assert seen.exit_code == 130
    assert "again to go on" in seen.stderr


@pytest.mark.parametrize("failure", [KeyboardInterrupt, SessionStorageError("no answer")])
def test_the_receipts_before_a_failure_are_printed_and_one_is_kept_until_it_was(
    failure: Any, on_folder: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(on_folder)
    fill(on_folder, part_prefix(OWNER, "eve"))
    run, ran = OwnerErasure.run, []

    def fails_at_the_end_of_the_second(self: OwnerErasure, **options: Any) -> Any:
        ran.append(run(self, **options))
        if len(ran) == 2:
            raise failure
        return ran[-1]

    monkeypatch.setattr(OwnerErasure, "run", fails_at_the_end_of_the_second)
    seen = on_folder.run("rm", *NAMED, "--with-people", "--yes", "--json")
    again = on_folder.run("rm", *NAMED, "--with-people", "--yes", "--json")

    assert seen.exit_code in {7, 130}
    assert [json.loads(line)["sessions"] for line in seen.stdout.splitlines()] == [2]
    assert [json.loads(line)["sessions"] for line in again.stdout.splitlines()] == [0, 2]
    assert left(on_folder) == []


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("one", *NAMED),
        ("one", "--with-people"),
        ("--all-of", "ada"),
        ("--all-of", "*"),
        (*NAMED, "--owner", "bob"),
        (*NAMED, "--json"),
    ],
)
def test_what_is_not_clear_erases_nothing(words: tuple[str, ...], on_folder: Terminal) -> None:
    fill(on_folder)
    before = left(on_folder)

    seen = on_folder.run("rm", *words)

    assert seen.exit_code == 2
    assert left(on_folder) == before


def test_many_sessions_are_counted_and_some_named(on_folder: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing_all, "_COUNTED", 6)
    fill(on_folder, OWNER, *(f"s{number}" for number in range(7)))

    seen = on_folder.run("rm", *NAMED, answer="n\n")

    assert "more than 6 sessions (s0, s1, s2, s3, s4, …)" in seen.output
