"""The served OpenAPI document against the served endpoint, over HTTP, with every check of schemathesis.

What the contract allows is taken, what it forbids is refused, and every answer has a status, a content type, headers
and a body that it names. The seed is printed: ``CONTRACT_SEED`` names another, ``AGENT_SESSIONS_RANDOM=1`` draws one,
and ``CONTRACT_EXAMPLES`` makes a run longer.
"""

import itertools
import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import pytest
import schemathesis
from schemathesis.engine import events, from_schema

from agent_sessions.identifiers import MAX_IDENTIFIER_BYTES
from local.server import LocalServer
from tests.conftest import RANDOM, TOTAL
from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.function import ALICE, Context, Function, processes

SIGNED = "AWS4-HMAC-SHA256 Credential=ALICE/20261128/eu-west-1/lambda/aws4_request, Signature=good"
METHODS = ["get", "put", "post", "delete", "options", "patch"]
"""What a Function URL passes on. Others end at the server in front of the function."""


FORK = "/sessions/{session_id}/fork"
FORKED = ["2xx", "401", "403", "404", "409", "422", "429", "5xx"]


@pytest.fixture(scope="module", autouse=True)
def _fresh_processes() -> Iterator[None]:
    with processes():
        yield


@pytest.fixture
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Function URL with IAM: who sends Alice's signature is Alice, and everybody else is nobody."""
    store = f"file://{tmp_path_factory.mktemp('store')}/sessions"
    function = Function({**CREDENTIALS, "SESSION_STORE": store, "AGENT_MODEL": "scripted:script"})
    function.models["script"] = ScriptedModel(otherwise="Hello.")
    function.cold_start()

    def handler(event: dict[str, Any], _: object) -> Any:
        if event["headers"].get("authorization") == SIGNED:
            event["requestContext"]["authorizer"] = ALICE.authorizer()
        return function.invoke(event, Context())

    server = LocalServer(0)
    server.serve(handler)
    yield server.url
    server.stop()


@dataclass
class Found:
    """What a run came to."""

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def take(self, event: Any) -> None:
        if isinstance(event, (events.NonFatalError, events.FatalError)):
            self.failures.append(str(getattr(event, "value", None) or getattr(event, "exception", event)))
        if not isinstance(event, events.ScenarioFinished):
            return
        for interaction in event.recorder.interactions.values():
            self.requests += 1
            self.statuses[interaction.response.status_code if interaction.response else 0] += 1
        for nodes in event.recorder.checks.values():
            for node in nodes:
                self.checks[node.name] += 1
                if failed := node.failure_info:
                    self.failures.append(f"{node.name}: {failed.failure.title}\n{failed.failure}\n{failed.code_sample}")


numbers = itertools.count()

MADE_UP = "a prompt may be any word, also one that answers have of their own, such as the name of a problem"


def say_what_json_schema_cannot(_: object, case: Any, __: object) -> None:
    """Change a request that is to be taken where its rules are no matter of a schema.

    A key names one request. A cursor is what a page gave. An agent is named when there are several, which depends on
    the session. An interrupt is answered once, whatever the answers are. A fork begins where a turn does. And a request
    that is to be refused for the length of an id is refused for its bytes, which a schema cannot count.
    """
    if case.meta is None:
        return
    if not case.meta.generation.mode.is_positive:
        for place in (case.path_parameters, case.query, case.body):
            _lengthen_ids(place)
        return
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = f"{next(numbers)}-{case.headers['Idempotency-Key']}"[:200].rstrip()
    if case.method == "GET":
        case.query = {name: value for name, value in (case.query or {}).items() if name != "cursor"}
        if case.path.endswith("/messages"):
            case.query = {"agent_id": "default", **case.query}
    answers = case.body.get("interrupt_responses") if isinstance(case.body, dict) else None
    if isinstance(case.body, dict) and case.body.get("before_message") is not None:
        case.body = {**case.body, "before_message": 0}
    if answers:
        unique = {answer["interrupt_id"]: answer for answer in answers}
        case.body = {**case.body, "interrupt_responses": list(unique.values())}


def _lengthen_ids(place: Any) -> None:
    """Make an id too long by its bytes where only the schema finds it too long: its characters differ in width."""
    for name in ("session_id", "agent_id"):
        value = place.get(name) if isinstance(place, dict) else None
        if not isinstance(value, str) or not (text := unquote(value)):
            continue
        size = len(text.encode("utf-8", "surrogatepass"))
        widest = len(max(text).encode("utf-8", "surrogatepass"))
        if size <= MAX_IDENTIFIER_BYTES < len(text) * widest:
            place[name] = value + "0" * (MAX_IDENTIFIER_BYTES + 1 - size)


@pytest.mark.timeout(1_200)
@pytest.mark.emits_on_purpose("a record of the log", reason=MADE_UP)
@pytest.mark.emits_on_purpose("the output", reason=MADE_UP)
@pytest.mark.emits_on_purpose("a problem document", reason=MADE_UP)
def test_the_endpoint_does_what_its_contract_says(url: str, record_property: Callable[[str, object], None]) -> None:
    seed = int(os.environ.get("CONTRACT_SEED") or (secrets.randbelow(100_000) if RANDOM else 1))
    examples = int(os.environ.get("CONTRACT_EXAMPLES") or 6)
    record_property(f"{TOTAL}contract, schemathesis' seed", seed)
    schemathesis.hook("before_call")(say_what_json_schema_cannot)
    config = schemathesis.Config.from_dict(
        {
            "seed": seed,
            "headers": {"Authorization": SIGNED},
            "continue-on-failure": True,
            # Of the names for Session-Owner that one pattern makes, another lets few pass.
            "suppress-health-check": ["filter_too_much"],
            "generation": {"max-examples": examples, "database": "none"},
            "phases": {"coverage": {"unexpected-methods": METHODS}},
            # Where a session's turns begin is no matter of a schema: one that has no message can be forked nowhere.
            "operations": [
                {"include-path": FORK, "checks": {"positive_data_acceptance": {"expected-statuses": FORKED}}}
            ],
        }
    )
    found = Found()

    for event in from_schema(schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)).execute():
        found.take(event)

    record_property(f"{TOTAL}contract, requests", found.requests)
    record_property(f"{TOTAL}contract, checks", sum(found.checks.values()))
    assert not found.failures, f"CONTRACT_SEED={seed}\n" + "\n\n".join(found.failures[:20])
    assert not any(status >= 500 or status == 0 for status in found.statuses), found.statuses
    # It came through to where things happen: turns, pages, erasures and every kind of refusal.
    assert {200, 201, 204, 401, 404, 405, 409, 422} <= set(found.statuses), found.statuses
    assert set(found.checks) >= {
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
        "positive_data_acceptance",
        "missing_required_header",
        "unsupported_method",
        "use_after_free",
        "ensure_resource_availability",
        "ignored_auth",
    }
