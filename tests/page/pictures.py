"""``make page-pictures``: the page as it looks, light and dark, in docs/pictures, for the README."""

import os
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import ViewportSize, sync_playwright

from tests.page.browsing import FLAGS, HOW_TO_GET_ONE, ROOT, Served, chromium, wait_for_words
from tests.page.script import reasoning, tool_use

FOLDER = ROOT / "docs" / "pictures"
SIZE: ViewportSize = {"width": 1180, "height": 780}
EARLIER = ("What should I pack for Lisbon in April?", "Explain ETags to a ten-year-old", "Draft the release note")
QUESTION = "Seven of us share a boat at 1,250 a week. What does each pay for two?"
ANSWER = """Each of you pays **357.14** for the two weeks.

| | |
|---|---|
| boat, 2 weeks | 2,500.00 |
| people | 7 |
| **each** | **357.14** |

If somebody stays for one week only, split by person-weeks instead:

```python
def share(weeks: int, all_weeks: int, price: float = 2 * 1250) -> float:
    return round(price * weeks / all_weeks, 2)
```
"""


def main() -> int:
    """Talk, and take the pictures."""
    path = chromium()
    if path is None:
        sys.stderr.write(f"{HOW_TO_GET_ONE}\n")
        return 1
    os.environ.setdefault("TZ", "UTC")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        served = Served(Path(folder))
        served.start()
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=list(FLAGS))
        try:
            page = browser.new_page(
                viewport=SIZE, color_scheme="light", device_scale_factor=1.5, reduced_motion="reduce"
            )
            for question in EARLIER:
                served.script.say("Gladly.")
                page.goto(f"{served.url}/")
                page.locator("#prompt").fill(question)
                page.keyboard.press("Enter")
                wait_for_words(page, "Gladly.")
            served.script.say(
                [
                    reasoning("Twice 1,250, over 7."),
                    tool_use("calculator", expression="2 * 1250 / 7"),
                ],
                ANSWER,
            )
            page.goto("about:blank")
            page.goto(f"{served.url}/")
            page.locator("#prompt").fill(QUESTION)
            page.keyboard.press("Enter")
            wait_for_words(page, "person-weeks")
            page.reload()
            wait_for_words(page, "person-weeks")
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                page.wait_for_timeout(300)
                page.screenshot(path=FOLDER / f"page-{scheme}.png")
        finally:
            browser.close()
            served.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
