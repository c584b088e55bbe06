"""Signing in at the page, with the development issuer in a real browser."""

import re
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.page.browsing import KEPT_IN_DATABASE, Served, Watched, wait_for_words, wait_until
from tests.page.script import gate

TOKEN_SECONDS = 2
TWO_HOURS_LATER = "performance.now = ((now) => () => now.call(performance) + 7_200_000)(performance.now)"
OF_HEALTH = "status of 401"  # a browser asks for an icon there
OF_THE_ISSUER = "status of 400"  # it is asked whether it is there, and refuses
PATIENT = "() => { const later = setTimeout; window.setTimeout = (act, ms) => later(act, ms === 1_000 ? 60_000 : ms); }"
KEEP_LARGE = """async ([count, age]) => {
    const box = await import(document.querySelector("script[type=module]").src.replace("main.js", "outbox.js"));
    const { now } = Date;
    Date.now = () => now() - age;
    for (let at = 0; at < count; at++)
        box.keep({ sessionId: `s${at}`, agentId: "a", key: `k${at}`, body: { prompt: "x".repeat(6_000_000) } });
    Date.now = now;
    await box.allKept();
}"""
COME_BACK = "document.dispatchEvent(new Event('visibilitychange'))"


def sign_in(page: Any, name: str = "Ada") -> None:
    page.get_by_role("button", name=f"Sign in as {name}").click()
    page.locator("#who").get_by_text(name).wait_for()


def say(page: Any, text: str) -> None:
    page.get_by_label("Message", exact=True).last.fill(text)
    page.keyboard.press("Enter")


def change_tokens(page: Any, **changed: Any) -> None:
    """What the issuer gives the page from now on; what is None is left out."""

    def change(route: Any) -> None:
        response = route.fetch()
        told = {**response.json(), **changed}
        route.fulfill(response=response, json={name: value for name, value in told.items() if value is not None})

    page.route("**/token", change)


def signed_in_without_renewal(served: Served, open_page: Any) -> Any:
    """A page of somebody whose sign-in ends with its token, after a first turn."""
    served.script.reset()
    page = open_page("/health", at=served)
    change_tokens(page, refresh_token=None, expires_in=3600)
    page.goto("/")
    sign_in(page)
    say(page, "Hello there.")
    wait_for_words(page, "echo: Hello there.")
    return page


def refuses(route: Any) -> None:
    route.abort("connectionrefused")


def is_broken(route: Any) -> None:
    route.fulfill(status=503, body="")


def without_issuer(route: Any) -> None:
    response = route.fetch()
    told = re.sub(r'"sign_in":\{.*?\}', '"sign_in":null', response.text())
    route.fulfill(response=response, status=503, body=told)


class HeldToken:
    """The issuer has answered a request for tokens, and the answer is on its way until it is let go."""

    def __init__(self, page: Any, status: int = 200) -> None:
        self.told: dict[str, Any] = {}
        self._status = status
        self._held: list[Any] = []
        page.route("**/token", self._hold)

    def _hold(self, route: Any) -> None:
        if self._held:
            route.fallback()
            return
        response = route.fetch()
        self.told = response.json()
        self._held += [route, response]

    def wait(self, page: Any, act: str = "") -> None:
        """Until the issuer was asked; that comes of ``act``, sooner or later."""
        until = time.monotonic() + 45
        while not self._held:
            assert time.monotonic() < until, "the issuer was not asked"
            if act:
                page.evaluate(act)
            page.wait_for_timeout(20)

    def let_go(self) -> None:
        route, response = self._held
        told = self.told if self._status == 200 else {"error": "invalid_grant"}
        route.fulfill(response=response, status=self._status, json=told)


def times_at_the_issuer(watched: Watched) -> int:
    return len([request for request in watched.requests if "/authorize" in request])


@pytest.fixture(scope="module")
def served(chromium_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server where people sign in, and their tokens are good for two seconds."""
    served = Served(tmp_path_factory.mktemp("signing-in"), auth="dev", token_seconds=TOKEN_SECONDS)
    served.start()
    yield served
    served.kill()


@pytest.fixture
def arrive(served: Served, open_page: Any) -> Callable[[], Any]:
    """Open the page, and be sent to its issuer."""
    served.script.reset()

    def arrive() -> Any:
        page = open_page(at=served)
        page.get_by_role("heading", name="Development issuer").wait_for()
        return page

    return arrive


def test_somebody_signs_in_talks_and_signs_out_everywhere(served: Served, arrive: Any, watched: Watched) -> None:
    page = arrive()
    sign_in(page)

    say(page, "Hello there.")
    wait_for_words(page, "echo: Hello there.")
    address = urlsplit(page.url)
    assert (address.query, f"{address.scheme}://{address.netloc}") == ("", served.url)
    stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert "eyJ" not in stored
    assert "verifier" not in stored
    assert page.evaluate("sessionStorage.owner") == '["http://development.localhost","ada"]'
    second = page.context.new_page()
    second.goto(page.url)
    wait_for_words(second, "echo: Hello there.")

    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in").wait_for()
    second.get_by_role("button", name="Sign in").wait_for()
    assert second.get_by_text("Hello there.").count() == 0
    assert [request for request in watched.requests if "/revoke" in request] == [f"POST {served.issuer}/revoke"] * 2
    second.close()
    assert page.get_by_text("echo: Hello there.").count() == 0
    page.go_back()
    page.get_by_role("button", name="Sign in").wait_for()
    page.get_by_role("button", name="Sign in").click()
    sign_in(page, "Ben")
    assert page.get_by_text("Hello there.").count() == 0


def test_signing_out_leaves_no_large_message_in_the_browser(arrive: Any) -> None:
    page = arrive()
    sign_in(page)
    page.evaluate(KEEP_LARGE, [4, 0])
    assert page.evaluate(KEPT_IN_DATABASE % 4)
    page.evaluate(PATIENT)

    page.get_by_role("button", name="Sign out").click()

    page.get_by_role("button", name="Sign in").wait_for()
    assert page.evaluate(KEPT_IN_DATABASE % 0)


@pytest.mark.parametrize("status", [200, 400])
def test_a_renewal_that_ends_after_somebody_has_signed_out_signs_nobody_in(
    arrive: Any, watched: Watched, status: int
) -> None:
    watched.allow(OF_THE_ISSUER)
    page = arrive()
    sign_in(page)
    say(page, "Hello there.")
    wait_for_words(page, "echo: Hello there.")
    page.evaluate(PATIENT)
    held = HeldToken(page, status)
    page.evaluate(TWO_HOURS_LATER)
    held.wait(page, COME_BACK)
    times = times_at_the_issuer(watched)
    revoked: list[str] = []
    page.on("request", lambda asked: revoked.append(asked.post_data) if asked.url.endswith("/revoke") else None)

    with page.expect_request("**/revoke"):
        page.get_by_role("button", name="Sign out").click()
    held.let_go()

    page.get_by_role("button", name="Sign in").wait_for()
    assert times_at_the_issuer(watched) == times
    tokens = [parse_qs(form)["token"][0] for form in revoked]
    assert tokens[1:] == ([held.told["refresh_token"]] if status == 200 else [])


def test_signing_out_is_heard_by_a_tab_that_is_signing_in(arrive: Any) -> None:
    page = arrive()
    sign_in(page)
    second = page.context.new_page()
    held = HeldToken(second)
    second.goto("/")
    held.wait(second)
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in").wait_for()

    held.let_go()

    second.get_by_role("heading", name="Signed out").wait_for()


def test_a_large_message_of_the_day_before_is_erased_though_nobody_signs_in(arrive: Any) -> None:
    page = arrive()
    sign_in(page)
    page.evaluate(KEEP_LARGE, [1, 25 * 3_600_000])
    assert page.evaluate(KEPT_IN_DATABASE % 1)
    page.evaluate("sessionStorage.setItem('agent-session-kit.signed-out', 'yes')")

    page.reload()

    page.get_by_role("button", name="Sign in").wait_for()
    wait_until(page, KEPT_IN_DATABASE % 0)


def test_a_reload_signs_in_again_unasked_and_stays_at_the_conversation(arrive: Any) -> None:
    page = arrive()
    sign_in(page)
    say(page, "Remember this.")
    wait_for_words(page, "echo: Remember this.")
    conversation = urlsplit(page.url).fragment
    assert conversation

    page.reload()

    wait_for_words(page, "echo: Remember this.")
    assert urlsplit(page.url).fragment == conversation


def test_a_token_is_renewed_without_a_word(arrive: Any, watched: Watched) -> None:
    page = arrive()
    sign_in(page)
    page.wait_for_timeout(TOKEN_SECONDS * 1_000)  # the browser's own clock

    say(page, "Still there?")

    wait_for_words(page, "echo: Still there?")
    assert len([request for request in watched.requests if re.match(r"POST .*/token$", request)]) >= 2
    assert len([request for request in watched.requests if "/authorize" in request]) == 2


def test_a_sign_in_that_ends_during_a_turn_finds_the_turn_again(served: Served, arrive: Any) -> None:
    page = arrive()
    sign_in(page)
    served.script.say(["One ", gate("more"), "two."])
    say(page, "Count.")
    wait_for_words(page, "One")
    # The issuer forgets everything of the page: the refresh token, and who has signed in.
    page.context.new_page().goto(f"{served.issuer}/end-session")

    page.reload()
    sign_in(page)
    served.script.open("more")

    wait_for_words(page, "One two.")
    assert len(served.script.asked) == 1


@pytest.mark.parametrize("answer", ["/?code=stolen&state=made-up", "/?error=access_denied&state=made-up"])
def test_an_answer_that_nobody_here_asked_for_is_refused(served: Served, open_page: Any, answer: str) -> None:
    page = open_page(answer, at=served)

    page.get_by_text("This sign-in was not begun in this tab.").wait_for()

    assert urlsplit(page.url).query == ""
    page.get_by_role("button", name=re.compile("Sign in|Try again")).click()
    sign_in(page)


def test_a_fresh_token_that_is_refused_is_said_and_no_other_is_asked_for(
    served: Served, open_page: Any, watched: Watched
) -> None:
    watched.allow(OF_HEALTH)
    served.script.reset()
    page = open_page("/health", at=served)
    change_tokens(page, refresh_token=None, expires_in=3600)
    refusal = {"type": "urn:agent-session-kit:problem:unauthenticated", "detail": "another audience"}
    endpoint = re.compile(r"/sessions(/|\?|$)")
    page.route(endpoint, lambda route: route.fulfill(status=401, json=refusal))
    page.goto("/")

    sign_in(page)

    banner = page.locator("#banner").get_by_text("The endpoint does not take your sign-in")
    banner.get_by_text("It says: another audience").wait_for()
    say(page, "Hello there.")
    page.get_by_role("alert").filter(has_text="jwt_audiences").wait_for()
    assert times_at_the_issuer(watched) == 2, "asked for once, and answered"
    page.unroute(endpoint)
    page.locator("#banner").get_by_role("button", name="Try again").click()
    wait_for_words(page, "echo: Hello there.")
    assert len(served.script.asked) == 1


def test_a_sign_in_that_ends_takes_nothing_along_that_is_being_written(
    served: Served, open_page: Any, watched: Watched
) -> None:
    watched.allow(OF_HEALTH, OF_THE_ISSUER, "ERR_CONNECTION_REFUSED")
    page = signed_in_without_renewal(served, open_page)
    page.locator("#prompt").fill("What is this?")
    page.locator("#picker").set_input_files({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"whale " * 70})
    page.get_by_role("listitem").filter(has_text="notes.txt").wait_for()

    page.evaluate(TWO_HOURS_LATER)
    page.evaluate(COME_BACK)

    page.locator("#banner").get_by_text("Attached files have to be attached again").wait_for()
    page.route(f"{served.issuer}/**", refuses)
    page.locator("#banner").get_by_role("button", name="Sign in").click()
    page.locator("#banner").get_by_text("The sign-in service cannot be reached").wait_for()
    page.unroute(f"{served.issuer}/**")
    assert times_at_the_issuer(watched) == 2
    page.locator("#prompt").press("Enter")  # what is sent is kept, and goes out afterwards
    wait_for_words(page, "echo: What is this?")
    assert times_at_the_issuer(watched) == 3
    assert "whale" not in page.evaluate("JSON.stringify({...sessionStorage})")
    assert len(served.script.asked) == 2
    page.locator("#prompt").fill("And then?")
    with page.expect_request("**/authorize?*"):
        page.evaluate(f"() => {{ {TWO_HOURS_LATER}; {COME_BACK}; }}")
    wait_for_words(page, "echo: What is this?")
    wait_until(page, "document.querySelector('#prompt').value === 'And then?'")


def test_a_file_that_is_attached_while_the_page_means_to_leave_keeps_it_there(
    served: Served, open_page: Any, watched: Watched
) -> None:
    watched.allow(OF_HEALTH, OF_THE_ISSUER)
    page = signed_in_without_renewal(served, open_page)
    page.evaluate(  # a large message is on its way into the browser's database
        """async () => {
            const box = await import(document.querySelector("script[type=module]").src.replace("main.js", "outbox.js"));
            const { open } = IDBFactory.prototype;
            const opened = [];
            IDBFactory.prototype.open = function (...named) {
                const opening = {};
                opened.push(() => {
                    const real = open.apply(this, named);
                    Object.defineProperty(opening, "result", { get: () => real.result });
                    Object.assign(real, opening);
                });
                return opening;
            };
            window.release = () => { IDBFactory.prototype.open = open; for (const go of opened) go(); };
            box.keep({ sessionId: "s", agentId: "a", key: "k", body: { prompt: "x".repeat(6_000_000) } });
            const { all } = Promise;
            Promise.all = function (...waited) { window.isWaiting = true; return all.apply(this, waited); };
        }"""
    )
    page.evaluate(TWO_HOURS_LATER)
    page.evaluate(COME_BACK)
    wait_until(page, "Boolean(window.isWaiting)")
    page.locator("#picker").set_input_files({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"whale"})
    page.get_by_role("listitem").filter(has_text="notes.txt").wait_for()

    page.evaluate("release()")

    page.locator("#banner").get_by_text("Attached files have to be attached again").wait_for()
    assert times_at_the_issuer(watched) == 2


@pytest.mark.parametrize(
    ("has_refresh_token", "issuer"), [(False, None), (False, refuses), (False, is_broken), (True, is_broken)]
)
def test_a_token_that_ends_while_the_issuer_cannot_be_reached_leaves_the_conversation_there(
    served: Served, open_page: Any, watched: Watched, has_refresh_token: bool, issuer: Callable[[Any], None] | None
) -> None:
    watched.allow(OF_HEALTH, OF_THE_ISSUER, "ERR_INTERNET_DISCONNECTED", "ERR_CONNECTION_REFUSED", "status of 503")
    served.script.reset()
    page = open_page("/health", at=served)
    change_tokens(page, expires_in=3600, **({} if has_refresh_token else {"refresh_token": None}))
    page.goto("/")
    sign_in(page)
    say(page, "Hello there.")
    wait_for_words(page, "echo: Hello there.")
    page.unroute("**/token")
    if issuer:
        page.route(f"{served.issuer}/**", issuer)
    else:
        page.context.set_offline(True)

    page.evaluate(TWO_HOURS_LATER)
    page.evaluate(COME_BACK)
    say(page, "Still there?")

    where = "The sign-in service cannot be reached" if issuer else "You are offline"
    page.locator("#banner").get_by_text(f"{where}. Nothing is lost").wait_for()
    assert page.get_by_text("echo: Hello there.").count() > 0
    assert times_at_the_issuer(watched) == 2
    if issuer:
        page.unroute(f"{served.issuer}/**")
    else:
        page.context.set_offline(False)
    wait_for_words(page, "echo: Still there?")
    assert times_at_the_issuer(watched) == (2 if has_refresh_token else 3)
    assert len(served.script.asked) == 2


def test_while_the_issuer_does_not_answer_the_page_says_so_and_tries_again(
    served: Served, open_page: Any, watched: Watched
) -> None:
    watched.allow("status of 503", OF_HEALTH)
    page = open_page("/health", at=served)
    page.route(f"{served.url}/", without_issuer)
    page.goto("/")
    page.get_by_role("alert").get_by_text("The service where people sign in does not answer").wait_for()
    page.unroute_all()

    page.get_by_role("button", name="Try again").click()

    sign_in(page)


def test_a_code_is_in_no_history_also_when_the_issuer_goes_silent_on_the_way_back(
    served: Served, open_page: Any, watched: Watched
) -> None:
    watched.allow("status of 503", OF_HEALTH)
    page = open_page("/health", at=served)
    page.goto("/#/s/whales")
    page.get_by_role("heading", name="Development issuer").wait_for()
    page.route(re.compile(r"/\?code="), without_issuer)

    page.goto(f"{served.url}/?code=made-up&state=made-up")

    page.get_by_role("alert").get_by_text("The service where people sign in does not answer").wait_for()

    assert page.url == f"{served.url}/#/s/whales"
    assert page.evaluate("Object.keys(sessionStorage).filter((name) => name.includes('sign-in'))") == []


def test_a_clock_that_is_wrong_is_said_in_words(served: Served, open_page: Any, watched: Watched) -> None:
    watched.allow(OF_HEALTH)
    page = open_page("/health", at=served)
    page.clock.install(time="2040-01-01")
    page.goto("/")
    page.get_by_role("button", name="Sign in as Ada").click()

    page.get_by_role("alert").get_by_text("The clock of this device and that of the sign-in service differ").wait_for()
