"""Tries ``lambda_src/agent`` before anybody deploys or calls it: imports it, and has each builder build once.

``make run`` does so before it listens. ``make synth`` and ``make deploy`` run this module, because the CDK app imports
nothing of the function: ``python -m local.agent_check`` writes what is wrong in one line.

Builders are given a model that answers offline, a session in a folder of its own, and no network. One that needs more
than that cannot be tried here; that is said, and is no mistake.
"""

from __future__ import annotations

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
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from lambda_src.settings import Settings

USABLE, NOT_IMPORTABLE_HERE, REFUSED = 0, 3, 4
"""How this module ends as a program. Python itself ends with 1 or 2 where it cannot run it."""

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements" / "agent.txt"
AGENT_FOLDER = Path("lambda_src", "agent")


class AgentCheckError(ValueError):
    """The agent cannot work; the message is one line."""


class NotImportableHereError(RuntimeError):
    """The agent needs packages that this environment has not; the message names them."""


def import_builders(lock: Path = LOCK) -> Collection[tuple[str | None, Any]]:
    """Import the agent, and check what it offers.

    Args:
        lock: The packages of the agent.

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
        raise AgentCheckError(str(error)) from None
    except ModuleNotFoundError as error:
        if missing := _not_installed(lock):
            raise NotImportableHereError(f"{', '.join(missing)} of {lock.parent.name}/{lock.name}") from error
        raise AgentCheckError(_cannot_be_imported(error)) from error
    except Exception as error:
        raise AgentCheckError(_cannot_be_imported(error)) from error
    if agents is not None:
        return agents.items()
    from lambda_src import agent

    return [(None, agent.build_agent)]


def try_builders(builders: Collection[tuple[str | None, Any]], settings: Settings) -> list[str]:
    """Have each builder build an agent, offline.

    Args:
        builders: What :func:`import_builders` returned.
        settings: What builders are given.

    Returns:
        A line for each builder that could not be tried here.

    Raises:
        AgentCheckError: One cannot be called as the endpoint calls it, or returns something else than an agent.
    """
    untried = []
    for agent_id, build in builders:
        name = "build_agent" if agent_id is None else f"AGENTS[{agent_id!r}]"
        _check_signature(name, build)
        try:
            _try(agent_id or settings.agent_id, settings)
        except AgentCheckError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it needs is not here: the network, a secret
            untried.append(f"{name} of {AGENT_FOLDER} was not tried: offline it raises {type(error).__name__}")
    return untried


def _check_signature(name: str, build: Any) -> None:
    try:
        signature = inspect.signature(build)
    except (TypeError, ValueError):  # of some callables it is not known
        return
    try:
        signature.bind(None, None)
    except TypeError as error:
        raise AgentCheckError(
            f"{AGENT_FOLDER} cannot be used: {name} has to take a session manager and the settings ({error})"
        ) from None


def _try(agent_id: str, settings: Settings) -> None:
    from agent_sessions.file_session_manager import FileSessionManager
    from lambda_src.turns.agent_builders import UnusableAgentError, builder_of

    with tempfile.TemporaryDirectory() as folder, _offline():
        session = FileSessionManager("check", storage_dir=folder)
        try:
            agent: Any = builder_of(agent_id)(session, settings.for_agent(agent_id))
        except UnusableAgentError as error:
            raise AgentCheckError(str(error)) from None
        close = getattr(agent, "cleanup", None)
        if close is not None:
            close()


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Every model answers offline, nothing is connected to, and what is logged of that is not shown."""
    from lambda_src.models.providers import MODEL_PROVIDERS
    from local.offline_model import OfflineModel

    def refuse(*_: Any, **__: Any) -> Any:
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
            yield
    finally:
        logging.disable(disabled)


def _cannot_be_imported(error: BaseException) -> str:
    place = ""
    if isinstance(error, SyntaxError):
        file, line = error.filename, error.lineno
    else:
        own = [frame for frame in traceback.extract_tb(error.__traceback__) if str(AGENT_FOLDER) in frame.filename]
        file, line = (own[-1].filename, own[-1].lineno) if own else (None, None)
    if file:
        place = f" ({AGENT_FOLDER / Path(file).name}, line {line})"
    words = str(error.msg if isinstance(error, SyntaxError) else error)
    hint = ""
    if isinstance(error, ModuleNotFoundError) and str(error.name).partition(".")[0] not in {"lambda_src", "local"}:
        hint = f"; packages of your own stand in {AGENT_FOLDER / 'requirements.in'}, and `make lock-agent` locks them"
    return f"{AGENT_FOLDER} cannot be imported: {type(error).__name__}: {' '.join(words.split())}{place}{hint}"


def _not_installed(lock: Path) -> list[str]:
    """The agent's packages that are not installed here."""
    missing = []
    for line in lock.read_text(encoding="utf-8").splitlines() if lock.is_file() else []:
        name, is_pinned, _ = line.partition("==")
        if is_pinned and not line.startswith((" ", "#")):
            try:
                version(name)
            except PackageNotFoundError:
                missing.append(name)
    return missing


def main() -> int:
    """Check the agent with the environment that it is deployed with.

    Returns:
        0 when it can be used; 4 when not; 3 when this environment has not what it imports. Each line on stderr says
        why, or what could not be tried.
    """
    # Our own logger writes to stdout. There, nobody listens.
    try:
        builders = import_builders()
        from lambda_src.models.providers import MODEL_PROVIDERS
        from lambda_src.settings import load_settings

        MODEL_PROVIDERS.setdefault("offline", MODEL_PROVIDERS["bedrock"])
        settings = load_settings({**os.environ, "SESSION_STORE": "file:///nowhere", "AGENT_MODEL": "offline:history"})
        untried = try_builders(builders, settings)
    except NotImportableHereError as error:
        sys.stderr.write(f"{error}\n")
        return NOT_IMPORTABLE_HERE
    except AgentCheckError as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    sys.stderr.write("".join(f"{line}\n" for line in untried))
    return USABLE


if __name__ == "__main__":
    sys.exit(main())
