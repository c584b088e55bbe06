"""What ``make bench-coldstart`` makes of its samples: ratios, the price of memory, verdicts."""

from typing import Any

import pytest

from bench.coldstart_report import markdown, over_boto3, ratio, throttled_seconds, total, total_cpu, verdicts


def sample(variant: str, init: float = 0.2, first: float = 0.6, **changes: Any) -> dict[str, Any]:
    return {
        "variant": variant,
        "init": {"seconds": init, "cpu_seconds": init * 0.9},
        "first": {"seconds": first, "cpu_seconds": first / 2},
        "warm": {"seconds": 0.15, "cpu_seconds": 0.03},
        "peak_bytes": 90_000_000,
        "s3_connections": 2,
        **changes,
    }


def opening(who: str, seconds: float, session: str = "new") -> dict[str, Any]:
    requests = 5 if who == "boto3" else 0
    return {"who": who, "session": session, "requests": requests, "seconds": seconds, "cpu_seconds": seconds / 2}


def results(samples: list[dict[str, Any]], openings: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {
        "head": {
            "date": "2026-11-23 12:00 UTC",
            "commit": "abc",
            "uncommitted_changes": False,
            "function_python": "3.13.0",
            "machine": {"cpu": "CPU", "cores": 2, "load_average": 0.5, "system": "Linux"},
        },
        "variants": {
            name: {"label": f"the {name} one", "answers": True, "bytes": 9e7, "modules": 2000, "compiled_modules": 1999}
            for name in dict.fromkeys(one["variant"] for one in samples)
        },
        "memory_mb": 1024,
        "latency_seconds": {"GET": 0.015, "PUT": 0.025, "LIST": 0.03},
        "samples": samples,
        "openings": openings or [],
    }


def verdict(found: dict[str, Any], target: str) -> bool:
    (is_met,) = [is_met for name, _, _, is_met in verdicts(found) if name.startswith(target)]
    return is_met


def test_a_cold_start_is_judged_by_the_medians_of_init_and_first_turn() -> None:
    plain = [sample("plain", 1.6, 0.3)]
    quick = [sample("packaged", 0.1, first) for first in (0.4, 0.5, 9.0)]

    found = markdown(results([*plain, *quick]))

    assert ratio(quick, plain, total) == pytest.approx(0.6 / 1.9)
    assert "| 0.32 |" in found
    assert verdict(results([*plain, *quick]), "init and first turn / plainly built package, by the clock")
    slow = [sample("packaged", 0.4, 0.6)]
    assert not verdict(results([*plain, *slow]), "init and first turn / plainly built package, by the clock")


def test_where_the_system_tells_no_cpu_time_nothing_is_said_of_it() -> None:
    unknown: dict[str, Any] = {
        "init": {"seconds": 0.2, "cpu_seconds": None},
        "first": {"seconds": 0.5, "cpu_seconds": None},
        "peak_bytes": None,
        "s3_connections": None,
    }
    rows = [{**sample(variant), **unknown} for variant in ("plain", "packaged")]

    assert total_cpu(rows[0]) is None
    assert [name for name, *_ in verdicts(results(rows))] == [
        "init and first turn / plainly built package, by the clock"
    ]
    assert "Memory setting" not in markdown(results(rows))


def test_opening_a_session_is_compared_with_the_boto3_that_ran_beside_it() -> None:
    # Given a machine that became three times slower half-way.
    pairs = [(0.21, 0.20), (0.22, 0.20), (0.61, 0.60), (0.62, 0.60)]
    rows = [opening(who, seconds) for pair in pairs for who, seconds in zip(("kit", "boto3"), pair, strict=True)]

    # Then that is in nobody's difference.
    assert over_boto3(rows, "new", "seconds") == pytest.approx(0.015)
    assert verdict(results([], rows), "import agent_sessions and open a session (new), over boto3, by the clock")
    slow = [opening("kit", 0.25), opening("boto3", 0.20)]
    assert not verdict(results([], slow), "import agent_sessions and open a session (new), over boto3, by the clock")


@pytest.mark.parametrize(("memory_mb", "seconds"), [(1769, 1.0), (3538, 1.0), (884.5, 1.6)])
def test_less_memory_stretches_computing_and_not_waiting(memory_mb: float, seconds: float) -> None:
    assert throttled_seconds(1.0, 0.6, memory_mb) == pytest.approx(seconds)


def test_the_sample_with_most_connections_before_the_model_decides() -> None:
    rows = [sample("plain", 1.6, 0.3), *(sample("packaged", s3_connections=number) for number in (2, 3))]

    assert "| 2 or 3 |" in markdown(results(rows))
    assert not verdict(results(rows), "TLS connections to S3")
    assert verdict(results([sample("packaged")]), "TLS connections to S3")


def test_the_report_shows_every_variant_and_the_configured_memory() -> None:
    found = markdown(
        results([sample("plain", 1.6, 0.3), sample("packaged")], [opening("kit", 0.2), opening("boto3", 0.2)])
    )

    assert "| the plain one |" in found
    assert "| 1,999 of 2,000 |" in found
    assert "| the packaged one |" in found
    assert "| 1,024 (configured) |" in found
    assert "| new | 5 | 200 | 200 | 0 | 0 |" in found


def test_callers_with_tokens_stand_beside_those_who_sign() -> None:
    signed = [sample("packaged", 0.2, 0.4), sample("packaged", 0.2, 0.4), sample("packaged", 9.0, 9.0)]

    found = markdown(results([*signed, sample("tokens", 0.3, 0.6)]))

    assert "| `auth=jwt` | 300 | 600 | 900 |" in found
    assert "| `auth=jwt` / `auth=iam` | 1.50 | 1.50 | 1.50 | 1.50 | 1.00 |" in found


@pytest.mark.parametrize("measured", ["packaged", "tokens"])
def test_without_both_kinds_of_callers_there_is_nothing_to_compare(measured: str) -> None:
    assert "auth=jwt" not in markdown(results([sample(measured)]))
