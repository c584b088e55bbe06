"""LocalStack's S3 in a process of its own: no Docker, no token, nothing outside of a temporary folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-localstack" / "bin" / "python"
START_SECONDS = 120
STOP_SECONDS = 20


@contextmanager
def localstack(python: Path = PYTHON) -> Iterator[str]:
    """Run it on a free port of this machine, and yield its URL.

    Raises:
        RuntimeError: It did not start; the message holds what it said.
    """
    with tempfile.TemporaryDirectory(prefix="localstack-") as folder, Path(folder, "log").open("w+b") as log:
        port = _free_port()
        process = subprocess.Popen(
            [str(python), "-m", "localstack.runtime.main"],
            env=_environment(folder, port),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the tests, which stop it when they have ended
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(process, url, Path(folder, "log"))
            yield url
        finally:
            _stop(process)


def _environment(folder: str, port: int) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": folder,
        "XDG_CACHE_HOME": folder,
        "TMPDIR": folder,
        "FILESYSTEM_ROOT": f"{folder}/files",
        "SERVICES": "s3",
        "STRICT_SERVICE_LOADING": "1",
        "EAGER_SERVICE_LOADING": "1",
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "DNS_ADDRESS": "0",
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
    }


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    config = Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 1})
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
    s3 = session.client("s3", endpoint_url=url, config=config)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        # Neither "Ready." in its log nor "available" in its health says that S3 takes requests: an answer of S3's does.
        try:
            s3.list_buckets()
        except (ClientError, BotoCoreError):
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"LocalStack did not start:\n{log.read_text(errors='replace')[-4000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


if __name__ == "__main__":
    with localstack() as running:
        sys.stdout.write(f"LocalStack's S3 listens on {running}; Ctrl-C ends it.\n")
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
