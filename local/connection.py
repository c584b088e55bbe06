"""One client's connection: uvicorn's HTTP/1.1 protocol, with the bounds that a server on somebody's desk needs.

uvicorn parses (h11), keeps connections alive and hands requests on. What is added here:

* A request has to arrive within a time, and its answer has to be taken. uvicorn waits for slow clients without end.
* After a refusal the connection is read on for a while. Otherwise a client that still sends the refused body
  would meet a reset connection instead of the reason.
* A client that ends its side after asking (``nc`` does) still gets its answer. One that ends it in the middle of a
  request is told so, and the application never sees the piece as a whole body.
* What the parser refuses is answered with a problem document, like every other refusal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from local.refusals import malformed, too_slow

if TYPE_CHECKING:
    import asyncio

    from uvicorn.protocols.http.h11_impl import RequestResponseCycle

    from local.function_url import Response

# How much is read and forgotten after a refusal.
_FORGOTTEN_BYTES: Final = 64 * 1024 * 1024


class Connection(H11Protocol):
    """uvicorn's connection, bounded in time."""

    patience_seconds: ClassVar[float] = 60.0
    """How long a request may take to arrive, from its first byte (of a new connection: from the connection) to its
    last; how long an answer may take to be taken; how long a refused body is read on."""

    # --- what asyncio calls -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # narrowed by uvicorn
        """Begin: who connects has to ask for something."""
        super().connection_made(transport)
        self._socket = transport
        self.transport = _Parting(transport, self)  # type: ignore[assignment]  # stands in for the transport
        self._deadline: asyncio.TimerHandle | None = None
        self._writing_deadline: asyncio.TimerHandle | None = None
        self._client_has_ended = False
        self._is_parting = False
        self._forgotten_bytes = 0
        self._set_deadline()

    def data_received(self, data: bytes) -> None:
        """Parse what came; forget it while the connection is being given up."""
        if self._is_parting:
            self._forgotten_bytes += len(data)
            if self._forgotten_bytes > _FORGOTTEN_BYTES:
                self._socket.abort()
            return
        super().data_received(data)
        self._watch_arrival()

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn always lets asyncio close
        """The client sends no more. It may still be listening.

        Returns:
            Whether the connection stays open: to send the answer to a request that is whole.
        """
        self._client_has_ended = True
        if self._is_answering():
            return True
        if not self._is_parting and self._has_begun():
            self._refuse(malformed("The connection ended before the request did."))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End, no matter which side ended it."""
        self._is_parting = True
        self._clear_deadline()
        if self._writing_deadline is not None:
            self._writing_deadline.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not take its answer: give it up after a while."""
        super().pause_writing()
        self._writing_deadline = self.loop.call_later(self.patience_seconds, self._socket.abort)

    def resume_writing(self) -> None:
        """The client takes its answer after all."""
        super().resume_writing()
        if self._writing_deadline is not None:
            self._writing_deadline.cancel()

    # --- what uvicorn calls -----------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        """Go on with the next request, if the client can still send one."""
        super().on_response_complete()
        self._watch_arrival()
        if self._client_has_ended and not self._is_answering():
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refuses."""
        self._refuse(malformed(f"It is no HTTP/1.1 request, or has contradictory headers. ({msg})"))

    def part(self) -> None:
        """Close after what was written has left, and after a client that is still sending has stopped."""
        if self._is_parting:
            return
        is_sending = self._has_begun() and not self._client_has_ended
        self._is_parting = True
        self._clear_deadline()
        self._deadline = self.loop.call_later(self.patience_seconds, self._socket.abort)
        if is_sending:
            self._socket.write_eof()
            self.flow.resume_reading()
        else:
            self._socket.close()

    @property
    def is_parting(self) -> bool:
        """Whether the connection is being given up."""
        return self._is_parting

    # --- what is known of the request -------------------------------------------------------------------------

    def _has_begun(self) -> bool:
        """Whether a part of a request has come and the rest has not."""
        if self.conn.their_state is h11.IDLE:
            return bool(self.conn.trailing_data[0])
        return self.conn.their_state in {h11.SEND_BODY, h11.ERROR}

    def _is_answering(self) -> bool:
        """Whether a request has come whole and its answer is not complete."""
        cycle = self._current()
        return cycle is not None and not cycle.response_complete and not self._has_begun()

    def _current(self) -> RequestResponseCycle | None:
        return cast("RequestResponseCycle | None", self.cycle)  # None before the first request, other than declared

    def _watch_arrival(self) -> None:
        if self._is_parting:
            return
        if not self._has_begun():
            self._clear_deadline()
        elif self._deadline is None:
            self._set_deadline()

    def _set_deadline(self) -> None:
        self._deadline = self.loop.call_later(self.patience_seconds, self._give_up)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if self._has_begun():
            self._refuse(too_slow(self.patience_seconds))
        else:
            self.transport.close()  # a connection that nobody used: there is nothing to answer

    def _refuse(self, response: Response) -> None:
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            is_head = self.conn.our_state is h11.SEND_RESPONSE and self.scope["method"] == "HEAD"
            cycle = self._current()
            if cycle is not None and not cycle.response_complete:
                # The application is waiting for the rest of the body.
                cycle.disconnected = True
                cycle.message_event.set()
            headers = [
                *self.server_state.default_headers,
                *((name.encode(), value.encode()) for name, value in response.headers),
                (b"content-length", str(len(response.body)).encode()),
                (b"connection", b"close"),
            ]
            reason = STATUS_PHRASES[response.status]
            self._write(h11.Response(status_code=response.status, headers=headers, reason=reason))
            self._write(h11.Data(data=b"" if is_head else response.body))
            self._write(h11.EndOfMessage())
        self.transport.close()

    def _write(self, event: h11.Event) -> None:
        self._socket.write(self.conn.send(event) or b"")


class _Parting:
    """A transport whose ``close`` lets a client that is still sending read why.

    uvicorn closes in several places, and each of them is a refusal or the end of an answer.
    """

    def __init__(self, transport: asyncio.Transport, connection: Connection) -> None:
        self._transport = transport
        self._connection = connection

    def close(self) -> None:
        self._connection.part()

    def is_closing(self) -> bool:
        return self._connection.is_parting or self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
