"""A function under the real runtime client: ours, or the release that a folder holds."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.deploy.working_tree import INSTALLED
from tests.transport.process import Process

Start = Callable[..., Process]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let somebody name another release's folder: see ``tests/transport/__main__.py``."""
    parser.addoption(
        "--runtime-client",
        action="append",
        default=[],
        help="folder with awslambdaric and what it needs, instead of the environment's own; may be repeated",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what starts a function once with each client."""
    if "client" in metafunc.fixturenames:
        folders = [Path(name) for name in metafunc.config.getoption("--runtime-client", default=[])]
        metafunc.parametrize("client", folders or [INSTALLED], ids=lambda folder: folder.name, scope="module")


@pytest.fixture
def start(client: Path, tmp_path: Path) -> Iterator[Start]:
    """Start a function of one file; it ends with the test."""
    started: list[Process] = []

    def begin(source: str, timeout_seconds: float = 30, **environment: str) -> Process:
        folder = tmp_path / f"function-{len(started)}"
        process = Process(source, folder, client, environment, timeout_seconds=timeout_seconds)
        started.append(process)
        return process

    yield begin
    for process in started:
        process.end()
