"""``make run``: serve the endpoint on this machine until Ctrl-C."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from local.configuration import (
    DEV,
    LOCAL,
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
from local.stopping import Stopping

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        server = _listen(configuration)
        configuration, tokens = with_issuer(configuration, server.server_address[1])
        handler = load_handler(configuration)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    stopping = Stopping()
    server.serve(handler)
    _say(welcome(server.url, configuration, tokens))
    stopping.wait()
    return stopping.finish(lambda: _end(server))


def with_issuer(
    configuration: Configuration, port: int, page_lifetime_seconds: float | None = None
) -> tuple[Configuration, dict[str, str]]:
    """With ``AUTH=dev``, begin to serve the development issuer.

    Args:
        configuration: How to run.
        port: Where the server listens: the page may be opened there.
        page_lifetime_seconds: How long a token of the page is good; ``None`` for as long as usual.

    Returns:
        The configuration with what the endpoint has to know of the issuer, and the tokens by the names of their people.
    """
    if configuration.auth != DEV:
        return configuration, {}
    from local.development_issuer import PAGE_LIFETIME_SECONDS, PEOPLE, DevelopmentIssuer

    pages = tuple(f"http://{name}:{port}" for name in (HOST, "localhost"))
    issuer = DevelopmentIssuer(pages, page_lifetime_seconds or PAGE_LIFETIME_SECONDS)
    tokens = {name: issuer.token(name) for name in PEOPLE}
    return dataclasses.replace(configuration, issuer_settings=issuer.settings), tokens


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


def welcome(url: str, configuration: Configuration, tokens: Mapping[str, str] | None = None) -> str:
    """Return what to read before the first request. The ``curl`` lines can be pasted.

    Args:
        url: Where the server listens.
        configuration: How it runs.
        tokens: Of the development issuer's people, by their names.
    """
    model = (
        "offline: no LLM, it answers from the restored conversation (MODEL=bedrock:<model id> for a real one)"
        if configuration.is_offline
        else configuration.model
    )
    variables = {name.upper(): token for name, token in (tokens or {}).items()}
    bearers = list(variables) if configuration.auth == DEV else ["TOKEN"] if configuration.auth != LOCAL else []
    turns = [
        f"curl -s {url}/sessions/demo/messages {header}-H 'content-type: application/json' -d"
        for header in [f'-H "authorization: Bearer ${name}" ' for name in bearers] or [""]
    ]
    callers = {
        LOCAL: "",
        DEV: "  callers   ada and ben, with the tokens below; they end with this run\n",
    }.get(configuration.auth, f"  callers   with a token of {os.environ.get('JWT_ISSUER')} in $TOKEN\n")
    newline = "\n" if variables else ""
    page = f"Open {url}/ in a browser: the chat page.\n\n" if configuration.has_page else ""
    assignments = "".join(f"  {name}={token}\n" for name, token in variables.items())
    return (
        f"The agent endpoint listens on {url}\n"
        f"  sessions  {configuration.store}\n"
        f"  model     {model}\n"
        f"{callers}\n"
        f"{page}"
        "Try in another terminal:\n\n"
        f"{assignments}"
        f"""{newline}  {turns[0]} '{{"prompt": "My name is Ada."}}'\n\n"""
        f"""  {turns[0]} '{{"prompt": "What is my name?"}}'\n\n"""
        + "".join(f"""  {turn} '{{"prompt": "What is my name?"}}'\n\n""" for turn in turns[1:])
        + "Ctrl-C ends it. Start it again: the sessions are still there.\n"
    )


def _listen(configuration: Configuration) -> LocalServer:
    port = configuration.port
    try:
        return LocalServer(port, cors_origins=configuration.cors_origins)
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
