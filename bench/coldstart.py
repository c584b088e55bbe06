"""``python -m bench.coldstart``: how long the deployed package takes to start, beside the same built plainly."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.coldstart_report import markdown
from bench.coldstart_run import ColdStartPlan, run
from bench.publish import FOLDER, publish, say
from bench.run import ROOT
from infra.packaging.interpreters import find_interpreter

if TYPE_CHECKING:
    from infra.packaging.interpreters import Interpreter

BEGIN, END = "<!-- cold starts: written by make bench-coldstart -->", "<!-- end of cold starts -->"
# Those the CDK app can deploy, its default first.
_VERSIONS = ("3.13", "3.12", "3.14")


def main(arguments: list[str] | None = None) -> None:
    """Measure, or write an earlier run's report again."""
    options = _options(arguments)
    results = _earlier(options.render) if options.render else _measure(options)
    folder = Path(options.out)
    write(results, folder)
    report = markdown(results)
    say(sys.stdout, report)
    say(sys.stderr, f"written to {folder}")
    if options.publish:
        write(results, FOLDER)
        publish(report, BEGIN, END)


def write(results: dict[str, Any], folder: Path) -> None:
    """Write ``coldstart.json`` and ``coldstart.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "coldstart.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (folder / "coldstart.md").write_text(markdown(results), encoding="utf-8")


def _earlier(path: str) -> dict[str, Any]:
    results: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return results


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    variants = tuple(options.variant) if options.variant else None
    plan = ColdStartPlan(options.repeat, options.openings, variants, options.before)
    with tempfile.TemporaryDirectory(prefix="coldstart-") as folder:
        return run(plan, Path(folder), _interpreter(options.python_version), lambda text: say(sys.stderr, text))


def _interpreter(wanted: str | None) -> Interpreter:
    for version in (wanted,) if wanted else _VERSIONS:
        found = find_interpreter(version)
        if found is not None:
            return found
    named = wanted or ", ".join(_VERSIONS)
    sys.exit(f"Python {named} is needed to run the package and is not on this machine (pyenv, uv python install)")


def _options(arguments: list[str] | None) -> argparse.Namespace:
    plan = ColdStartPlan()
    parser = argparse.ArgumentParser(prog="python -m bench.coldstart", description=__doc__, allow_abbrev=False)
    parser.add_argument("--repeat", type=int, default=plan.repeat, help=f"processes of each variant ({plan.repeat})")
    parser.add_argument(
        "--openings", type=int, default=plan.openings, help=f"processes that open a session ({plan.openings})"
    )
    parser.add_argument("--variant", action="append", help="only this one; may be repeated")
    parser.add_argument("--before", metavar="REVISION", help="also package the kit's modules of this commit")
    parser.add_argument("--python-version", help=f"the function's, of {', '.join(_VERSIONS)}")
    parser.add_argument("--out", default=str(ROOT / "build" / "bench"), help="folder for the results (build/bench)")
    parser.add_argument("--publish", action="store_true", help="also update docs/BENCHMARKS.md and docs/benchmarks/")
    parser.add_argument("--render", metavar="JSON", help="measure nothing, write the report of an earlier run")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
