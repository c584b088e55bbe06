"""Structured logs without a word of any conversation.

Our own lines say what happened to which session. The libraries below log requests, tool inputs and errors verbatim,
some of them at WARNING: they may say *that* something happened and where, not what it was about.
"""

import logging
import os

from aws_lambda_powertools import Logger

from lambda_src.answers.diagnosis import diagnosis
from lambda_src.answers.errors import EndpointError, InternalError

logger = Logger(service=os.environ.get("POWERTOOLS_SERVICE_NAME", "agent-sessions"))

LIBRARIES_THAT_QUOTE = (
    "anthropic",
    "asyncio",
    "aws_lambda_powertools",
    "boto3",
    "botocore",
    "httpcore",
    "httpx",
    "mcp",
    "ollama",
    "openai",
    "opentelemetry",
    "s3transfer",
    "strands",
    "urllib3",
)


class WithoutWords(logging.Handler):
    """Passes on that a library logged something, and where in its code, but not its words."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record's origin, and the type of the exception it is about."""
        error = record.exc_info[0] if record.exc_info else None
        log = logger.error if record.levelno >= logging.ERROR else logger.warning
        log(
            "a library reported something",
            extra={
                "library": record.name,
                "library_at": f"{record.module}:{record.lineno}",
                # A format string is written by a programmer; what it is filled with may be anything. A message
                # without arguments may have been filled in before.
                "library_message": record.msg if record.args and isinstance(record.msg, str) else None,
                "error": error.__name__ if error else None,
            },
        )


def quiet_libraries() -> None:
    """Keep conversations out of the function's log, whatever log level the function is given."""
    handler = WithoutWords(logging.WARNING)
    for name in LIBRARIES_THAT_QUOTE:
        library = logging.getLogger(name)
        library.setLevel(logging.WARNING)
        library.handlers = [handler]
        library.propagate = False


def log_refusal(refusal: EndpointError, error: BaseException) -> None:
    """One line on why a request got no reply.

    Args:
        refusal: What the caller is told.
        error: What was raised.
    """
    cause = error.__cause__ if isinstance(error, EndpointError) and error.__cause__ else error
    # Only an error when somebody should look at the endpoint itself; the rest is for callers and for metrics.
    log = logger.error if isinstance(refusal, InternalError) else logger.warning
    log("request refused", extra={"problem": refusal.slug, "status": refusal.status, **diagnosis(cause)})
