"""The way of one request: latency, faults, S3, log, answer."""

import asyncio
from collections.abc import Callable
from email.utils import formatdate

from tests.doubles.s3.clock import Clock
from tests.doubles.s3.connection import Connection, header_condition
from tests.doubles.s3.errors import S3Error
from tests.doubles.s3.faults import Fault, FaultPlan
from tests.doubles.s3.messages import Request, Response
from tests.doubles.s3.request_log import DROPPED, LogEntry, RequestLog
from tests.doubles.s3.service import S3Service, error_response

Control = Callable[[Request], Response | None]
"""Answers requests that are not for S3; ``None`` for those that are."""


class Front:
    """Takes requests from connections and sees each to its answer.

    Args:
        service: Carries requests out.
        faults: What is to go wrong.
        log: Where requests are noted.
        clock: Time for ``Date`` and the log.
        control: Answers what is not for S3; such requests are neither delayed nor noted.
    """

    def __init__(self, service: S3Service, faults: FaultPlan, log: RequestLog, clock: Clock, control: Control) -> None:
        self.latency: dict[str, float] = {}
        self.handshakes: list[float] = []
        self._service = service
        self._faults = faults
        self._log = log
        self._clock = clock
        self._control = control
        self._opened: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def connect(self) -> Connection:
        """Make the protocol of a new connection."""
        return Connection(self._on_request, self._opened)

    def connect_with_tls(self) -> Connection:
        """Make the protocol of a new connection with TLS, and note when its handshake is over."""
        return Connection(self._on_request, self._opened, ready=self._note_handshake)

    def _note_handshake(self) -> None:
        self.handshakes.append(asyncio.get_running_loop().time())

    async def close(self) -> None:
        """Let go of everybody."""
        for connection in list(self._opened):
            connection.drop()
        for task in list(self._tasks):
            task.cancel()
        # Once round the loop, so that cancellations and closed transports arrive.
        await asyncio.sleep(0)

    def _on_request(self, connection: Connection, request: Request) -> None:
        controlled = self._control(request)
        if controlled is not None:
            connection.respond(controlled, date=self._date())
            return
        loop = asyncio.get_running_loop()
        started = loop.time()
        fault = self._faults.match(request)
        if fault is not None:
            task = loop.create_task(self._go_wrong(connection, request, fault, started))
            self._tasks.add(task)
            task.add_done_callback(lambda done: self._went_wrong(connection, done))
            return
        seconds = self.latency.get(request.verb, 0.0)
        if seconds:
            # The request takes effect when its time is over, whether or not the client is still there.
            loop.call_at(started + seconds, self._answer, connection, request, started)
        else:
            self._answer(connection, request, started)

    def _answer(self, connection: Connection, request: Request, started: float) -> None:
        self._send(connection, request, self._apply(request), started)

    def _apply(self, request: Request) -> Response:
        return self._service.handle(request, self._faults.key_error)

    async def _go_wrong(self, connection: Connection, request: Request, fault: Fault, started: float) -> None:
        seconds = self.latency.get(request.verb, 0.0) + (fault.seconds if fault.action == "delay" else 0.0)
        await asyncio.sleep(seconds)
        response = self._apply(request) if fault.applied or fault.action == "cut" else None
        match fault.action:
            case "hold":
                await fault.held()
            case "call" if fault.callback is not None:
                fault.callback(request)
            case "error":
                response = error_response(S3Error(fault.code), request, "INJECTED")
        if response is None and fault.action != "drop":
            response = self._apply(request)
        if fault.action == "drop" or response is None:
            connection.drop()
            self._note(request, None, started, fault)
        elif fault.action == "cut":
            connection.cut(response, date=self._date())
            self._note(request, response, started, fault)
        else:
            self._send(connection, request, response, started, fault)
        fault.arrived.set()

    def _went_wrong(self, connection: Connection, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            # A callback raised: nobody is to wait for an answer that will not come.
            connection.drop()
            raise RuntimeError("a fault's callback failed") from task.exception()

    def _send(
        self,
        connection: Connection,
        request: Request,
        response: Response,
        started: float,
        fault: Fault | None = None,
    ) -> None:
        # Noted first: whoever has the answer finds the request in the log.
        self._note(request, response, started, fault)
        connection.respond(response, date=self._date(), is_head=request.method == "HEAD")

    def _note(self, request: Request, response: Response | None, started: float, fault: Fault | None) -> None:
        has_body = response is not None and request.method != "HEAD"
        self._log.add(
            LogEntry(
                verb=request.verb,
                bucket=request.bucket,
                key=request.log_key,
                status=response.status if response else DROPPED,
                bytes_in=len(request.body),
                bytes_out=len(response.body) if response and has_body else 0,
                time=self._clock(),
                started=started,
                finished=asyncio.get_running_loop().time(),
                condition=header_condition(request.headers),
                fault=fault.action if fault else "",
            )
        )

    def _date(self) -> str:
        return formatdate(self._clock(), usegmt=True)
