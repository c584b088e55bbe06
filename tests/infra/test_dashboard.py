"""The dashboard in the template: it asks for metrics that exist, and says what they cost."""

import json
from typing import Any

import pytest

from infra.config import ConfigError, load_config
from lambda_src.metrics import table
from tests.infra.synthesis import synthesize


def widgets(**context: Any) -> list[dict[str, Any]]:
    body = json.loads(synthesize(**context).properties("AWS::CloudWatch::Dashboard")["DashboardBody"])
    found: list[dict[str, Any]] = body["widgets"]
    return found


def expressions(**context: Any) -> dict[str, str]:
    """The metric math of the widget about cost, by its label."""
    (cost,) = [widget for widget in widgets(**context) if "cost" in widget["properties"].get("title", "")]
    entries = [entry[-1] for entry in cost["properties"]["metrics"]]
    return {entry["label"]: entry["expression"] for entry in entries if "expression" in entry}


def test_one_screen_answers_four_questions_and_shows_the_alarms() -> None:
    titles = [widget["properties"]["title"] for widget in widgets()]

    assert titles[0] == "Alarms"
    for question in ("Is it healthy?", "Is it slow?", "What does it cost?", "Who waits?"):
        assert any(title.startswith(question) for title in titles)
    assert len(widgets()[0]["properties"]["alarms"]) == 10


def test_every_metric_that_is_shown_is_one_that_the_function_writes() -> None:
    names = {metric.name for metric in table.METRICS}
    shown = [entry for widget in widgets()[1:] for entry in widget["properties"]["metrics"]]
    ours = [entry for entry in shown if entry[0] == table.NAMESPACE]

    assert {entry[1] for entry in ours} <= names
    assert all(entry[2:6] == ["service", "agent-session-kit-dev", "stage", "dev"] for entry in ours)


def test_tokens_cost_what_the_model_s_list_says_or_what_its_user_says() -> None:
    assert "FILL(input, 0) * 0.000001 + FILL(output, 0) * 0.000005" in expressions()["USD for tokens"]
    own = {"usd_per_million_input_tokens": "2.5", "usd_per_million_output_tokens": "10"}
    assert "FILL(input, 0) * 0.0000025 + FILL(output, 0) * 0.00001" in expressions(**own)["USD for tokens"]


def test_of_a_model_without_a_known_price_the_requests_alone_have_one() -> None:
    assert list(expressions(agent_model="bedrock:eu.amazon.nova-lite-v1:0")) == ["USD for S3"]


def test_without_a_dashboard_there_is_none_and_without_alarms_it_shows_none() -> None:
    assert synthesize(dashboard="false").of_type("AWS::CloudWatch::Dashboard") == []
    assert "Alarms" not in [widget["properties"]["title"] for widget in widgets(alarms="false")]


def test_one_price_alone_is_refused() -> None:
    with pytest.raises(ConfigError, match="usd_per_million_output_tokens: unset; allowed"):
        load_config({"usd_per_million_input_tokens": "1"})
