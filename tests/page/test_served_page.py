"""The page in a real browser: what it loads, and what it is kept from."""

from typing import Any

from tests.page.browsing import Watched


def test_the_page_loads_its_own_files_and_nothing_else(open_page: Any, watched: Watched) -> None:
    page = open_page()
    page.get_by_role("textbox", name="Message", exact=True).wait_for()

    assert {request.split("/")[3].partition("?")[0] for request in watched.requests} <= {"", "assets", "sessions"}
