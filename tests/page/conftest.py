"""A browser for each module, a server for each worker, and a context for each test that says what it did not want."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.page.browsing import FLAGS, HOW_TO_GET_ONE, Served, Watched, chromium
from tests.page.script import Script


@pytest.fixture(scope="session")
def chromium_path() -> str:
    found = chromium()
    if found is None:
        pytest.skip(HOW_TO_GET_ONE)
    return found


# Of a module, not of the session: while Playwright runs, this thread counts as one with a running event loop.
@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, headless=True, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def the_server(chromium_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("page"))
    served.start()
    yield served
    served.kill()


@pytest.fixture
def server(the_server: Served) -> Iterator[Served]:
    """The server, with an empty script. A test may kill it; each test is an owner of its own."""
    the_server.script.reset()
    yield the_server
    the_server.script.reset()
    if the_server.is_dead:
        the_server.start()


@pytest.fixture
def script(server: Served) -> Script:
    """What the model says."""
    return server.script


@pytest.fixture
def serve(chromium_path: str, tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Another server: ``serve(auth="dev", token_seconds=30)``, ``serve(auth="agents")``."""
    started: list[Served] = []

    def serve(**options: Any) -> Served:
        folder = tmp_path / f"server-{len(started)}"
        folder.mkdir()
        started.append(Served(folder, **options))
        started[-1].start()
        return started[-1]

    yield serve
    for served in started:
        served.kill()


@pytest.fixture
def watched(request: pytest.FixtureRequest) -> Iterator[Watched]:
    """What the test's browser contexts must not have done. ``watched.allow(pattern)`` expects a console error."""
    watched = Watched(set())
    yield watched
    watched.check()


@pytest.fixture
def open_page(browser: Any, request: pytest.FixtureRequest, watched: Watched) -> Iterator[Callable[..., Any]]:
    """Opens the page in a new context: ``open_page()``, ``open_page("/#...", viewport=..., color_scheme="dark")``.

    A second tab of the same person is ``page.context.new_page()``; another window of theirs ``open_page()`` again.
    Options are those of Playwright's ``new_context``. ``at`` is another server than the fixture's.
    """
    contexts: list[Any] = []
    owner = uuid.uuid4().hex

    def open_page(path: str = "/", *, at: Served | None = None, **options: Any) -> Any:
        served = at or request.getfixturevalue("server")
        watched.origins |= {served.url, served.issuer}
        if not served.signs_in:  # each test is somebody else
            options.setdefault("extra_http_headers", {"Session-Owner": owner})
        context = browser.new_context(base_url=served.url, **options)
        context.set_default_timeout(45_000)
        watched.watch(context)
        contexts.append(context)
        page = context.new_page()
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
