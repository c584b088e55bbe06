"""Strands' code and orchestrators' take what is stored for granted: what they raise says that it is damaged."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from agent_sessions.exceptions import SessionCorruptError, SessionException

if TYPE_CHECKING:
    from collections.abc import Iterator

_OVER_DAMAGE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


@contextlib.contextmanager
def understanding(what: str, *, session_id: str, key: str | None) -> Iterator[None]:
    """Somebody else's code is given what was read.

    Args:
        what: What it should be.
        session_id: Whose it is.
        key: Where it was read; ``None`` where there are no keys.

    Raises:
        SessionCorruptError: It is not.
    """
    try:
        yield
    except SessionException:
        raise
    except _OVER_DAMAGE as error:
        raise SessionCorruptError(
            f"session_id={session_id}, key={key} | not {what}: {type(error).__name__}", session_id=session_id, key=key
        ) from error
