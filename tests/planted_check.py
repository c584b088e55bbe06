"""Nothing that a test emits holds a word of a conversation, a name of a person or a token.

A pytest plugin, for every suite. What must be nowhere is learned where all suites pass: what a scripted model is shown
and says, what an event sends, for whom a token is signed; and anything of a token's shape. What a test emits is read
where it leaves: its output, records of our loggers at every level (also those that no handler wants), messages of our
exceptions, problem documents, what a plain event raises, and the keys and other parameters of what is stored.
A test that emits one of them fails with the line, whichever suite it is in (``tests/unit/test_planted_check.py``).
``@pytest.mark.emits_on_purpose("the output", reason="...")`` is for one where one way out is meant to hold them; the
others are looked through all the same.
"""

import logging
from collections.abc import Callable, Generator
from typing import Any

import pytest
from _pytest.capture import CaptureFixture
from botocore.client import BaseClient

from agent_sessions._storage.file_objects import FileObjects
from agent_sessions.exceptions import SessionException
from tests.planted import WAYS_OUT, emitted, watch

OURS = {
    "agent-sessions",
    "agent_sessions",
    "agent_sessions_cli",
    "agent_sessions_client",
    "lambda_src",
    "local",
    "infra",
}
"""The first parts of our loggers' names."""

_STORED = {"Body", "Delete"}
"""Parameters of a call of AWS that are no names: what is stored, and a list of keys that stand elsewhere too."""

ON_PURPOSE = "emits_on_purpose"


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] in OURS


_is_wanted = logging.Logger.isEnabledFor


def _is_enabled(wanted: Any) -> Any:
    # Records of ours are made at every level. Handlers get those that they would have got: see `_handle`.
    return lambda self, level: _is_ours(self.name) or wanted(self, level)


def _handle(handle: Any) -> Any:
    def handle_record(self: logging.Logger, record: logging.LogRecord) -> None:
        if _is_ours(self.name):
            emitted("a record of the log", _said_by(record))
        if _is_wanted(self, record.levelno):
            handle(self, record)

    return handle_record


def _put(put: Any) -> Any:
    def put_object(self: Any, key: str, *more: Any, **named: Any) -> Any:
        emitted("a key", key)
        return put(self, key, *more, **named)

    return put_object


def _call(call: Any) -> Any:
    def call_aws(self: Any, operation: str, parameters: dict[str, Any]) -> Any:
        if self.meta.service_model.service_name == "s3":
            shown = {name: value for name, value in parameters.items() if name not in _STORED}
            emitted("a key", " ".join(f"{name}={value}" for name, value in shown.items()))
        return call(self, operation, parameters)

    return call_aws


def _init(init: Any) -> Any:
    def init_exception(self: Any, message: str, **named: Any) -> None:
        emitted("an exception", f"{message} {named}")
        init(self, message, **named)

    return init_exception


def _read(readouterr: Any) -> Any:
    def read_and_remember(self: Any) -> Any:
        captured = readouterr(self)
        emitted("the output", f"{captured.out}{captured.err}")
        return captured

    return read_and_remember


_STOOD_AT: tuple[tuple[Any, str, Callable[[Any], Any]], ...] = (
    (logging.Logger, "isEnabledFor", _is_enabled),
    (logging.Logger, "handle", _handle),
    (FileObjects, "put", _put),
    (BaseClient, "_make_api_call", _call),
    (SessionException, "__init__", _init),
    (CaptureFixture, "readouterr", _read),
)


def pytest_configure(config: pytest.Config) -> None:
    """Stand where things leave."""
    config.addinivalue_line("markers", f"{ON_PURPOSE}(way_out, reason): it may hold prompts and tokens there")
    for owner, name, standing_there in _STOOD_AT:
        setattr(owner, name, standing_there(getattr(owner, name)))


_PLAIN = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def _said_by(record: logging.LogRecord) -> str:
    try:
        said = record.getMessage()
    except (TypeError, ValueError):
        said = f"{record.msg} {record.args}"
    more = {name: value for name, value in vars(record).items() if name not in _PLAIN}
    error, errors = record.exc_info[1] if record.exc_info else None, []
    while error is not None:
        errors.append(f"{type(error).__name__}: {error}")
        error = error.__cause__ or error.__context__
    return " ".join((said, str(more or ""), *errors)).replace("\n", " ")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logstart() -> None:
    """Begin anew with each test."""
    watch.secrets.clear()
    watch.emitted.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that has emitted what it must not."""
    report = yield
    for _, how, text in item._report_sections:
        if how in {"stdout", "stderr"}:
            emitted("the output", text)
    if report.when == "teardown":
        marks = list(item.iter_markers(ON_PURPOSE))
        assert all(mark.args[0] in WAYS_OUT and mark.kwargs["reason"] for mark in marks), item.nodeid
        found = list(watch.found({mark.args[0] for mark in marks}))[:20]
        if found and report.passed:
            report.outcome = "failed"
            report.longrepr = "planted: " + "\nplanted: ".join(found)
    return report
