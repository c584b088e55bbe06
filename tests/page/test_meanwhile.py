"""What the page was told late: it acts on what stands there by then, whatever somebody has done meanwhile."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.page.browsing import Served, Watched, wait_until
from tests.page.held import HOLD_FILES, Held
from tests.page.script import Script, gate, tool_use

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


# --- somebody is writing ---


def test_a_question_does_not_take_the_pen_from_who_is_writing(open_page: Open, script: Script) -> None:
    script.say(["Hm. ", gate("more"), tool_use("ask", question="May I?")])
    chat = Chat(open_page())
    chat.send("Delete it")
    expect(chat.answers.last).to_contain_text("Hm.")
    chat.field.press_sequentially("No, ")

    script.open("more")
    expect(chat.page.get_by_role("form", name="Question of the agent")).to_be_visible()
    chat.page.keyboard.type("wait")

    expect(chat.field).to_have_value("No, wait")


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


# --- somebody has gone elsewhere ---


def test_who_has_gone_elsewhere_is_not_taken_to_a_branch_and_its_message_goes_out(
    open_page: Open, script: Script
) -> None:
    chat = Chat(open_page())
    chat.ask("I am Ada", "echo: I am Ada")
    held = Held(chat.page, "**/fork", "POST", is_answered=False)
    chat.said.first.hover()
    chat.said.first.get_by_role("button", name="Edit and send again").click()
    chat.page.get_by_role("form", name="Edit the message").get_by_role("textbox").fill("I am Ben")
    chat.page.keyboard.press("Enter")
    held.wait()
    chat.button("New conversation").click()
    chat.field.fill("Tell ")

    held.let_go()
    chat.page.keyboard.type("me")

    expect(chat.field).to_have_value("Tell me")
    expect(chat.said).to_have_count(0)
    while len(script.asked) < 2:
        chat.page.wait_for_timeout(20)
    chat.rows.get_by_role("link").first.click()
    chat.expect_answer("echo: I am Ben")
    assert len(script.asked) == 2


def test_what_could_not_be_stopped_is_not_said_elsewhere(open_page: Open, script: Script, watched: Watched) -> None:
    watched.allow("status of 500")
    script.say(tool_use("ask", question="May I?"), ["One ", gate("more"), "two."])
    chat = Chat(open_page())
    chat.send("Delete it")
    expect(chat.page.get_by_role("form", name="Question of the agent")).to_be_visible()
    asked = chat.page.url
    chat.button("New conversation").click()
    chat.send("Count")
    expect(chat.answers.last).to_contain_text("One")
    held = Held(chat.page, "**/turns/*", "DELETE", is_answered=False)
    chat.button("Stop the answer").click()
    held.wait()
    chat.page.evaluate("(hash) => { location.hash = hash; }", asked.partition("#")[2])
    expect(chat.page.get_by_role("form", name="Question of the agent")).to_be_visible()

    held.let_go(status=500, json={"title": "broken"})

    expect(chat.page.locator("#problem")).to_have_text("")
    expect(chat.field).to_have_attribute("placeholder", "Answer the question above first")
    script.open("more")


@pytest.mark.parametrize("is_sent", [True, False])
def test_what_is_written_while_a_conversation_is_loaded_goes_to_the_agent_that_it_has(
    serve: Callable[..., Served], open_page: Open, is_sent: bool
) -> None:
    chat = Chat(open_page(at=serve(auth="agents")))
    picker = chat.page.get_by_role("combobox", name="Agent")
    picker.select_option("research")
    chat.ask("Look it up", "echo: Look it up")
    chat.button("New conversation").click()
    held = Held(chat.page, SESSION)
    chat.page.get_by_role("link", name="Look it up").click()
    held.wait()
    chat.page.locator("#picker").set_input_files(files("a.txt"))
    expect(attached(chat)).to_have_count(1)
    chat.field.fill("And this?")
    if is_sent:
        chat.field.press("Enter")

    held.let_go()

    expect(picker).to_have_value("research")
    if not is_sent:
        expect(chat.answers.last).to_contain_text("echo: Look it up")
        expect(attached(chat)).to_have_count(1)
        expect(chat.field).to_have_value("And this?")
        chat.field.press("Enter")
    chat.expect_answer("echo: And this?")
    expect(chat.said).to_have_text([re.compile("Look it up"), re.compile("And this?")])
    chat.page.reload()
    chat.expect_answer("echo: And this?")
    expect(chat.said).to_have_count(2)
    expect(chat.field).to_have_value("")


def test_a_message_of_a_conversation_that_is_deleted_does_not_go_out_afterwards(
    open_page: Open, script: Script, watched: Watched
) -> None:
    watched.allow("Failed to load resource")
    chat = Chat(open_page())
    chat.ask("Hi", "echo: Hi")
    expect(chat.rows).to_have_text(["Hi"])
    held = Held(chat.page, "**/messages", "POST", is_answered=False)
    chat.send("Go on")
    held.wait()
    chat.field.fill("half a word")
    delete(chat, "Hi")
    expect(chat.rows).to_have_count(0)

    sent: list[str] = []
    chat.page.on("request", lambda asked: sent.append(asked.method) if asked.method == "POST" else None)
    chat.page.clock.install()
    with chat.page.expect_event("requestfailed"):
        held.abort()
    chat.page.go_back()
    expect(chat.title).to_have_text("No such conversation")
    chat.page.clock.run_for(20_000)  # a message that is sent again goes out sooner
    with chat.page.expect_response(LIST):
        chat.page.evaluate(COME_BACK)

    assert sent == []
    assert "Go on" not in chat.page.evaluate("JSON.stringify({...sessionStorage})")
    assert "half a word" not in chat.page.evaluate("JSON.stringify({...sessionStorage})")
    assert len(script.asked) == 1


# --- questions ---


@pytest.mark.parametrize("is_sent", [True, False])
def test_an_answer_to_a_question_that_was_answered_elsewhere_is_given_back(
    open_page: Open, script: Script, watched: Watched, is_sent: bool
) -> None:
    watched.allow("status of 409")
    script.say(tool_use("ask", question="May I?"), "Done.")
    chat = Chat(open_page())
    chat.send("Delete it")
    question = chat.page.get_by_role("form", name="Question of the agent")
    question.get_by_role("textbox").fill("Only what is old")
    other = Chat(open_page(f"/#/s/{chat.session_id}"))  # another device: no word of it comes to this one
    other.page.get_by_role("form", name="Question of the agent").get_by_role("textbox").fill("no")
    other.page.keyboard.press("Enter")
    other.expect_answer("Done.")

    if is_sent:
        question.get_by_role("textbox").press("Enter")
        expect(chat.page.get_by_role("alert").filter(has_text="This was answered already")).to_be_visible()
    else:
        chat.page.evaluate(COME_BACK)

    expect(chat.answers.filter(has_text="Done.")).to_be_visible()
    expect(question).to_be_hidden()
    expect(chat.field).to_have_value("Only what is old")


# --- turns ---


@pytest.mark.parametrize(("asked", "status"), [("**/turns/*", 500), ("**/messages?*", 404)])
def test_a_look_that_fails_when_a_turn_has_begun_says_nothing_of_the_conversation(
    open_page: Open, script: Script, watched: Watched, asked: str, status: int
) -> None:
    watched.allow("Failed to load resource")
    script.say("Hello.", ["One ", gate("more"), "two."])
    chat = Chat(open_page())
    chat.ask("Hi", "Hello.")
    chat.page.reload()
    chat.expect_answer("Hello.")
    held = Held(chat.page, asked)
    if status == 404:
        chat.page.evaluate(COME_BACK)
    else:
        chat.page.reload()
    held.wait()
    expect(chat.answers).to_have_text([re.compile("Hello.")])
    chat.send("Count")
    expect(chat.answers.last).to_contain_text("One")

    kind = "not-found" if status == 404 else "internal-error"
    held.let_go(status=status, json={"type": f"urn:agent-session-kit:problem:{kind}"})

    expect(chat.title).to_have_text("Hi")
    expect(chat.page.get_by_role("alert").filter(has_text=re.compile("."))).to_have_count(0)
    script.open("more")
    chat.expect_answer("One two.")


@pytest.mark.parametrize("is_lost", [False, True])
def test_where_nothing_streams_a_turn_stands_once_and_behind_what_was_said_elsewhere(
    serve: Callable[..., Served], open_page: Open, watched: Watched, is_lost: bool
) -> None:
    watched.allow("status of (404|409)", "Failed to load resource")
    served = serve(STREAMING="false")
    first = Chat(open_page(at=served))
    first.ask("Hi", "echo: Hi")
    second = Chat(open_page(f"/#/s/{first.session_id}", at=served))
    second.expect_answer("echo: Hi")
    second.ask("There", "echo: There")
    second.ask("And there", "echo: And there")
    held = Held(first.page, "**/messages?*")

    first.send("Here")
    held.wait()
    expect(first.answers.last).to_contain_text("echo: Here")
    if is_lost:
        held.abort()
    first.page.evaluate(COME_BACK)
    expect(first.answers).to_have_count(4)
    if not is_lost:
        held.let_go()

    said = [re.compile(words) for words in ("Hi", "There", "And there", "Here")]
    expect(first.said).to_have_text(said)
    expect(first.answers).to_have_count(4)
    first.ask("Further", "echo: Further")
    expect(first.said).to_have_text([*said, re.compile("Further")])


def test_a_tool_that_runs_while_the_turn_before_is_read_runs(open_page: Open, script: Script) -> None:
    script.say("Hello.", tool_use("wait_for", gate="tool"), "Done.")
    chat = Chat(open_page())
    held = Held(chat.page, "**/messages?*")
    chat.ask("Hi", "Hello.")
    held.wait()
    chat.send("Go on")
    tool = chat.answers.last.locator("details.tool .state")
    expect(tool).to_have_text("running")

    held.let_go()

    expect(tool).to_have_text("running")
    script.open("tool")
    chat.expect_answer("Done.")


def test_a_turn_that_is_longer_than_a_page_is_found_again_whole(open_page: Open, script: Script) -> None:
    calls = 27  # with their results they are more messages than a page of the conversation holds
    use = [tool_use("calculator", expression="1+1") for _ in range(calls + 1)]
    script.say("Hello.", *use[:calls], ["Hm. ", gate("more"), use[calls]], ["One ", gate("end"), "two."])
    chat = Chat(open_page())
    chat.ask("Hi", "Hello.")
    chat.send("Count")
    expect(chat.answers.last).to_contain_text("Hm.")
    tools = chat.page.locator("details.tool")

    held = Held(chat.page, re.compile("cursor=0&"))
    chat.page.reload()
    held.wait()
    script.open("more")
    while len(script.asked) < calls + 3:
        chat.page.wait_for_timeout(20)

    held.let_go()

    expect(chat.said).to_have_text([re.compile("Hi"), re.compile("Count")])
    expect(tools).to_have_count(calls + 1)
    script.open("end")

    chat.expect_answer("One two.")
    expect(chat.said).to_have_text([re.compile("Hi"), re.compile("Count")])
    expect(chat.answers).to_have_count(2)
    expect(tools).to_have_count(calls + 1)
