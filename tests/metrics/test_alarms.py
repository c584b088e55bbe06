"""Each alarm is raised by the fault that it is for, and by nothing else; a quiet hour raises none."""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from infra.constructs.endpoint_alarms import alarm_specs
from tests.docs.documents import ROOT, anchors
from tests.doubles.s3_server import Fault, S3Server
from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.function import http_event
from tests.infra.synthesis import synthesize
from tests.metrics import emf, faults
from tests.metrics.alarm_evaluator import is_raised, reduced
from tests.metrics.lambda_service import LambdaService
from tests.metrics.load import Load

Written = Callable[[], list[emf.Line]]
ALARMS: dict[str, dict[str, Any]] = {
    alarm["Properties"]["AlarmDescription"].rpartition("#")[2]: alarm["Properties"]
    for alarm in synthesize().of_type("AWS::CloudWatch::Alarm")
}
"""By the anchor of the section that each of them names."""


def values_of(lines: list[emf.Line]) -> dict[str, list[float]]:
    values: dict[str, list[float]] = defaultdict(list)
    for line in lines:
        for name, given in line.values.items():
            values[name] += given
    return values


def raised(periods: list[dict[str, list[float]]]) -> set[str]:
    return {anchor for anchor, alarm in ALARMS.items() if is_raised(alarm, periods)}


def stop_the_watch(load: Load) -> None:
    """Let turns take no time, however busy this machine is."""
    recorded = load.function.part("metrics.recorded")
    recorded.Stopwatch = partial(recorded.Stopwatch, lambda: 0.0)


@pytest.mark.parametrize(
    ("anchor", "fault", "besides"),
    [
        ("internal-errors", faults.internal_error, set()),
        ("storage-failures", faults.storage_failure, set()),
        ("throttled-model", faults.throttled_model, set()),
        ("turns-cut-off", faults.cut_off, set()),
        ("leases-taken-over", faults.taken_over, set()),
        ("renewals-failing", faults.renewal_failed, set()),
        ("session-overhead", faults.slow_session, set()),
    ],
)
def test_a_fault_that_goes_on_raises_its_alarm_and_no_other(
    s3: S3Server, written: Written, anchor: str, fault: Callable[[Load], None], besides: set[str]
) -> None:
    # Given: as many of the fault as the alarm allows, but one
    alarm = ALARMS[anchor]
    load = Load(s3, SESSION_TTL_DAYS="7")
    if anchor != "session-overhead":
        stop_the_watch(load)
    is_count = alarm.get("Statistic") == "Sum"
    times = int(alarm["Threshold"]) if is_count else 1
    periods: list[dict[str, list[float]]] = []
    for _ in range(alarm["DatapointsToAlarm"]):
        assert anchor not in raised(periods)
        for _ in range(times - 1):
            fault(load)
        values = values_of(written())
        assert anchor not in raised([*periods, values])

        # When: it happens once more
        fault(load)
        for name, given in values_of(written()).items():
            values.setdefault(name, []).extend(given)
        periods.append(values)

    # Then
    assert raised(periods) == {anchor} | besides
    assert anchor not in raised([*periods, *[{}] * alarm["EvaluationPeriods"]])  # it is over


def test_requests_that_lambda_turns_away_raise_an_alarm(s3: S3Server) -> None:
    load = Load(s3)
    service = LambdaService(load.function.invoke, max_concurrency=1)
    event = http_event("POST", "/sessions/chat/messages", {"prompt": "Say hello"})
    turned_away: list[Any] = []

    def answer(_: Any) -> str:
        turned_away.append(service.invoke(event))
        return "Hello."

    load.function.models["load"] = ScriptedModel(otherwise=answer)
    service.invoke(event)

    assert turned_away == [None]
    assert raised([service.metrics]) == {"function-throttles"}


def test_an_accepted_turn_that_lambda_gives_up_raises_an_alarm(s3: S3Server, written: Written) -> None:
    load = Load(s3)
    stop_the_watch(load)
    service = LambdaService(load.function.invoke)
    s3.faults.add(Fault("error", key="*/session.json", times=None, code="InternalError"))

    service.invoke_async({"owner": "job", "session_id": "chat", "prompt": "Say hello", "request_id": "1"})

    # Its three tries are storage failures, too.
    assert raised([service.metrics | values_of(written())]) == {"asynchronous-events-dropped", "storage-failures"}


def test_turns_that_take_nearly_all_of_the_functions_time_raise_an_alarm(s3: S3Server) -> None:
    load = Load(s3)
    service = LambdaService(load.function.invoke)
    event = http_event("POST", "/sessions/chat/messages", {"prompt": "Say hello"})

    def answer(_: Any) -> str:
        service.now += 100
        return "Hello."

    load.function.models["load"] = ScriptedModel(otherwise=answer)
    service.invoke(event)
    period = dict(service.metrics)

    assert raised([period] * 2) == set()
    assert raised([period] * 3) == {"duration-near-the-timeout"}


def test_an_ordinary_hour_raises_no_alarm(s3: S3Server, written: Written) -> None:
    load = Load(s3)
    stop_the_watch(load)
    for number in range(4):
        load.say(f"Say {number}", "chat")
    load.send("POST", "/sessions/chat/messages", {"prompt": 17})
    load.send("GET", "/sessions/none-of-mine")

    assert raised([values_of(written())] * 3) == set()


def test_every_alarm_names_a_section_of_the_page_and_every_section_has_its_alarm() -> None:
    page = (ROOT / "docs" / "OPERATIONS.md").read_text(encoding="utf-8")
    section = page.partition("\n## Alarms\n")[2].partition("\n## ")[0]
    titles = [line.removeprefix("### ") for line in section.splitlines() if line.startswith("### ")]

    assert titles == [spec.title for spec in alarm_specs(120)]
    assert set(ALARMS) == {spec.anchor for spec in alarm_specs(120)}
    assert set(ALARMS) <= anchors(page)
    for title in titles:
        text = section.partition(f"\n### {title}\n")[2].partition("\n### ")[0]
        assert [
            part for part in ("**What happened.**", "**How to see it.**", "**What to do.**") if part not in text
        ] == []


def test_the_metrics_that_alarms_watch_are_written_by_the_function() -> None:
    from infra.constructs.endpoint_metrics import NAMESPACE
    from lambda_src.metrics import table

    assert NAMESPACE == table.NAMESPACE
    names = {metric.name for metric in table.METRICS}
    ours = [alarm for alarm in ALARMS.values() if alarm["Namespace"] == NAMESPACE]
    assert {alarm["MetricName"] for alarm in ours} <= names
    assert all({entry["Name"] for entry in alarm["Dimensions"]} == set(table.DIMENSIONS) for alarm in ours)


@pytest.mark.parametrize(("statistic", "value"), [("Sum", 10), ("p50", 2), ("p75", 3), ("p99", 4)])
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(statistic: str, value: float) -> None:
    assert reduced([4, 1, 3, 2], statistic) == value
