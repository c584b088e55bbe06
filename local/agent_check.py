"""Tries ``lambda_src/agent`` before anybody deploys or calls it: imports it, and has each builder build once.

``make run`` does so before it listens. A CDK app, this repository's or another one with the wheel, runs this module,
because it imports nothing of the function: ``python -m local.agent_check`` writes what is wrong in one line.

Builders are given a model that answers offline, a session in a folder of its own, and no network. One that fails for
want of a network, of AWS or of a secret cannot be tried here; that is said, and is no mistake. Whatever else one raises
is refused: it would be the end of the first turn.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import logging
import os
import socket
import sys
import tempfile
import traceback
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest import mock

from local.builder_failures import needs_what_is_not_here

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from lambda_src.settings import Settings

USABLE, NOT_IMPORTABLE_HERE, REFUSED = 0, 3, 4
"""How this module ends as a program. Python itself ends with 1 or 2 where it cannot run it."""


class Wording(NamedTuple):
    """What the agent is called where it is written.

    Attributes:
        folder: Its folder.
        lock_command: What locks its packages.
    """

    folder: str = "lambda_src/agent"
    lock_command: str = "make lock-agent"


_AGENT = Path("lambda_src", "agent")
_WORDING = Wording()


class AgentCheckError(ValueError):
    """The agent cannot work; the message is one line."""


class NotImportableHereError(RuntimeError):
    """The agent needs packages that this environment has not; the message names them."""


def import_builders(wording: Wording = _WORDING) -> Collection[tuple[str | None, Any]]:
    """Import the agent, and check what it offers.

    Args:
        wording: What it is called.

    Returns:
        The agents' ids and their builders; ``None`` is the id of ``build_agent``.

    Raises:
        AgentCheckError: It cannot be imported, or offers something else than builders.
        NotImportableHereError: A package of its lock is not installed in this environment.
    """
    from lambda_src.turns.agent_builders import UnusableAgentError, load_agents

    try:
        agents = load_agents()
    except UnusableAgentError as error:
        raise AgentCheckError(f"{wording.folder} cannot be used: {error.reason}") from None
    except ModuleNotFoundError as error:
        if missing := _not_installed():
            raise NotImportableHereError(f"{', '.join(missing)} of {wording.folder}/requirements.txt") from error
        raise AgentCheckError(_cannot_be_imported(error, wording)) from error
    except (Exception, SystemExit) as error:
        raise AgentCheckError(_cannot_be_imported(error, wording)) from error
    if agents is not None:
        return agents.items()
    from lambda_src import agent

    return [(None, agent.build_agent)]


def try_builders(
    builders: Collection[tuple[str | None, Any]], settings: Settings, wording: Wording = _WORDING
) -> list[str]:
    """Have each builder build an agent, offline.

    Args:
        builders: What :func:`import_builders` returned.
        settings: What builders are given.
        wording: What the agent is called.

    Returns:
        A line for each builder that could not be tried here.

    Raises:
        AgentCheckError: One cannot be called as the endpoint calls it, raises what no network, account or secret
            mends, or returns something else than an agent.
    """
    untried = []
    for agent_id, build in builders:
        name = "build_agent" if agent_id is None else f"AGENTS[{agent_id!r}]"
        _check_signature(name, build, wording)
        not_tried = f"{name} of {wording.folder} was not tried: "
        with _offline() as attempts:
            try:
                _try(agent_id or settings.agent_id, settings, wording)
            except AgentCheckError:
                raise
            except (Exception, SystemExit) as error:
                if isinstance(error, ModuleNotFoundError) and (missing := _not_installed()):
                    untried.append(f"{not_tried}{', '.join(missing)} is not installed here")
                elif needs_what_is_not_here(error, asked_the_network=bool(attempts)):
                    untried.append(f"{not_tried}offline it raises {type(error).__name__}")
                else:
                    raise AgentCheckError(
                        f"{wording.folder} cannot be used: {name} raises {_told(error, wording)}"
                    ) from error
    return untried


def _check_signature(name: str, build: Any, wording: Wording) -> None:
    try:
        signature = inspect.signature(build)
    except (TypeError, ValueError):  # of some callables it is not known
        return
    try:
        signature.bind(None, None)
    except TypeError as error:
        raise AgentCheckError(
            f"{wording.folder} cannot be used: {name} has to take a session manager and the settings ({error})"
        ) from None


def _try(agent_id: str, settings: Settings, wording: Wording) -> None:
    from agent_sessions.file_session_manager import FileSessionManager
    from lambda_src.turns.agent_builders import UnusableAgentError, builder_of

    with tempfile.TemporaryDirectory() as folder:
        session = FileSessionManager("check", storage_dir=folder)
        try:
            agent: Any = builder_of(agent_id)(session, settings.for_agent(agent_id))
        except UnusableAgentError as error:
            raise AgentCheckError(f"{wording.folder} cannot be used: {error.reason}") from None
        close = getattr(agent, "cleanup", None)
        if close is not None:
            close()


@contextlib.contextmanager
def _offline() -> Iterator[list[object]]:
    """Every model answers offline, nothing is connected to, and what is logged of that is not shown.

    Yields:
        One entry for each attempt to connect, as they are made.
    """
    from lambda_src.models.providers import MODEL_PROVIDERS
    from local.offline_model import OfflineModel

    attempts: list[object] = []

    def refuse(*address: Any, **_: Any) -> Any:
        attempts.append(address)
        raise ConnectionRefusedError("the agent is tried without a network")

    offline = dict.fromkeys(MODEL_PROVIDERS, lambda model_id, _settings: OfflineModel(model_id))
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            mock.patch.dict(MODEL_PROVIDERS, offline),
            mock.patch.object(socket.socket, "connect", refuse),
            mock.patch.object(socket, "getaddrinfo", refuse),
            mock.patch.dict(os.environ, {"AWS_MAX_ATTEMPTS": "1", "AWS_EC2_METADATA_DISABLED": "true"}),
        ):
            yield attempts
    finally:
        logging.disable(disabled)


def _cannot_be_imported(error: BaseException, wording: Wording) -> str:
    hint = ""
    if isinstance(error, ModuleNotFoundError) and str(error.name).partition(".")[0] not in {"lambda_src", "local"}:
        own = f"packages of your own stand in {wording.folder}/requirements.in"
        hint = f"; {own}, and `{wording.lock_command}` locks them"
    return f"{wording.folder} cannot be imported: {_told(error, wording)}{hint}"


def _told(error: BaseException, wording: Wording) -> str:
    """An error in one line, with its place in the agent's folder."""
    place = ""
    if isinstance(error, SyntaxError):
        file, line = error.filename, error.lineno
    else:
        own = [frame for frame in traceback.extract_tb(error.__traceback__) if str(_AGENT) in frame.filename]
        file, line = (own[-1].filename, own[-1].lineno) if own else (None, None)
    if file:
        place = f" ({wording.folder}/{Path(file).name}, line {line})"
    words = str(error.msg if isinstance(error, SyntaxError) else error)
    return f"{type(error).__name__}: {' '.join(words.split())}{place}"


def _not_installed() -> list[str]:
    """The agent's packages that are not installed here."""
    import lambda_src

    missing = []
    lock = Path(*lambda_src.__path__, "agent", "requirements.txt")
    for line in lock.read_text(encoding="utf-8").splitlines() if lock.is_file() else []:
        name, is_pinned, _ = line.partition("==")
        if is_pinned and not line.startswith((" ", "#")):
            try:
                version(name)
            except PackageNotFoundError:
                missing.append(name)
    return missing


def main(arguments: list[str]) -> int:
    """Check the agent offline, with this process's environment: ``agent_trial`` gives it that of the function.

    Args:
        arguments: ``--folder`` and ``--lock-command``: what the agent is called.

    Returns:
        0 when it can be used; 4 when not; 3 when this environment has not what it imports. Each line on stderr says
        why, or what could not be tried.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", default=_WORDING.folder)
    parser.add_argument("--lock-command", default=_WORDING.lock_command)
    wording = Wording(**vars(parser.parse_args(arguments)))
    # What cannot be imported here for a reason of this machine's is no mistake of the agent's: it is imported before.
    import strands  # noqa: F401 - as above

    # Our own logger writes to stdout. There, nobody listens.
    try:
        with _offline() as attempts:
            try:
                builders = import_builders(wording)
            except AgentCheckError as error:
                cause = error.__cause__
                if cause is None or not needs_what_is_not_here(cause, asked_the_network=bool(attempts)):
                    raise
                sys.stderr.write(f"{wording.folder} was not tried: offline its import raises {type(cause).__name__}\n")
                return USABLE
        from lambda_src.models.providers import MODEL_PROVIDERS
        from lambda_src.settings import load_settings

        MODEL_PROVIDERS.setdefault("offline", MODEL_PROVIDERS["bedrock"])
        settings = load_settings({**os.environ, "SESSION_STORE": "file:///nowhere", "AGENT_MODEL": "offline:history"})
        untried = try_builders(builders, settings, wording)
    except NotImportableHereError as error:
        sys.stderr.write(f"{error}\n")
        return NOT_IMPORTABLE_HERE
    except AgentCheckError as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    sys.stderr.write("".join(f"{line}\n" for line in untried))
    return USABLE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
