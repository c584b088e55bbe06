"""``make compat-s3``: the suites that touch S3, on another implementation of it.

The tests are the same. ``--s3-endpoint`` has their fixtures use this server instead of the emulator of the suite, and
leaves out what touches no S3. Arguments go to pytest; paths among them replace the suites.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.compat_s3.localstack import PYTHON, ROOT, localstack

SUITES = (
    "tests/contract",  # deletion among it
    "tests/stores/test_without_conditional_deletes.py",  # leases, erasing
    "tests/compat_s3",  # make run
    "tests/endpoint/test_conversation.py",
    "tests/endpoint/test_sessions.py",
    "tests/endpoint/test_repeats.py",
    "tests/endpoint/test_owners.py",
    "tests/endpoint/test_recent.py",
    "tests/endpoint/test_forks.py",
    "tests/concurrency/test_races.py",
    "tests/cli/test_titles_and_forks.py",
    "tests/cli/test_ls.py",
    "tests/cli/test_show.py",
    "tests/cli/test_rm.py",
    "tests/cli/test_rm_all.py",
    "tests/cli/test_cp.py",
    "tests/cli/test_export_import.py",
)


def main(arguments: list[str]) -> int:
    """Run the suites; the exit code is pytest's."""
    if not PYTHON.exists():
        sys.stderr.write("LocalStack is not installed: make compat-s3\n")
        return 1
    paths = [argument for argument in arguments if Path(argument.partition("::")[0]).exists()]
    rest = [argument for argument in arguments if argument not in paths]
    with localstack() as url:
        sys.stdout.write(f"LocalStack's S3 on {url}\n")
        sys.stdout.flush()
        command = [sys.executable, "-m", "pytest", "-q", f"--s3-endpoint={url}", *(paths or SUITES), *rest]
        return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
