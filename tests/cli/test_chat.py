"""``agent-sessions chat``: somebody at a terminal talks to a real server."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from strands import Agent, ToolContext, tool

from agent_sessions_cli import chatting
from agent_sessions_cli.chatting import _Chat, auth_of
from agent_sessions_cli.commands import agent_sessions
from agent_sessions_cli.failures import TerminalError
from agent_sessions_cli.prompts import prompt_of
from agent_sessions_client import BearerAuth, SigV4Auth
from tests.cli.conftest import ROOT
from tests.doubles.scripted_model import Pause, tool_use
from tests.endpoint.conftest import _fresh_processes  # noqa: F401 - a fixture of every test here
from tests.streams.conftest import Serve, serve  # noqa: F401 - a fixture
from tests.streams.served import Served


def talk(served: Served, lines: str, *words: str) -> Result:
    return CliRunner().invoke(agent_sessions, ["chat", served.url, *words], input=lines, prog_name="agent-sessions")


def test_lines_are_answered_and_the_session_goes_on_later(serve: Serve) -> None:  # noqa: F811 - a fixture
    served = serve("Hello, Ada.", "Again.", "Later.")

    seen = talk(served, "I am Ada\nAnd now?\n")

    assert seen.exit_code == 0, seen.output
    assert re.findall("Hello, Ada.|Again.", seen.output) == ["Hello, Ada.", "Again."]
    found = re.search(r"--session (\S+) goes on", seen.output)
    assert found is not None
    later = talk(served, "Still there?\n", "--session", found[1], "--json")
    # The endpoint runs in this process, and its log may land among the lines.
    events = [row for row in map(json.loads, later.stdout.splitlines()) if "event" in row]
    assert events[-1]["event"] == "Reply"
    assert events[-1]["message"]["content"] == [{"text": "Later."}]
    assert len(served.said(found[1])) == 6


def test_a_new_session_begins_when_it_is_asked_for(serve: Serve) -> None:  # noqa: F811
    served = serve("One.", "Two.")

    seen = talk(served, "Hi\n/new\nHi\n/help\n", "--session", "first")

    assert "@path sends a file" in seen.output
    assert served.said("first") == ["user: Hi", "assistant: One."]
    assert len(served.request("GET", "/sessions").json()["session_ids"]) == 2


def test_fork_goes_back_to_a_message_and_both_branches_stay(serve: Serve) -> None:  # noqa: F811
    served = serve("One.", "Two.", "Another.", "Later.")

    seen = talk(served, "/fork\nFirst\nSecond\n/fork\n2\nOtherwise\n", "--session", "chat")

    assert seen.exit_code == 0, seen.output
    assert "     0  First" in seen.output
    assert "     2  Second" in seen.output
    found = re.search(r"session (\S+): it goes on before 'Second'", seen.output)
    assert found is not None, seen.output
    assert served.said("chat") == ["user: First", "assistant: One.", "user: Second", "assistant: Two."]
    assert served.said(found[1]) == ["user: First", "assistant: One.", "user: Otherwise", "assistant: Another."]

    as_json = talk(served, "/fork\n0\nAnew\n", "--session", "chat", "--json")
    events = [row for row in map(json.loads, as_json.stdout.splitlines()) if "event" in row]
    forked = next(row for row in events if row["event"] == "Forked")
    assert (forked["forked_from"], forked["message_count"]) == ("chat", 0)
    assert served.said(forked["session_id"]) == ["user: Anew", "assistant: Later."]


@pytest.mark.parametrize("line", ["", "1", "7", "second"])
def test_fork_without_the_number_of_a_message_goes_on_where_it_is(serve: Serve, line: str) -> None:  # noqa: F811
    served = serve("One.", "Two.")

    seen = talk(served, f"First\n/fork\n{line}\nSecond\n", "--session", "chat")

    assert seen.exit_code == 0, seen.output
    assert ("is the number of none of your messages" in seen.output) == bool(line)
    assert served.said("chat") == ["user: First", "assistant: One.", "user: Second", "assistant: Two."]
    assert served.request("GET", "/sessions").json()["session_ids"] == ["chat"]


def test_a_file_is_sent_along(serve: Serve, tmp_path: Path) -> None:  # noqa: F811
    served = serve("A dot.")
    (tmp_path / "dot.png").write_bytes(b"\x89PNG\r\n\x1a\n")

    seen = talk(served, f"What is @{tmp_path}/dot.png here\n", "--session", "chat")

    assert "A dot." in seen.output, seen.output
    stored = served.request("GET", "/sessions/chat/messages").json()["messages"][0]["message"]["content"]
    assert stored[1]["image"]["format"] == "png"


def test_what_cannot_be_sent_is_said_and_nothing_is(serve: Serve, tmp_path: Path) -> None:  # noqa: F811
    served = serve("Never.")
    (tmp_path / "tool.exe").touch()

    for name, said in (("none.png", "No such file"), ("tool.exe", "is none of")):
        seen = talk(served, f"See @{tmp_path}/{name}\n")
        assert (seen.exit_code, said in seen.stderr) == (2, True), seen.output
    assert served.request("GET", "/sessions").json()["session_ids"] == []
    assert prompt_of("mail ada@example.org") == "mail ada@example.org"


def asking(session_manager: Any, settings: Any) -> Agent:
    """An agent that asks before it deletes."""
    from lambda_src.models.providers import build_model

    @tool(context=True)
    def delete_file(name: str, tool_context: ToolContext) -> str:
        """Delete a file."""
        return f"said {tool_context.interrupt('delete', reason={'file': name})}"

    return Agent(
        agent_id=settings.agent_id,
        model=build_model(settings),
        tools=[delete_file],
        session_manager=session_manager,
        callback_handler=None,
        retry_strategy=None,
    )


def test_what_the_agent_asks_is_a_question_and_the_next_line_its_answer(serve: Serve) -> None:  # noqa: F811
    served = serve([tool_use("delete_file", name="notes")], "Gone.", build_agent=asking)

    seen = talk(served, "Delete my notes\nyes\n", "--session", "chat")

    assert seen.exit_code == 0, seen.output
    assert 'The agent asks: delete {"file": "notes"}' in seen.output
    assert "Gone." in seen.output
    assert "said yes" in json.dumps(served.request("GET", "/sessions/chat/messages").json())


def test_a_question_that_was_left_open_is_asked_again(serve: Serve) -> None:  # noqa: F811
    served = serve([tool_use("delete_file", name="notes")], "Gone.", build_agent=asking)

    left = talk(served, "Delete my notes\n", "--session", "chat")
    back = talk(served, "Hello?\nyes\n", "--session", "chat")

    assert (left.exit_code, "--session chat gives it" in left.stderr) == (130, True)
    assert "the agent waits for an answer first" in back.output
    assert "Gone." in back.output


class OnTerminal:
    """The command with a terminal of its own."""

    def __init__(self, served: Served, *words: str) -> None:
        self._ours, theirs = pty.openpty()
        path = os.pathsep.join(str(ROOT / name) for name in ("layer", "client", "cli"))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agent_sessions_cli", "chat", served.url, *words],
            env={**os.environ, "PYTHONPATH": path, "TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self.shown = b""

    def type(self, text: bytes) -> None:
        os.write(self._ours, text)

    def until(self, text: bytes) -> None:
        """Read until a text is shown."""
        ends = time.monotonic() + 60
        while text not in self.shown:
            readable, _, _ = select.select([self._ours], [], [], max(0, ends - time.monotonic()))
            assert readable, self.shown
            self.shown += os.read(self._ours, 65_536)

    def leave(self) -> None:
        self.type(b"\x04")
        self.until(b"goes on with it")
        assert self.process.wait(60) == 0

    def close(self) -> None:
        self.process.kill()
        self.process.wait(60)
        os.close(self._ours)


def test_stop_ends_an_answer_on_a_terminal_and_it_is_kept(serve: Serve) -> None:  # noqa: F811
    served = serve(["One two ", Pause(30), "three."], "Hello again.")
    with closing(OnTerminal(served, "--session", "chat")) as terminal:
        terminal.until(b"> ")
        terminal.type(b"Count\n")
        terminal.until(b"One two")
        terminal.type(b"/stop\n")
        terminal.until(b"(cancelled)")
        terminal.type(b"Hello\n")
        terminal.until(b"Hello again.")
        terminal.leave()
    assert served.said()[1].startswith("assistant: One two")


def test_stop_at_an_idle_prompt_does_not_stop_the_next_answer(serve: Serve) -> None:  # noqa: F811
    served = serve(["One two ", Pause(0.5), "three."])
    with closing(OnTerminal(served, "--session", "chat")) as terminal:
        terminal.until(b"> ")
        terminal.type(b"/stop\n")
        terminal.type(b"Count\n")
        terminal.until(b"three.")
        terminal.leave()
    assert b"nothing to stop" in terminal.shown
    assert served.said() == ["user: Count", "assistant: One two three."]


def test_what_was_typed_before_a_question_is_no_answer_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    chat: Any = _Chat(None, SimpleNamespace(as_json=False), "chat", None)  # type: ignore[arg-type] # asks nobody
    chat._is_terminal = True
    for line in ("and the others", "/new", None):
        chat._lines.put(line)

    with pytest.raises(TerminalError, match="waits for an answer"):
        chat._ask({"name": "delete", "interrupt_id": "i"})

    assert "typed before the question: and the others" in capsys.readouterr().out


def test_a_stop_is_never_an_answer(serve: Serve) -> None:  # noqa: F811
    served = serve([tool_use("delete_file", name="notes")], "Gone.", build_agent=asking)

    seen = talk(served, "Delete my notes\n/stop\n", "--session", "chat")

    assert "Gone." not in seen.output
    assert "said /stop" not in json.dumps(served.request("GET", "/sessions/chat/messages").json())


def test_a_name_with_an_at_sign_is_text_unless_it_is_a_file(
    serve: Serve,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").touch()
    served = serve("I will.")

    seen = talk(served, "Ask @alice, @types/node and @~nobody-here\n", "--session", "chat")

    assert seen.exit_code == 0, seen.output
    assert "@types/node is no file here" in seen.output
    assert served.said()[0] == "user: Ask @alice, @types/node and @~nobody-here"
    for named in ("@notes", "@none.png", "@./alice"):
        with pytest.raises(click.UsageError):
            prompt_of(f"See {named}")


def test_a_token_is_read_from_the_standard_input(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    served = serve("Hello.")
    tokens: list[str | None] = []

    def noted(profile: str | None, region: str | None, token: str | None, *, sign: bool) -> None:
        tokens.append(token)

    monkeypatch.setattr(chatting, "auth_of", noted)

    seen = talk(served, "secret\nHi\n", "--token", "-", "--session", "chat")
    empty = talk(served, "", "--token", "-")

    assert (tokens, served.said()[0]) == (["secret"], "user: Hi"), seen.output
    assert (empty.exit_code, "which is empty" in empty.stderr) == (2, True)


def test_a_refusing_or_missing_endpoint_is_one_line(serve: Serve) -> None:  # noqa: F811
    served = serve("Never.")

    refused = talk(served, "Hi\n", "--agent", "no/body", "--session", "chat")

    assert refused.exit_code == 9
    assert len(refused.stderr.splitlines()) == 1
    both = CliRunner().invoke(agent_sessions, ["chat", served.url, "--sign", "--token", "t"])
    assert (both.exit_code, "exclude each other" in both.stderr) == (2, True)


def test_a_caller_is_signed_or_has_a_token_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")

    assert isinstance(auth_of(None, None, None, sign=True), SigV4Auth)
    assert isinstance(auth_of(None, None, "t", sign=False), BearerAuth)
    assert auth_of(None, None, None, sign=False) is None
