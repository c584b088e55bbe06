"""What every suite shares: totals that a test records are added up over all workers and printed at the end."""

from collections import Counter

import pytest

TOTAL = "total: "
"""``record_property(f"{TOTAL}restores compared", 12)`` adds to a line of the summary."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the totals; they come with the tests' reports, from whichever worker ran them."""
    totals: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", []) if getattr(report, "when", "") == "call" else []:
                if name.startswith(TOTAL):
                    totals[name.removeprefix(TOTAL)] += value
    for name, value in totals.items():
        terminalreporter.write_line(f"{name}: {value:,}")
