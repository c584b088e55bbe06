"""With tracing, X-Ray's daemon gets each turn with its session and its id; without it, nothing of it is there."""

import json
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.doubles.s3_server import S3Server
from tests.metrics.load import Load

SAMPLED = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A daemon, and an invocation that is traced."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(10)
        monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", f"127.0.0.1:{listening.getsockname()[1]}")
        monkeypatch.setenv("_X_AMZN_TRACE_ID", SAMPLED)
        yield listening


def received(daemon: socket.socket) -> list[Any]:
    """The documents that have arrived: a datagram on this machine is there when it is sent."""
    daemon.setblocking(False)
    found: list[Any] = []
    while True:
        try:
            header, document = daemon.recv(65_536).split(b"\n", 1)
        except BlockingIOError:
            return found
        assert json.loads(header) == {"format": "json", "version": 1}
        found.append(json.loads(document))


def test_a_turn_is_found_by_its_session_and_its_id(s3: S3Server, daemon: socket.socket) -> None:
    load = Load(s3, TRACING="xray")

    reply = json.loads(load.say("Say hello", "chat")["body"])

    (document,) = received(daemon)
    assert document["annotations"] == {
        "session_id": "chat",
        "turn_id": reply["turn_id"],
        "agent_id": "default",
        "request_id": "8a5c1f0e-request",
    }
    assert (document["trace_id"], document["parent_id"]) == ("1-5759e988-bd862e3fe1be46a994272793", "53995c3f42cd8ad8")
    assert (document["type"], document["name"]) == ("subsegment", "turn")
    assert len(document["id"]) == 16
    assert document["start_time"] <= document["end_time"]
    assert "hello" not in json.dumps(document).lower()


def test_what_is_no_turn_and_what_is_not_sampled_is_not_sent(
    s3: S3Server, daemon: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Load(s3, TRACING="xray")

    load.send("GET", "/health")
    for header in (SAMPLED.replace("Sampled=1", "Sampled=0"), "", "nonsense"):
        monkeypatch.setenv("_X_AMZN_TRACE_ID", header)
        load.say("Say hello", "chat")

    assert received(daemon) == []


@pytest.mark.usefixtures("daemon")
def test_a_daemon_that_is_not_there_fails_no_turn(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", "tcp:127.0.0.1:1 udp:256.0.0.1:1")
    load = Load(s3, TRACING="xray")

    assert load.say("Say hello", "chat")["statusCode"] == 200


def test_without_tracing_nothing_of_it_is_imported(s3: S3Server, daemon: socket.socket) -> None:
    load = Load(s3)

    load.say("Say hello", "chat")

    assert received(daemon) == []
    assert "lambda_src.runtime.xray" not in sys.modules
