"""``make transport-matrix``: the transport under each release of Lambda's runtime client of the last two years.

AWS brings its runtimes up to date by itself. So a lock says what has to fit, and PyPI is asked for what is newer. That
is tried and told too, and fails the run only with ``--newest``, because an upload of somebody else's should stop
nobody's change. ``make lock RUNTIME_CLIENTS=...`` takes it into the lock.
"""

# ruff: noqa: T201 - a command line tool prints

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.transport.releases import LOCK, ROOT, ask_index, install, locked, newer

_TESTS = "tests/transport/test_under_the_runtime_client.py"


def main(arguments: list[str]) -> int:
    """Run the tests and print the table.

    Returns:
        0 when every release of the lock fits, and with ``--newest`` every other one too; 1 otherwise.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.transport", allow_abbrev=False)
    parser.add_argument("--newest", action="store_true", help="fail for releases that are not in the lock, too")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    known = locked(LOCK.read_text(encoding="utf-8"), "awslambdaric")
    more = _newer(known)
    results = _run({**known, **more})
    for version, result in results.items():
        print(f"  awslambdaric {version:8} {result}{'' if version in known else '  (not in the lock)'}")
    unfit = [version for version, result in results.items() if not result.startswith("fits")]
    failing = unfit if options.newest else [version for version in unfit if version in known]
    fitting = len(results) - len(unfit)
    print(f"{fitting} of {len(results)} releases fit, {time.monotonic() - started:.0f} s")
    return 1 if failing else 0


def _newer(known: dict[str, str]) -> dict[str, str]:
    try:
        return newer(ask_index(), known, datetime.now(UTC))
    except OSError as error:
        print(f"  PyPI was not asked for releases beside the lock: {error}")
        return {}


def _run(requirements: dict[str, str]) -> dict[str, str]:
    """What became of each release, in words that begin with ``fits`` or do not."""
    results: dict[str, str] = {}
    folders: dict[str, Path] = {}
    for version, requirement in requirements.items():
        try:
            folders[version] = install(version, requirement)
        except RuntimeError as error:
            results[version] = f"CANNOT BE INSTALLED: {error}"
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        clients = [f"--runtime-client={folder}" for folder in folders.values()]
        command = [sys.executable, "-m", "pytest", "-q", "--dist=load", f"--junit-xml={report}", _TESTS, *clients]
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
        if not report.exists():
            raise RuntimeError(done.stdout + done.stderr)
        passed, failed = _counted(report)
    for version in folders:
        if failed[version] or not passed[version]:
            results[version] = f"DOES NOT FIT: {failed[version]} of {failed[version] + passed[version]} tests fail"
        else:
            results[version] = f"fits: {passed[version]} tests"
    if any(failed.values()):
        print(done.stdout)
    return {version: results[version] for version in requirements}


def _counted(report: Path) -> tuple[Counter[str], Counter[str]]:
    """How many tests passed and failed for each release: its version is the parameter's name."""
    passed: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest has just written it
        version = case.get("name", "").partition("[")[2].rstrip("]")
        bad = any(case.find(kind) is not None for kind in ("failure", "error", "skipped"))
        (failed if bad else passed)[version] += 1
    return passed, failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
