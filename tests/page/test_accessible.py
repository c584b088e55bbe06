"""axe-core finds nothing wrong with the page: light, dark, on a phone, in a conversation, and where people sign in."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.page.browsing import wait_for_words
from tests.page.script import Script, reasoning, tool_use

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
PHONE = {"width": 390, "height": 844}
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

pytestmark = pytest.mark.skipif(not AXE.exists(), reason="axe-core is in node_modules: npm ci")


def violations(page: Any) -> list[str]:
    """What axe-core says is wrong."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate(f"axe.run(document, {{runOnly: {json.dumps(STANDARDS)}}})")
    assert len(found["passes"]) > 10
    return [f"{it['id']}: {it['help']}: {node['html']}" for it in found["violations"] for node in it["nodes"]]


@pytest.mark.parametrize(
    "options",
    [{"color_scheme": "light"}, {"color_scheme": "dark"}, {"viewport": PHONE}],
    ids=["light", "dark", "phone"],
)
def test_nothing_is_wrong_with_a_conversation(options: dict[str, Any], open_page: Any, script: Script) -> None:
    script.say(
        [reasoning("Let me see."), tool_use("calculator", expression="6*7")],
        "# It is 42\n\n* `code`\n\n```py\nx = 1\n```",
    )
    page = open_page(**options)
    assert violations(page) == []
    page.locator("#prompt").fill("What is six times seven?")
    page.keyboard.press("Enter")
    wait_for_words(page, "It is 42")
    page.get_by_role("button", name="Copy code").wait_for()

    assert violations(page) == []


def test_nothing_is_wrong_with_a_question_to_the_person(open_page: Any, script: Script) -> None:
    script.say(tool_use("ask", question="May I?"))
    page = open_page()
    page.locator("#prompt").fill("Do it.")
    page.keyboard.press("Enter")
    page.locator("#asked").get_by_text("May I?", exact=True).wait_for()

    assert violations(page) == []


def test_nothing_is_wrong_where_people_have_signed_out(serve: Any, open_page: Any) -> None:
    served = serve(auth="dev")
    page = open_page("/?error=access_denied&state=none", at=served)
    page.get_by_role("alert").wait_for()

    assert violations(page) == []
