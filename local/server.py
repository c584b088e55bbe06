"""The local HTTP server: uvicorn in front of the handler, doing what a Function URL does.

It listens on this machine only: anybody who can reach it owns everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Final

import uvicorn

from local.application import FunctionUrl
from local.connection import Connection
from local.invocation import InFlight
from local.refusals import HOST

if TYPE_CHECKING:
    from local.invocation import Handler

# A connection is closed after so long without a request.
IDLE_SECONDS: Final = 60

# The largest head of a request. Cookies of this machine's other servers come along.
_HEAD_BYTES: Final = 64 * 1024
# A burst of connections must not wait for a second.
_BACKLOG: Final = 128
# How long the last answer may take to leave after its turn is over.
_FLUSH_SECONDS: Final = 5.0


class LocalServer:
    """Listens from the moment it is made; ``serve`` answers.

    Args:
        port: Where on this machine; 0 chooses a free port.
        cors_origins: Whose pages may call.

    Raises:
        OSError: When the port cannot be had.
    """

    def __init__(self, port: int, *, cors_origins: tuple[str, ...] = ()) -> None:
        self._socket = _listen(port)
        self._cors_origins = cors_origins
        self.server_address: tuple[str, int] = self._socket.getsockname()
        self.in_flight = InFlight()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.server_address[1]}"

    def serve(self, handler: Handler) -> None:
        """Answer requests in the background, each with the handler, until ``stop``."""
        self._server = _Server(_configuration(FunctionUrl(handler, self.in_flight, self._cors_origins)), self.in_flight)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="http", daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Take no more connections and no more requests.

        Returns:
            How many requests are still being answered. The server ends when they are; ``wait`` waits for it.
        """
        if self._server is not None:
            self._server.close_listeners()
        self._socket.close()
        return self.in_flight.close()

    def wait(self, timeout_seconds: float) -> bool:
        """Wait after ``stop`` until every answer has been sent; False when the time is up first."""
        drained = self.in_flight.drained(timeout_seconds)
        if drained and self._thread is not None:
            self._thread.join(_FLUSH_SECONDS)
        return drained


class _Server(uvicorn.Server):
    """Ends when it has been told to and no request is in flight any more.

    Until then connections stay open, and a new request on one is told that the server is ending. (uvicorn's own
    shutdown cuts such clients off without a word.)
    """

    def __init__(self, config: uvicorn.Config, in_flight: InFlight) -> None:
        super().__init__(config)
        self._in_flight = in_flight
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer on a socket that listens already."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._is_listening.set()

    async def on_tick(self, counter: int) -> bool:
        """Tell, ten times a second, whether it is time to end."""
        return self._in_flight.is_over or await super().on_tick(counter)

    def close_listeners(self) -> None:
        """Refuse new connections from now on. Called from another thread, and done when it returns."""
        if self._is_listening.wait(_FLUSH_SECONDS) and self._loop is not None:
            closed = threading.Event()
            with contextlib.suppress(RuntimeError):  # the server has ended already, and its listeners with it
                self._loop.call_soon_threadsafe(self._close, closed)
                closed.wait(_FLUSH_SECONDS)

    def _close(self, closed: threading.Event) -> None:
        for server in self.servers:
            server.close()
        closed.set()


def _configuration(application: FunctionUrl) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        http=Connection,
        loop="asyncio",
        interface="asgi3",
        lifespan="off",
        ws="none",
        # Believe the connection about the sender: there is no proxy in front of this server.
        proxy_headers=False,
        # The handler logs one line for each request. Errors of uvicorn itself are still shown.
        access_log=False,
        log_config=None,
        log_level="error",
        server_header=False,
        headers=[("server", "agent-session-kit-local")],
        timeout_keep_alive=IDLE_SECONDS,
        h11_max_incomplete_event_size=_HEAD_BYTES,
        backlog=_BACKLOG,
    )


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Without it, a restart would wait until the system has forgotten the last run's connections.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
