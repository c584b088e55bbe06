"""``agent-sessions rename``, ``fork`` and the titles that ``ls`` and ``show`` tell."""

import json

from strands import Agent

from tests.cli.conftest import Terminal
from tests.doubles.scripted_model import ScriptedModel


def talk(terminal: Terminal, session_id: str, *prompts: str, agent_id: str = "default") -> None:
    """Take turns as an endpoint does."""
    manager = terminal.store.session_manager(session_id, recent=True)
    model = ScriptedModel(*("Answer." for _ in prompts))
    agent = Agent(model=model, session_manager=manager, agent_id=agent_id, callback_handler=None)
    for prompt in prompts:
        agent(prompt)


def test_a_session_is_renamed_and_its_title_can_be_taken_back(terminal: Terminal) -> None:
    talk(terminal, "ada", "What is the capital of Peru?")

    renamed = terminal.run("rename", "ada", " Capitals ")

    assert (renamed.exit_code, renamed.output) == (0, "session ada: Capitals\n")
    assert "“Capitals”" in terminal.run("show", "ada").output
    assert json.loads(terminal.run("ls", "--json").output)["title"] == "Capitals"
    cleared = terminal.run("rename", "ada", "--clear", "--json")
    assert json.loads(cleared.output) == {"session_id": "ada", "title": "What is the capital of Peru?"}


def test_what_is_no_title_or_no_session_is_refused_in_one_line(terminal: Terminal) -> None:
    talk(terminal, "ada", "Hello")

    for words, code in (
        (("rename", "ada"), 2),
        (("rename", "ada", "x", "--clear"), 2),
        (("rename", "ada", "x" * 201), 2),
        (("rename", "eve", "x"), 3),
    ):
        seen = terminal.run(*words)
        assert seen.exit_code == code, seen.output
    assert json.loads(terminal.run("ls", "--json").output)["title"] == "Hello"


def test_recent_lists_those_used_last_and_only_those_that_are_kept(terminal: Terminal) -> None:
    terminal.talk("elsewhere", "One.")
    for name in ("ada", "bob"):
        talk(terminal, name, f"I am {name}")

    seen = terminal.run("ls", "--recent", "--json")
    rows = [json.loads(line) for line in seen.output.splitlines()]

    assert sorted((row["session_id"], row["title"]) for row in rows) == [("ada", "I am ada"), ("bob", "I am bob")]
    assert "I am ada" in terminal.run("ls", "--recent", "--limit", "2").output
    assert terminal.run("ls", "--recent", "--expired", "--ttl-days", "1").exit_code == 2


def test_a_fork_begins_before_a_message_and_says_where_it_came_from(terminal: Terminal) -> None:
    talk(terminal, "ada", "First", "Second")

    forked = terminal.run("fork", "ada", "--before-message", "2", "--to", "eve")

    assert (forked.exit_code, forked.output) == (0, "session eve: 2 messages of ada, agent default\n")
    shown = terminal.run("show", "eve").output
    assert "forked from ada before message 2" in shown
    assert ("First" in shown, "Second" in shown) == (True, False)
    unnamed = json.loads(terminal.run("fork", "ada", "--before-message", "0", "--json").output)
    assert (unnamed["forked_from"], unnamed["message_count"], len(unnamed["session_id"])) == ("ada", 0, 32)
    assert "request" not in unnamed


def test_what_cannot_be_forked_says_why(terminal: Terminal) -> None:
    talk(terminal, "ada", "First")

    for words, code, why in (
        (("fork", "ada"), 2, "Give either --before-turn or --before-message."),
        (("fork", "ada", "--before-message", "1"), 2, "begins no turn"),
        (("fork", "ada", "--before-message", "9"), 3, "message_id=9 | does not exist"),
        (("fork", "ada", "--before-turn", "none"), 3, "no such turn"),
        (("fork", "ada", "--before-message", "0", "--to", "ada"), 4, "Session ada already exists"),
        (("fork", "eve", "--before-message", "0"), 3, "session_id=eve | does not exist"),
        (("fork", "ada", "--before-message", "0", "--to", "a/b"), 2, "session_id='a/b' | id cannot contain"),
        (("fork", "ada", "--before-message", "0", "--agent", "a/b"), 2, "agent_id='a/b' | id cannot contain"),
    ):
        seen = terminal.run(*words)
        assert seen.exit_code == code, f"{words}: {seen.output}"
        assert why in seen.output, f"{words}: {seen.output}"

    talk(terminal, "ada", "Hello", agent_id="b2")
    unnamed = terminal.run("fork", "ada", "--before-message", "0")
    assert (unnamed.exit_code, "2 agents, name one: --agent names it." in unnamed.output) == (2, True)


def test_copies_and_exports_keep_titles(terminal: Terminal, tmp_path: object) -> None:
    talk(terminal, "ada", "Hello")
    terminal.run("rename", "ada", "Mine")
    copy = f"file://{tmp_path}/copy"

    done = terminal.call("cp", terminal.url, copy, *terminal.options)

    assert done.exit_code == 0, done.output
    rows = terminal.call("ls", "--recent", "--json", "--store", copy).output.splitlines()
    assert [json.loads(row)["title"] for row in rows] == ["Mine"]
