"""Reading a conversation and describing a session: a page costs a page, however long the conversation is."""

import random
from typing import Any

import pytest

from agent_sessions.exceptions import SessionCorruptError, SessionNotFoundError
from tests.bounds.stored import DAY, session_objects
from tests.bounds.world import BUCKET, PREFIX, World
from tests.doubles.s3_server import Fault

LONG = 20_006


@pytest.fixture(scope="module")
def filled(worlds: World) -> World:
    """Two long sessions: of the kit, and of Strands, which does not state how many messages there are."""
    world = World(worlds.s3, worlds.client)
    world.put("kit", messages=LONG)
    world.put("strands", messages=LONG, life=None, agent_ids=("default", "other"))
    return world


@pytest.fixture
def long(filled: World) -> World:
    """The same, and nothing has been asked yet."""
    filled.s3.log.take()
    return filled


def message_key(session_id: str, number: int, agent_id: str = "default") -> str:
    return f"{PREFIX}/session_{session_id}/agents/agent_{agent_id}/messages/message_{number}.json"


def read_all(world: World, session_id: str = "s", agent_id: str | None = None, **options: Any) -> list[int]:
    """The numbers of all messages, page by page."""
    found: list[int] = []
    cursor: str | None = None
    while True:
        page = world.store.messages(session_id, agent_id, cursor=cursor, **options)
        found += [message.message_id for message in page.messages]
        if page.next_cursor is None:
            return found
        assert cursor is None or int(page.next_cursor) > int(cursor)
        cursor = page.next_cursor


@pytest.mark.parametrize("session_id", ["kit", "strands"])
@pytest.mark.parametrize("first", [0, 150, 9_990, 19_900])
def test_a_page_asks_for_its_messages_and_little_else(long: World, session_id: str, first: int) -> None:
    page = long.store.messages(session_id, "default", limit=100, cursor=str(first))

    assert [message.message_id for message in page.messages] == list(range(first, first + 100))
    assert page.next_cursor == str(first + 100)
    asked = long.asked()
    assert asked == {"GET": 1 + 101}, asked


@pytest.mark.parametrize(("session_id", "most_looks"), [("kit", 0), ("strands", 200)])
def test_the_last_page_knows_that_it_is_the_last(long: World, session_id: str, most_looks: int) -> None:
    page = long.store.messages(session_id, "default", limit=100, cursor=str(LONG - 6))

    assert [message.message_id for message in page.messages] == list(range(LONG - 6, LONG))
    assert page.next_cursor is None
    asked = long.asked()
    assert asked["GET"] <= 110
    assert asked["HEAD"] <= most_looks
    assert asked["LIST"] <= 1


def test_a_page_behind_the_end_is_empty_and_of_an_agent_that_is_there(long: World) -> None:
    page = long.store.messages("kit", "default", cursor=str(LONG + 1_000))

    assert (page.messages, page.next_cursor) == ((), None)
    assert sum(long.asked().values()) <= 200
    with pytest.raises(SessionNotFoundError, match="nobody"):
        long.store.messages("kit", "nobody")


@pytest.mark.parametrize(
    ("session_id", "counts"), [("kit", {"default": LONG}), ("strands", {"default": LONG, "other": LONG})]
)
def test_a_long_session_is_described_without_listing_it(long: World, session_id: str, counts: dict[str, int]) -> None:
    described = long.store.describe(session_id)

    assert {agent.agent_id: agent.message_count for agent in described.agents} == counts
    assert described.next_cursor is None
    asked = long.asked()
    assert asked["LIST"] <= 4
    assert asked["GET"] + asked["HEAD"] <= 200 * len(counts) + 10


def test_the_last_use_of_a_long_session_is_that_of_its_last_message(world: World) -> None:
    world.put("s", messages=1_200, life=None)
    world.s3.clock.advance(3 * DAY)
    last = dict(session_objects("s", messages=1_200, life=None))[
        "session_s/agents/agent_default/messages/message_1199.json"
    ]
    world.s3.store.put(BUCKET, message_key("s", 1_199), last)

    described = world.store.describe("s")

    assert described.last_used_at is not None
    assert described.last_used_at.startswith("2026-03-04T15:30")


def test_agents_of_a_long_session_are_described_in_pages(world: World) -> None:
    ids = [f"agent-{number:03}" for number in range(130)]
    world.put("s", messages=9, agent_ids=ids)
    world.s3.store.put(BUCKET, f"{PREFIX}/session_s/agents/agent_agent-000-foreign/notes.txt", b"x")
    world.s3.log.take()

    found: list[str] = []
    cursor, pages = None, 0
    while pages == 0 or cursor:
        described = world.store.describe("s", cursor=cursor)
        found += [agent.agent_id for agent in described.agents]
        assert {agent.message_count for agent in described.agents} == {9}
        cursor, pages = described.next_cursor, pages + 1
        assert sum(world.asked().values()) <= 600

    assert found == ids
    assert pages == 3
    with pytest.raises(ValueError, match="cursor="):
        world.store.describe("s", cursor="agent-003")


@pytest.mark.parametrize("length", [0, 1, 16, 17, 100, 101])
@pytest.mark.parametrize("limit", [1, 16, 100, 1_000])
@pytest.mark.parametrize("states_end", [True, False])
def test_every_message_is_read_once_with_any_page_size(world: World, length: int, limit: int, states_end: bool) -> None:
    if limit == 1:
        length = min(length, 5)
    world.put("s", messages=length, states_end=states_end)

    assert read_all(world, limit=limit) == list(range(length))


@pytest.mark.parametrize(("length", "seed"), [*((60, seed) for seed in range(6)), (1_300, 3)])
def test_messages_in_quarantine_are_passed_over(world: World, length: int, seed: int) -> None:
    world.put("s", messages=length, states_end=bool(seed % 2))
    chosen = random.Random(seed)
    gone = {*chosen.sample(range(length), 12), *range(length - seed, length), *range(seed)}
    for number in gone:
        world.s3.store.delete(BUCKET, message_key("s", number))

    for limit in (7, 100)[length > 100 :]:
        assert read_all(world, limit=limit) == [number for number in range(length) if number not in gone]


def test_what_a_rule_removed_from_the_beginning_is_passed_over(world: World) -> None:
    world.put("s", messages=3_000, life=None)
    for number in range(2_000):
        world.s3.store.delete(BUCKET, message_key("s", number))
    world.s3.log.take()

    page = world.store.messages("s", limit=10)

    assert [message.message_id for message in page.messages] == list(range(2_000, 2_010))
    assert sum(world.asked().values()) <= 250


def test_what_an_earlier_life_left_behind_is_not_read(world: World) -> None:
    world.put("s", messages=5, states_end=False)
    old = dict(session_objects("s", messages=40, life="another"))
    for number in (5, 6, 9, 30):
        key = f"session_s/agents/agent_default/messages/message_{number}.json"
        world.s3.store.put(BUCKET, f"{PREFIX}/{key}", old[key])

    assert read_all(world, limit=3) == [0, 1, 2, 3, 4]


def test_a_page_has_at_most_so_many_bytes_and_reads_little_more(world: World) -> None:
    world.put("s", messages=200, text="x" * 10_000)
    world.s3.log.take()

    page = world.store.messages("s", "default", limit=1_000, max_bytes=200_000)

    assert 15 <= len(page.messages) <= 20
    assert page.next_cursor == str(len(page.messages))
    assert world.asked()["GET"] <= 40
    one = world.store.messages("s", "default", limit=1_000, max_bytes=1)
    assert [message.message_id for message in one.messages] == [0]
    assert read_all(world, max_bytes=200_000) == list(range(200))


def test_a_page_ends_in_its_time(world: World) -> None:
    world.put("s", messages=500)

    def pass_time(_: object) -> None:
        world.now += 1

    world.s3.faults.add(Fault("call", verb="GET", key="*message_*", times=None, callback=pass_time))

    page = world.store.messages("s", limit=1_000, within_seconds=20)

    assert 20 <= len(page.messages) <= 60
    assert page.next_cursor == str(len(page.messages))
    assert read_all(world, limit=1_000, within_seconds=20) == list(range(500))


def test_a_damaged_message_stops_its_own_page_and_no_other(world: World) -> None:
    world.put("s", messages=100)
    world.s3.store.put(BUCKET, message_key("s", 50), b"{")

    before = world.store.messages("s", limit=50)

    assert [message.message_id for message in before.messages] == list(range(50))
    assert before.next_cursor == "50"
    with pytest.raises(SessionCorruptError) as damaged:
        world.store.messages("s", limit=50, cursor="50")
    assert damaged.value.key == message_key("s", 50)
    assert len(world.store.messages("s", limit=50, cursor="51").messages) == 49


def test_of_many_agents_some_are_named_to_who_has_to_choose(world: World) -> None:
    world.put("s", messages=1, agent_ids=[f"agent-{number:03}" for number in range(60)])
    world.s3.log.take()

    with pytest.raises(ValueError, match=r"agent-000, .*agent-019 and others"):
        world.store.messages("s")

    assert sum(world.asked().values()) <= 30


def test_a_folder_that_something_else_was_put_into_is_no_agent(world: World) -> None:
    world.put("s", messages=2)
    for foreign in ("agent_x/notes.txt", "agent_y/quarantine/message_0-abc.json", "agent_z/history.json", "agent_/a"):
        world.s3.store.put(BUCKET, f"{PREFIX}/session_s/agents/{foreign}", b"{}")

    assert len(world.store.messages("s").messages) == 2
    assert [agent.agent_id for agent in world.store.describe("s").agents] == ["default"]


def test_an_agent_without_its_record_is_read_all_the_same(world: World) -> None:
    world.put("s", messages=3)
    world.s3.store.delete(BUCKET, f"{PREFIX}/session_s/agents/agent_default/agent.json")

    assert read_all(world) == [0, 1, 2]
    assert world.store.describe("s").agents[0].message_count == 3
