"""``agent-sessions chat URL``: talk to an endpoint from a terminal."""

from __future__ import annotations

import json
import queue
import sys
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from agent_sessions_cli.failures import ExitCode, TerminalError
from agent_sessions_cli.output import Printer, print_json
from agent_sessions_cli.place import Place, works_without_store
from agent_sessions_cli.prompts import prompt_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from agent_sessions_client import Client, Reply, TurnStream

_HELP = "/stop ends the answer, /new begins a session, /help says this, Ctrl-D leaves. @path sends a file."


@click.command()
@click.argument("url", metavar="URL")
@click.option("--session", "session_id", metavar="ID", help="The session to go on with. Not given: a new one.")
@click.option("--agent", "agent_id", metavar="ID", help="Who answers. Not given: the endpoint's agent.")
@click.option("--sign", is_flag=True, help="Sign with AWS credentials, for an endpoint behind IAM.")
@click.option("--region", metavar="NAME", help="The function's region, if its URL does not say it.")
@click.option("--token", metavar="TOKEN", envvar="AGENT_SESSIONS_TOKEN", help="A token of the endpoint's issuer.")
@click.option("--speaking-for", metavar="NAME", help="Whose sessions, when a signed caller speaks for many people.")
@works_without_store
def chat(
    place: Place,
    url: str,
    session_id: str | None,
    *,
    agent_id: str | None,
    sign: bool,
    region: str | None,
    token: str | None,
    speaking_for: str | None,
) -> None:
    """Talk to an endpoint: each line is a prompt, the answer is shown as it is said.

    @path in a line sends that file along, an image or a document. What the agent asks is shown as a question; the next
    line is the answer. /stop or Ctrl-C ends an answer in good order, /new begins another session, /help says so,
    Ctrl-D leaves. The session's id is shown: --session goes on with it, here or in the page, and what was said is
    stored. Lines may come from a pipe. With --json each event is a line.

    Without --sign and --token nothing is sent that says who asks, as `make run` takes it.
    """
    if sign and token:
        raise click.UsageError("--sign and --token exclude each other: an endpoint takes one of them.")
    try:
        from agent_sessions_client import Client
    except ModuleNotFoundError as error:
        install = "pip install 'agent-session-kit[cli,client]'"
        raise TerminalError(f"{error.name} is not installed. Install it: {install}", ExitCode.UNEXPECTED) from None
    try:
        client = Client(url, auth_of(place.profile, region, token, sign=sign), session_owner=speaking_for)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    with client:
        _Chat(client, place, session_id, agent_id).run()


def auth_of(profile: str | None, region: str | None, token: str | None, *, sign: bool) -> httpx.Auth | None:
    """How requests say who asks."""
    from agent_sessions_client import BearerAuth, SigV4Auth

    if token:
        return BearerAuth(token)
    if not sign:
        return None
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        return SigV4Auth(boto3.Session(profile_name=profile), region)
    except (BotoCoreError, ValueError) as error:
        raise click.UsageError(f"{error}. Check --profile and the AWS_ variables.") from None


class _Chat:
    """One conversation.

    Lines are read beside the answers, so that ``/stop`` is heard while one is said.
    """

    def __init__(self, client: Client, place: Place, session_id: str | None, agent_id: str | None) -> None:
        self._client = client
        self._as_json = place.as_json
        self._printer = Printer()
        self._session_id = session_id
        self._agent_id = agent_id
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._stream: TurnStream | None = None
        self._wants_stop = threading.Event()
        self._is_terminal = sys.stdin.isatty()

    def run(self) -> None:
        """Read lines and answer them until there are no more."""
        threading.Thread(target=self._listen, name="lines", daemon=True).start()
        self._say(_HELP if self._is_terminal else "", "dim")
        while (line := self._next_line("> ")) is not None:
            match line.strip():
                case "" | "/stop":
                    continue
                case "/help":
                    self._say(_HELP, "dim")
                case "/new":
                    self._session_id = None
                    self._say("a new session begins", "dim")
                case text:
                    self._answer(text)
        if self._session_id is not None:
            self._say(f"session {self._session_id}: --session {self._session_id} goes on with it", "dim")

    def _listen(self) -> None:
        for line in sys.stdin:
            if line.strip() == "/stop":
                self._wants_stop.set()
                self._stop()
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def _stop(self) -> None:
        """Ask the turn under way to stop, if it is known already."""
        from agent_sessions_client import AgentSessionsError

        stream = self._stream
        if stream is not None and stream.turn is not None and self._wants_stop.is_set():
            self._wants_stop.clear()
            try:
                stream.cancel()
            except AgentSessionsError as error:  # it is over
                self._say(f"{error}", "dim")

    def _next_line(self, mark: str) -> str | None:
        if self._is_terminal and not self._as_json:
            click.echo(mark, nl=False)
        return self._lines.get()

    def _answer(self, line: str) -> None:
        from agent_sessions_client import AgentSessionsError

        try:
            asked = self._ask_for(prompt_of(line), None)
            while asked:
                asked = self._ask_for(None, [self._ask(interrupt) for interrupt in asked])
        except (AgentSessionsError, click.UsageError) as error:
            if not self._is_terminal:
                raise
            self._say(f"Error: {error}", "red")

    def _ask_for(self, prompt: Any, responses: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
        """Take a turn; what the agent asks at its end, or has asked before and still wants to know."""
        from agent_sessions_client import EndpointProblemError

        stream = self._client.stream(self._session_id, prompt, agent_id=self._agent_id, interrupt_responses=responses)
        try:
            return self._take(stream)
        except EndpointProblemError as error:
            if error.kind != "interrupt-pending":
                raise
            self._say("This was not sent: the agent waits for an answer first.", "yellow")
            return list(error.problem.get("interrupts") or [])

    def _take(self, stream: TurnStream) -> list[dict[str, Any]]:
        """Show a turn as it happens; what it asks at its end."""
        self._stream = stream
        try:
            self._tell_all(stream)
        except KeyboardInterrupt:
            turn = stream.turn
            if turn is None:
                raise
            self._client.cancel(turn.session_id, turn.turn_id, agent_id=turn.agent_id)
            stream = self._client.follow(turn.session_id, turn.turn_id, agent_id=turn.agent_id)
            self._tell_all(stream)
        finally:
            self._stream = None
            self._wants_stop.clear()
        reply = stream.reply
        if reply is None:
            return []
        self._end(reply)
        return list(reply.data.get("interrupts") or [])

    def _tell_all(self, stream: Iterator[Any]) -> None:
        from agent_sessions_client import Text, Tool, TurnBegan

        for event in stream:
            if self._as_json:
                print_json({"event": type(event).__name__, **asdict(event)})
            match event:
                case TurnBegan():
                    if self._session_id != event.session_id:
                        self._say(f"session {event.session_id}", "dim")
                    self._session_id = event.session_id
                    self._stop()
                case Text():
                    self._say(event.text, end="")
                case Tool(name=str() as name, status=None):
                    self._say(f"\n[calls {name}]", "yellow")

    def _end(self, reply: Reply) -> None:
        self._say("")
        if reply.stop_reason not in {"end_turn", "interrupt"}:
            self._say(f"({reply.stop_reason})", "dim")

    def _ask(self, interrupt: dict[str, Any]) -> dict[str, Any]:
        reason = interrupt.get("reason")
        shown = "" if reason is None else f" {reason if isinstance(reason, str) else json.dumps(reason)}"
        self._say(f"The agent asks: {interrupt['name']}{shown}", "bold yellow")
        line = self._next_line("answer> ")
        if line is None:
            raise TerminalError(
                f"The agent waits for an answer. `agent-sessions chat` with --session {self._session_id} gives it.",
                ExitCode.INTERRUPTED,
            )
        return {"interrupt_id": interrupt["interrupt_id"], "response": line}

    def _say(self, text: str, style: str = "", end: str = "\n") -> None:
        if not self._as_json and (text or end == "\n"):
            self._printer.piece(text, style, end=end)
