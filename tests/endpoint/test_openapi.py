"""The published contract: generated, current, and kept by what the endpoint answers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.scripted_model import ScriptedModel, throttled
from tests.endpoint.function import Answer, Function

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"
Scripted = Callable[..., tuple[Function, ScriptedModel]]


@pytest.fixture(scope="module")
def contract() -> Any:
    return json.loads(DOCUMENT.read_text(encoding="utf-8"))


def test_the_document_in_docs_is_what_the_function_serves(scripted: Scripted) -> None:
    function, _ = scripted()

    served = function.http("GET", "/openapi.json", caller=None)

    assert served.headers["content-type"] == "application/json"
    assert served.text == DOCUMENT.read_text(encoding="utf-8"), "docs/openapi.json is stale: run make openapi"


def test_it_names_every_route_of_the_design(contract: Any) -> None:
    assert contract["openapi"].startswith("3.1")
    assert {(path, method) for path, methods in contract["paths"].items() for method in methods} == {
        ("/sessions", "post"),
        ("/sessions", "get"),
        ("/sessions", "delete"),
        ("/sessions/{session_id}", "get"),
        ("/sessions/{session_id}", "patch"),
        ("/sessions/{session_id}", "delete"),
        ("/sessions/{session_id}/messages", "post"),
        ("/sessions/{session_id}/messages", "get"),
        ("/sessions/{session_id}/fork", "post"),
        ("/sessions/{session_id}/turns/{turn_id}", "get"),
        ("/sessions/{session_id}/turns/{turn_id}", "delete"),
        ("/export", "get"),
        ("/health", "get"),
    }


def test_every_refusal_is_a_problem_document_and_every_reference_leads_somewhere(contract: Any) -> None:
    for methods in contract["paths"].values():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    schema = response["content"]["application/problem+json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/Problem"}
    for reference in _references(contract):
        *_, kind, name = reference.split("/")
        assert reference == f"#/components/{kind}/{name}"
        assert name in contract["components"][kind]


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [value["$ref"]] if "$ref" in value else [ref for item in value.values() for ref in _references(item)]
    if isinstance(value, list):
        return [ref for item in value for ref in _references(item)]
    return []


def test_every_error_the_endpoint_knows_is_documented_for_the_route_of_a_turn(contract: Any) -> None:
    from lambda_src.answers.errors import all_errors

    documented = contract["paths"]["/sessions/{session_id}/messages"]["post"]["responses"]

    assert {str(error.status) for error in all_errors()} <= set(documented)
    assert len({error.slug for error in all_errors()}) == len(all_errors())


def test_what_is_answered_is_what_is_documented(contract: Any, scripted: Scripted) -> None:
    function, _ = scripted("Hello.", throttled(), "Hello again.")
    session, messages = "/sessions/{session_id}", "/sessions/{session_id}/messages"

    for path, answer in (
        (messages, function.say("Hi")),
        (messages, function.say("Hi")),
        (messages, function.say("")),
        (messages, function.say("Hi", caller=None)),
        ("/sessions", function.http("POST", "/sessions", {"prompt": "Hi"})),
    ):
        _check(contract, path, "post", answer)
    _check(contract, session, "get", function.http("GET", "/sessions/chat"))
    _check(contract, session, "get", function.http("GET", "/sessions/none"))
    _check(contract, messages, "get", function.http("GET", "/sessions/chat/messages"))
    _check(contract, "/sessions", "get", function.http("GET", "/sessions"))
    _check(contract, "/sessions", "get", function.http("GET", "/sessions", query={"order": "recent"}))
    _check(contract, session, "patch", function.http("PATCH", "/sessions/chat", {"title": "Hi"}))
    _check(contract, session, "delete", function.http("DELETE", "/sessions/chat"))
    _check(contract, "/health", "get", function.http("GET", "/health"))


def _check(contract: Any, path: str, method: str, answer: Answer) -> None:
    """Check an answer's members against the schema of its status."""
    content = contract["paths"][path][method]["responses"][str(answer.status)].get("content")
    if not content:
        assert answer.text == ""
        return
    schema = content[answer.headers["content-type"]]["schema"]
    schema = contract["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    assert set(schema.get("required", [])) <= set(answer.json) <= set(schema["properties"])


def test_the_page_on_http_lists_every_error_as_it_is() -> None:
    from lambda_src.answers.errors import all_errors

    page = DOCUMENT.with_name("HTTP.md").read_text(encoding="utf-8")

    rows = [f"| {error.status} | `{error.slug}` | `{error.__name__}` |" for error in all_errors()]
    assert [row for row in rows if row not in page] == []
    assert page.count("Error` |") == len(rows)


def test_every_text_that_is_published_says_what_it_means_by_itself() -> None:
    # A field is read alone, in a form or a table: there is nothing before it that it could be like.
    pages = [DOCUMENT, DOCUMENT.with_name("CONFIGURATION.md")]

    told = [line.strip() for page in pages for line in page.read_text(encoding="utf-8").splitlines()]

    assert [line for line in told if "likewise" in line.lower()] == []
