"""Run Strands' published session tests with this kit's modules in place of Strands'.

Exit status 0: every test that touches no private name of Strands' managers passes, and of the others exactly those of
the committed list do not. The expectations are a ratchet: a listed test that passes must be struck from the list.
"""

# ruff: noqa: T201 - a command line tool prints

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests.published import outcome, privacy, suite

ROOT = Path(__file__).parents[2]


def run(folder: Path) -> list[outcome.Outcome]:
    """Run the suite in ``folder`` in a fresh interpreter."""
    report = folder / "report.xml"
    report.unlink(missing_ok=True)
    # The published tests import their own `tests` package: the build folder must come before this repository.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(folder), str(ROOT / "layer")))}
    environment.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=prepend"]
    finished = subprocess.run(
        [*command, f"--junit-xml={report}", *suite.TEST_FILES],
        cwd=folder, env=environment, check=False, capture_output=True, text=True,
    )  # fmt: skip
    (folder / "output.txt").write_text(finished.stdout + finished.stderr)
    if not report.exists():
        raise RuntimeError(f"pytest wrote no report:\n{finished.stdout}{finished.stderr}")
    return outcome.read_outcomes(report)


def differences(
    outcomes: list[outcome.Outcome], private: set[tuple[str, str]], exemptions: list[outcome.Exemption]
) -> list[str]:
    """What does not match the committed list, one sentence each."""
    listed = {(entry.file, entry.function) for entry in exemptions}
    failed = {(entry.file, entry.function) for entry in outcomes if not entry.passed}
    known = {(entry.file, entry.function) for entry in outcomes}
    found = [
        f"{entry.file}::{entry.name} | fails but is not listed: {entry.message}"
        for entry in outcomes
        if not entry.passed and (entry.file, entry.function) not in listed
    ]
    found += [f"{file}::{name} | touches no private name, so it must pass" for file, name in sorted(failed - private)]
    found += [
        f"{file}::{name} | is listed but passes: strike it out" for file, name in sorted(listed & (known - failed))
    ]
    found += [f"{file}::{name} | is listed but is no published test" for file, name in sorted(listed - known)]
    found += [line for entry in exemptions if (line := outcome.missing_test(entry, ROOT))]
    return found


def main() -> int:
    """Download, redirect, run, compare and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.published", description=__doc__, allow_abbrev=False)
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "published-tests", help="build folder")
    folder = parser.parse_args().build.resolve()

    sources = suite.read_sources(suite.download(folder / "sdist"))
    suite.write_suite(sources, folder)
    names = privacy.private_names(sources[name] for name in suite.SUBJECT_FILES)
    private = {
        (Path(file).stem, name) for file in suite.TEST_FILES for name in privacy.private_tests(sources[file], names)
    }
    outcomes = run(folder)
    exemptions = outcome.read_exemptions()

    public = [entry for entry in outcomes if (entry.file, entry.function) not in private]
    passed_public = sum(entry.passed for entry in public)
    passed = sum(entry.passed for entry in outcomes)
    print(f"Strands {suite.VERSION}: {len(outcomes)} published session tests with agent_sessions in place")
    print(f"  touch no private name of Strands' managers: {passed_public} of {len(public)} pass")
    print(
        f"  touch one:                                  {passed - passed_public} of {len(outcomes) - len(public)} pass"
    )
    print(f"  do not pass, with our test of the same behaviour ({len(exemptions)} listed):")
    for exemption in exemptions:
        print(f"    {exemption.file}::{exemption.function}\n      {exemption.reason}\n      {exemption.ours}")

    found = differences(outcomes, private, exemptions)
    for line in found:
        print(f"DIFFERS {line}")
    if found:
        print(f"{len(found)} differences; pytest's output is in {folder / 'output.txt'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
