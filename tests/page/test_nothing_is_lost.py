"""What a page must never do: lose a message, send it twice, or refuse to open a conversation for what is in it."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.page.browsing import KEPT_IN_DATABASE, Served, Watched, wait_until
from tests.page.script import Script, gate, slowly, tool_use

pytest.importorskip("playwright")

from playwright.sync_api import expect

from tests.page.chat import Chat

Open = Callable[..., Any]
LARGE = 4_200_000  # in base64 more than a tab's sessionStorage takes
COME_BACK = "document.dispatchEvent(new Event('visibilitychange'))"


def come_back(chat: Chat) -> None:
    """Another window was in front, and this one is again: it sees what was said since. One look follows another."""
    with chat.page.expect_response("**/turns/*"):
        chat.page.evaluate(COME_BACK)


def wait_until_held(chat: Chat, held: list[Any]) -> None:
    """The test has what the page asked for in its hands."""
    while not held:
        chat.page.wait_for_timeout(20)


def test_a_first_message_with_a_large_file_is_sent_also_when_the_page_is_loaded_again_meanwhile(
    open_page: Open, watched: Watched
) -> None:
    watched.allow("status of 404")
    chat = Chat(open_page())
    chat.page.route("**/messages", lambda route: None)  # the request never arrives
    chat.page.locator("#picker").set_input_files(
        {"name": "large.txt", "mimeType": "text/plain", "buffer": b"whale " * (LARGE // 6)}
    )
    chat.send("What is this?")
    expect(chat.said).to_contain_text("large.txt")
    wait_until(chat.page, KEPT_IN_DATABASE % 1)
    chat.page.unroute_all(behavior="ignoreErrors")

    chat.page.reload()

    chat.expect_answer("echo: What is this?")
    assert [sorted(block) for block in chat.stored()[0]["message"]["content"]] == [["document"], ["text"]]
    wait_until(chat.page, KEPT_IN_DATABASE % 0)

    chat.said.first.hover()
    chat.said.first.get_by_role("button", name="Edit and send again").click()
    form = chat.page.get_by_role("form", name="Edit the message")
    form.get_by_role("textbox").fill("And this?")
    form.get_by_role("textbox").press("Enter")
    chat.expect_answer("echo: And this?")
    expect(chat.said).to_contain_text("large.txt")


def test_whatever_markdown_is_made_of_the_conversation_opens(open_page: Open, script: Script) -> None:
    script.say("\n\n".join(["> " * 2_000 + "x", "- " * 2_000 + "x", "_a" * 10_000, "That is **all**."]))
    chat = Chat(open_page())
    chat.ask("Go deep", "That is all.")

    chat.page.reload()

    chat.expect_answer("That is all.")
    expect(chat.answers.last.locator("strong")).to_have_text("all")


def test_a_fence_that_is_indented_closes_while_it_streams(open_page: Open, script: Script) -> None:
    script.say(slowly("```\ncode\n  ```\n\nAfter *it*, more.", 0.2))
    chat = Chat(open_page())

    chat.ask("Code", "After it, more.")

    expect(chat.answers.last.locator("pre")).to_have_text("code")


def test_whatever_a_stored_message_holds_the_conversation_opens(open_page: Open, watched: Watched) -> None:
    watched.allow("status of 413")
    chat = Chat(open_page())
    chat.ask("Hi", "echo: Hi")
    chat.ask("Again", "echo: Again")

    def spoil(route: Any) -> None:
        cursor = route.request.url.partition("cursor=")[2].partition("&")[0]
        if cursor == "0":
            problem = {"type": "urn:agent-session-kit:problem:payload-too-large", "next_cursor": "1"}
            route.fulfill(status=413, content_type="application/problem+json", body=json.dumps(problem))
            return
        response = route.fetch()
        page = response.json()
        for stored in page["messages"]:
            content = stored["message"]["content"]
            if stored["message"]["role"] == "user":
                content += [
                    {"image": {"format": "svg+xml", "source": {"bytes": "PHN2Zz48L3N2Zz4="}}},
                    {"document": {"format": "pdf", "name": "broken", "source": {"bytes": "%%%"}}},
                    {"text": {"odd": 1}},
                    None,
                ]
            else:
                content += [{"toolUse": 5}, {"reasoningContent": {"reasoningText": {"text": 7}}}]
                content += [{"citationsContent": {"content": 7}}, {"toolResult": {"content": [None]}}]
        route.fulfill(response=response, json=page)

    chat.page.route("**/messages?*", spoil)

    chat.page.reload()

    chat.expect_answer("echo: Again")
    expect(chat.page.get_by_text("Message 0 is too large to be shown.")).to_be_visible()
    expect(chat.answers.first).to_contain_text("echo: Hi")
    expect(chat.said.last).to_contain_text("A file (document) could not be shown.")
    expect(chat.said.last.locator("img")).to_have_count(0)
    expect(chat.answers.last).to_contain_text("could not be shown")
    chat.page.unroute_all()
    chat.ask("On", "echo: On")


def test_a_question_half_answered_stays_and_one_answered_elsewhere_lets_one_write_again(
    open_page: Open, script: Script
) -> None:
    script.say(tool_use("ask", question="May I?"), "Done.", "Good.")
    chat = Chat(open_page())
    chat.send("Delete it")
    question = chat.page.get_by_role("form", name="Question of the agent")
    answer = question.get_by_role("textbox")
    answer.fill("yes, but")
    chat.field.focus()

    come_back(chat)
    come_back(chat)

    expect(answer).to_have_value("yes, but")
    expect(chat.field).to_be_focused()
    other = Chat(open_page(f"/#/s/{chat.session_id}"))  # another device: no word of it comes to this one
    other.page.get_by_role("form", name="Question of the agent").get_by_role("textbox").fill("no")
    other.page.keyboard.press("Enter")
    other.expect_answer("Done.")
    come_back(chat)
    chat.expect_answer("Done.")
    expect(question).to_be_hidden()
    chat.ask("Thanks", "Good.")


def test_what_is_said_while_the_page_looks_is_seen_by_a_look_after_it(open_page: Open, script: Script) -> None:
    script.say("Hello.", "Further.")
    chat = Chat(open_page())
    chat.ask("Hi", "Hello.")
    other = Chat(open_page(f"/#/s/{chat.session_id}"))  # another device
    other.expect_answer("Hello.")
    held: list[Any] = []
    chat.page.route("**/turns/*", lambda route: route.fallback() if held else held.append(route))
    with chat.page.expect_request("**/turns/*"):
        chat.page.evaluate(COME_BACK)
    other.ask("Go on", "Further.")

    chat.page.evaluate(COME_BACK)
    held[0].fallback()

    chat.expect_answer("Further.")


def test_a_conversation_is_opened_with_an_agent_that_it_has(serve: Callable[..., Served], open_page: Open) -> None:
    served = serve(auth="agents")
    chat = Chat(open_page(at=served))
    picker = chat.page.get_by_role("combobox", name="Agent")
    picker.select_option("research")
    chat.ask("Look it up", "echo: Look it up")

    chat.button("New conversation").click()
    expect(picker).to_have_value("default")
    chat.page.get_by_role("link", name="Look it up").click()

    chat.expect_answer("echo: Look it up")
    expect(picker).to_have_value("research")


def test_a_stream_that_went_silent_is_asked_for_again(open_page: Open, script: Script) -> None:
    script.say(["One ", gate("more"), "two."])
    chat = Chat(open_page())
    chat.page.evaluate(  # half a minute is over sooner
        "() => { const later = setTimeout; window.setTimeout = (act, ms) => later(act, ms === 30_000 ? 500 : ms); }"
    )

    with chat.page.expect_request("**/turns/*"):
        chat.send("Count")

    script.open("more")
    chat.expect_answer("One two.")
    assert chat.prompts() == ["Count"]


def test_enter_pressed_twice_while_a_file_is_read_sends_once(open_page: Open) -> None:
    chat = Chat(open_page())
    chat.page.evaluate(
        """() => {
            const read = FileReader.prototype.readAsDataURL;
            FileReader.prototype.readAsDataURL = function (file) { window.release = () => read.call(this, file); };
        }"""
    )
    chat.page.locator("#picker").set_input_files({"name": "a.txt", "mimeType": "text/plain", "buffer": b"whale"})
    wait_until(chat.page, "Boolean(window.release)")
    chat.send("Hi")
    chat.field.press("Enter")

    chat.page.evaluate("window.release()")

    chat.expect_answer("echo: Hi")
    assert [sorted(block) for block in chat.stored()[0]["message"]["content"]] == [["document"], ["text"]]
    assert chat.prompts() == ["Hi"]


def test_tool_calls_of_two_turns_with_the_same_id_stay_in_their_turns(open_page: Open, script: Script) -> None:
    def call(expression: str) -> list[Any]:
        return [tool_use("calculator", "same", expression=expression)]

    script.say(call("1+1"), "Two.", call("2+2"), call("3+3"), "Six.")
    chat = Chat(open_page())
    chat.ask("One", "Two.")
    chat.ask("Two", "Six.")

    for _ in range(2):
        results = chat.answers.locator("details.tool pre[aria-label=Result]")
        expect(results).to_have_text(["2", "4", "6"])  # what is stored comes behind the reply
        expect(chat.answers.first.locator("details.tool")).to_have_count(1)
        expect(chat.answers.last.locator("details.tool")).to_have_count(2)
        chat.page.reload()
        chat.expect_answer("Six.")


def test_a_message_that_comes_upon_another_waits_below_it_and_goes_out_once(
    open_page: Open, script: Script, watched: Watched
) -> None:
    watched.allow("status of (409|429)")
    script.say("Hello.", ["One ", gate("more"), "two."], "Three.")
    first = Chat(open_page())
    first.ask("Hi", "Hello.")
    second = Chat(open_page(f"/#/s/{first.session_id}"))
    second.expect_answer("Hello.")
    first.send("Count")
    expect(first.answers.last).to_contain_text("One")

    second.send("Go on")

    expect(second.page.get_by_role("alert").filter(has_text="Another message is being answered")).to_be_visible()
    expect(second.button("Stop the answer")).to_be_visible()
    assert second.texts(second.said) == ["Hi", "Count", "Go on"]
    expect(second.button("Send again")).to_be_disabled()
    script.open("more")
    expect(second.button("Send again")).to_be_enabled()
    second.page.route("**/messages", lambda route: route.fulfill(status=429, headers={"Retry-After": "7"}))
    second.button("Send again").click()
    expect(second.page.get_by_role("alert").filter(has_text="Too many requests")).to_contain_text("in 7 s")
    second.page.unroute_all()
    second.button("Send again").click()
    second.expect_answer("Three.")
    assert second.prompts() == ["Hi", "Count", "Go on"]


def test_what_waits_for_a_connection_is_taken_back_and_a_wrong_address_is_said_in_words(
    open_page: Open, watched: Watched
) -> None:
    watched.allow("Failed to load resource")
    chat = Chat(open_page("/#/s/%"))
    expect(chat.page.get_by_role("alert").get_by_role("heading")).to_be_visible()
    chat.button("New conversation").click()
    chat.ask("Hi", "echo: Hi")
    chat.page.context.set_offline(True)
    chat.send("Never mind")
    expect(chat.page.locator("#banner")).to_contain_text("You are offline")

    chat.button("Stop the answer").click()

    expect(chat.page.get_by_role("alert").filter(has_text="Not sent")).to_be_visible()
    chat.field.fill("And more")
    chat.button("Edit").click()
    expect(chat.field).to_have_value("Never mind\n\nAnd more")
    chat.page.context.set_offline(False)
    expect(chat.said).to_have_count(1)
    assert chat.prompts() == ["Hi"]


def test_where_the_browser_keeps_nothing_the_page_says_so_and_works(open_page: Open, watched: Watched) -> None:
    watched.allow("Failed to load resource")
    page = open_page("/health")
    page.context.add_init_script(
        "Object.defineProperty(window, 'sessionStorage', { get() { throw new DOMException('no', 'SecurityError'); } })"
    )
    page.goto("/")
    chat = Chat(page)

    expect(page.locator("#problem")).to_contain_text("keeps nothing")
    chat.ask("Hi", "echo: Hi")
    page.route("**/sessions/*", lambda route: route.abort() if route.request.method == "PATCH" else route.fallback())
    chat.row("Hi").hover()
    chat.button("Rename Hi").click()
    page.get_by_role("textbox", name="Title").fill("Whales")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="Not renamed")).to_be_visible()


def test_what_a_tab_keeps_is_of_one_owner_whatever_they_are_called(open_page: Open) -> None:
    chat = Chat(open_page())
    found = chat.page.evaluate(
        """async () => {
            const main = document.querySelector("script[type=module]").src;
            const box = await import(main.replace("main.js", "outbox.js"));
            const request = (key, body) => ({ sessionId: "s", agentId: "a", key, body });
            const open = (issuer, subject) => box.openOutbox(JSON.stringify([issuer, subject]));
            const kept = async () => Boolean((await box.unanswered("s", "a"))?.body);
            const told = [];
            open("i", "1");
            box.keep(request("k1", { prompt: "small" }));
            sessionStorage.setItem("draft:x", "half a word");
            open("i", "1");
            told.push([await kept(), sessionStorage["draft:x"]]);
            for (const other of [["i", "2"], ["j", "1"]]) {
                box.keep(request("k2", { prompt: "small" }));
                sessionStorage.setItem("draft:x", "half a word");
                open(...other);
                told.push([await kept(), sessionStorage["draft:x"]]);
            }
            box.keep(request("large", { prompt: "x".repeat(6_000_000) }));
            await box.allKept();
            told.push(sessionStorage["sent:" + JSON.stringify(["s", "a"])].length < 1_000);
            box.openOutbox(null);
            told.push(await kept());
            return told;
        }"""
    )
    assert found == [[True, "half a word"], [False, None], [False, None], True, False]
    wait_until(chat.page, KEPT_IN_DATABASE % 1)

    empty = "async (owner) => { const box = await import(document.querySelector('script[type=module]').src.replace("
    empty += "'main.js', 'outbox.js')); box.openOutbox(owner); await box.emptyOutbox(); }"
    chat.page.evaluate(empty, '["i","1"]')
    wait_until(chat.page, KEPT_IN_DATABASE % 1)
    chat.page.evaluate(empty, '["j","1"]')
    wait_until(chat.page, KEPT_IN_DATABASE % 0)


def test_where_nothing_streams_an_answer_is_stopped_and_found_again(
    serve: Callable[..., Served], open_page: Open, watched: Watched
) -> None:
    watched.allow("status of (404|409|413)")
    served = serve(STREAMING="false")
    served.script.say(
        ["One ", gate("more"), "two."], slowly("word " * 400, 0.05), "Good.", ["Much ", gate("much"), "read."]
    )
    chat = Chat(open_page(at=served))
    chat.send("Count")
    expect(chat.button("Stop the answer")).to_be_visible()
    wait_until(chat.page, "Object.values(sessionStorage).some((kept) => kept.includes('turnId'))")

    chat.page.reload()
    expect(chat.button("Stop the answer")).to_be_visible()
    assert chat.texts(chat.said) == ["Count"]
    served.script.open("more")
    chat.expect_answer("One two.")

    chat.send("Talk")
    wait_until(chat.page, "Object.values(sessionStorage).some((kept) => kept.includes('turnId'))")
    chat.button("Stop the answer").click()
    expect(chat.answers.last).to_contain_text("Stopped")
    chat.ask("Thanks", "Good.")

    # What is too large to be left to the endpoint is sent all the same, and it says that it cannot be stopped.
    too_large = {"type": "urn:agent-session-kit:problem:payload-too-large"}
    chat.page.route(
        "**/messages",
        lambda route: (
            route.fulfill(status=413, json=too_large) if "prefer" in route.request.headers else route.fallback()
        ),
    )
    with chat.page.expect_request(lambda asked: asked.method == "POST" and "prefer" not in asked.headers):
        chat.send("Read it")
    chat.button("Stop the answer").click()
    expect(chat.page.locator("#problem")).to_contain_text("Not stopped: this endpoint does not stream")
    served.script.open("much")
    chat.expect_answer("Much read.")
    assert chat.prompts() == ["Count", "Talk", "Thanks", "Read it"]
    assert len(served.script.asked) == 4


def test_what_is_written_stays_and_goes_out_only_when_it_is_meant(open_page: Open, script: Script) -> None:
    script.say("Hello.", tool_use("ask", question="May I?"))
    chat = Chat(open_page())
    chat.field.fill("kana")
    chat.field.evaluate(
        """(field) => {
            const enter = { key: "Enter", bubbles: true, cancelable: true };
            field.dispatchEvent(new KeyboardEvent("keydown", { ...enter, isComposing: true }));
            field.dispatchEvent(new KeyboardEvent("keydown", { ...enter, keyCode: 229 }));
            const clipboardData = new DataTransfer();
            clipboardData.setData("text/plain", "1 2");
            clipboardData.setData("text/html", "<table></table>");
            clipboardData.items.add(new File(["x"], "table.png"));
            field.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
        }"""
    )
    expect(chat.field).to_have_value("kana")
    expect(chat.said).to_have_count(0)
    expect(chat.page.get_by_role("list", name="Files to be sent")).to_be_hidden()

    chat.ask("Hi", "Hello.")
    edit = chat.page.get_by_role("form", name="Edit the message").get_by_role("textbox")
    for written, then in (("Hi", "Hi, but later"), ("Hi, but later", None), ("Hi", None)):
        chat.said.first.hover()
        chat.said.first.get_by_role("button", name="Edit and send again").click()
        expect(edit).to_have_value(written)
        if then is None:
            edit.press("Escape")
            continue
        edit.fill(then)
        chat.page.reload()
        chat.expect_answer("Hello.")

    chat.field.fill("Delete it")
    chat.button("New conversation").click()
    expect(chat.field).to_have_value("")
    chat.rows.get_by_role("link").first.click()
    expect(chat.field).to_have_value("Delete it")
    chat.field.press("Enter")
    answer = chat.page.get_by_role("form", name="Question of the agent").get_by_role("textbox")
    answer.fill("yes, but")
    chat.page.reload()
    expect(answer).to_have_value("yes, but")
    assert chat.prompts() == ["Hi", "Delete it"]


def test_a_message_whose_conversation_is_left_at_once_goes_out_once(
    open_page: Open, script: Script, watched: Watched
) -> None:
    watched.allow("Failed to load resource")
    script.say("Hello.", "Further.")
    chat = Chat(open_page())
    chat.ask("Hi", "Hello.")
    held: list[Any] = []

    def hold_first(route: Any) -> None:
        if held:
            route.fallback()
        else:
            held.append(route)

    chat.page.route("**/messages", hold_first)
    with chat.page.expect_request("**/messages"):
        chat.send("Go on")
    chat.button("New conversation").click()
    expect(chat.said).to_have_count(0)
    held[0].abort()  # nobody watches it any more; it is sent again all the same

    chat.rows.get_by_role("link").first.click()

    chat.expect_answer("Further.")
    assert chat.prompts() == ["Hi", "Go on"]
    assert len(script.asked) == 2


def test_what_is_typed_in_the_moment_after_new_conversation_is_the_new_ones(open_page: Open) -> None:
    chat = Chat(open_page())
    chat.ask("Hi", "echo: Hi")
    first = chat.session_id
    chat.page.evaluate(
        """() => {
            document.getElementById("new").click();
            const field = document.getElementById("prompt");
            field.value = "And now?";
            field.dispatchEvent(new InputEvent("input", { bubbles: true }));
            field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }));
        }"""
    )

    chat.expect_answer("echo: And now?")
    assert chat.session_id != first
    assert chat.prompts() == ["And now?"]
    chat.row("Hi").get_by_role("link").click()
    chat.expect_answer("echo: Hi")
    expect(chat.field).to_have_value("")


def test_what_is_sent_while_its_conversation_is_loaded_stands_below_it(open_page: Open, script: Script) -> None:
    script.say("Hello.", tool_use("ask", question="May I?"))
    chat = Chat(open_page())
    chat.ask("Hi", "Hello.")
    held: list[Any] = []
    chat.page.route("**/messages?*", lambda route: route.fallback() if held else held.append(route))
    chat.page.reload()
    wait_until_held(chat, held)

    chat.send("Delete it")

    expect(chat.said).to_have_text([re.compile("Delete it")])
    chat.send("At once")
    expect(chat.field).to_have_value("At once")  # it waits
    assert len(script.asked) == 1
    held[0].continue_()
    expect(chat.page.get_by_role("form", name="Question of the agent")).to_be_visible()
    expect(chat.said).to_have_text([re.compile("Hi"), re.compile("Delete it")])
    assert chat.prompts() == ["Hi", "Delete it"]


def test_what_was_said_elsewhere_before_a_message_stands_above_it(open_page: Open) -> None:
    first = Chat(open_page())
    first.ask("Hi", "echo: Hi")
    second = Chat(open_page(f"/#/s/{first.session_id}"))  # another window, which tells the first one nothing
    second.expect_answer("echo: Hi")
    second.ask("There", "echo: There")

    first.ask("Here", "echo: Here")

    expect(first.said).to_have_text([re.compile(said) for said in ("Hi", "There", "Here")])
    expect(first.answers).to_have_count(3)


def test_a_look_that_comes_back_when_a_message_is_on_its_way_shows_nothing_twice(open_page: Open) -> None:
    chat = Chat(open_page())
    chat.ask("Hi", "echo: Hi")
    held: list[Any] = []
    chat.page.route("**/messages?*", lambda route: route.fallback() if held else held.append(route))
    chat.page.evaluate(COME_BACK)
    wait_until_held(chat, held)

    chat.ask("Go on", "echo: Go on")
    with chat.page.expect_response("**/messages?*"):
        held[0].continue_()
    chat.page.evaluate(COME_BACK)

    chat.ask("Further", "echo: Further")
    expect(chat.said).to_have_text([re.compile(said) for said in ("Hi", "Go on", "Further")])


def test_a_message_that_arrived_and_was_never_answered_stands_there_once(open_page: Open, watched: Watched) -> None:
    watched.allow("Failed to load resource")
    chat = Chat(open_page())
    chat.ask("Hi", "echo: Hi")
    answers: list[Any] = []
    chat.page.route("**/messages", lambda route: answers.append(route.fetch()))  # it never comes back
    chat.send("Go on")
    wait_until_held(chat, answers)
    chat.page.unroute_all()

    chat.page.reload()

    chat.expect_answer("echo: Go on")
    expect(chat.said).to_have_text([re.compile("Hi"), re.compile("Go on")])
    assert chat.prompts() == ["Hi", "Go on"]
