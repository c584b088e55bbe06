"""When an issuer's keys are fetched, and how long they are believed: on a clock of the test's own."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from lambda_src.callers.issuer import keys_in
from lambda_src.callers.issuer_keys import IssuerError, IssuerKeys, KeysUnavailableError

WAIT_SECONDS = 60
"""After that a test that waits for a thread fails."""

OLD, NEW = {"kid": "old", "kty": "RSA"}, {"kid": "new", "kty": "RSA"}


@dataclass
class World:
    """A clock and an issuer."""

    now: float = 1_000.0
    published: dict[str, Any] = field(default_factory=lambda: {"old": OLD})
    is_down: bool = False
    fetches: int = 0

    def fetch(self) -> dict[str, Any]:
        self.fetches += 1
        if self.is_down:
            raise IssuerError("down")
        return dict(self.published)

    def keys(self) -> IssuerKeys:
        return IssuerKeys(self.fetch, lambda: self.now)


def test_keys_are_fetched_once_and_used_for_ten_minutes() -> None:
    world = World()
    keys = world.keys()

    for _ in range(599):
        assert keys.find("old") == OLD
        world.now += 1

    assert world.fetches == 1


def test_a_storm_of_unknown_key_ids_makes_one_fetch_a_minute() -> None:
    world = World()
    keys = world.keys()

    for second in range(600):
        for number in range(5):
            assert keys.find(f"made-up-{second}-{number}") is None
        assert keys.find("old") == OLD
        world.now += 1

    assert world.fetches == 10


def test_a_storm_from_many_threads_makes_one_fetch_a_minute_too() -> None:
    world = World()
    keys = world.keys()

    with ThreadPoolExecutor(16) as senders:
        for minute in range(3):
            names = [f"made-up-{minute}-{number}" for number in range(64)]
            assert [*senders.map(keys.find, names)] == [None] * len(names)
            assert world.fetches == minute + 1
            world.now += 60


def test_a_key_that_came_is_found_within_a_minute_and_one_that_went_is_gone_within_ten() -> None:
    world = World()
    keys = world.keys()
    keys.find("old")

    world.published = {"new": NEW}
    world.now += 30
    assert keys.find("new") is None
    world.now += 30
    assert keys.find("new") == NEW
    assert keys.find("old") is None


def test_a_withdrawn_key_is_not_believed_for_more_than_ten_minutes() -> None:
    world = World()
    keys = world.keys()
    keys.find("old")

    world.published = {"new": NEW}
    world.now += 599
    assert keys.find("old") == OLD
    world.now += 1
    assert keys.find("old") is None


def test_while_the_issuer_is_down_known_keys_are_used_for_an_hour() -> None:
    world = World()
    keys = world.keys()
    keys.find("old")
    world.is_down = True

    for _ in range(119):
        world.now += 30
        assert keys.find("old") == OLD
    assert world.fetches <= 1 + 60  # at most one a minute, and nobody waits for each

    world.now += 30
    with pytest.raises(KeysUnavailableError):
        keys.find("old")


def test_what_is_not_known_while_the_issuer_is_down_is_no_refusal() -> None:
    world = World()
    keys = world.keys()
    keys.find("old")
    world.is_down = True
    world.now += 60

    with pytest.raises(KeysUnavailableError) as unavailable:
        keys.find("new")

    assert unavailable.value.retry_after_seconds == 60


def test_without_any_keys_the_issuer_is_asked_every_five_seconds() -> None:
    world = World(is_down=True)
    keys = world.keys()

    for _ in range(60):
        with pytest.raises(KeysUnavailableError) as unavailable:
            keys.find("old")
        assert 1 <= unavailable.value.retry_after_seconds <= 5
        world.now += 1
    assert world.fetches == 12

    world.is_down = False
    assert keys.find("old") == OLD


def test_a_process_that_was_copied_fetches_anew() -> None:
    world = World()
    keys = world.keys()
    keys.find("old")

    keys.forget()
    keys.find("old")

    assert world.fetches == 2


def test_many_threads_at_the_start_make_one_fetch() -> None:
    world = World()
    keys = world.keys()
    found: list[object] = []
    together = threading.Barrier(8)

    def ask() -> None:
        together.wait(timeout=WAIT_SECONDS)
        found.append(keys.find("old"))

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=WAIT_SECONDS)

    assert not any(thread.is_alive() for thread in threads)
    assert found == [OLD] * 8
    assert world.fetches == 1


def test_whoever_has_a_key_does_not_wait_for_a_fetch() -> None:
    world = World()
    fetching, go_on = threading.Event(), threading.Event()

    def blocking() -> dict[str, Any]:
        if world.fetches:
            fetching.set()
            assert go_on.wait(timeout=WAIT_SECONDS)
        return world.fetch()

    keys = IssuerKeys(blocking, lambda: world.now)
    keys.find("old")
    world.now += 601
    waiting = threading.Thread(target=keys.find, args=("old",), daemon=True)
    waiting.start()
    assert fetching.wait(timeout=WAIT_SECONDS)

    assert keys.find("old") == OLD  # while the other thread still waits for the issuer

    go_on.set()
    waiting.join(timeout=WAIT_SECONDS)
    assert not waiting.is_alive()
    assert world.fetches == 2


@pytest.mark.parametrize(
    "key",
    [
        None,
        "key",
        {},
        {"kid": "x"},
        {"kty": "RSA"},
        {"kid": 7, "kty": "RSA"},
        {"kid": "x", "kty": "oct", "k": "c2VjcmV0"},
        {"kid": "x", "kty": "RSA", "use": "enc"},
        {"kid": "x", "kty": ["RSA"]},
        {"kid": "x", "kty": "RSA", "alg": "none"},
        {"kid": "x", "kty": "RSA", "alg": "HS256"},
        {"kid": "x", "kty": "RSA", "alg": "RSA-OAEP"},
        {"kid": "x", "kty": "RSA", "alg": ["RS256"]},
    ],
)
def test_what_is_no_public_key_for_signatures_is_left_out(key: Any) -> None:
    assert keys_in({"keys": [key, OLD]}) == {"old": OLD}


@pytest.mark.parametrize("document", [{}, {"keys": None}, {"keys": {"old": OLD}}, {"keys": []}])
def test_a_document_without_keys_has_none(document: Any) -> None:
    assert keys_in(document) == {}
