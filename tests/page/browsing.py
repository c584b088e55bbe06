"""A browser, and a local server in a process of its own, for the tests of the chat page."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.page.script import Script

ROOT = Path(__file__).parents[2]
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
NAMES = ("chromium", "chromium-browser", "google-chrome")
KEPT_IN_DATABASE = """() => new Promise((resolve) => {
    const opening = indexedDB.open("sent");
    opening.onsuccess = () => {
        const asked = opening.result.transaction("bodies").objectStore("bodies").count();
        asked.onsuccess = () => (opening.result.close(), resolve(asked.result === %d));
    };
})"""
"""Whether so many large messages wait in the browser's database."""
HOW_TO_GET_ONE = "no browser for the chat page's tests: apt-get install chromium, or name one in CHROMIUM"


def chromium() -> str | None:
    """Where a browser is: what CHROMIUM names, else Debian's or Google's."""
    named = os.environ.get("CHROMIUM")
    if named:
        return named if Path(named).exists() else None
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Served:
    """The local server, and the development issuer where people sign in.

    It can be killed, and started again at the same port with the same sessions.

    Args:
        folder: For its sessions, its script and its log.
        auth: ``local``; ``dev`` where people sign in; ``agents`` as local, with two agents.
        token_seconds: How long a token of the development issuer lives.
        settings: More environment variables for it.
    """

    def __init__(self, folder: Path, auth: str = "local", token_seconds: float = 3600, **settings: str) -> None:
        self.folder = folder
        self.script = Script(folder / "script")
        (folder / "sessions").mkdir(exist_ok=True)
        self._auth = auth
        self._token_seconds = token_seconds
        self._settings = settings
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.issuer = ""
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "JWT_"))}
        environment |= {"PYTHONPATH": f"{ROOT / 'layer'}{os.pathsep}{ROOT}", "AWS_EC2_METADATA_DISABLED": "true"}
        environment |= self._settings
        places = [str(self.port), str(self.folder / "sessions"), str(self.script.folder)]
        with self.log.open("a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.page.served", *places, self._auth, str(self._token_seconds)],
                cwd=self.folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("ready "):
                self.issuer = line.split()[-1] if self.signs_in else ""
                break
        else:
            raise AssertionError(f"the server did not start: {self.log.read_text(encoding='utf-8')[-3000:]}")
        # What it logs goes nowhere from here on; the pipe must not fill up.
        subprocess.Popen(["cat"], stdin=self._process.stdout, stdout=subprocess.DEVNULL)
        self._process.stdout.close()

    @property
    def log(self) -> Path:
        """What it wrote to its standard error."""
        return self.folder / "server.log"

    @property
    def is_dead(self) -> bool:
        """Whether somebody has killed it."""
        return self._process is None

    @property
    def signs_in(self) -> bool:
        """Whether its page asks people to sign in."""
        return self._auth == "dev"

    def kill(self) -> None:
        """End it at once, as kill -9 does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Kill it and start it again at the same port."""
        self.kill()
        self.start()


@dataclass
class Watched:
    """What a browser context did that nobody wanted.

    Attributes:
        origins: Who may be asked.
        allowed: Console errors that a test causes on purpose, as patterns.
    """

    origins: set[str]
    allowed: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def allow(self, *patterns: str) -> None:
        """Expect console errors, for example ``Failed to load resource.* 409``."""
        self.allowed += patterns

    def watch(self, context: Any) -> None:
        """Watch a context from now on."""
        context.expose_binding("tellViolation", lambda _, told: self.violations.append(told))
        context.add_init_script(
            "addEventListener('securitypolicyviolation', event => "
            "tellViolation(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`))"
        )
        context.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        context.on("weberror", lambda error: self.errors.append(str(error.error)))
        context.on("request", self._asked)

    def check(self) -> None:
        """Assert that nothing unwanted happened."""
        unexpected = [text for text in self.errors if not any(re.search(pattern, text) for pattern in self.allowed)]
        assert unexpected == [], "the console has errors"
        assert self.violations == [], "the Content-Security-Policy was violated"
        assert self.strangers == [], "somebody else was asked"

    def _asked(self, request: Any) -> None:
        parts = urlsplit(request.url)
        self.requests.append(f"{request.method} {request.url}")
        if parts.scheme in {"data", "blob"}:
            return
        if f"{parts.scheme}://{parts.netloc}" not in self.origins:
            self.strangers.append(request.url)


def wait_for_words(page: Any, words: str) -> None:
    """Wait until the conversation shows some words. The live region says them too, to those who listen."""
    page.locator("#talk").get_by_text(words).first.wait_for()


def wait_until(page: Any, expression: str, seconds: float = 45) -> None:
    """Wait until an expression, or a function, is true in the page.

    Playwright's ``wait_for_function`` evaluates a text over and over in the page, which the page's policy refuses.
    """
    until = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < until, f"never true: {expression}"
        page.wait_for_timeout(20)
