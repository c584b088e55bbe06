"""``agent-sessions chat URL``: talk to an endpoint from a terminal."""
# Over 300 lines: one conversation, and every word that leads through it.

from __future__ import annotations

import json
import queue
import sys
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from agent_sessions_cli.failures import ExitCode, TerminalError
from agent_sessions_cli.output import Printer, print_json
from agent_sessions_cli.place import Place, works_without_store
from agent_sessions_cli.prompts import names_sent_as_text, prompt_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from agent_sessions_client import Client, Reply, TurnStream

_HELP = (
    "/stop ends the answer, /new begins a session, /fork goes back to a message, /help says this, Ctrl-D leaves. "
    "@path sends a file."
)

_SHOWN_TO_FORK = 20
"""Messages that /fork shows: the last ones. Any other can be named by its number."""


@click.command()
@click.argument("url", metavar="URL")
@click.option("--session", "session_id", metavar="ID", help="The session to go on with. Not given: a new one.")
@click.option("--agent", "agent_id", metavar="ID", help="Who answers. Not given: the endpoint's agent.")
@click.option("--sign", is_flag=True, help="Sign with AWS credentials, for an endpoint behind IAM.")
@click.option("--region", metavar="NAME", help="The function's region, if its URL does not say it.")
@click.option(
    "--token",
    metavar="TOKEN",
    envvar="AGENT_SESSIONS_TOKEN",
    help="A token of the endpoint's issuer. Set AGENT_SESSIONS_TOKEN instead, or give - to have it read from the "
    "standard input: a command line is seen by everybody on the machine.",
)
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
    Ctrl-D leaves. /fork asks before which of your messages, and goes on in a new session that ends there; the other
    one stays. The session's id is shown: --session goes on with it, here or in the page, and what was said is
    stored. Lines may come from a pipe. With --json each event is a line.

    On a terminal, what was typed before a question is shown is no answer to it, and is not sent. @name that is no file
    and looks like none is sent as text, and the command says so.

    Without --sign and --token nothing is sent that says who asks, as `make run` takes it.
    """
    if token == "-":  # noqa: S105 - stands for a token
        token = _read_token()
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


def _read_token() -> str:
    token = click.prompt("Token", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline().strip()
    if not token:
        raise click.UsageError("--token - reads the token from the first line of the standard input, which is empty.")
    return str(token)


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
        self._is_idle = False  # nothing is answered, and no line waits to be
        self._idle_lock = threading.Lock()
        self._is_terminal = sys.stdin.isatty()

    def run(self) -> None:
        """Read lines and answer them until there are no more."""
        threading.Thread(target=self._listen, name="lines", daemon=True).start()
        self._say(_HELP if self._is_terminal else "", "dim")
        while (line := self._next_line("> ")) is not None:
            match line.strip():
                case "":
                    continue
                case "/help":
                    self._say(_HELP, "dim")
                case "/new":
                    self._session_id = None
                    self._say("a new session begins", "dim")
                case "/fork":
                    self._go_back()
                case text:
                    self._answer(text)
        if self._session_id is not None:
            self._say(f"session {self._session_id}: --session {self._session_id} goes on with it", "dim")

    def _listen(self) -> None:
        for line in sys.stdin:
            with self._idle_lock:
                was_idle = self._is_idle
                if line.strip() != "/stop":
                    self._is_idle = False
                    self._lines.put(line.rstrip("\n"))
                    continue
                if not was_idle:
                    self._wants_stop.set()
            if was_idle:
                self._say("Nothing is being said: there is nothing to stop.", "dim")
            else:
                self._stop()
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
        with self._idle_lock:
            if self._lines.empty():
                self._is_idle = True
                self._wants_stop.clear()
        if self._is_terminal and not self._as_json:
            click.echo(mark, nl=False)
        return self._lines.get()

    def _drop_typed_ahead(self) -> None:
        """Drop what somebody typed before a question was shown: it is no answer to it."""
        while True:
            try:
                line = self._lines.get_nowait()
            except queue.Empty:
                return
            if line is None:
                self._lines.put(None)
                return
            self._say(f"Not sent, it was typed before the question: {line}", "yellow")

    def _answer(self, line: str) -> None:
        from agent_sessions_client import AgentSessionsError

        try:
            prompt = prompt_of(line)
            for name in names_sent_as_text(line):
                self._say(f"{name} is no file here: it is sent as text.", "dim")
            asked = self._ask_for(prompt, None)
            while asked:
                asked = self._ask_for(None, [self._ask(interrupt) for interrupt in asked])
        except (AgentSessionsError, click.UsageError) as error:
            if not self._is_terminal:
                raise
            self._say(f"Error: {error}", "red")

    def _go_back(self) -> None:
        """Fork the session before a message of the user's, and go on there."""
        from agent_sessions_client import AgentSessionsError

        try:
            said = self._said_before()
            if self._session_id is None or not said:
                self._say("Nothing was said yet: there is nothing to go back to.", "dim")
                return
            for number, text in said[-_SHOWN_TO_FORK:]:
                self._say(f"{number:>6}  {text}")
            line = self._next_line("before which of your messages (its number, empty for none)? ")
            if line is None or not line.strip():
                return
            if not line.strip().isdecimal() or int(line) not in dict(said):
                self._say(f"{line.strip()} is the number of none of your messages.", "yellow")
                return
            made = self._client.fork(self._session_id, before_message=int(line), agent_id=self._agent_id)
        except AgentSessionsError as error:
            if not self._is_terminal:
                raise
            self._say(f"Error: {error}", "red")
            return
        self._session_id = made.session_id
        if self._as_json:
            print_json({"event": "Forked", **asdict(made)})
        self._say(f"session {self._session_id}: it goes on before {dict(said)[int(line)]!r}", "dim")

    def _said_before(self) -> list[tuple[int, str]]:
        """What the user has said in this session; nothing where there is none of this id yet."""
        from agent_sessions_client import EndpointProblemError

        try:
            return [] if self._session_id is None else list(self._own_messages(self._session_id))
        except EndpointProblemError as error:
            if error.kind == "not-found":
                return []
            raise

    def _own_messages(self, session_id: str) -> Iterator[tuple[int, str]]:
        """The numbers and the first words of the user's messages that begin a turn."""
        params = {"limit": "1000"} | ({} if self._agent_id is None else {"agent_id": self._agent_id})
        while True:
            page = self._client.call("GET", f"/sessions/{quote(session_id, safe='')}/messages", None, **params)
            for stored in page["messages"]:
                blocks = stored["message"]["content"]
                if stored["message"]["role"] == "user" and not any("toolResult" in block for block in blocks):
                    words = " ".join(" ".join(block.get("text", "") for block in blocks).split())
                    yield stored["message_id"], words[:60] or "(files)"
            if page["next_cursor"] is None:
                return
            params["cursor"] = page["next_cursor"]

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
        if self._is_terminal:
            self._drop_typed_ahead()
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
