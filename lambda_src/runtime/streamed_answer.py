"""What a handler that answers in pieces returns, and what the carrier of the pieces takes.

``lambda_handler`` returns a dict for an ordinary answer, as Lambda wants it, and a :class:`StreamedAnswer` for one
whose body comes as it is made. The transport under Lambda's runtime client and the local server take both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class StreamedAnswer:
    """An HTTP answer whose body is not known yet when it begins.

    Attributes:
        status_code: The HTTP status.
        headers: By name; each name once. No ``Content-Length``: nobody knows it.
        pieces: The body, in the order to be sent. Asking for the next piece blocks until there is one. The body ends by
            itself and raises nothing of the turn's: a failure in the middle is told in the body.
        cookies: Values of ``Set-Cookie``, one each.
        over: Returns when the work behind the body has ended, even if nobody read to the end.
    """

    status_code: int
    headers: dict[str, str]
    pieces: Iterator[bytes]
    cookies: list[str] = field(default_factory=list)
    over: Callable[[], object] = field(default=lambda: None)

    def close(self) -> None:
        """Say that the reader has left, or has read everything. Must be called once, and may be called again.

        It does not wait. What makes the pieces goes on by itself, and lets go of them.
        """
        close = getattr(self.pieces, "close", None)
        if close is not None:
            close()

    def wait(self) -> None:
        """Wait until nothing works on this answer any more; called after ``close``, or after the last piece.

        A turn goes on when its reader has left. Lambda freezes the process as soon as it asks for the next event, so
        that the answer's carrier waits first. It takes no longer than the function's time.
        """
        self.over()
