"""``make run``: serve the endpoint on this machine until Ctrl-C."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, cast

from local.configuration import (
    OFFLINE,
    Configuration,
    ConfigurationError,
    check_credentials,
    read_configuration,
)
from local.dotenv_file import read_dotenv
from local.invocation import TIMEOUT_SECONDS
from local.refusals import HOST
from local.server import LocalServer

if TYPE_CHECKING:
    from types import FrameType

    from local.invocation import Handler


def main() -> int:
    """Run until SIGINT or SIGTERM.

    Returns:
        The exit code: 0 after an orderly end, 1 when it could not start or a turn had to be cut off.
    """
    try:
        read_dotenv(Path.cwd())
        configuration = read_configuration(os.environ, Path.cwd())
        check_credentials(configuration)
        server = _listen(configuration.port)
        handler = load_handler(configuration)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    stopping = threading.Event()

    def stop(number: int, _frame: FrameType | None) -> None:
        if stopping.is_set():  # asked twice: do not wait for anything
            os._exit(128 + number)
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    server.serve(handler)
    _say(welcome(server.url, configuration))
    stopping.wait()
    return _end(server)


def load_handler(configuration: Configuration) -> Handler:
    """Import the Lambda handler with the settings that this configuration stands for.

    Raises:
        ConfigurationError: when the endpoint refuses its settings.
    """
    os.environ.update(configuration.endpoint_environment())
    # On a terminal they are noise: POWERTOOLS_METRICS_DISABLED=false shows them.
    os.environ.setdefault("POWERTOOLS_METRICS_DISABLED", "true")
    from botocore.exceptions import BotoCoreError

    from lambda_src.models.providers import MODEL_PROVIDERS
    from local.offline_model import OfflineModel

    MODEL_PROVIDERS[OFFLINE] = lambda model_id, _settings: OfflineModel(
        model_id, words_per_second=configuration.words_per_second
    )
    from agent_sessions.exceptions import ConditionsNotKeptError, SessionStorageError
    from lambda_src.settings import SettingsError
    from local.agent_check import AgentCheckError, NotImportableHereError, import_builders, try_builders

    try:
        from lambda_src import handler

        for line in try_builders(import_builders(), handler.endpoint.settings):
            sys.stderr.write(f"{line}\n")
        # A deployed function does this before a snapshot; here it makes the first request as fast as the second.
        handler.endpoint.prime()
        handler.endpoint.store("").objects.check()
    except ConditionsNotKeptError as error:
        raise ConfigurationError(f"STORE={configuration.store} cannot be used: {error}") from None
    except SessionStorageError:
        pass  # the storage may come back; until then each request says so
    except NotImportableHereError as error:
        raise ConfigurationError(f"lambda_src/agent needs what is not installed here: {error}") from None
    except (AgentCheckError, SettingsError) as error:
        raise ConfigurationError(str(error)) from None
    except BotoCoreError as error:
        raise ConfigurationError(f"AWS_REGION, AWS_PROFILE or another AWS setting cannot be used: {error}") from None
    return cast("Handler", handler.lambda_handler)  # its context is ours in all but the class


def welcome(url: str, configuration: Configuration) -> str:
    """Return what to read before the first request. The ``curl`` lines can be pasted."""
    model = (
        "offline: no LLM, it answers from the restored conversation (MODEL=bedrock:<model id> for a real one)"
        if configuration.is_offline
        else configuration.model
    )
    turn = f"curl -s {url}/sessions/demo/messages -H 'content-type: application/json' -d"
    return (
        f"The agent endpoint listens on {url}\n"
        f"  sessions  {configuration.store}\n"
        f"  model     {model}\n\n"
        "Try in another terminal:\n\n"
        f"""  {turn} '{{"prompt": "My name is Ada."}}'\n\n"""
        f"""  {turn} '{{"prompt": "What is my name?"}}'\n\n"""
        "Ctrl-C ends it. Start it again: the sessions are still there.\n"
    )


def _listen(port: int) -> LocalServer:
    try:
        return LocalServer(port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(
                f"PORT={port} is taken: something else listens on {HOST}:{port}. Choose another one: make run "
                f"PORT={port + 1 if port < 65535 else 8000}"  # noqa: PLR2004 - the last TCP port
            ) from None
        raise ConfigurationError(f"PORT={port} cannot be used: {error.strerror}.") from None


def _end(server: LocalServer) -> int:
    unfinished = server.stop()
    if unfinished:
        _say(f"\nFinishing {unfinished} request{'' if unfinished == 1 else 's'}; Ctrl-C again to cut off.\n")
    if not server.wait(TIMEOUT_SECONDS):
        sys.stderr.write("A request did not end in time and is cut off.\n")
        return 1
    _say("\nStopped.\n")
    return 0


def _say(text: str) -> None:
    # The reader may have left, which is no reason to cut off the turn in flight.
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(text)
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
