"""An Amazon S3 stand-in over HTTP, with a clock, latencies and faults that a test or a benchmark sets.

In a test, in a thread::

    with S3Server(buckets=["sessions"]) as s3:
        manager = S3SessionManager("s1", "sessions", client=s3.client())
        s3.faults.add(Fault("drop", verb="PUT", nth=3, applied=True))

For a benchmark, in a process of its own (it prints its URL as one line of JSON)::

    python -m tests.doubles.s3_server --port 0 --latency s3 --bucket sessions
"""

import argparse
import asyncio
import json
import signal
import ssl
import sys
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, get_args

from agent_sessions._storage.s3_conditions import trust
from tests.doubles.s3 import control, lifecycle
from tests.doubles.s3.clock import SettableClock
from tests.doubles.s3.connection import new_event_loop
from tests.doubles.s3.faults import Fault, FaultPlan
from tests.doubles.s3.front import Front
from tests.doubles.s3.messages import Request, Response, Verb
from tests.doubles.s3.request_log import RequestLog
from tests.doubles.s3.service import S3Service
from tests.doubles.s3.store import ETagStyle, ObjectStore
from tests.doubles.tls import HOST, server_context

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["S3_LATENCY", "Fault", "S3Server", "SettableClock"]

S3_LATENCY: Mapping[str, float] = {
    "GET": 0.015,
    "HEAD": 0.015,
    "PUT": 0.025,
    "DELETE": 0.025,
    "DELETE_OBJECTS": 0.025,
    "LIST": 0.030,
    "LIST_VERSIONS": 0.030,
}
"""Seconds to the first byte of an answer, about what S3 Standard shows within its region."""

REGION = "us-east-1"


class S3Server:
    """The server: started by ``with``, or by ``run_forever`` where it owns the process.

    Args:
        buckets: Buckets that are there from the start.
        clock: Where ``Date``, ``Last-Modified`` and expiry come from.
        latency: Seconds by verb from a whole request to its answer; a verb not named answers at once.
        etags: ``md5``, or ``random`` at each write as with KMS.
        listing_allowed: Whether callers have ``s3:ListBucket``.
        port: ``0`` takes a free one.
        tls: Listen with TLS too, on a free port.

    Attributes:
        url: Where it listens without TLS; empty until it does.
        tls_url: Where it listens with TLS; empty when it does not.
    """

    def __init__(
        self,
        *,
        buckets: Iterable[str] = (),
        clock: SettableClock | None = None,
        latency: Mapping[str, float] | None = None,
        etags: ETagStyle = "md5",
        listing_allowed: bool = True,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.clock = clock or SettableClock()
        self.store = ObjectStore(self.clock, etags)
        self.service = S3Service(self.store, listing_allowed=listing_allowed)
        self.faults = FaultPlan()
        self.log = RequestLog()
        self.url = self.tls_url = ""
        self._port = port
        self._tls = tls
        self._buckets = tuple(buckets)
        self._create_buckets()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._front = Front(self.service, self.faults, self.log, self.clock, self._control)
        self.set_latency(latency or {})

    @property
    def latency(self) -> Mapping[str, float]:
        """Seconds to an answer by verb."""
        return dict(self._front.latency)

    @property
    def handshakes(self) -> list[float]:
        """When each connection with TLS was ready, in monotonic seconds."""
        return self._front.handshakes

    # --- what a test does ---

    def client(self, **options: Any) -> "S3Client":
        """Make a boto3 client of this server; ``options`` go to ``Session.client``."""
        return self.connect(self.url, **options)

    @staticmethod
    def connect(url: str, **options: Any) -> "S3Client":
        """Make a boto3 client of a server that runs elsewhere."""
        import boto3

        trust(url)
        session = boto3.Session(aws_access_key_id="stand-in", aws_secret_access_key="stand-in", region_name=REGION)
        return session.client("s3", endpoint_url=url, **options)

    def set_latency(self, latency: Mapping[str, float]) -> None:
        """Set the seconds to an answer by verb, for all verbs at once."""
        unknown = latency.keys() - set(get_args(Verb))
        if unknown or any(seconds < 0 for seconds in latency.values()):
            raise ValueError(f"latency={dict(latency)!r} | seconds by verb, of {', '.join(get_args(Verb))}")
        self._front.latency = dict(latency)

    def objects(self, bucket: str, prefix: str = "") -> dict[str, bytes]:
        """Return the content of every current object, by key."""
        return {key: version.body for key, version in self.store.current_objects(bucket, prefix).items()}

    def expire(
        self,
        bucket: str,
        *,
        days: int | None,
        now: float | None = None,
        prefix: str = "",
        noncurrent_days: int | None = None,
        drop_lone_markers: bool = False,
    ) -> lifecycle.Expired:
        """Let a lifecycle rule run, by the server's clock unless ``now`` (seconds since the epoch) is given."""
        return lifecycle.expire(
            self.store,
            bucket,
            now=self.clock() if now is None else now,
            days=days,
            prefix=prefix,
            noncurrent_days=noncurrent_days,
            drop_lone_markers=drop_lone_markers,
        )

    def reset(self) -> None:
        """Go back to the beginning: empty buckets, no faults, no log."""
        self.faults.clear()
        self.store.clear()
        self.log.take()
        self._create_buckets()

    # --- running ---

    def __enter__(self) -> Self:
        """Serve from a thread of its own."""
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="s3-stand-in", daemon=True)
        self._thread.start()
        ready.wait()
        return self

    def __exit__(self, *_exc: object) -> None:
        """Stop, and let go of every connection."""
        if self._loop is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._thread = None

    def run_forever(self, announce: threading.Event | None = None) -> None:
        """Serve until the loop is stopped, by a signal or by the end of standard input."""
        self._run(announce or threading.Event(), in_own_process=True)

    def _run(self, ready: threading.Event, *, in_own_process: bool = False) -> None:
        loop = self._loop = new_event_loop()
        asyncio.set_event_loop(loop)
        servers = [self._listen(loop, self._port, None)]
        self.url = f"http://{HOST}:{servers[0].sockets[0].getsockname()[1]}"
        if self._tls is not None:
            servers.append(self._listen(loop, 0, self._tls))
            self.tls_url = f"https://{HOST}:{servers[1].sockets[0].getsockname()[1]}"
        for url in filter(None, (self.url, self.tls_url)):
            trust(url)  # it keeps every condition, and its requests are counted
        ready.set()
        if in_own_process:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, loop.stop)
            # Ends with the process that started it, even if that one is killed.
            # A standard input that cannot be waited for, as /dev/null, never ends.
            with suppress(PermissionError):
                loop.add_reader(sys.stdin, lambda: None if sys.stdin.readline() else loop.stop())
            announced = {"url": self.url, "tls_url": self.tls_url, "control": f"{self.url}/{control.BUCKET}"}
            print(json.dumps(announced), flush=True)  # noqa: T201
        try:
            loop.run_forever()
        finally:
            if in_own_process:
                loop.remove_reader(sys.stdin)
            for server in servers:
                server.close()
            loop.run_until_complete(self._front.close())
            for server in servers:
                loop.run_until_complete(server.wait_closed())
            loop.close()

    def _listen(self, loop: asyncio.AbstractEventLoop, port: int, tls: ssl.SSLContext | None) -> asyncio.Server:
        connect = self._front.connect if tls is None else self._front.connect_with_tls
        return loop.run_until_complete(loop.create_server(connect, HOST, port, backlog=512, ssl=tls))

    def _control(self, request: Request) -> Response | None:
        """Answer what is meant for the server itself; ``None`` for what is meant for S3."""
        return control.handle(self, request) if request.bucket == control.BUCKET else None

    def _create_buckets(self) -> None:
        for name in self._buckets:
            self.store.create_bucket(name)


def parse_latency(text: str) -> Mapping[str, float]:
    """Read ``none``, ``s3`` or ``get=15,put=25`` (milliseconds) into seconds by verb."""
    if text == "s3":
        return S3_LATENCY
    if text == "none":
        return {}
    pairs = [pair.partition("=") for pair in text.split(",")]
    return {verb.strip().upper(): float(milliseconds) / 1000 for verb, _, milliseconds in pairs}


def main(arguments: list[str] | None = None) -> None:
    """Serve from this process until standard input ends or a signal comes."""
    parser = argparse.ArgumentParser(description="An Amazon S3 stand-in for tests and benchmarks.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument(
        "--latency", type=parse_latency, default={}, help="none, s3, or get=15,put=25,… in milliseconds"
    )
    parser.add_argument("--etags", choices=get_args(ETagStyle), default="md5", help="random: as with KMS")
    parser.add_argument("--bucket", action="append", default=[], help="a bucket to begin with; may be repeated")
    parser.add_argument("--tls", type=Path, metavar="FILE", help="listen with TLS too: a certificate and its key, PEM")
    options = parser.parse_args(arguments)
    server = S3Server(
        buckets=options.bucket,
        latency=options.latency,
        etags=options.etags,
        port=options.port,
        tls=server_context(options.tls) if options.tls else None,
    )
    with suppress(KeyboardInterrupt):
        server.run_forever()


if __name__ == "__main__":
    main()
