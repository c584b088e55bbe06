"""How a command fails: an exit code that a script can use, and one line that says what to do."""

from __future__ import annotations

import json
from enum import IntEnum

import click

from agent_sessions.exceptions import (
    InvalidIdentifierError,
    NotForkableError,
    SessionBusyError,
    SessionConflictError,
    SessionCorruptError,
    SessionException,
    SessionExistsError,
    SessionNotFoundError,
    SessionStorageError,
)
from agent_sessions_cli.output import clean


class ExitCode(IntEnum):
    """What a command's exit code says."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    NOT_FOUND = 3
    EXISTS = 4
    BUSY = 5
    DAMAGED = 6
    STORAGE = 7
    NOT_WHOLE = 8
    ENDPOINT = 9
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.DONE: "Done.",
    ExitCode.UNEXPECTED: "An error that nobody expected. `--debug` shows where.",
    ExitCode.USAGE: "The command was called wrongly. Nothing was read or written.",
    ExitCode.NOT_FOUND: "There is no such session or agent, or it has expired.",
    ExitCode.EXISTS: "Something is stored there already, or another writer came first.",
    ExitCode.BUSY: "Another caller holds the session.",
    ExitCode.DAMAGED: "Something that is stored cannot be understood, or `doctor` found it wrong. The line names it.",
    ExitCode.STORAGE: "The storage refused or failed.",
    ExitCode.NOT_WHOLE: "An erasure or an imported export is not whole. The line says what is left or missing.",
    ExitCode.ENDPOINT: "The endpoint of a chat refused, or could not be reached.",
    ExitCode.INTERRUPTED: "Ctrl-C, or no yes to a question.",
}
"""The meaning of each exit code, for ``docs/CLI.md``."""

_CODES: dict[type[SessionException], ExitCode] = {
    InvalidIdentifierError: ExitCode.USAGE,
    NotForkableError: ExitCode.USAGE,
    SessionNotFoundError: ExitCode.NOT_FOUND,
    SessionExistsError: ExitCode.EXISTS,
    SessionConflictError: ExitCode.EXISTS,
    SessionBusyError: ExitCode.BUSY,
    SessionCorruptError: ExitCode.DAMAGED,
    SessionStorageError: ExitCode.STORAGE,
}
_CREDENTIALS = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "ExpiredToken",
    "UnauthorizedSSOTokenError",
    "SSOTokenLoadError",
}


class TerminalError(Exception):
    """Ends a command with an exit code and one line on standard error.

    Attributes:
        code: The exit code.

    Args:
        message: What was wrong, and what to do.
        code: See above.
    """

    def __init__(self, message: str, code: ExitCode) -> None:
        super().__init__(" ".join(clean(message).split()))
        self.code = code

    def show(self, *, as_json: bool) -> None:
        """Print the line, for a script as a JSON object."""
        line = json.dumps({"error": str(self), "exit_code": int(self.code)}) if as_json else f"Error: {self}"
        click.echo(line, err=True)


def as_terminal_error(error: SessionException) -> TerminalError:
    """The command's error for one of the library's."""
    code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), ExitCode.UNEXPECTED)
    return TerminalError(f"{error}. {_advise(error)}", code)


def _advise(error: SessionException) -> str:
    """What to do about an error."""
    match error:
        case InvalidIdentifierError():
            advice = "Give the id of a session or an agent as `ls` shows it."
        case SessionNotFoundError():
            advice = "`agent-sessions ls` lists the sessions of a store; those of an endpoint's callers need --owner."
        case SessionExistsError() | SessionConflictError():
            advice = "Look at what is stored there with `agent-sessions show`, or choose another id."
        case SessionBusyError():
            advice = f"Try again in {error.retry_after_seconds:.0f} seconds."
        case SessionCorruptError():
            advice = f"It lies at {error.key}; nothing else is affected." if error.key else "Nothing else is affected."
        case SessionStorageError():
            advice = _advise_about_storage(error)
        case _:
            advice = "--debug shows where."
    return advice


def _advise_about_storage(error: SessionStorageError) -> str:
    if error.code in _CREDENTIALS:
        return "Check the credentials: --profile, or the AWS_ variables."
    if error.code in {"NoSuchBucket", "PermanentRedirect", "AuthorizationHeaderMalformed", "NoRegionError"}:
        return "Check the bucket in --store, and its region (AWS_REGION)."
    return "Try again." if error.is_transient else "Check what these credentials or this user may do there."
