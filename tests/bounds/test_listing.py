"""Listing sessions: a page costs a page, whatever has expired before it."""

import json
import os
import time
from pathlib import Path

import pytest

from agent_sessions.session_store import FileSessionStore
from tests.bounds.stored import DAY, session_objects
from tests.bounds.world import BUCKET, PREFIX, World
from tests.doubles.s3.request_log import rounds
from tests.doubles.s3_server import Fault


def names(letter: str, count: int) -> list[str]:
    return [f"{letter}{number:04}" for number in range(count)]


def test_sessions_that_have_expired_and_sort_first_are_passed_in_a_few_requests(world: World) -> None:
    # Given
    for name in names("a", 1_000):
        world.put(name, messages=2)
    world.s3.clock.advance(12 * DAY)
    world.put("z")
    world.s3.log.take()

    # When
    page = world.store.sessions(limit=1)

    # Then
    assert page.session_ids == ("z",)
    assert page.next_cursor is None
    asked = world.asked()
    assert asked["LIST"] <= 2 + 1_000 * 4 // 1_000 + 3, "folders, and a thousand objects a request"
    assert asked["GET"] <= 300, "the records of sessions that a listing shows to have expired are not read"


def test_sessions_between_expired_ones_are_all_found_in_order(world: World) -> None:
    ids = names("s", 300)
    for name in ids:
        world.put(name, messages=3)
    world.s3.clock.advance(12 * DAY)
    living = ids[5:7] + ids[60:160:7] + ids[298:]
    for name in living:
        world.put(name, messages=3)
    world.s3.log.take()

    for limit in (1, 4, 100, 1_000):
        assert world.all_sessions(limit=limit) == living, limit


def test_records_of_living_sessions_are_read_at_once(world: World) -> None:
    for name in names("s", 260):
        world.put(name, messages=0)
    world.s3.set_latency({"GET": 0.05})
    world.s3.log.take()

    page = world.store.sessions(limit=260)

    assert len(page.session_ids) == 260
    reads = [entry for entry in world.s3.log.take() if entry.verb == "GET"]
    assert len(reads) == 260
    assert rounds(reads) < 260 / 4, "one after the other they are as many rounds as reads"


@pytest.mark.parametrize("limit", [1, 3, 1_000])
def test_a_session_in_use_whose_own_record_is_old_is_listed(world: World, limit: int) -> None:
    """As one that Strands' manager uses, which renews nothing."""
    for name in ("a", "b", "c", "d"):
        world.put(name, messages=4, life=None)
    world.s3.clock.advance(12 * DAY)
    for name in ("b", "d"):
        used = "agents/agent_default/messages/message_3.json" if name == "b" else "agents/agent_default/agent.json"
        body = dict(session_objects(name, messages=4, life=None))[f"session_{name}/{used}"]
        world.s3.store.put(BUCKET, f"{PREFIX}/session_{name}/{used}", body)

    assert world.all_sessions(limit=limit) == ["b", "d"]


def test_a_long_session_in_between_costs_no_more_than_a_few_listings(world: World) -> None:
    for name in ("a", "b"):
        world.put(name, messages=1)
    world.put("long", messages=7_500, life=None, states_end=False)
    world.put("m", messages=1)
    world.s3.clock.advance(12 * DAY)
    world.put("long-too", messages=1)
    last = dict(session_objects("long", messages=7_500, life=None))[
        "session_long/agents/agent_default/messages/message_7499.json"
    ]
    world.s3.store.put(BUCKET, f"{PREFIX}/session_long/agents/agent_default/messages/message_7499.json", last)
    world.s3.log.take()

    assert world.store.sessions(limit=10).session_ids == ("long-too", "long")

    asked = world.asked()
    assert asked["LIST"] <= 12
    assert asked["HEAD"] <= 250


def test_a_page_ends_in_its_time_be_it_empty_and_its_cursor_goes_on(world: World) -> None:
    # Given: a store in which a second passes with every listing of objects
    for name in names("a", 900):
        world.put(name, messages=5)
    world.s3.clock.advance(12 * DAY)
    world.put("z")

    def pass_time(_: object) -> None:
        world.now += 1

    world.s3.faults.add(Fault("call", verb="LIST", times=None, callback=pass_time))

    # When
    pages = list(world.session_pages(limit=10, within_seconds=3))

    # Then
    assert pages[0] == []
    assert pages[-1] == ["z"]
    assert [session_id for page in pages for session_id in page] == ["z"]
    assert 2 <= len(pages) <= 4


def test_a_page_makes_progress_however_short_its_time(world: World) -> None:
    for name in names("a", 40):
        world.put(name, messages=1)
    world.s3.clock.advance(12 * DAY)
    world.put("z")

    assert world.all_sessions(limit=1, within_seconds=0) == ["z"]


def test_an_entry_that_is_no_session_takes_no_place_and_stops_no_listing(world: World) -> None:
    world.put("a")
    world.put("damaged")
    world.put("marked")
    world.put("z")
    below = f"{PREFIX}/session_"
    world.s3.store.put(BUCKET, f"{below}damaged/session.json", b"{")
    mark = {"session_id": "marked", "session_type": "AGENT", "kit": {"erased": True, "incarnation": "x"}}
    world.s3.store.put(BUCKET, f"{below}marked/session.json", json.dumps(mark).encode())
    for foreign in (
        "b",
        "c/notes.txt",
        "/session.json",
        " /session.json",
        "\x7f/session.json",
        "a",
        "lease/lease.json",
    ):
        world.s3.store.put(BUCKET, f"{below}{foreign}", b"x")
    for beside in ("o_owner/session_x/session.json", "recent/a", "zzz/session.json"):
        world.s3.store.put(BUCKET, f"{PREFIX}/{beside}", b"{}")

    # The damaged one is there: whoever opens it is told what is wrong with it.
    assert world.all_sessions(limit=2) == world.all_sessions(limit=100) == ["a", "damaged", "z"]


def test_owners_below_a_store_cost_its_listing_nothing(world: World) -> None:
    for number in range(1_500):
        world.s3.store.put(BUCKET, f"{PREFIX}/o_{number:05}/session_x/session.json", b"{}")
    world.put("a")
    world.s3.log.take()

    assert world.store.sessions().session_ids == ("a",)

    assert world.asked()["LIST"] == 1


@pytest.mark.parametrize("cursor", ["", "a", "b0001", "czo", "YTpkZWZhdWx0", "../..", "czp" + "x" * 3_000])
def test_a_cursor_that_is_none_is_refused(world: World, cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor="):
        world.store.sessions(cursor=cursor)

    assert world.asked() == {}


def test_a_cursor_of_a_session_that_is_gone_goes_on_behind_it(world: World) -> None:
    for name in ("a", "b", "c"):
        world.put(name)
    first = world.store.sessions(limit=2)
    world.store.delete_session("b")

    assert world.store.sessions(limit=2, cursor=first.next_cursor).session_ids == ("c",)


def test_on_disk_expired_sessions_are_passed_and_an_odd_entry_stops_no_listing(tmp_path: Path) -> None:
    now = time.time()
    for name, age_days in [*((name, 12) for name in names("a", 200)), ("b", 0), ("fifo", 0), ("z", 1)]:
        for key, body in session_objects(name, messages=2):
            (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / key).write_bytes(body)
            os.utime(tmp_path / key, (now - age_days * DAY,) * 2)
    (tmp_path / "session_fifo/session.json").unlink()
    os.mkfifo(tmp_path / "session_fifo/session.json")
    store = FileSessionStore(tmp_path, ttl_days=7)

    first = store.sessions(limit=2)
    rest = store.sessions(limit=2, cursor=first.next_cursor)

    assert first.session_ids + rest.session_ids == ("b", "fifo", "z")
    assert rest.next_cursor is None
