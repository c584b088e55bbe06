"""The chat page as somebody uses it: by what is written on it."""

from typing import Any

from playwright.sync_api import Locator, Page, expect

expect.set_options(timeout=45_000)  # CI's machines are slow, and nothing here waits for what should not come


class Chat:
    """A tab with the chat page.

    Args:
        page: Of Playwright.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.field = page.get_by_role("textbox", name="Message", exact=True)
        self.rows = page.get_by_role("navigation", name="Conversations").get_by_role("listitem")
        self.said = page.get_by_role("article", name="You")
        self.answers = page.locator("article.answer")
        self.title = page.get_by_role("heading", level=1)

    def send(self, text: str) -> None:
        """Write a message and press Enter."""
        self.field.fill(text)
        self.field.press("Enter")

    def ask(self, text: str, answer: str) -> None:
        """Send a message and wait for its whole answer."""
        self.send(text)
        self.expect_answer(answer)

    def expect_answer(self, text: str) -> None:
        """The last answer is this one, and nothing is running any more."""
        expect(self.answers.last).to_contain_text(text)
        self.expect_rest()

    def expect_rest(self) -> None:
        """Nothing is being answered here."""
        expect(self.button("Send")).to_be_visible()

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def row(self, title: str) -> Locator:
        """A conversation in the list."""
        return self.rows.filter(has=self.page.get_by_role("link", name=title, exact=True))

    @property
    def session_id(self) -> str:
        """The conversation that is shown."""
        return str(self.page.url.partition("#/s/")[2].partition("/")[0])

    def texts(self, of: Locator, part: str = ".text, .bubble") -> list[str]:
        return [text.strip() for text in of.locator(part).all_text_contents()]

    def stored(self) -> list[dict[str, Any]]:
        """The conversation as the endpoint has it."""
        messages: list[dict[str, Any]] = self.page.evaluate(
            "async id => (await (await fetch(`/sessions/${id}/messages`)).json()).messages", self.session_id
        )
        return messages

    def prompts(self) -> list[str]:
        """What the endpoint has stored as said by the user, without the results of tools."""
        return [
            "".join(block.get("text", "") for block in stored["message"]["content"])
            for stored in self.stored()
            if stored["message"]["role"] == "user" and not any("toolResult" in b for b in stored["message"]["content"])
        ]
