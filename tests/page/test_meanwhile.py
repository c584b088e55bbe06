"""What the page was told late: it acts on what stands there by then, whatever somebody has done meanwhile."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.page.browsing import Watched, wait_until
from tests.page.held import HOLD_FILES, Held
from tests.page.script import Script, gate

pytest.importorskip("playwright")

from playwright.sync_api import FilePayload, expect

from tests.page.chat import Chat

Open = Callable[..., Any]
COME_BACK = "document.dispatchEvent(new Event('visibilitychange'))"
LIST = re.compile(r"/sessions\?")
SESSION = re.compile(r"/sessions/[^/?]+$")
NAMES = ("a.txt", "b.txt")


def files(*names: str) -> list[FilePayload]:
    return [{"name": name, "mimeType": "text/plain", "buffer": b"whale"} for name in names]


def attached(chat: Chat) -> Any:
    return chat.page.get_by_role("list", name="Files to be sent").get_by_role("listitem")


def rename(chat: Chat, title: str, to: str) -> None:
    chat.row(title).hover()
    chat.button(f"Rename {title}").click()
    chat.page.get_by_role("textbox", name="Title").fill(to)
    chat.page.keyboard.press("Enter")


def delete(chat: Chat, title: str) -> None:
    chat.rows.filter(has_text=title).hover()
    chat.button(f"Delete {title}").click()
    chat.page.get_by_role("dialog").get_by_role("button", name="Delete").click()


# --- the list of conversations ---


def test_what_is_done_to_the_list_while_it_is_loaded_stays_done(open_page: Open, watched: Watched) -> None:
    watched.allow("status of 404")
    chat = Chat(open_page())
    for words in ("One", "Two"):
        chat.button("New conversation").click()
        chat.ask(words, f"echo: {words}")
    expect(chat.rows).to_have_text(["Two", "One"])
    held = Held(chat.page, LIST)
    chat.page.evaluate(COME_BACK)
    held.wait()

    rename(chat, "Two", "Whales")
    expect(chat.title).to_have_text("Whales")
    delete(chat, "One")
    expect(chat.rows).to_have_text(["Whales"])
    held.let_go()

    expect(chat.rows).to_have_text(["Whales"])
    expect(chat.title).to_have_text("Whales")


def test_of_two_lists_the_one_that_was_asked_for_last_is_shown(open_page: Open) -> None:
    chat = Chat(open_page())
    chat.ask("Here", "echo: Here")
    expect(chat.rows).to_have_text(["Here"])
    held = Held(chat.page, LIST)
    chat.page.evaluate(COME_BACK)
    held.wait()
    Chat(open_page()).ask("There", "echo: There")  # on another device
    chat.page.evaluate(COME_BACK)
    expect(chat.rows).to_have_text(["There", "Here"])

    held.let_go()

    expect(chat.rows).to_have_text(["There", "Here"])


def test_a_conversation_that_has_just_begun_stays_on_the_list(open_page: Open, script: Script) -> None:
    script.say(["One ", gate("more"), "two."])
    chat = Chat(open_page())
    held = Held(chat.page, LIST)
    chat.page.evaluate(COME_BACK)
    held.wait()
    chat.send("Count")
    expect(chat.answers.last).to_contain_text("One")

    held.let_go()
    expect(chat.rows).to_have_text(["Count"])
    again = Held(chat.page, LIST)
    chat.page.evaluate(COME_BACK)
    again.let_go()
    expect(chat.rows).to_have_text(["Count"])

    script.open("more")
    chat.expect_answer("One two.")
    expect(chat.row("Count")).to_be_visible()


def test_a_title_that_is_stored_after_the_list_was_drawn_anew_is_shown(open_page: Open) -> None:
    chat = Chat(open_page())
    chat.ask("Hi", "echo: Hi")
    expect(chat.rows).to_have_text(["Hi"])
    held = Held(chat.page, SESSION, "PATCH", is_answered=False)
    rename(chat, "Hi", "Whales")
    held.wait()
    chat.field.click()
    listed = Held(chat.page, LIST)
    chat.page.evaluate(COME_BACK)
    listed.let_go()
    expect(chat.rows).to_have_text(["Hi"])

    held.let_go()

    expect(chat.rows).to_have_text(["Whales"])


def test_a_title_given_while_its_conversation_is_loaded_stands_above_it(open_page: Open) -> None:
    chat = Chat(open_page())
    chat.ask("Hi", "echo: Hi")
    expect(chat.rows).to_have_text(["Hi"])
    chat.button("New conversation").click()
    held = Held(chat.page, SESSION)
    chat.row("Hi").get_by_role("link").click()
    held.wait()
    rename(chat, "Hi", "Whales")
    expect(chat.title).to_have_text("Whales")

    held.let_go()

    chat.expect_answer("echo: Hi")
    expect(chat.title).to_have_text("Whales")


def test_the_page_follows_while_its_list_is_not_there_yet(open_page: Open) -> None:
    chat = Chat(open_page())
    chat.ask("Hi", "echo: Hi")
    other = Chat(open_page(f"/#/s/{chat.session_id}"))  # another device
    other.expect_answer("echo: Hi")
    chat.page.route(LIST, lambda route: None)
    chat.page.reload()
    chat.expect_answer("echo: Hi")
    other.ask("There", "echo: There")

    chat.page.evaluate(COME_BACK)

    chat.expect_answer("echo: There")


# --- files that are being read ---


def test_a_file_that_is_still_read_stays_with_its_conversation(open_page: Open) -> None:
    chat = Chat(open_page())
    chat.ask("Hi", "echo: Hi")
    chat.page.evaluate(HOLD_FILES)
    chat.page.locator("#picker").set_input_files(files(*NAMES))
    wait_until(chat.page, "waiting.length > 0")
    chat.field.fill("What are these?")
    chat.field.press("Enter")
    chat.button("New conversation").click()

    chat.send("And now?")  # nothing of the other conversation keeps it back
    chat.expect_answer("echo: And now?")
    chat.page.evaluate("release()")

    chat.ask("Further", "echo: Further")
    expect(attached(chat)).to_have_count(0)
    assert [sorted(block) for message in chat.stored() for block in message["message"]["content"]] == [["text"]] * 4


def test_what_is_sent_while_files_are_read_goes_out_with_all_of_them(open_page: Open) -> None:
    chat = Chat(open_page())
    chat.page.evaluate(HOLD_FILES)
    chat.page.locator("#picker").set_input_files(files(*NAMES))
    wait_until(chat.page, "waiting.length > 0")
    chat.send("What are these?")

    chat.page.evaluate("release()")

    chat.expect_answer("echo: What are these?")
    content = chat.stored()[0]["message"]["content"]
    assert [block["document"]["name"] for block in content[:-1]] == ["a", "b"]


def test_a_message_does_not_go_out_without_a_file_that_cannot_be_read(open_page: Open) -> None:
    chat = Chat(open_page())
    chat.page.evaluate(HOLD_FILES)
    chat.page.locator("#picker").set_input_files(files("a.txt"))
    wait_until(chat.page, "waiting.length > 0")
    chat.send("What is this?")
    chat.page.evaluate("fail()")

    expect(chat.page.locator("#problem")).to_contain_text("a.txt cannot be read")
    expect(chat.field).to_have_value("What is this?")
    expect(attached(chat)).to_have_count(0)
    chat.field.press("Enter")
    chat.expect_answer("echo: What is this?")


@pytest.mark.parametrize("method", ["DELETE", "PATCH"])
def test_what_was_done_to_the_list_does_not_take_the_pen_from_who_is_writing(open_page: Open, method: str) -> None:
    chat = Chat(open_page())
    for words in ("One", "Two"):
        chat.button("New conversation").click()
        chat.ask(words, f"echo: {words}")
    expect(chat.rows).to_have_text(["Two", "One"])
    held = Held(chat.page, SESSION, method, is_answered=False)
    if method == "DELETE":
        delete(chat, "One")
    else:
        rename(chat, "One", "Whales")
    held.wait()
    chat.field.click()
    chat.page.keyboard.type("Tell ")

    with chat.page.expect_response(SESSION):
        held.go_on()
    expect(chat.rows).to_have_text(["Two"] if method == "DELETE" else ["Two", "Whales"])
    chat.page.keyboard.type("me")

    expect(chat.field).to_have_value("Tell me")
    expect(chat.field).to_be_focused()
