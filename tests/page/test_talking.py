"""Talking on the page: words as they come, and nothing lost or said twice, whatever happens meanwhile."""

from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

from tests.page.browsing import Served, Watched
from tests.page.chat import Chat
from tests.page.script import Script, gate, reasoning, slowly, tool_use

Open = Callable[..., Any]
DOWN = "Failed to load resource: net::"


def test_words_are_shown_as_they_come_and_formatted(open_page: Open, script: Script) -> None:
    script.say(["Dear **Ada**, ", gate("more"), "look:\n\n```python\nprint(1)\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |"])
    chat = Chat(open_page())

    chat.send("My name is Ada.")

    expect(chat.answers.last).to_contain_text("Dear Ada")
    expect(chat.button("Stop the answer")).to_be_visible()
    script.open("more")
    chat.expect_answer("print(1)")
    expect(chat.answers.last.locator("strong")).to_have_text("Ada")
    expect(chat.answers.last.locator("td")).to_have_text(["1", "2"])
    assert chat.texts(chat.said) == ["My name is Ada."]
    expect(chat.title).to_have_text("My name is Ada.")


def test_a_tool_call_is_folded_with_its_result_and_its_time(open_page: Open, script: Script) -> None:
    script.say([reasoning("Six times seven."), "I calculate.", tool_use("calculator", expression="6*7")], "It is 42.")
    chat = Chat(open_page())

    chat.ask("What is 6*7?", "It is 42.")

    for _ in range(2):
        tool = chat.answers.last.locator("details.tool")
        expect(tool.locator(".state")).to_contain_text("done")
        expect(tool.get_by_text('"expression": "6*7"')).to_be_hidden()
        tool.locator("summary").click()
        expect(tool.get_by_text('"expression": "6*7"')).to_be_visible()
        expect(tool.get_by_text("42", exact=True)).to_be_visible()
        expect(chat.answers.last.get_by_text("Six times seven.")).to_be_hidden()
        chat.answers.last.get_by_text("Reasoning").click()
        expect(chat.answers.last.get_by_text("Six times seven.")).to_be_visible()
        expect(chat.answers.last.locator("footer")).to_contain_text("tokens")
        chat.page.reload()
        chat.expect_answer("It is 42.")


def test_an_answer_goes_on_when_the_server_is_killed_in_its_middle(
    open_page: Open, script: Script, server: Served, watched: Watched
) -> None:
    watched.allow(DOWN)
    script.say("Hello.", ["One two ", gate("never")], "One two three.")
    chat = Chat(open_page())
    chat.ask("Hi", "Hello.")
    chat.send("Count")
    expect(chat.answers.last).to_contain_text("One two")

    server.kill()

    expect(chat.page.locator("#banner")).to_contain_text("Nothing is lost")
    server.start()
    chat.expect_answer("One two three.")
    expect(chat.page.locator("#banner")).to_be_hidden()
    expect(chat.answers.last).to_contain_text("Restored 2 messages")
    assert chat.texts(chat.answers) == ["Hello.", "One two three."]
    assert chat.prompts() == ["Hi", "Count"]


def test_a_reload_in_the_middle_of_an_answer_finds_it_again(open_page: Open, script: Script) -> None:
    script.say(["One two ", gate("more"), "three."])
    chat = Chat(open_page())
    chat.send("Count")
    expect(chat.answers.last).to_contain_text("One two")

    chat.page.reload()

    expect(chat.button("Stop the answer")).to_be_visible()
    assert chat.texts(chat.said) == ["Count"]
    script.open("more")
    chat.expect_answer("One two three.")
    assert chat.prompts() == ["Count"]
    assert len(script.asked) == 1


def test_what_is_sent_without_a_connection_goes_out_once(open_page: Open, script: Script, watched: Watched) -> None:
    watched.allow(DOWN)
    script.say("Hello.", "Here.")
    chat = Chat(open_page())
    chat.ask("Hi", "Hello.")

    chat.page.context.set_offline(True)
    chat.send("Are you there?")
    expect(chat.page.locator("#banner")).to_contain_text("You are offline")
    chat.page.context.set_offline(False)

    chat.expect_answer("Here.")
    assert chat.prompts() == ["Hi", "Are you there?"]


def test_a_request_whose_answer_was_lost_is_not_taken_twice(open_page: Open, script: Script, watched: Watched) -> None:
    watched.allow(DOWN)
    script.say("Hello.")
    chat = Chat(open_page())
    lost: list[str] = []

    def lose_first(route: Any) -> None:
        if lost or route.request.method != "POST":
            route.fallback()
            return
        lost.append(route.request.headers["idempotency-key"])
        route.fetch()
        route.abort()

    chat.page.route("**/messages", lose_first)

    chat.ask("Hi", "Hello.")

    assert len(lost) == 1
    assert chat.prompts() == ["Hi"]
    assert len(script.asked) == 1


def test_an_answer_is_stopped_and_the_next_one_is_given(open_page: Open, script: Script) -> None:
    script.say(slowly("word " * 400, 0.05), "Good.")
    chat = Chat(open_page())
    chat.send("Talk")
    expect(chat.answers.last).to_contain_text("word word")

    chat.button("Stop the answer").click()

    expect(chat.answers.last).to_contain_text("Stopped")
    chat.ask("Thanks", "Good.")


def test_two_tabs_of_a_conversation_show_the_same(open_page: Open, script: Script) -> None:
    script.say("Hello.", ["One ", gate("more"), "two."])
    first = Chat(open_page())
    first.ask("Hi", "Hello.")
    second = Chat(first.page.context.new_page())
    second.page.goto(first.page.url)
    second.expect_answer("Hello.")

    first.send("Count")

    expect(second.said).to_have_count(2)
    expect(second.button("Stop the answer")).to_be_visible()
    script.open("more")
    second.expect_answer("One two.")
    first.expect_answer("One two.")


def test_a_question_is_answered_in_the_other_tab(open_page: Open, script: Script) -> None:
    script.say(tool_use("ask", question="May I delete it?"), "Deleted.")
    first = Chat(open_page())
    first.send("Delete it")
    question = first.page.get_by_role("form", name="Question of the agent")
    expect(question).to_contain_text("May I delete it?")
    second = Chat(first.page.context.new_page())
    second.page.goto(first.page.url)
    other = second.page.get_by_role("form", name="Question of the agent")

    other.get_by_role("textbox").fill("yes, do")
    other.get_by_role("button", name="Answer").click()

    second.expect_answer("Deleted.")
    first.expect_answer("Deleted.")
    expect(question).to_be_hidden()
    expect(first.page.locator("details.tool .state").first).to_contain_text("done")


def test_a_message_sent_while_another_window_is_answered_is_kept(
    open_page: Open, script: Script, watched: Watched
) -> None:
    watched.allow("status of 409")
    script.say(["One ", gate("more"), "two."], "Three.")
    first = Chat(open_page())
    first.send("Count")
    expect(first.answers.last).to_contain_text("One")
    second = Chat(open_page(f"/#/s/{first.session_id}"))
    expect(second.button("Stop the answer")).to_be_visible()
    # The other window has not heard of it: what it sends comes upon a session in use.
    second.page.evaluate("document.querySelector('#stop').hidden = true")
    script.open("more")
    first.expect_answer("One two.")
    second.expect_answer("One two.")
    second.ask("Go on", "Three.")


def test_a_refusal_says_what_to_do_and_the_same_request_is_sent_again(
    open_page: Open, script: Script, watched: Watched
) -> None:
    watched.allow("status of (409|429|50.)")
    script.say([{"fails": "throttled"}], "Hello.")
    chat = Chat(open_page())

    chat.send("Hi")

    notice = chat.page.get_by_role("alert").filter(has_text="The model is busy")
    expect(notice).to_be_visible()
    chat.page.reload()
    expect(notice).to_be_visible()
    assert len(script.asked) == 1
    chat.button("Send again").click()
    chat.expect_answer("Hello.")
    expect(notice).to_be_hidden()
    assert chat.prompts() == ["Hi"]
