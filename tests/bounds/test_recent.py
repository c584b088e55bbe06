"""What a page of the sessions used last costs, however many there are."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from agent_sessions import recent_sessions
from agent_sessions._life import recent_order
from agent_sessions.lease import SessionLease
from tests.bounds.stored import BEGIN, DAY, marker_object
from tests.bounds.world import BUCKET, PREFIX, World
from tests.doubles.s3.request_log import rounds


def put(world: World, session_id: str) -> None:
    """Put a session there that was used now."""
    world.put(session_id)
    key, body = marker_object(session_id, world.s3.clock())
    world.s3.store.put(BUCKET, f"{PREFIX}/{key}", body)


def test_the_first_page_of_ten_thousand_is_a_listing_and_one_round_of_reads(world: World) -> None:
    for number in range(10_000):
        key, body = marker_object(f"s{number:05}", world.s3.clock())
        world.s3.store.put(BUCKET, f"{PREFIX}/{key}", body)
    for number in range(5):
        world.put(f"s{number:05}")
    world.s3.set_latency({"GET": 1.0, "HEAD": 1.0})
    world.s3.log.take()

    page = world.store.list_recent(limit=3)

    entries = world.s3.log.entries
    asked = world.asked()
    assert len(page.sessions) == 3
    assert page.next_cursor is not None
    assert asked["LIST"] == 1
    assert asked.total() <= 1 + 3 * (3 + 1)
    assert rounds(entries) <= 2


def test_other_agents_and_running_turns_are_looked_up_at_once_for_all_sessions_of_a_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent_sessions, "time", SimpleNamespace(time=world.s3.clock))
    count = 2  # as many as the connections are enough for
    for number in range(count):
        session_id = f"s{number}"
        world.put(session_id, agent_ids=["default", "other"], markers_of=["default", "other"])
        key, body = marker_object(session_id, world.s3.clock())
        world.s3.store.put(BUCKET, f"{PREFIX}/{key}", body)
        SessionLease(world.store, session_id, holder="a turn").acquire()
    world.s3.set_latency({"GET": 0.3, "HEAD": 0.3})
    world.s3.log.take()

    page = world.store.list_recent()

    # Listed, read, the other agents' records; of the turns: the session, the agent's record, the messages.
    entries = world.s3.log.take()
    assert rounds(entries) <= 3 + 3
    assert sum("/message_" in entry.key for entry in entries) >= count
    assert len(page.sessions) == count


def test_pages_lead_through_all_of_them_once_whatever_their_size(world: World) -> None:
    for number in range(16):
        for of_day in range(number % 7 + (130 if number == 10 else 0)):
            put(world, f"d{number:02}s{of_day:03}")
        world.s3.clock.advance(DAY / 10)
    everything = {key.split("/")[1] for key in world.s3.store.current_objects(BUCKET, f"{PREFIX}/session_")}

    for limit in (7, 100):
        found: list[str] = []
        cursor = None
        while True:
            page = world.store.list_recent(limit=limit, cursor=cursor)
            found += [row.session_id for row in page.sessions]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert {f"session_{name}" for name in found} == everything, limit
        assert len(found) == len(everything), limit
        last_used = {name: int(name[1:3]) for name in found}
        days = [int((BEGIN + DAY / 10 * last_used[name]) // DAY) for name in found]
        assert days == sorted(days, reverse=True), limit


def pages(world: World, limit: int, after_first: Callable[[list[str]], object] = lambda _: None) -> list[str]:
    """The sessions of all pages."""
    found: list[str] = []
    cursor = None
    while True:
        page = world.store.list_recent(limit=limit, cursor=cursor)
        found += [row.session_id for row in page.sessions]
        if cursor is None:
            after_first(found)
        cursor = page.next_cursor
        if cursor is None:
            return found


@pytest.mark.parametrize("days", [(33, 95), (120, 5)])
def test_a_day_that_a_listing_cuts_loses_no_session(
    world: World, monkeypatch: pytest.MonkeyPatch, days: tuple[int, int]
) -> None:
    monkeypatch.setattr(recent_sessions, "LISTED", 100)
    monkeypatch.setattr(recent_order, "ORDERED_BY_USE", 12)
    older, newer = ([f"{name}{number:03}" for number in range(count)] for name, count in zip("on", days, strict=True))
    for session_id in older:
        put(world, session_id)
    world.s3.clock.advance(DAY)
    for session_id in newer:
        put(world, session_id)

    found = pages(world, 3)

    assert sorted(found[: len(newer)]) == newer
    assert sorted(found[len(newer) :]) == older


@pytest.mark.parametrize("comes", [False, True])
def test_markers_that_come_and_go_while_pages_are_read_lose_no_other_session(
    world: World, monkeypatch: pytest.MonkeyPatch, *, comes: bool
) -> None:
    monkeypatch.setattr(recent_order, "ORDERED_BY_USE", 12)
    stay = [f"s{number:02}" for number in range(12)]
    for session_id in stay if comes else [*stay, "gone"]:
        put(world, session_id)
        world.s3.clock.advance(10)
    for session_id in ("s03", "s07"):  # are used last, and have begun the day earlier
        world.put(session_id)
        world.s3.clock.advance(10)

    def change(_: list[str]) -> None:
        if comes:
            put(world, "new")
        else:
            world.store.delete_session("gone")

    found = pages(world, 4, change)

    assert sorted(each for each in found if each != "gone") == stay


def test_sessions_that_have_gone_are_passed_and_their_markers_removed(world: World) -> None:
    for number in range(30):
        key, body = marker_object(f"a{number:02}", world.s3.clock())
        world.s3.store.put(BUCKET, f"{PREFIX}/{key}", body)
    put(world, "z")

    assert [row.session_id for row in world.store.list_recent().sessions] == ["z"]
    left = world.s3.store.current_objects(BUCKET, f"{PREFIX}/recent/")
    assert [key.split("/")[-2] for key in left] == ["session_z"]
