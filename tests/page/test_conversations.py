"""Conversations on the page: found, renamed, deleted, branched; long ones; files; a phone; the keyboard alone."""

import base64
import re
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import FilePayload, expect

from tests.page.browsing import Served, Watched
from tests.page.chat import Chat
from tests.page.script import Script, gate

Open = Callable[..., Any]
PHONE = {"viewport": {"width": 375, "height": 700}, "has_touch": True, "is_mobile": True}


def png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + b"\x23\x60\x5a" * 8 for _ in range(8)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_conversations_are_listed_found_and_opened_again(open_page: Open) -> None:
    chat = Chat(open_page())
    for words in ("About whales", "About birds"):
        chat.button("New conversation").click()
        chat.ask(words, f"echo: {words}")

    expect(chat.rows).to_have_text(["About birds", "About whales"])
    search = chat.page.get_by_role("searchbox")
    search.fill("WHALE")
    expect(chat.rows).to_have_text(["About whales"])
    chat.page.get_by_role("link", name="About whales").click()
    chat.expect_answer("echo: About whales")
    expect(chat.title).to_have_text("About whales")
    search.fill("ants")
    expect(chat.page.get_by_text("Nothing found")).to_be_visible()
    chat.page.go_back()
    chat.expect_answer("echo: About birds")


def test_a_conversation_is_renamed(open_page: Open) -> None:
    chat = Chat(open_page())
    chat.ask("Hi", "echo: Hi")

    chat.button("Rename Hi").click()
    title = chat.page.get_by_role("textbox", name="Title")
    title.press("Escape")
    expect(chat.button("Rename Hi")).to_be_focused()
    chat.button("Rename Hi").press("Enter")
    title.fill("Whales & <b>birds</b>")
    title.press("Enter")

    expect(chat.title).to_have_text("Whales & <b>birds</b>")
    expect(chat.button("Rename Whales & <b>birds</b>")).to_be_focused()
    chat.page.reload()
    expect(chat.title).to_have_text("Whales & <b>birds</b>")
    expect(chat.rows).to_have_text(["Whales & <b>birds</b>"])


def test_deleting_asks_first_and_brings_the_focus_back(open_page: Open, watched: Watched) -> None:
    watched.allow("status of 404")
    chat = Chat(open_page())
    for words in ("One", "Two", "Three"):
        chat.button("New conversation").click()
        chat.ask(words, f"echo: {words}")
    dialog = chat.page.get_by_role("dialog")

    chat.row("Two").hover()
    chat.button("Delete Two").click()
    expect(dialog).to_contain_text("Two")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    chat.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(chat.button("Delete Two")).to_be_focused()

    chat.button("Delete Two").press("Enter")
    dialog.get_by_role("button", name="Delete").click()
    expect(chat.rows).to_have_text(["Three", "One"])
    expect(chat.page.get_by_role("link", name="One")).to_be_focused()
    chat.expect_answer("echo: Three")

    chat.row("Three").hover()
    chat.button("Delete Three").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(chat.title).to_have_text("New conversation")
    chat.page.reload()
    expect(chat.rows).to_have_text(["One"])


def test_a_message_is_edited_and_sent_again_in_a_branch(open_page: Open, script: Script) -> None:
    script.say("Hello Ada.", "Whales sing.", "Birds sing, too.")
    chat = Chat(open_page())
    chat.ask("I am Ada", "Hello Ada.")
    chat.ask("Tell of whales", "Whales sing.")
    original = chat.page.url

    chat.said.last.hover()
    chat.said.last.get_by_role("button", name="Edit and send again").click()
    form = chat.page.get_by_role("form", name="Edit the message")
    expect(form.get_by_role("textbox")).to_have_value("Tell of whales")
    form.get_by_role("textbox").fill("Tell of birds")
    form.get_by_role("button", name="Send again").click()

    chat.expect_answer("Birds sing, too.")
    assert chat.page.url != original
    assert chat.texts(chat.said) == ["I am Ada", "Tell of birds"]
    assert [len(messages) for messages in script.asked] == [1, 3, 3]
    chat.page.reload()
    chat.expect_answer("Birds sing, too.")
    branch = chat.page.url
    chat.page.locator("#origin a").click()
    chat.expect_answer("Whales sing.")
    assert chat.page.url == original
    chat.rows.get_by_role("link").first.click()
    chat.page.wait_for_url(branch)
    chat.expect_answer("Birds sing, too.")


def test_the_first_message_can_be_edited_too(open_page: Open) -> None:
    chat = Chat(open_page())
    chat.ask("I am Ada", "echo: I am Ada")

    chat.said.first.hover()
    chat.said.first.get_by_role("button", name="Edit and send again").click()
    chat.page.get_by_role("form", name="Edit the message").get_by_role("textbox").fill("I am Ben")
    chat.page.keyboard.press("Enter")

    chat.expect_answer("echo: I am Ben")
    assert chat.prompts() == ["I am Ben"]


def test_files_are_sent_shown_and_kept(open_page: Open, script: Script) -> None:
    chat = Chat(open_page())
    expect(chat.page.locator("#hint")).to_contain_text("files up to")
    chosen: list[FilePayload] = [
        {"name": "Überblick 2026.txt", "mimeType": "text/plain", "buffer": b"Whales sing."},
        {"name": "square.png", "mimeType": "image/png", "buffer": png()},
        {"name": "song.mp3", "mimeType": "audio/mpeg", "buffer": b"la la"},
    ]
    chat.page.locator("#picker").set_input_files(chosen)
    expect(chat.page.get_by_role("list", name="Files to be sent").get_by_role("listitem")).to_have_count(2)
    expect(chat.page.locator("#problem")).to_contain_text("song.mp3 is of a kind that cannot be sent")

    chat.ask("What is this?", "echo: What is this?")

    for _ in range(2):
        image = chat.said.last.get_by_role("img")
        expect(image).to_be_visible()
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 8
        with chat.page.expect_download() as download:
            chat.said.last.get_by_text("Uberblick 2026.txt").click()
        assert download.value.path().read_bytes() == b"Whales sing."
        chat.page.reload()
        chat.expect_answer("echo: What is this?")
    assert [sorted(block) for block in chat.stored()[0]["message"]["content"]] == [["document"], ["image"], ["text"]]


def test_a_file_is_pasted_and_dropped_and_a_large_one_is_refused_before_it_is_sent(open_page: Open) -> None:
    chat = Chat(open_page())
    files = chat.page.get_by_role("list", name="Files to be sent").get_by_role("listitem")
    give = """([where, name, size, base64]) => {
        const bytes = base64 ? Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)) : new Uint8Array(size);
        const data = new DataTransfer();
        data.items.add(new File([bytes], name));
        const kind = where === "#main" ? DragEvent : ClipboardEvent;
        const init = { bubbles: true, cancelable: true, clipboardData: data, dataTransfer: data };
        document.querySelector(where).dispatchEvent(new kind(where === "#main" ? "drop" : "paste", init));
    }"""

    chat.page.evaluate(give, ["#prompt", "pasted.png", 0, base64.b64encode(png()).decode()])
    expect(files).to_have_text([re.compile("pasted.png")])
    chat.page.evaluate(give, ["#main", "dropped.md", 20, ""])
    expect(files).to_have_count(2)
    chat.page.evaluate(give, ["#main", "huge.pdf", 7_000_000, ""])
    expect(chat.page.locator("#problem")).to_contain_text("huge.pdf is too large")
    expect(files).to_have_count(2)
    chat.button("Remove dropped.md").click()
    expect(files).to_have_count(1)


@pytest.fixture
def long(open_page: Open, script: Script) -> Chat:
    """A conversation of 130 messages."""
    chat = Chat(open_page())
    chat.ask("Message 0", "echo: Message 0")
    chat.page.evaluate(
        """async (id) => {
            for (let number = 1; number < 65; number++) {
                const body = JSON.stringify({ prompt: `Message ${number}` });
                const headers = { "content-type": "application/json" };
                await (await fetch(`/sessions/${id}/messages`, { method: "POST", headers, body })).json();
            }
        }""",
        chat.session_id,
    )
    chat.page.reload()
    chat.expect_answer("echo: Message 64")
    return chat


def test_a_long_conversation_opens_at_its_end_and_grows_upwards_without_jumping(long: Chat) -> None:
    talk = long.page.locator("#talk")
    assert talk.evaluate("talk => talk.scrollHeight - talk.scrollTop - talk.clientHeight") < 5
    expect(long.said.last).to_be_in_viewport()
    assert "Message 0" not in long.texts(long.said)

    for _ in range(60):
        moved = talk.evaluate(
            """async (talk) => {
                const frames = async (number) => {
                    for (; number; number--) await new Promise(requestAnimationFrame);
                };
                talk.scrollTop -= 1500;
                await frames(3);
                const top = talk.getBoundingClientRect().top;
                const turns = [...document.querySelectorAll(".turn")];
                const first = turns.find((turn) => turn.getBoundingClientRect().bottom > top + 1);
                const before = first.getBoundingClientRect().top;
                const count = turns.length;
                const isSame = () => document.querySelectorAll(".turn").length === count;
                for (let waited = 0; waited < 60 && isSame(); waited++) await frames(1);
                await frames(3);
                return first.getBoundingClientRect().top - before;
            }"""
        )
        assert abs(moved) < 3, "what is read has moved while a page was loaded"
        if long.texts(long.said)[0] == "Message 0":
            break
    texts = long.texts(long.said)
    assert texts == [f"Message {number}" for number in range(65)]


def test_who_reads_above_is_not_pulled_to_the_end(long: Chat, script: Script) -> None:
    talk = long.page.locator("#talk")
    script.say(*(["never"] * len(script.asked)), ["One ", gate("more"), "two.\n\n" * 40])
    long.send("Go on")
    expect(long.answers.last).to_contain_text("One")
    talk.hover()
    long.page.mouse.wheel(0, -3000)
    long.page.wait_for_timeout(200)
    before = talk.evaluate("talk => talk.scrollTop")

    script.open("more")
    long.expect_answer("two.")

    assert abs(talk.evaluate("talk => talk.scrollTop") - before) < 400
    long.button("To the newest message").click()
    expect(long.answers.last.locator("footer")).to_be_in_viewport()


def test_several_agents_have_a_conversation_each(
    serve: Callable[..., Served], open_page: Open, watched: Watched
) -> None:
    chat = Chat(open_page(at=serve(auth="agents")))
    picker = chat.page.get_by_role("combobox", name="Agent")
    chat.ask("Hi", "echo: Hi")

    picker.select_option("research")
    expect(chat.answers).to_have_count(0)
    chat.ask("Look it up", "echo: Look it up")
    chat.page.reload()
    chat.expect_answer("echo: Look it up")
    expect(picker).to_have_value("research")
    assert chat.texts(chat.said) == ["Look it up"]
    picker.select_option("default")
    chat.expect_answer("echo: Hi")


def test_a_phone_has_everything_and_nothing_sticks_out(open_page: Open, script: Script) -> None:
    script.say("Hello. " + "long" * 60 + "\n\n```\n" + "wide " * 60 + "\n```")
    chat = Chat(open_page(**PHONE))
    chat.send("Hi " + "w" * 120)
    chat.expect_answer("Hello.")

    side = chat.page.get_by_role("navigation", name="Conversations")
    expect(side).to_be_hidden()
    assert chat.page.evaluate("document.documentElement.scrollWidth") == 375
    assert chat.page.locator("#column").evaluate("column => column.scrollWidth <= column.clientWidth")
    chat.button("Conversations").click()
    expect(side).to_be_visible()
    expect(chat.rows).to_have_count(1)
    chat.page.keyboard.press("Escape")
    expect(side).to_be_hidden()
    expect(chat.button("Conversations")).to_be_focused()


def test_everything_is_done_with_the_keyboard_alone(open_page: Open, script: Script) -> None:
    script.say("Hello.", "```\ncode\n```", "Edited.")
    chat = Chat(open_page())
    press = chat.page.keyboard.press

    def tab_to(name: str, key: str = "Tab") -> None:
        for _ in range(60):
            press(key)
            if chat.page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.textContent") == name:
                return
        raise AssertionError(f"{name} is not reached")

    expect(chat.field).to_be_focused()
    chat.page.keyboard.type("Hi")
    press("Shift+Enter")
    chat.page.keyboard.type("there")
    press("Enter")
    chat.expect_answer("Hello.")
    assert chat.prompts() == ["Hi\nthere"]
    expect(chat.field).to_be_focused()
    chat.page.keyboard.type("Some code")
    press("Enter")
    chat.expect_answer("code")
    tab_to("Copy code", "Shift+Tab")
    tab_to("Edit and send again", "Shift+Tab")
    press("Enter")
    chat.page.keyboard.type(", please")
    press("Enter")
    chat.expect_answer("Edited.")
    tab_to("New conversation", "Shift+Tab")
    press("Enter")
    expect(chat.title).to_have_text("New conversation")
    expect(chat.field).to_be_focused()
    tab_to("Hi there", "Shift+Tab")
    press("Tab")
    press("Tab")
    press("Enter")
    expect(chat.page.get_by_role("dialog")).to_be_visible()
    press("Tab")
    press("Enter")
    expect(chat.page.get_by_role("dialog")).to_be_hidden()
    expect(chat.rows).to_have_count(1)
