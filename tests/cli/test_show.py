"""``agent-sessions show``: a session as a person reads it, and as it is stored."""

import json

from strands import Agent, tool

from agent_sessions.object_store import Absent
from agent_sessions.turn_request import TurnRequest
from tests.cli.conftest import Terminal
from tests.contract.damaged_records import Orchestra
from tests.doubles.scripted_model import ScriptedModel, reasoning, tool_use


@tool
def clock(zone: str) -> str:
    """Tell the time.

    Args:
        zone: Where.
    """
    return f"noon in {zone}"


def test_a_conversation_is_shown_with_who_said_what_and_what_tools_did(terminal: Terminal) -> None:
    terminal.talk("ada", [reasoning("A clock helps."), tool_use("clock", zone="Rome")], "It is noon.", tools=[clock])
    before = terminal.stored()

    seen = terminal.run("show", "ada")

    assert seen.exit_code == 0, seen.output
    lines = seen.output.splitlines()
    assert lines[0] == "session ada"
    assert [line.split()[0] for line in lines if "#" in line] == ["user", "assistant", "user", "assistant"]
    wanted = ["Question 0", "thinks: A clock helps.", 'calls clock {"zone": "Rome"}', "noon in Rome", "It is noon."]
    places = [next(number for number, line in enumerate(lines) if text in line) for text in wanted]
    assert places == sorted(places)
    assert terminal.stored() == before


def test_what_was_said_cannot_drive_the_terminal(terminal: Terminal) -> None:
    terminal.talk("ada", "\x1b]0;owned\x07 \x1b[2J\u202egnp.exe \u2713 done")

    seen = terminal.run("show", "ada")

    assert "\\x1b]0;owned\\x07 \\x1b[2J\\u202egnp.exe \u2713 done" in seen.output
    assert not set(seen.output) & set("\x1b\x07\u202e")


def test_every_agent_is_shown_unless_one_is_named(terminal: Terminal) -> None:
    terminal.talk("ada", "From the first.", agent_id="first")
    terminal.talk("ada", "From the second.", agent_id="second")

    everyone, one = terminal.run("show", "ada"), terminal.run("show", "ada", "--agent", "second")

    assert "From the first." in everyone.output
    assert "From the second." in everyone.output
    assert "From the first." not in one.output
    assert "From the second." in one.output


def test_a_conversation_of_several_pages_is_whole_and_in_order(terminal: Terminal) -> None:
    terminal.talk("ada", *[f"Reply {number}" for number in range(60)])

    seen = terminal.run("show", "ada", "--json")

    rows = [json.loads(line) for line in seen.output.splitlines()]
    assert [row["message_id"] for row in rows] == list(range(120))
    assert rows[-1]["content"] == [{"text": "Reply 59"}]
    assert (rows[-1]["role"], rows[-1]["agent_id"], rows[-1]["is_redacted"]) == ("assistant", "default", False)


def test_raw_shows_the_records_as_they_are_stored(terminal: Terminal) -> None:
    terminal.talk("ada", "One.")

    rows = [json.loads(line) for line in terminal.run("show", "ada", "--raw").output.splitlines()]

    for number, row in enumerate(rows):
        stored = terminal.store.objects.get(terminal.store.layout.message("ada", "default", number))
        assert stored is not None
        assert row == {"agent_id": "default", **json.loads(stored.body)}
    assert len(rows) == 2


def test_the_state_is_shown(terminal: Terminal) -> None:
    terminal.talk("ada", "One.", state={"city": "Rome"})

    row = json.loads(terminal.run("show", "ada", "--state", "--json").output)
    read = terminal.run("show", "ada", "--state")

    assert row["state"] == {"city": "Rome"}
    assert row["conversation_manager_state"]["__name__"] == "SlidingWindowConversationManager"
    assert '"city": "Rome"' in read.output


def test_the_state_of_orchestrators_is_shown_and_none_of_an_earlier_life(terminal: Terminal) -> None:
    terminal.store.session_manager("ada").initialize_multi_agent(Orchestra())
    late = json.dumps({"id": "late", "kit": {"incarnation": "an earlier life"}}).encode()
    terminal.store.objects.put(terminal.store.layout.multi_agent("ada", "late"), late, Absent())

    rows = [json.loads(line) for line in terminal.run("show", "ada", "--state", "--json").output.splitlines()]
    read = terminal.run("show", "ada", "--state")

    assert rows == [{"multi_agent_id": "o1", "state": Orchestra().serialize_state()}]
    assert "orchestrator o1" in read.output


def test_turns_are_shown_with_what_became_of_them(terminal: Terminal) -> None:
    manager = terminal.store.session_manager("ada")
    agent = Agent(
        model=ScriptedModel("One.", "Two."),
        session_manager=manager,
        agent_id="default",
        callback_handler=None,
    )
    for name, outcome in (("t1", {"reply": {}}), ("t2", {"refused": "model-error"})):
        manager.answer_request(agent, TurnRequest(name))
        agent("Go on")
        manager.conclude_turn(agent, outcome)
        manager.sync_agent(agent)

    rows = [json.loads(line) for line in terminal.run("show", "ada", "--turns", "--json").output.splitlines()]
    read = terminal.run("show", "ada", "--turns")

    assert [(row["turn_id"], row["first_id"], row["last_id"]) for row in rows] == [("t1", 0, 1), ("t2", 2, 3)]
    assert [row["became"] for row in rows] == ["answered", "refused: model-error"]
    assert "#2 to #3" in read.output


def test_what_is_not_there_is_said_in_one_line_with_a_code_of_its_own(terminal: Terminal) -> None:
    terminal.talk("ada", "One.")

    for words in (["show", "eve"], ["show", "ada", "--agent", "none"], ["show", "ada", "--agent", "none", "--state"]):
        seen = terminal.run(*words)
        assert (seen.exit_code, seen.stdout) == (3, ""), words
        assert len(seen.stderr.splitlines()) == 1
        assert "does not exist" in seen.stderr or "no agent" in seen.stderr

    told = json.loads(terminal.run("show", "eve", "--json").stderr)
    assert told["exit_code"] == 3


def test_a_damaged_message_is_named_by_its_key(terminal: Terminal) -> None:
    terminal.talk("ada", "One.")
    key = terminal.store.layout.message("ada", "default", 1)
    terminal.store.objects.delete([key])
    terminal.store.objects.put(key, b'{"message": ', Absent())

    seen = terminal.run("show", "ada")

    assert seen.exit_code == 6
    assert "message_1.json" in seen.stderr
