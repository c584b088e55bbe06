"""A function with a store of its own for each test."""

import itertools
import logging
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.doubles.s3_server import S3Server
from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.deployed_role import DeployedRole, deployed_statements
from tests.endpoint.erasing_world import BUCKET, ErasingWorld, erasing_world
from tests.endpoint.function import Function, processes

_access_keys = (f"FUNCTION{number}" for number in itertools.count(1))
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": next(_access_keys),
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_REGION": "eu-west-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture(scope="session")
def erasing_s3() -> Iterator[S3Server]:
    with S3Server(buckets=[BUCKET]) as s3:
        yield s3


@pytest.fixture
def erasing(erasing_s3: S3Server) -> Iterator[ErasingWorld]:
    with erasing_world(erasing_s3, CREDENTIALS) as world:
        yield world


@pytest.fixture(autouse=True)
def _fresh_processes() -> Iterator[None]:
    loggers = {
        name: (logger.level, logger.handlers, logger.propagate)
        for name, logger in logging.root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger)
    }
    own = sys.unraisablehook, threading.excepthook, logging.raiseExceptions
    with processes():
        # A new process has a new logger that writes to this process's output.
        logging.root.manager.loggerDict.pop("agent-sessions", None)
        yield
    sys.unraisablehook, threading.excepthook, logging.raiseExceptions = own
    logging.root.handlers = [handler for handler in logging.root.handlers if type(handler).__name__ != "WithoutWords"]
    for logger in logging.root.manager.loggerDict.values():
        logger.__dict__.pop("addHandler", None)
    for name, (level, handlers, propagate) in loggers.items():
        logger = logging.getLogger(name)
        logger.level, logger.handlers, logger.propagate = level, handlers, propagate


@pytest.fixture(autouse=True)
def deployed_role(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeployedRole]:
    """Every test's function calls AWS under the role it is deployed with; a refused call fails the test.

    The access key is the test's own: what an earlier test's function was still sending when its time was up is not
    judged as this one's.
    """
    monkeypatch.setitem(CREDENTIALS, "AWS_ACCESS_KEY_ID", next(_access_keys))
    role = DeployedRole()
    if {"store", "s3_store", "s3", "on_s3"} & set(request.fixturenames):
        deployed_statements()  # takes seconds once: before any clock runs
    with role.in_front_of_aws(CREDENTIALS["AWS_ACCESS_KEY_ID"]):
        yield role
    assert not role.refused, f"the deployed role refuses {role.refused}"
    assert not role.reached_neighbours, f"the deployed role allows too much: {role.reached_neighbours}"


@pytest.fixture(scope="session")
def s3_url(other_s3: str) -> Iterator[str]:
    if other_s3:
        yield other_s3
        return
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def file_store(tmp_path: Path) -> dict[str, str]:
    return {"SESSION_STORE": f"file://{tmp_path}/sessions"}


@pytest.fixture
def s3_store(s3_url: str) -> dict[str, str]:
    bucket = f"endpoint-{uuid.uuid4().hex}"  # another S3 is not empty
    boto3.client(
        "s3",
        endpoint_url=s3_url,
        region_name="us-east-1",
        aws_access_key_id="administrator",
        aws_secret_access_key="testing",
    ).create_bucket(Bucket=bucket)
    return {"SESSION_STORE": f"s3://{bucket}/sessions", "AWS_ENDPOINT_URL_S3": s3_url}


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest) -> dict[str, str]:
    """Each kind of store in turn."""
    chosen: dict[str, str] = request.getfixturevalue(f"{request.param}_store")
    return chosen


@pytest.fixture
def scripted(file_store: dict[str, str]) -> Callable[..., tuple[Function, ScriptedModel]]:
    """A function on files whose model plays a script."""

    def make(*script: Any, otherwise: Any = None, **environment: str) -> tuple[Function, ScriptedModel]:
        model = ScriptedModel(*script, otherwise=otherwise)
        function = Function({**CREDENTIALS, **file_store, "AGENT_MODEL": "scripted:script", **environment})
        function.models["script"] = model
        return function, model

    return make
