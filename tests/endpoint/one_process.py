"""One process for a whole module of tests: for suites that send it thousands of odd requests."""

from collections.abc import Iterator

import pytest

from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.function import Function, processes


@pytest.fixture(scope="module", autouse=True)
def _fresh_processes() -> Iterator[None]:
    with processes():
        yield


@pytest.fixture(name="process", scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Function:
    """A function whose agent always says ``Hello.``; its sessions are in a folder."""
    store = f"file://{tmp_path_factory.mktemp('store')}/sessions"
    function = Function({**CREDENTIALS, "SESSION_STORE": store, "AGENT_MODEL": "scripted:script"})
    function.models["script"] = ScriptedModel(otherwise="Hello.")
    function.cold_start()
    return function
