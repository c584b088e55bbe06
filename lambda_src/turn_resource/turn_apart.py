"""A turn on a thread of its own: it goes on to its end, even if nobody reads what it tells.

Following a turn uses such a thread too. That thread ends when nobody reads any more.
"""

from __future__ import annotations

import contextvars
import threading
from typing import TYPE_CHECKING, Any

from lambda_src.turn_resource.feed import Failed, Feed, Replied
from lambda_src.turn_resource.following import FollowedNoLongerError

if TYPE_CHECKING:
    from collections.abc import Callable


class TurnApart:
    """Takes a turn beside its caller.

    Args:
        take: Takes the turn, or follows it, and returns its reply. It tells each event to the feed it is given.

    Attributes:
        feed: What the turn tells.
        failure: What it ended in instead of a reply, if it did.
    """

    def __init__(self, take: Callable[[Feed], dict[str, Any]]) -> None:
        self.feed = Feed()
        self.failure: BaseException | None = None
        self._take = take
        # The context holds the request's log fields and trace.
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name="turn-apart", daemon=True)

    def start(self, *, wait: bool = True) -> Feed:
        """Begin, and return when there is something to tell.

        Args:
            wait: Whether to wait for that.

        Raises:
            BaseException: The turn was refused with this before it told anything.
        """
        self._thread.start()
        if wait:
            self.feed.wait_for_first()
        return self.feed

    def wait(self) -> None:
        """Wait for the turn's end. It comes within the function's time."""
        self._thread.join()

    def _run(self) -> None:
        try:
            reply = self._take(self.feed)
        except FollowedNoLongerError:
            self.feed.leave()
        except BaseException as error:  # noqa: BLE001 - it is told to the reader
            self.failure = error
            self.feed.end(Failed(error))
        else:
            self.feed.end(Replied(reply))
