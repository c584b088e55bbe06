"""Whom clients trust for TLS: read once a client, and once for two that are made alike."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import SSLError

from agent_sessions._storage import s3_authorities
from tests.doubles.s3_server import REGION, S3Server
from tests.doubles.tls import Authority


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    made = Authority(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(made.bundle))
    return made


@pytest.fixture
def server(authority: Authority) -> Iterator[S3Server]:
    with S3Server(buckets=["bucket"], latency={"HEAD": 0.05}, tls=authority.server_context()) as running:
        yield running


def client_of(server: S3Server, **options: Any) -> Any:
    session = boto3.Session("key", "secret", region_name=REGION)
    return session.client("s3", endpoint_url=server.tls_url, **options)


def watched(client: Any) -> list[Any]:
    """The files that a client has read from now on."""
    context = client._endpoint.http_session._manager.connection_pool_kw["ssl_context"]
    read: list[Any] = []
    load = context.load_verify_locations

    def note(cafile: Any = None, capath: Any = None, cadata: Any = None) -> None:
        read.append(cafile)
        load(cafile, capath, cadata)

    context.load_verify_locations = note
    return read


def ask(*clients: Any) -> None:
    """Ask with each client four times at once: over connections of its own."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda client: client.head_bucket(Bucket="bucket"), [*clients] * 4))


def test_however_many_connections_a_client_opens_it_reads_its_authorities_once(
    server: S3Server, authority: Authority
) -> None:
    client = client_of(server)
    read = watched(client)
    s3_authorities.read_once(client)
    s3_authorities.read_once(client)

    ask(client)

    assert len(server.handshakes) == 4
    assert read == [str(authority.bundle)]


def test_two_clients_that_are_made_alike_read_them_once(server: S3Server, authority: Authority) -> None:
    first, second = client_of(server), client_of(server)
    read, never = watched(first), watched(second)
    s3_authorities.share(first, second)

    ask(first, second)

    assert (read, never) == ([str(authority.bundle)], [])


def test_whoever_is_not_trusted_is_refused_as_before(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_CA_BUNDLE")
    clients = [client_of(server), client_of(server)]
    s3_authorities.share(*clients)

    for client in clients:
        with pytest.raises(SSLError):
            client.head_bucket(Bucket="bucket")


def test_a_client_that_is_made_otherwise_is_left_alone() -> None:
    s3_authorities.read_once(object())
    s3_authorities.share(object(), object())
