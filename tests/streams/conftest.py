"""The endpoint behind a real HTTP server, with a model that plays a script."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from local.server import LocalServer
from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.conftest import CREDENTIALS, _fresh_processes  # noqa: F401 - a fixture of every test here
from tests.endpoint.function import Function
from tests.streams.served import Served

Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start the endpoint with a script; sessions are in a folder unless the environment says otherwise."""
    with ExitStack() as stack:

        def start(*script: Any, otherwise: Any = None, build_agent: Any = None, **environment: str) -> Served:
            variables = {
                **CREDENTIALS,
                "SESSION_STORE": f"file://{tmp_path}/sessions",
                "ENDPOINT_AUTH": "local",
                "AGENT_MODEL": "scripted:script",
                **environment,
            }
            model = ScriptedModel(*script, otherwise=otherwise)
            function = Function(variables, {"script": model}, build_agent)
            server = LocalServer(0)
            server.serve(function.cold_start().lambda_handler)
            served = Served(server.url, function, model)

            def end() -> None:
                served.close()
                server.stop()
                server.wait(30)

            stack.callback(end)
            return served

        yield start
