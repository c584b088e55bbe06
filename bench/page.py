"""``make bench-page``: the chat page in Chromium: its first paint, and a conversation of 1,000 messages.

Over loopback, from the local server on a folder. Paints are the browser's own entries; what keeps it from answering is
read in its trace.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_sessions.file_session_manager import FileSessionManager
from agent_sessions.owner import owner_prefix
from agent_sessions.types import Session, SessionAgent, SessionMessage, SessionType
from bench.conversation import history
from bench.publish import publish, say
from bench.report import spread
from tests.page.browsing import FLAGS, HOW_TO_GET_ONE, Served, chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MESSAGES = 1_000
SESSION, AGENT = "long", "default"
BEGIN, END = "<!-- the page: written by make bench-page -->", "<!-- end of the page -->"
LONG_TASK_MICROSECONDS = 50_000
_PAINTED = """() => new Promise(done => new PerformanceObserver(list => {
    const found = list.getEntriesByName('first-contentful-paint')[0];
    if (found) done(found.startTime);
}).observe({ type: 'paint', buffered: true }))"""
_OPENED = """() => new Promise(done => {
    const look = () => document.querySelectorAll('#talk article, #talk .message').length
        ? requestAnimationFrame(() => done(performance.now())) : setTimeout(look, 5);
    look();
})"""


def write_conversation(sessions: Path) -> None:
    """Write a conversation of 1,000 messages as this machine's owner."""
    folder = sessions / owner_prefix("local", "local")
    store = FileSessionManager("other", storage_dir=str(folder)).session_repository
    store.create_session(Session(session_id=SESSION, session_type=SessionType.AGENT))
    store.create_agent(SESSION, SessionAgent(agent_id=AGENT, state={}, conversation_manager_state={}))
    for number, message in enumerate(history(MESSAGES)):
        store.create_message(SESSION, AGENT, SessionMessage.from_message(message, number))


def measure(browser: Browser, url: str) -> tuple[float, float, float, float]:
    """Milliseconds, each in a browser context of its own that knows nothing yet.

    Returns:
        The first paint; when the long conversation was shown; the longest task, and all above 50 ms together, while
        it was scrolled.
    """
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.goto(f"{url}/")
    painted = float(page.evaluate(_PAINTED))
    page.context.close()
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.goto(f"{url}/#/s/{SESSION}")
    opened = float(page.evaluate(_OPENED))
    page.wait_for_timeout(500)
    browser.start_tracing(page=page, categories=["toplevel", "disabled-by-default-devtools.timeline"])
    page.mouse.move(800, 400)
    for _ in range(60):
        page.mouse.wheel(0, -400)
        page.wait_for_timeout(16)
    long = long_tasks(json.loads(browser.stop_tracing()))
    page.context.close()
    return painted, opened, max(long, default=0.0), sum(long)


def long_tasks(trace: Any) -> list[float]:
    """The milliseconds of each task of a page's main thread above 50 ms."""
    events = trace["traceEvents"]
    mains = {
        (event["pid"], event["tid"])
        for event in events
        if event.get("name") == "thread_name" and event["args"].get("name") == "CrRendererMain"
    }
    return [
        event["dur"] / 1000
        for event in events
        if event.get("name") in {"RunTask", "ThreadControllerImpl::RunTask"}
        and (event["pid"], event["tid"]) in mains
        and event.get("dur", 0) > LONG_TASK_MICROSECONDS
    ]


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--publish", action="store_true", help="write the table into docs/BENCHMARKS.md")
    options = parser.parse_args(arguments)
    path = chromium()
    if path is None:
        say(sys.stderr, HOW_TO_GET_ONE)
        return 1
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        served = Served(Path(folder))
        write_conversation(served.folder / "sessions")
        served.start()
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=list(FLAGS))
        try:
            measure(browser, served.url)  # the server's first
            found = [measure(browser, served.url) for _ in range(options.repeat)]
        finally:
            browser.close()
            served.kill()
    names = (
        "first paint of the page",
        f"a conversation of {MESSAGES:,} messages is shown, its newest first",
        "the longest task while it is scrolled upwards (0: none above 50 ms)",
        "all tasks above 50 ms while it is scrolled",
    )
    rows = [f"| {name} | {spread([row[at] for row in found], scale=1)} |" for at, name in enumerate(names)]
    report = "\n".join(["| the chat page, over loopback | ms |", "|---|---:|", *rows]) + "\n"
    say(sys.stdout, report)
    if options.publish:
        publish(report, BEGIN, END)
    return 0


if __name__ == "__main__":
    sys.exit(main())
