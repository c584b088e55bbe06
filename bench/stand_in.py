"""The S3 stand-in in a process of its own, steered from here."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.request import Request, urlopen

from botocore.config import Config

from tests.doubles.s3.request_log import LogEntry
from tests.doubles.s3_server import S3Server

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CONNECTIONS = 64


class StandIn:
    """A running stand-in.

    Used as a context manager: its process ends with the ``with``, and with this process.

    Args:
        tls: A certificate with its key, for a stand-in that listens with TLS too.

    Attributes:
        url: Where it listens without TLS.
        tls_url: Where it listens with TLS; empty when it does not.
    """

    def __init__(self, tls: Path | None = None) -> None:
        root = Path(__file__).parents[1]
        command = [sys.executable, "-m", "tests.doubles.s3_server", *(["--tls", str(tls)] if tls else [])]
        self._process = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603  # ours
        if self._process.stdout is None:
            raise RuntimeError("the stand-in's output is not connected")
        announced = json.loads(self._process.stdout.readline())
        self.url: str = announced["url"]
        self.tls_url: str = announced["tls_url"]
        self._control: str = announced["control"]

    def __enter__(self) -> Self:
        """Return this stand-in, which runs already."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """End the process."""
        self._process.communicate(timeout=30)

    def client(self) -> "S3Client":
        """Make a client; every contender gets one like it."""
        return connect(self.url)

    def set_latency(self, latency: Mapping[str, float]) -> None:
        """Set seconds to an answer by verb."""
        self._ask("POST", "latency", dict(latency))

    def set_clock(self, now: float | None) -> None:
        """Have it be that time there, in seconds since the epoch; ``None`` for the system's."""
        self._ask("POST", "clock", {"now": now})

    def put_objects(self, bucket: str, objects: Mapping[str, bytes]) -> None:
        """Put objects there at once, without a request for each."""
        self._ask(
            "POST", "objects", {"bucket": bucket, "objects": {key: body.decode() for key, body in objects.items()}}
        )

    def advance_clock(self, seconds: float) -> None:
        """Move the stand-in's clock on."""
        self._ask("POST", "clock", {"advance": seconds})

    def copy(self, source: str, target: str) -> None:
        """Make one bucket an exact copy of another."""
        self._ask("POST", "copy", {"source": source, "target": target})

    def take_log(self) -> list[LogEntry]:
        """Return the requests since the last call."""
        return [LogEntry(**entry) for entry in self._ask("DELETE", "log")]

    def take_handshakes(self) -> list[float]:
        """Return when each connection with TLS was ready since the last call, in monotonic seconds."""
        taken: list[float] = self._ask("DELETE", "handshakes")
        return taken

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self._control}/{path}", data, method=method)  # noqa: S310  # our own server
        with urlopen(request, timeout=30) as response:  # noqa: S310
            return json.load(response)


def connect(url: str) -> "S3Client":
    """Make a client of a stand-in by its URL."""
    return S3Server.connect(url, config=Config(max_pool_connections=_CONNECTIONS, retries={"total_max_attempts": 1}))
