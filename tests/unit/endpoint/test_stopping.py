"""Ctrl-C ends ``make run`` whichever thread the system hands the signal to."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

# A thread that waits in the system, as the server's do, gets the signal.
HANDED_TO_ANOTHER_THREAD = """
import signal, socket, sys, threading, time
from local.stopping import Stopping

near, far = socket.socketpair()

number = signal.Signals[sys.argv[1]]
stopping = Stopping()
thread = threading.Thread(target=near.recv, args=(1,), daemon=True)
thread.start()

def send():
    time.sleep(0.2)  # until the main thread waits
    signal.pthread_kill(thread.ident, number)

threading.Thread(target=send, daemon=True).start()
stopping.wait()
print("asked", flush=True)
gate = threading.Event()
if sys.argv[2] == "twice":
    threading.Thread(target=send, daemon=True).start()
    stopping.finish(lambda: gate.wait() and 0)
sys.exit(stopping.finish(lambda: 7))
"""


def run(number: str, how: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", HANDED_TO_ANOTHER_THREAD, number, how]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_signal_that_another_thread_gets_is_heard_and_the_work_is_finished(number: str) -> None:
    done = run(number, "once")

    assert (done.stdout, done.returncode) == ("asked\n", 7), done.stderr


def test_a_second_one_ends_the_process_while_the_work_goes_on() -> None:
    done = run("SIGINT", "twice")

    assert (done.stdout, done.returncode) == ("asked\n", 130), done.stderr
