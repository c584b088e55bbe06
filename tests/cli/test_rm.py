"""``agent-sessions rm`` and ``expire --dry-run``: what ends, and what is said about it before."""

import json
from typing import Any

import pytest

from agent_sessions.lease import SessionLease
from agent_sessions.session_store import SessionStore
from tests.cli.conftest import Terminal
from tests.doubles.s3_server import Fault, S3Server

DAY = 86_400


def records(terminal: Terminal) -> set[str]:
    return {key for key in terminal.stored() if ".locks" not in key}


def test_it_says_what_the_session_is_and_erases_it_after_a_yes(terminal: Terminal) -> None:
    terminal.talk("user1", "One.", "Two.")
    terminal.talk("user10", "Other.")
    others = {key for key in records(terminal) if "session_user10/" in key}

    seen = terminal.run("rm", "user1", answer="y\n")

    assert seen.exit_code == 0, seen.output
    assert "4 messages of 1 agents" in seen.output
    assert "is erased" in seen.output
    assert records(terminal) == others


@pytest.mark.parametrize(("answer", "code"), [("n\n", 130), ("", 130)])
def test_without_a_yes_nothing_is_erased(answer: str, code: int, terminal: Terminal) -> None:
    terminal.talk("ada", "One.")
    before = terminal.stored()

    seen = terminal.run("rm", "ada", answer=answer)

    assert seen.exit_code == code
    assert terminal.stored() == before


def test_a_script_says_yes_and_gets_json(terminal: Terminal) -> None:
    terminal.talk("ada", "One.")

    refused = terminal.run("rm", "ada", "--json")
    seen = terminal.run("rm", "ada", "--json", "--yes")

    assert refused.exit_code == 2
    told = json.loads(seen.output)
    assert (told["session_id"], told["erased"] >= 4) == ("ada", True)
    assert records(terminal) == set()


def test_what_is_not_there_is_said(terminal: Terminal) -> None:
    seen = terminal.run("rm", "nobody", "--yes")

    assert (seen.exit_code, seen.stdout) == (3, "")
    assert records(terminal) == set()


def test_a_session_in_use_is_not_erased(terminal: Terminal) -> None:
    terminal.talk("ada", "One.")

    with SessionLease(terminal.store, "ada", holder="nightly report"):
        seen = terminal.run("rm", "ada", "--yes")

    assert seen.exit_code == 5
    assert "nightly report" in seen.stderr
    assert "One." in terminal.run("show", "ada").output


def test_a_damaged_session_can_be_erased(on_bucket: Terminal, bucket_server: S3Server) -> None:
    on_bucket.talk("ada", "One.")
    bucket_server.client().put_object(Bucket="sessions", Key="chat/session_ada/session.json", Body=b"{")

    seen = on_bucket.run("rm", "ada", answer="y\n")

    assert seen.exit_code == 0, seen.output
    assert "it is damaged" in seen.output
    assert records(on_bucket) == set()


def test_an_erasure_that_is_not_whole_says_what_is_left_and_why_and_goes_on_when_it_is_run_again(
    on_bucket: Terminal, bucket_server: S3Server
) -> None:
    on_bucket.talk("ada", "One.")
    bucket_server.faults.add(Fault("key_error", key="*message_1.json", code="AccessDenied"))

    seen = on_bucket.run("rm", "ada", "--yes")

    assert seen.exit_code == 8
    assert len(seen.stderr.splitlines()) == 1
    assert "message_1.json" in seen.stderr
    assert "AccessDenied" in seen.stderr
    assert on_bucket.run("show", "ada").exit_code == 3

    bucket_server.faults.clear()
    assert on_bucket.run("rm", "ada", "--yes").exit_code == 0
    assert records(on_bucket) == set()


def test_a_storage_that_refuses_the_mark_leaves_the_session_as_it_is(
    on_bucket: Terminal, bucket_server: S3Server
) -> None:
    on_bucket.talk("ada", "One.")
    fault = Fault("error", verb="PUT", key="*session.json", times=None, code="AccessDenied")
    bucket_server.faults.add(fault)

    seen = on_bucket.run("rm", "ada", "--yes")

    bucket_server.faults.clear()
    assert seen.exit_code == 7
    assert "Nothing is deleted" in seen.stderr
    assert "One." in on_bucket.run("show", "ada").output


def test_ctrl_c_during_an_erasure_leaves_the_session_closed(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.talk("ada", "One.")
    objects = type(terminal.store.objects)

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(objects, "sweep", interrupted)
        seen = terminal.run("rm", "ada", "--yes")

    assert seen.exit_code == 130
    assert "nobody reads what is left" in seen.stderr
    assert terminal.run("show", "ada").exit_code == 3
    assert terminal.run("rm", "ada", "--yes").exit_code == 0
    assert records(terminal) == set()


def test_the_expired_are_named_and_nothing_is_deleted(on_bucket: Terminal, bucket_server: S3Server) -> None:
    on_bucket.talk("first", "One.")
    bucket_server.clock.advance(5 * DAY)
    on_bucket.talk("second", "One.")
    bucket_server.clock.advance(5 * DAY)
    on_bucket.talk("third", "One.")
    before = on_bucket.stored()

    def expired(days: str) -> list[dict[str, str]]:
        seen = on_bucket.run("expire", "--dry-run", "--json", "--ttl-days", days)
        assert seen.exit_code == 0, seen.output
        return [json.loads(line) for line in seen.output.splitlines()]

    assert [[row["session_id"] for row in expired(days)] for days in ("11", "7", "4")] == [
        [],
        ["first"],
        ["first", "second"],
    ]
    read = on_bucket.run("expire", "--dry-run", "--ttl-days", "7").output.splitlines()
    assert read[0].startswith("first  used 20")
    assert read[-1] == "1 of 3 sessions have expired with a lifetime of 7 days"
    assert on_bucket.stored() == before


@pytest.mark.parametrize("words", [["--ttl-days", "7"], ["--dry-run"], ["--dry-run", "--ttl-days", "0"]])
def test_expire_needs_a_lifetime_and_deletes_nothing_by_itself(words: list[str], on_folder: Terminal) -> None:
    on_folder.talk("ada", "One.")
    before = on_folder.stored()

    seen = on_folder.run("expire", *words)

    assert seen.exit_code == 2
    assert on_folder.stored() == before


def test_expire_finds_a_session_that_ends_while_it_is_looked_at_neither_way(
    on_folder: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_folder.talk("ada", "One.")
    describe = SessionStore.describe

    def ended(self: SessionStore, session_id: str, **options: Any) -> Any:
        on_folder.store.delete_session(session_id)
        return describe(self, session_id, **options)

    monkeypatch.setattr(SessionStore, "describe", ended)

    seen = on_folder.run("expire", "--dry-run", "--ttl-days", "7")

    assert (seen.exit_code, seen.output) == (0, "0 of 0 sessions have expired with a lifetime of 7 days\n")
