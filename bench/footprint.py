"""CPU time and memory of restoring a session, each measurement in a process of its own.

``python -m bench.footprint URL BUCKET SMALL_BUCKET CONTENDER cpu|memory`` prints one line of JSON.
"""

import gc
import json
import resource
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bench.contenders import contenders
from bench.conversation import InstantModel, build_agent
from bench.stand_in import connect


def measure_footprint(url: str, bucket: str, small_bucket: str, contender: str) -> dict[str, float]:
    """Measure one restore, twice, for watching memory slows everything down.

    Args:
        url: The stand-in.
        bucket: Holds the session to restore.
        small_bucket: Holds a short session, restored first, so that imports and connections are not counted.
        contender: Whose session it is.

    Returns:
        ``cpu_seconds``; ``peak_bytes``, the most that Python held at once beyond what it held before; ``rss_bytes``, by
        how much the process grew.
    """
    measured: dict[str, float] = {}
    for what in ("cpu", "memory"):
        command = [sys.executable, "-m", "bench.footprint", url, bucket, small_bucket, contender, what]
        root = Path(__file__).parents[1]
        finished = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)  # noqa: S603  # ours
        measured |= json.loads(finished.stdout)
    return measured


def main(arguments: list[str]) -> None:
    """Measure in this process and print the result."""
    url, bucket, small_bucket, name, what = arguments
    contender = next(one for one in contenders() if one.name == name)
    client = connect(url)

    def restore(from_bucket: str) -> None:
        build_agent(contender.open(client, from_bucket), InstantModel(), window=None)

    restore(small_bucket)
    gc.collect()
    measure = _cpu if what == "cpu" else _memory
    sys.stdout.write(json.dumps(measure(lambda: restore(bucket))) + "\n")


def _cpu(restore: Callable[[], None]) -> dict[str, float]:
    # The most the process held so far, forgotten where the system lets us: imports held more than they keep.
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _peak_rss_bytes()
    start = time.process_time()
    restore()
    seconds = time.process_time() - start
    return {"cpu_seconds": seconds, "rss_bytes": _peak_rss_bytes() - before}


def _peak_rss_bytes() -> int:
    """Return the most memory this process held. Not ``ru_maxrss`` on Linux: that begins with the parent's size."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _memory(restore: Callable[[], None]) -> dict[str, float]:
    tracemalloc.start()
    restore()
    return {"peak_bytes": tracemalloc.get_traced_memory()[1]}


if __name__ == "__main__":
    main(sys.argv[1:])
