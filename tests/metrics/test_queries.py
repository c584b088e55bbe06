"""Each saved query asks for what is in the log: its fields and its messages are those of real lines."""

import json
import re

import pytest

from infra.constructs.saved_queries import QUERIES, SavedQuery
from tests.doubles.s3_server import Fault, S3Server
from tests.infra.synthesis import synthesize
from tests.metrics import faults
from tests.metrics.load import Load

_WORDS = {"fields", "filter", "stats", "sort", "limit", "desc", "as", "by", "and", "or", "bin", "d", "h"}
_FUNCTIONS = {"sum", "avg", "max", "count", "ispresent", "bin"}
# What CloudWatch itself adds to every line, and to those of Lambda.
_DISCOVERED = {"@timestamp", "@type", "@initDuration"}


def fields_of(query: SavedQuery) -> set[str]:
    """The fields that a query reads."""
    text = re.sub(r'"[^"]*"', "", query.text)
    named_here = set(re.findall(r"\bas (\w+)", text))
    words = set(re.findall(r"@?\b[A-Za-z_][A-Za-z0-9_]*\b", text))
    return words - _WORDS - _FUNCTIONS - named_here - _DISCOVERED


@pytest.fixture
def lines(s3: S3Server, capfd: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """The log of a function that has answered and refused."""
    load = Load(s3)
    load.say("Say hello", "chat")
    faults.throttled_model(load)
    s3.faults.add(Fault("error", key="*/session.json", times=None, code="InternalError"))
    load.say("Say hello", "chat")
    return [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]


def test_the_fields_of_every_query_are_in_the_log(lines: list[dict[str, object]]) -> None:
    fields = {name for line in lines for name in line}
    tokens_of_a_cache = {"CacheReadTokens", "CacheWriteTokens"}  # this model has none

    for query in QUERIES:
        assert fields_of(query) - tokens_of_a_cache <= fields, query.title
        for message in re.findall(r'message = "([^"]*)"', query.text):
            assert message in {line["message"] for line in lines}


def test_a_query_of_measurements_finds_numbers(lines: list[dict[str, object]]) -> None:
    (turn,) = [line for line in lines if "TurnDuration" in line and line.get("stop_reason") == "end_turn"]

    assert isinstance(turn["TurnDuration"], float)
    assert turn["InputTokens"] == 12


def test_the_queries_come_with_the_deployment_and_ask_the_functions_log() -> None:
    template = synthesize()
    (log,) = [name.lower() for name, found in template.resources.items() if found["Type"] == "AWS::Logs::LogGroup"]

    saved = [query["Properties"] for query in template.of_type("AWS::Logs::QueryDefinition")]

    assert {query["Name"]: query["QueryString"] for query in saved} == {
        f"agent-session-kit-dev/{query.title}": query.text for query in QUERIES
    }
    assert all(query["LogGroupNames"] == [log] for query in saved)


def test_a_field_that_is_in_no_line_is_noticed() -> None:
    assert fields_of(SavedQuery("x", "y", "fields Turn_s | filter message = 'z' | stats sum(Nope) as n")) == {
        *("Turn_s", "message", "z", "Nope"),
    }
