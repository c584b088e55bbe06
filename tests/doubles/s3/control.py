"""The control endpoint, ``/_control/…``: what a test does directly, for a server in a process of its own.

No bucket can be called ``_control``: bucket names begin with a letter or a digit.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tests.doubles.s3.errors import S3Error
from tests.doubles.s3.faults import Fault
from tests.doubles.s3.messages import Request, Response

if TYPE_CHECKING:
    from tests.doubles.s3_server import S3Server

BUCKET = "_control"
_FAULT_FIELDS = ("action", "verb", "key", "nth", "times", "applied", "code", "seconds", "seen", "fired")


def handle(server: "S3Server", request: Request) -> Response:
    """Answer a control request; a request that makes no sense is 400 with the reason."""
    try:
        body = json.loads(request.body) if request.body else {}
        return _json(200, _route(server, request.method, request.key, body))
    except (KeyError, TypeError, ValueError, LookupError, S3Error) as error:
        return _json(400, {"error": f"{type(error).__name__}: {error}"})


def _route(server: "S3Server", method: str, path: str, body: Mapping[str, Any]) -> Any:
    name, _, argument = path.partition("/")
    operations: Mapping[tuple[str, str], Callable[[], Any]] = {
        ("GET", "state"): lambda: _state(server),
        ("POST", "clock"): lambda: _set_clock(server, body),
        ("POST", "latency"): lambda: server.set_latency({verb: float(seconds) for verb, seconds in body.items()}),
        ("GET", "faults"): lambda: [{n: getattr(rule, n) for n in _FAULT_FIELDS} for rule in server.faults.rules],
        ("POST", "faults"): lambda: _add_fault(server, body),
        ("POST", "release"): lambda: _release_fault(server, int(argument)),
        ("DELETE", "faults"): server.faults.clear,
        ("GET", "log"): lambda: [asdict(entry) for entry in server.log.entries],
        ("DELETE", "log"): lambda: [asdict(entry) for entry in server.log.take()],
        ("DELETE", "handshakes"): lambda: _take_handshakes(server),
        ("POST", "expire"): lambda: asdict(server.expire(**body)),
        ("POST", "objects"): lambda: _put_objects(server, body),
        ("POST", "copy"): lambda: server.store.copy_bucket(body["source"], body["target"]),
        ("POST", "reset"): server.reset,
    }
    operation = operations.get((method, name))
    if operation is None:
        raise LookupError(f"no control operation {method} /{path}")
    return operation()


def _set_clock(server: "S3Server", body: Mapping[str, Any]) -> dict[str, float]:
    """``{"now": seconds | null}`` holds the clock or lets it run; ``{"advance": seconds}`` moves it on."""
    if "advance" in body:
        server.clock.advance(float(body["advance"]))
    else:
        server.clock.set(None if body["now"] is None else float(body["now"]))
    return {"now": server.clock()}


def _put_objects(server: "S3Server", body: Mapping[str, Any]) -> dict[str, int]:
    """``{"bucket": name, "objects": {key: text}}``: thousands at once, none of them as a request of its own."""
    for key, text in body["objects"].items():
        server.store.put(body["bucket"], key, text.encode())
    return {"objects": len(body["objects"])}


def _add_fault(server: "S3Server", body: Mapping[str, Any]) -> dict[str, int]:
    server.faults.add(Fault(**body))
    return {"id": len(server.faults.rules) - 1}


def _release_fault(server: "S3Server", index: int) -> dict[str, int]:
    server.faults.rules[index].release()
    return {"id": index}


def _take_handshakes(server: "S3Server") -> list[float]:
    taken = list(server.handshakes)
    server.handshakes.clear()
    return taken


def _state(server: "S3Server") -> dict[str, Any]:
    buckets: dict[str, dict[str, int]] = {}
    for name in server.store.bucket_names():
        objects = server.store.current_objects(name)
        buckets[name] = {"objects": len(objects), "bytes": sum(len(version.body) for version in objects.values())}
    return {"now": server.clock(), "buckets": buckets, "latency": server.latency}


def _json(status: int, value: Any) -> Response:
    return Response(status, {"content-type": "application/json"}, json.dumps(value).encode())
