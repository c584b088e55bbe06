"""What a log may say of an error: what it is and where it was raised, never its words.

An error's message quotes what it failed on, and that may be a conversation. So do the messages of its causes. A type, a
provider's code, a key and a line of code quote nobody.
"""

from __future__ import annotations

import re
import traceback
from collections import deque
from typing import TYPE_CHECKING, Any

from agent_sessions.exceptions import SessionException

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

PLACES_SHOWN = 8
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,79}")


def diagnosis(error: BaseException) -> dict[str, Any]:
    """What a log line says about an error."""
    error = unwrapped(error)
    said = {
        "error": type(error).__name__,
        "error_code": code_of(error),
        "error_key": error.key if isinstance(error, SessionException) else None,
        "error_at": places(error.__traceback__),
    }
    if isinstance(error, BaseExceptionGroup):
        said["error_parts"] = sorted({type(unwrapped(part)).__name__ for part in error.exceptions})
    return said


def unwrapped(error: BaseException) -> BaseException:
    """The error inside Strands' EventLoopException, which nests when several cycles of a turn re-raise it."""
    for _ in range(100):
        original = getattr(error, "original_exception", None)
        if not isinstance(original, BaseException):
            break
        error = original
    return error


def code_of(error: BaseException) -> str | None:
    """The code that AWS or the session's storage gave an error, if it is an error of theirs.

    Other errors may hold anything in ``code``: ``sys.exit`` keeps its argument there.
    """
    code = getattr(error, "code", None) if isinstance(error, SessionException) else aws_error(error).get("Code")
    return code if isinstance(code, str) and _CODE.fullmatch(code) else None


def aws_error(error: BaseException) -> Mapping[str, Any]:
    """The ``Error`` part of a botocore ClientError's response, found without importing botocore."""
    response = getattr(error, "response", None)
    details = response.get("Error") if isinstance(response, dict) else None
    return details if isinstance(details, dict) else {}


def places(trace: TracebackType | None) -> list[str]:
    """The last calls on the way to an error, as file, line and function."""
    last = deque(traceback.walk_tb(trace), maxlen=PLACES_SHOWN)
    return [f"{frame.f_code.co_filename}:{line} {frame.f_code.co_qualname}" for frame, line in last]
