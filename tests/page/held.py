"""An answer of the endpoint that comes when a test lets it go, and not sooner."""

import uuid
from re import Pattern
from typing import Any

from tests.page.browsing import wait_until

_READ = """() => {
    if (window.read) return;
    window.read = []; // the held answers that the page has read, and acted upon
    const { json } = Response.prototype;
    Response.prototype.json = async function () {
        try { return await json.call(this); } finally { setTimeout(() => window.read.push(this.headers.get("held"))); }
    };
}"""
HOLD_FILES = """() => {
    const { prototype } = FileReader;
    const read = prototype.readAsDataURL;
    window.waiting = [];
    prototype.readAsDataURL = function (file) { waiting.push([this, file]); };
    const end = (act) => () => {
        prototype.readAsDataURL = read;
        for (const [reader, file] of waiting.splice(0)) act(reader, file);
    };
    window.release = end((reader, file) => read.call(reader, file));
    window.fail = end((reader) => reader.onerror());
}"""
"""From now on no file is read until the page is told ``release()``, or ``fail()``."""


class Held:
    """The first request that fits is held; those behind it go their way.

    Args:
        page: Of Playwright.
        pattern: Which requests.
        method: Which of them.
        is_answered: Whether the endpoint answers it at once, and only the answer is held: what it tells grows old.
    """

    def __init__(
        self, page: Any, pattern: str | Pattern[str], method: str = "GET", *, is_answered: bool = True
    ) -> None:
        self._page = page
        self._method = method
        self._is_answered = is_answered
        self._route: Any = None
        self._response: Any = None
        page.evaluate(_READ)
        page.route(pattern, self._hold)

    def _hold(self, route: Any) -> None:
        if self._route or route.request.method != self._method:
            route.fallback()
            return
        self._route = route
        if self._is_answered:
            self._response = route.fetch()

    def wait(self) -> None:
        """Until the test has it in its hands."""
        while not (self._response if self._is_answered else self._route):
            self._page.wait_for_timeout(20)

    def let_go(self, **instead: Any) -> None:
        """Let it go, or answer something else, and wait until the page has read that."""
        self.wait()
        self._page.evaluate(_READ)
        name = {"held": uuid.uuid4().hex}
        if instead:
            self._route.fulfill(**instead, headers=name)
        else:
            response = self._response or self._route.fetch()
            self._route.fulfill(response=response, headers={**response.headers, **name})
        wait_until(self._page, f"window.read.includes('{name['held']}')")

    def go_on(self) -> None:
        """Let it go. It has an answer without words, which nobody reads."""
        self._route.continue_()

    def abort(self) -> None:
        """The connection breaks."""
        self._route.abort()
