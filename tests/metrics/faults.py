"""What can happen to a function on S3, one thing a function: the metric that counts it, and how to bring it about."""

import json
import uuid
from collections.abc import Callable
from typing import Any

from tests.doubles.s3_server import Fault
from tests.metrics.load import BUCKET, FOLDER, Load

DAY = 86_400.0


def internal_error(load: Load) -> None:
    """The agent's own code has a bug."""
    load.function.part("agent").build_agent = _raise
    assert load.send("POST", "/sessions/chat/messages", {"prompt": "Say hello"})["statusCode"] == 500


def _raise(*_: Any) -> None:
    raise RuntimeError("a bug of the agent's")


def storage_failure(load: Load) -> None:
    """S3 answers a session's requests with an error, again and again."""
    load.s3.faults.add(Fault("error", key="*/session.json", times=None, code="InternalError"))
    answer = load.send("POST", "/sessions/chat/messages", {"prompt": "Say hello"})
    load.s3.faults.clear()
    assert answer["statusCode"] == 503


def throttled_model(load: Load) -> None:
    """The model's provider asks to slow down."""
    assert load.send("POST", "/sessions/chat/messages", {"prompt": "overburden"})["statusCode"] == 429


def cut_off(load: Load) -> None:
    """Another process writes into a turn."""
    path = f"/sessions/{uuid.uuid4().hex}/messages"
    load.send("POST", path, {"prompt": "Say hello"})
    assert load.send("POST", path, {"prompt": "meddle"})["statusCode"] == 409


def begun_again(load: Load) -> None:
    """Another process writes between a turn's restore and its first message."""
    path, folder = "/sessions/chat/messages", f"{FOLDER}/session_chat/agents/agent_default/messages"
    load.send("POST", path, {"prompt": "Say hello"})

    def overtake(_: Any) -> None:
        foreign = json.loads(load.s3.objects(BUCKET, folder)[f"{folder}/message_0.json"]) | {"message_id": 2}
        load.s3.store.put(BUCKET, f"{folder}/message_2.json", json.dumps(foreign).encode())

    load.s3.faults.add(Fault("call", verb="PUT", key="*/message_2.json", callback=overtake))
    assert load.send("POST", path, {"prompt": "Say hello"}, idempotency_key="1")["statusCode"] == 200


def taken_over(load: Load) -> None:
    """A process dies in a turn, and its lease runs out."""
    load.send("POST", "/sessions/chat/messages", {"prompt": "Say hello"})
    dead = b'{"format": 1, "lease_id": "dead", "holder": "request of a dead process", "duration_seconds": 30}'
    load.s3.store.put(BUCKET, f"{FOLDER}/session_chat/lease.json", dead)
    load.s3.clock.advance(60)
    assert load.send("POST", "/sessions/chat/messages", {"prompt": "Say hello"})["statusCode"] == 200


def renewal_failed(load: Load) -> None:
    """S3 refuses to have old objects of a session written again."""
    load.send("POST", "/sessions/chat/messages", {"prompt": "Say hello"})
    load.s3.clock.advance(1.5 * DAY)
    load.s3.faults.add(Fault("error", verb="PUT", key="*/message_0.json", times=None, code="InternalError"))
    answer = load.send("POST", "/sessions/chat/messages", {"prompt": "Say hello again"})
    load.s3.faults.clear()
    assert answer["statusCode"] == 200


def slow_session(load: Load) -> None:
    """S3 takes its time."""
    load.s3.set_latency({"GET": 0.3, "PUT": 0.3, "LIST": 0.3, "DELETE": 0.3})
    answer = load.send("POST", "/sessions/chat/messages", {"prompt": "Say hello"})
    load.s3.set_latency({})
    assert answer["statusCode"] == 200


FAULTS: dict[str, Callable[[Load], None]] = {
    "InternalErrors": internal_error,
    "StorageFailures": storage_failure,
    "ModelThrottles": throttled_model,
    "TurnsCutOff": cut_off,
    "TurnsBegunAgain": begun_again,
    "LeasesTakenOver": taken_over,
    "RenewalsFailed": renewal_failed,
}
"""By the metric that counts each of them once."""
