"""``agent-sessions ls``: what an operator sees of the sessions of a store."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from agent_sessions.lease import SessionLease
from agent_sessions.owner import owner_prefix
from agent_sessions_cli.listing import PAGE
from tests.cli.conftest import ROOT, Terminal
from tests.concurrency.killing import EVERYTHING
from tests.doubles.s3_server import S3Server


def test_each_session_is_a_line_with_its_agents_and_messages_and_nothing_is_written(terminal: Terminal) -> None:
    terminal.talk("ada", "One.", "Two.")
    terminal.talk("bob", "One.", agent_id="first")
    terminal.talk("bob", "One.", agent_id="second")
    before = terminal.stored()

    seen = terminal.run("ls")

    assert seen.exit_code == 0, seen.output
    head, *lines = [line.split() for line in seen.output.splitlines()]
    assert head[:3] == ["ID", "AGENTS", "MESSAGES"]
    assert [line[:3] for line in lines] == [["ada", "1", "4"], ["bob", "2", "4"]]
    assert all(line[3].startswith("20") and line[5:] == ["-", "-", "Question", "0"] for line in lines)
    assert terminal.stored() == before


def test_json_is_an_object_a_line_and_the_limit_holds(terminal: Terminal) -> None:
    for name in ("ada", "bob", "eve"):
        terminal.talk(name, "One.")

    seen = terminal.run("ls", "--json", "--limit", "2")

    rows = [json.loads(line) for line in seen.output.splitlines()]
    assert [row["session_id"] for row in rows] == ["ada", "bob"]
    assert rows[0]["agents"] == [{"agent_id": "default", "message_count": 2}]
    assert datetime.fromisoformat(rows[0]["last_used_at"]) > datetime.now(UTC) - timedelta(minutes=5)
    assert (rows[0]["is_leased"], rows[0]["expires_at"], rows[0]["problem"]) == (False, None, None)


def test_more_sessions_than_a_page_are_listed_once_each_in_order(on_folder: Terminal) -> None:
    names = [f"s{number:03}" for number in range(2 * PAGE + 3)]
    for name in names:
        on_folder.store.session_manager(name)

    seen = on_folder.run("ls")

    assert [line.split()[0] for line in seen.output.splitlines()] == ["ID", *names]


def test_an_empty_store_prints_nothing(terminal: Terminal) -> None:
    seen = terminal.run("ls")

    assert (seen.exit_code, seen.output) == (0, "")


def test_who_holds_the_lease_is_shown_while_it_is_held(terminal: Terminal) -> None:
    terminal.talk("ada", "One.")

    with SessionLease(terminal.store, "ada", holder="nightly report"):
        held = terminal.run("ls")
    free = terminal.run("ls")

    assert held.output.splitlines()[1].endswith("nightly report  Question 0")
    assert free.output.splitlines()[1].split()[-3:] == ["-", "Question", "0"]


def test_with_a_lifetime_the_expired_are_left_out_and_the_others_say_when(
    on_bucket: Terminal, bucket_server: S3Server
) -> None:
    on_bucket.talk("old", "One.")
    bucket_server.clock.advance(8 * 86_400)
    on_bucket.talk("young", "One.")

    rows = [json.loads(line) for line in on_bucket.run("ls", "--json", "--ttl-days", "7").output.splitlines()]

    assert [row["session_id"] for row in rows] == ["young"]
    lasts = datetime.fromisoformat(rows[0]["expires_at"]) - datetime.fromisoformat(rows[0]["last_used_at"])
    assert lasts == timedelta(days=7)
    assert len(on_bucket.run("ls").output.splitlines()) == 3


def test_a_damaged_session_is_named_and_hides_no_other(on_bucket: Terminal, bucket_server: S3Server) -> None:
    for name in ("ada", "bob", "eve"):
        on_bucket.talk(name, "One.")
    bucket_server.client().put_object(Bucket="sessions", Key="chat/session_bob/session.json", Body=b"{")

    seen = on_bucket.run("ls")

    assert seen.exit_code == 6
    assert [line.split()[0] for line in seen.stdout.splitlines()] == ["ID", "ada", "bob", "eve"]
    assert "damaged" in seen.stdout.splitlines()[2]
    assert len(seen.stderr.splitlines()) == 1


def test_an_owners_sessions_are_found_by_name_and_by_prefix(terminal: Terminal) -> None:
    prefix = owner_prefix("111122223333", "AROAEXAMPLE")
    terminal.store.for_owner(prefix).session_manager("theirs")
    terminal.store.session_manager("nobodys")

    by_name = terminal.run("ls", "--issuer", "111122223333", "--owner", "AROAEXAMPLE")
    by_prefix = terminal.run("ls", "--owner", prefix)

    assert [line.split()[0] for line in by_name.output.splitlines()] == ["ID", "theirs"]
    assert by_prefix.output == by_name.output


def test_everybodys_sessions_are_listed_with_their_owners(terminal: Terminal) -> None:
    caller = owner_prefix("111122223333", "AROAEXAMPLE")
    spoken_for = f"{caller}/{owner_prefix('ada', 'x')}"
    terminal.store.session_manager("nobodys")
    terminal.store.for_owner(caller).session_manager("theirs")
    terminal.store.for_owner(spoken_for).session_manager("deeper")

    rows = [json.loads(line) for line in terminal.run("ls", "--owner", "*", "--json").output.splitlines()]
    table = terminal.run("ls", "--owner", "*", "--limit", "2").output.splitlines()

    assert [(row["owner"], row["session_id"]) for row in rows] == [
        (None, "nobodys"),
        (caller, "theirs"),
        (spoken_for, "deeper"),
    ]
    assert [line.split()[:2] for line in table] == [["OWNER", "ID"], ["-", "nobodys"], [caller, "theirs"]]


def test_only_listing_is_for_every_owner(terminal: Terminal) -> None:
    refused = terminal.run("show", "ada", "--owner", "*")
    with_issuer = terminal.run("ls", "--owner", "*", "--issuer", "local")

    assert (refused.exit_code, with_issuer.exit_code) == (2, 2)
    assert "--owner '*' is for ls, cp and doctor" in refused.stderr
    assert "Leave --issuer out" in with_issuer.stderr


def test_the_expired_are_listed_instead_with_their_end_and_the_limit_counts_them(
    on_bucket: Terminal, bucket_server: S3Server
) -> None:
    for name in ("a-old", "c-old", "d-old"):
        on_bucket.talk(name, "One.")
    bucket_server.clock.advance(8 * 86_400)
    on_bucket.talk("b-young", "One.")

    seen = on_bucket.run("ls", "--expired", "--ttl-days", "7", "--json", "--limit", "2")
    refused = on_bucket.run("ls", "--expired")

    rows = [json.loads(line) for line in seen.output.splitlines()]
    assert [row["session_id"] for row in rows] == ["a-old", "c-old"]
    lasted = datetime.fromisoformat(rows[0]["expires_at"]) - datetime.fromisoformat(rows[0]["last_used_at"])
    assert lasted == timedelta(days=7)
    assert (refused.exit_code, "--ttl-days" in refused.stderr) == (2, True)


def test_the_bytes_of_a_session_are_counted_when_they_are_asked_for(terminal: Terminal) -> None:
    terminal.talk("ada", "One.")
    expected = sum(len(body) for key, body in terminal.stored().items() if "session_ada/" in key)

    row = json.loads(terminal.run("ls", "--size", "--json").output)
    table = terminal.run("ls", "--size").output.splitlines()

    assert row["stored_bytes"] == expected
    assert table[0].split()[-1] == "BYTES"
    assert table[1].split()[-1] == f"{expected:,}"


def test_the_memory_does_not_grow_with_the_number_of_sessions(record_property: Callable[[str, object], None]) -> None:
    count = 100_000 if EVERYTHING else 6_000

    ran = subprocess.run(
        [sys.executable, "-m", "tests.cli.many_sessions", str(count)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("layer", "cli", "client", "."))},
        capture_output=True,
        check=False,
        text=True,
    )

    assert ran.returncode == 0, ran.stderr
    took = json.loads(ran.stdout)
    record_property("listing", f"{count} sessions: {took}")
    assert took["listed"] == count
    # Rows of so many sessions, had they been kept, take about 1 KB each.
    assert took["many_mb"] - took["few_mb"] < 2.5, took
