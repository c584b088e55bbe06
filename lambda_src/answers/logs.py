"""Structured logs without a word of any conversation.

Our own lines say what happened to which session. All other lines may quote: the libraries below log requests, tool
inputs and errors verbatim, some of them at WARNING, and an error's message quotes what it failed on. They may say
*that* something happened and where, not what it was about. The same holds for what Python itself writes to stderr.
"""

import logging
import os
import re
import sys
import threading
import warnings
from typing import Any

from aws_lambda_powertools import Logger

from lambda_src.answers.diagnosis import diagnosis
from lambda_src.answers.errors import (
    EndpointError,
    InternalError,
    SessionInUseError,
    StorageFailedError,
    StorageRefusedError,
    TurnConflictError,
)
from lambda_src.metrics import recorded, table

SERVICE = os.environ.get("POWERTOOLS_SERVICE_NAME", "agent-sessions")
logger = Logger(service=SERVICE)

LIBRARIES_THAT_QUOTE = (
    "LiteLLM",
    "LiteLLM Proxy",
    "LiteLLM Router",
    "agent_sessions",
    "anthropic",
    "asyncio",
    "aws_lambda_powertools",
    "boto3",
    "botocore",
    "google_genai",
    "httpcore",
    "httpx",
    "litellm",
    "mcp",
    "mistralai",
    "ollama",
    "openai",
    "opentelemetry",
    "py.warnings",
    "s3transfer",
    "strands",
    "urllib3",
)
"""Loggers that get no other handler than ours, even if the root logger is changed later."""

_NAMED_VALUE = re.compile(r"(?:(\w+)=<)?%[sdr]")
_NAMES_OF_IDS = {"session_id", "agent_id", "multi_agent_id", "message_id", "key", "aside", "messages", "renewed"}


class WithoutWords(logging.Handler):
    """Logs that a library logged something, and where in the code, but not its words."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log where the record comes from, and which exception it is about."""
        if record.name.partition(".")[0] == SERVICE:
            return  # one of ours, which has been written already
        error = record.exc_info[1] if record.exc_info else None
        log = logger.error if record.levelno >= logging.ERROR else logger.warning
        log(
            "a library reported something",
            extra={
                "library": record.name,
                "library_at": f"{record.module}:{record.lineno}",
                # A format string is a programmer's; its arguments may hold anything. A message without arguments may
                # have been formatted before.
                "library_message": record.msg if record.args and isinstance(record.msg, str) else None,
                **_ids_in(record),
                **(diagnosis(error) if error else {"error": None}),
            },
        )


def _ids_in(record: logging.LogRecord) -> dict[str, Any]:
    """The ids and keys among a line's arguments, if the session library wrote it: it uses these names for them."""
    if record.name.partition(".")[0] != "agent_sessions" or not isinstance(record.args, tuple):
        return {}
    names = _NAMED_VALUE.findall(str(record.msg))
    return {name: value for name, value in zip(names, record.args, strict=False) if name in _NAMES_OF_IDS}


def keep_words_out() -> None:
    """Keep conversations out of the function's log, at whatever log level and whoever writes.

    Called once, before anybody else's code runs.
    """
    handler = WithoutWords(logging.WARNING)
    # Lambda's own handler writes records as they are.
    logging.getLogger().handlers = [handler]
    for name in LIBRARIES_THAT_QUOTE:
        library = logging.getLogger(name)
        library.setLevel(logging.WARNING)
        library.handlers = [handler]
        library.propagate = False
        # LiteLLM, for one, gives its loggers handlers of its own when it is imported, which is later than this.
        library.addHandler = _no_other_handler  # type: ignore[method-assign]
    # By default Python writes these to stderr, with the error's message or the line's arguments.
    logging.raiseExceptions = False
    threading.excepthook = _log_end_of_thread
    sys.unraisablehook = _log_unraisable
    warnings.showwarning = _log_warning


def _no_other_handler(hdlr: logging.Handler) -> None:
    """Whoever adds a handler to a library that quotes wants its words written."""


def _log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and not isinstance(ended.exc_value, SystemExit):
        logger.error("a thread ended in an error", extra=diagnosis(ended.exc_value))


def _log_unraisable(unraisable: Any) -> None:
    if unraisable.exc_value is not None:
        logger.warning("an error could not be raised", extra=diagnosis(unraisable.exc_value))


def _log_warning(
    message: Warning | str,  # noqa: ARG001 - it may quote, as pydantic's do
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,  # noqa: ARG001 - Python's signature
    line: str | None = None,  # noqa: ARG001 - likewise
) -> None:
    logger.warning("a warning", extra={"error": category.__name__, "error_at": [f"{filename}:{lineno}"]})


def log_refusal(refusal: EndpointError, error: BaseException) -> None:
    """One line on why a request got no reply.

    Args:
        refusal: What the caller is told.
        error: What was raised.
    """
    cause = error.__cause__ if isinstance(error, EndpointError) and error.__cause__ else error
    _count(refusal)
    # An error only when somebody should look at the endpoint itself; the rest is for callers and for metrics.
    log = logger.error if refusal.status == InternalError.status else logger.warning
    log("request refused", extra={"problem": refusal.slug, "status": refusal.status, **diagnosis(cause)})


def _count(refusal: EndpointError) -> None:
    if isinstance(refusal, StorageFailedError | StorageRefusedError):
        recorded.add(table.STORAGE_FAILURES)
    elif isinstance(refusal, SessionInUseError):
        recorded.add(table.BUSY)
    elif isinstance(refusal, TurnConflictError):
        recorded.add(table.CONFLICTS)
    elif refusal.status == InternalError.status:
        recorded.add(table.INTERNAL_ERRORS)
    recorded.name(problem=refusal.slug)


def log_broken_answer(error: BaseException) -> None:
    """One line on why an answer that had begun did not reach its caller whole."""
    logger.error("an answer broke off", extra=diagnosis(error))
