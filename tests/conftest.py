"""What every suite shares: another S3 to run on, and totals that are added up and printed at the end."""

import logging
import os
from collections import Counter

import pytest
from hypothesis import settings

pytest_plugins = ("tests.planted_check",)

RANDOM = bool(os.environ.get("AGENT_SESSIONS_RANDOM"))
"""Whether generated inputs are new ones. Without it a commit has the same ones each time, so that a change that fails
has failed by itself; every night tries new ones."""

# How long an example takes says how busy the machine is.
settings.register_profile("kit", deadline=None, derandomize=not RANDOM)
settings.load_profile("kit")

S3_ENDPOINT = "AGENT_SESSIONS_S3_ENDPOINT"
"""A variable for what ``--s3-endpoint`` says."""

LONG_RUN_SECONDS = 60
"""A run that takes longer says where the time went."""

TOTAL = "total: "
"""``record_property(f"{TOTAL}restores compared", 12)`` adds to a line of the summary."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let somebody name another S3: see ``tests/compat_s3``."""
    parser.addoption(
        "--s3-endpoint",
        default=os.environ.get(S3_ENDPOINT, ""),
        help="URL of an S3 to use instead of the suites' emulators; what touches no S3 is left out",
    )


@pytest.fixture(autouse=True)
def library_is_heard(request: pytest.FixtureRequest) -> None:
    """A test that reads the library's log hears it, even if a function has started in this process before.

    A function that starts takes the library's loggers for itself, as a process of its own may.
    """
    if "caplog" in request.fixturenames:
        logger = logging.getLogger("agent_sessions")
        logger.handlers, logger.propagate = [], True
        logger.setLevel(logging.NOTSET)
        logger.__dict__.pop("addHandler", None)


@pytest.fixture(scope="session")
def other_s3(request: pytest.FixtureRequest) -> str:
    """The URL of the S3 that was named; empty for the suites' own emulators."""
    url: str = request.config.getoption("--s3-endpoint")
    return url


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what another S3 has no part in."""
    if not config.getoption("--s3-endpoint"):
        return
    left_out = [item for item in items if not _touches_other_s3(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


_ON_S3 = {"s3_client", "bucket", "make_subject", "s3_store", "store", "place", "on_bucket", "terminal"}
"""Fixtures that use the S3 which was named."""

_ON_EMULATOR = {"bucket_server"}
"""Fixtures of tests that look into the suite's own S3."""

_ELSEWHERE = ("file", "custom", "folder", "kms", "strands", "dict")
"""In the name of a parameter: files, our own proxy, and Strands' managers, whose storage is Strands' concern."""


def _touches_other_s3(item: pytest.Item) -> bool:
    if not isinstance(item, pytest.Function) or item.get_closest_marker("emulator_only"):
        return False
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    named = [value for value in parameters if isinstance(value, str)]
    if any(word in value for value in named for word in _ELSEWHERE):
        return False
    return bool(_ON_S3 & set(item.fixturenames)) and not _ON_EMULATOR & set(item.fixturenames)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the totals; they come with the tests' reports, from whichever worker ran them."""
    totals: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", []) if getattr(report, "when", "") == "call" else []:
                if name.startswith(TOTAL):
                    totals[name.removeprefix(TOTAL)] += value
    for name, value in totals.items():
        terminalreporter.write_line(f"{name}: {value:,}")
    _say_where_time_went(terminalreporter)


def _say_where_time_went(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the modules that took longest, if it took long: .ci/run has a limit."""
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.partition("::")[0]] += report.duration  # type: ignore[assignment] # seconds
    if sum(seconds.values()) > LONG_RUN_SECONDS:
        longest = ", ".join(f"{module.removeprefix('tests/')} {took:.0f}" for module, took in seconds.most_common(25))
        terminalreporter.write_line(f"seconds of {sum(seconds.values()):.0f} in: {longest}")
