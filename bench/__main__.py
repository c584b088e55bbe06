"""``python -m bench``: measure, and write Markdown, JSON and plots."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.plot import Series, line_plot
from bench.publish import FOLDER, publish, say
from bench.report import added_seconds, markdown, select
from bench.run import QUICK, ROOT, Plan, run

if TYPE_CHECKING:
    from collections.abc import Callable

BEGIN, END = "<!-- results: written by make bench -->", "<!-- end of results -->"


def main(arguments: list[str] | None = None) -> None:
    """Measure, or write an earlier run's report again."""
    options = _options(arguments)
    if options.render:
        results = json.loads(Path(options.render).read_text(encoding="utf-8"))
    else:
        plan = QUICK if options.quick else Plan(**_given(options))
        results = run(plan, options.contender, lambda text: say(sys.stderr, text))
    folder = Path(options.out)
    write(results, folder)
    report = markdown(results)
    say(sys.stdout, report)
    say(sys.stderr, f"written to {folder}")
    if options.publish:
        write(results, FOLDER)
        publish(report, BEGIN, END)


def write(results: dict[str, Any], folder: Path) -> None:
    """Write ``results.json``, ``report.md``, ``restore.svg`` and ``turn.svg``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(markdown(results), encoding="utf-8")
    plots: dict[str, tuple[str, Callable[[dict[str, Any]], float | None], float | None]] = {
        "restore.svg": ("Restoring a session", lambda row: row["restore_seconds"], None),
        "turn.svg": ("A turn of 4 messages, restore included, model answers at once", added_seconds, 0.0),
    }
    for name, (title, value, think) in plots.items():
        drawn = line_plot(title, "messages in the session", "milliseconds", _series(results, value, think))
        (folder / name).write_text(drawn, encoding="utf-8")


def _series(results: dict[str, Any], value: Callable[[dict[str, Any]], float | None], think: float | None) -> Series:
    rows = select(results["samples"], window=None)
    if think is not None:
        rows = select(rows, think_seconds=think)
    series: dict[str, list[tuple[float, float]]] = {}
    for name, label in results["contenders"].items():
        points = [(row["size"], found) for row in select(rows, contender=name) if (found := value(row)) is not None]
        if points:
            sizes = sorted({size for size, _ in points})
            series[label] = [(size, median(found * 1000 for at, found in points if at == size)) for size in sizes]
    return series


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__, allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="only show that everything runs; the numbers mean nothing")
    parser.add_argument("--repeat", type=int, help="repetitions (7)")
    parser.add_argument("--sizes", type=_numbers, help="session lengths in messages (10,100,500,1000)")
    parser.add_argument("--long-sizes", type=_numbers, help="lengths measured once (5000); '' for none")
    parser.add_argument("--windows", type=_numbers, help="sliding windows (40); '' for none")
    parser.add_argument("--contender", action="append", help="only this one; may be repeated")
    parser.add_argument("--out", default=str(ROOT / "build" / "bench"), help="folder for the results (build/bench)")
    parser.add_argument("--publish", action="store_true", help="also update docs/BENCHMARKS.md and docs/benchmarks/")
    parser.add_argument("--render", metavar="JSON", help="measure nothing, write the report of an earlier run")
    return parser.parse_args(arguments)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(",") if number)


def _given(options: argparse.Namespace) -> dict[str, Any]:
    names = ("repeat", "sizes", "long_sizes", "windows")
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


if __name__ == "__main__":
    main()
