"""Erasing all sessions of an owner: closed first, counted exactly, gone on with wherever it was cut off."""

from __future__ import annotations

import errno
import json
import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from botocore.config import Config

from agent_sessions._storage import file_objects, s3_deletions
from agent_sessions.exceptions import SessionBusyError, SessionNotFoundError
from agent_sessions.session_store import FileSessionStore, SessionStore
from tests.bounds.stored import session_objects
from tests.bounds.world import BUCKET, PREFIX, World
from tests.concurrency.killing import EVERYTHING
from tests.doubles.s3_server import Fault
from tests.files.faults import failing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from agent_sessions.session_pages import ErasureReceipt

OWNER = "o_" + "a" * 52
NESTED = "o_" + "b" * 52
OTHER = "o_" + "c" * 52
SESSIONS = {"ada": 3, "ada-b": 1, "bob": 9, "änne": 2}
"""Sessions and their messages; each has an agent's record and its own besides."""

OBJECTS = sum(SESSIONS.values()) + 2 * len(SESSIONS)


class DeadError(BaseException):
    """The process died: nothing runs any more."""


def stored_objects(owner: str) -> Iterator[tuple[str, bytes]]:
    for session_id, messages in SESSIONS.items():
        for key, body in session_objects(session_id, messages=messages):
            yield f"{owner}/{key}", body


def fill(world: World, owner: str = OWNER) -> None:
    for key, body in stored_objects(owner):
        world.s3.store.put(BUCKET, f"{PREFIX}/{key}", body)


def below(world: World, owner: str = OWNER) -> list[str]:
    """What is stored of an owner, older versions and delete markers too."""
    found = world.client.list_object_versions(Bucket=BUCKET, Prefix=f"{PREFIX}/{owner}/")
    listed: list[Any] = [*found.get("Versions", []), *found.get("DeleteMarkers", [])]
    return sorted(entry["Key"].removeprefix(f"{PREFIX}/{owner}/") for entry in listed)


def inventory(world: World) -> tuple[int, int, int, int]:
    """Objects, older versions, delete markers and bytes of an owner."""
    versions = [
        (version, number == len(held) - 1)
        for key, held in world.s3.store.bucket(BUCKET).versions.items()
        if key.startswith(f"{PREFIX}/{OWNER}/")
        for number, version in enumerate(held)
    ]
    markers = sum(version.is_delete_marker for version, _ in versions)
    objects = sum(is_current and not version.is_delete_marker for version, is_current in versions)
    size = sum(len(version.body) for version, _ in versions)
    return objects, len(versions) - markers - objects, markers, size


def counted(receipt: ErasureReceipt) -> tuple[int, int, int, int]:
    return receipt.objects, receipt.versions, receipt.markers, receipt.bytes


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of eight keys, so that a few sessions take several."""
    monkeypatch.setattr(s3_deletions, "DELETE_BATCH", 8)
    monkeypatch.setattr(file_objects, "_ERASED_AT_ONCE", 8)


@pytest.fixture
def filled(world: World, small_steps: None) -> World:
    fill(world)
    return world


@pytest.fixture
def folder(tmp_path: Path, small_steps: None) -> Path:
    """A folder with the sessions."""
    folder = tmp_path / "sessions"
    for key, body in stored_objects(OWNER):
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(body)
    return folder


def files_of(folder: Path) -> list[str]:
    """The files of the owner, without locks."""
    files = [path for path in (folder / OWNER).rglob("*") if path.is_file() and ".locks" not in path.parts]
    return sorted(str(path.relative_to(folder / OWNER)) for path in files)


def keep_versions(world: World, *, suspended: bool = False) -> None:
    status: Any = "Suspended" if suspended else "Enabled"
    world.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": status})


# --- what goes, and what stays --------------------------------------------------------------------------


def test_every_session_goes_and_the_receipt_counts_it(filled: World) -> None:
    before = inventory(filled)

    receipt = filled.store.for_owner(OWNER).erase_all()

    assert (receipt.sessions, counted(receipt)) == (len(SESSIONS), before)
    assert (receipt.is_whole, receipt.left, receipt.left_count) == (True, (), 0)
    assert receipt.began_at is not None
    assert receipt.ended_at is not None
    assert receipt.began_at <= receipt.ended_at
    assert below(filled) == ["erasure.json"]


def test_on_disk_every_session_goes_and_the_receipt_counts_it(folder: Path) -> None:
    size = sum((folder / OWNER / name).stat().st_size for name in files_of(folder))

    receipt = FileSessionStore(folder).for_owner(OWNER).erase_all()

    assert (receipt.sessions, counted(receipt)) == (len(SESSIONS), (OBJECTS, 0, 0, size))
    assert files_of(folder) == ["erasure.json"]
    assert not [path for path in (folder / OWNER).iterdir() if path.name.startswith("session_")]


def test_older_versions_and_delete_markers_go_and_are_counted(filled: World) -> None:
    # Given: sessions written before the bucket kept versions, some written again, one deleted by hand
    keep_versions(filled)
    fill(filled)
    for key in list(filled.s3.store.current_objects(BUCKET, f"{PREFIX}/{OWNER}/session_bob/")):
        filled.s3.store.delete(BUCKET, key)
    before = inventory(filled)
    assert before[1] > 0
    assert before[2] > 0

    receipt = filled.store.for_owner(OWNER).erase_all()

    assert counted(receipt) == before
    assert receipt.sessions == len(SESSIONS) - 1
    assert below(filled) == ["erasure.json"]


def test_in_a_bucket_that_kept_versions_once_everything_goes(filled: World) -> None:
    keep_versions(filled)
    fill(filled)
    keep_versions(filled, suspended=True)

    assert filled.store.for_owner(OWNER).erase_all().is_whole

    assert below(filled) == ["erasure.json"]


def test_nothing_of_another_owner_is_touched_nor_of_spaces_below_or_above(filled: World) -> None:
    for other in (OTHER, f"{OWNER}/{NESTED}", f"{OWNER}x"):
        fill(filled, other)
    filled.put("at-the-root")
    filled.s3.store.put(BUCKET, f"{PREFIX}/{OWNER}/notes.txt", b"not the kit's")
    gone = {f"{PREFIX}/{key}" for key, _ in stored_objects(OWNER)}
    before = {key: body for key, body in filled.s3.objects(BUCKET).items() if key not in gone}

    filled.store.for_owner(OWNER).erase_all(keep_receipt=False)

    assert filled.s3.objects(BUCKET) == before


def test_of_a_store_without_owner_the_owners_are_not_touched(filled: World) -> None:
    filled.put("at-the-root")
    before = below(filled)

    receipt = filled.store.erase_all(keep_receipt=False)

    assert (receipt.sessions, receipt.objects) == (1, 4)
    assert below(filled) == before


def test_where_nothing_is_the_receipt_is_empty_and_nothing_is_written(world: World) -> None:
    receipt = world.store.for_owner(OWNER).erase_all()

    assert (receipt.sessions, counted(receipt), receipt.is_whole) == (0, (0, 0, 0, 0), True)
    assert (receipt.began_at, receipt.ended_at) == (None, None)
    assert below(world) == []


def test_asked_again_it_gives_the_same_receipt_until_there_is_something_new(filled: World) -> None:
    store = filled.store.for_owner(OWNER)
    first = store.erase_all()
    filled.s3.clock.advance(60)

    again = store.erase_all()
    for key, body in session_objects("new"):
        filled.s3.store.put(BUCKET, f"{PREFIX}/{OWNER}/{key}", body)
    anew = store.erase_all()

    assert again == first
    assert (anew.sessions, anew.objects) == (1, 4)
    assert anew.began_at is not None
    assert first.began_at is not None
    assert anew.began_at > first.began_at


def test_the_record_of_the_numbers_names_nobody_and_goes_when_it_is_not_wanted(filled: World) -> None:
    keep_versions(filled)
    filled.store.for_owner(OWNER).erase_all()
    record = filled.s3.objects(BUCKET)[f"{PREFIX}/{OWNER}/erasure.json"].decode()

    filled.store.for_owner(OWNER).erase_all(keep_receipt=False)

    assert not [name for name in SESSIONS if name in record]
    assert json.loads(record)["pending"] is None
    assert below(filled) == []


# --- bounds ---------------------------------------------------------------------------------------------


def test_it_ends_in_its_time_and_the_next_call_goes_on_with_the_totals(filled: World) -> None:
    filled.s3.faults.add(Fault("call", verb="DELETE_OBJECTS", times=None, callback=lambda _: tick(filled)))
    before = inventory(filled)
    store = filled.store.for_owner(OWNER)
    store.clock = lambda: filled.now

    receipts = [store.erase_all(within_seconds=2)]
    while receipts[-1].goes_on:
        assert receipts[-1].ended_at is None
        receipts.append(store.erase_all(within_seconds=2))

    assert len(receipts) > 2
    assert [receipt.objects for receipt in receipts] == sorted(receipt.objects for receipt in receipts)
    assert {receipt.began_at for receipt in receipts} == {receipts[0].began_at}
    assert (receipts[-1].sessions, counted(receipts[-1])) == (len(SESSIONS), before)


def tick(world: World) -> None:
    world.now += 1


def test_ten_thousand_objects_go_in_steps_of_a_thousand(world: World) -> None:
    # Given: the whole form has many small sessions, which cost two or three requests each
    sessions, messages = (1_700, 4) if EVERYTHING else (20, 498)
    for number in range(sessions):
        for key, body in session_objects(f"s{number}", messages=messages):
            world.s3.store.put(BUCKET, f"{PREFIX}/{OWNER}/{key}", body)
    world.asked()

    receipt = world.store.for_owner(OWNER).erase_all()

    asked = world.asked()
    count = sessions * (messages + 2)
    assert count >= 10_000
    assert (receipt.sessions, receipt.objects) == (sessions, count)
    assert below(world) == ["erasure.json"]
    steps = count // 1_000 + 2 * (sessions // 1_000 + 1)
    assert asked["DELETE_OBJECTS"] <= steps + 2
    assert asked["LIST_VERSIONS"] <= 2 * steps + 6, "a page, and a look at a session that a page cuts"
    assert asked["PUT"] <= sessions + asked["DELETE_OBJECTS"] + 1, "a mark a session, a note a step"


def test_a_note_of_a_step_is_small(world: World) -> None:
    sizes: list[int] = []
    world.put("s", messages=1_500)
    put = world.client.put_object

    def measured(**asked: Any) -> Any:
        sizes.append(len(asked["Body"]))
        return put(**asked)

    world.client.put_object = measured  # type: ignore[method-assign] # a client of this test alone
    world.store.erase_all()

    assert max(sizes) < 64_000


# --- cut off --------------------------------------------------------------------------------------------


class DyingClient:
    """A client whose process dies at one of its writes, before or after it takes effect."""

    def __init__(self, client: Any, nth: int, *, applied: bool) -> None:
        self._client = client
        self._left = nth
        self._applied = applied

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)
        if name not in {"put_object", "delete_object", "delete_objects"}:
            return call

        def dying(**asked: Any) -> Any:
            if asked.get("Key", "").endswith("erasure.json") is False and name == "put_object":
                return call(**asked)  # closing a session, which may be repeated at will
            self._left -= 1
            if self._left == 0 and not self._applied:
                raise DeadError
            answer = call(**asked)
            if self._left == 0:
                raise DeadError
            return answer

        return dying


def dies(world: World, nth: int, *, applied: bool) -> bool:
    """Erase in a process that dies at a write. Tells whether it did."""
    client: Any = DyingClient(world.client, nth, applied=applied)
    try:
        SessionStore.from_url(f"s3://{BUCKET}/{PREFIX}", client=client).for_owner(OWNER).erase_all()
    except DeadError:
        return True
    return False


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("versioned", [False, True])
def test_killed_at_every_write_and_sent_again_the_receipt_adds_up(
    filled: World, versioned: bool, applied: bool
) -> None:
    if versioned:
        keep_versions(filled)
        fill(filled)
    before = inventory(filled)
    points, number = 0, 1
    step = 3 if versioned and not EVERYTHING else 1

    while dies(filled, number, applied=applied):
        points += 1
        receipt = filled.store.for_owner(OWNER).erase_all()
        assert (receipt.sessions, counted(receipt)) == (len(SESSIONS), before), f"killed at write {number}"
        number += step
        assert receipt.is_whole
        assert below(filled) == ["erasure.json"]
        start_over(filled, versioned=versioned)
        assert inventory(filled) == before

    assert number >= 2 * OBJECTS // 8
    assert points >= 3


@pytest.mark.parametrize(("verb", "nth"), [("LIST_VERSIONS", 1), ("LIST_VERSIONS", 2), ("DELETE_OBJECTS", 1)])
def test_what_lands_after_its_request_was_given_up_is_counted(filled: World, verb: str, nth: int) -> None:
    # Given: a deletion that is under way when its process dies
    before = inventory(filled)
    sent: list[Any] = []
    assert dies_sending(filled, sent)

    # When: it lands before the next request's look at what is there, before its first page, or before its deletion
    land = Fault("call", verb=verb, nth=nth, callback=lambda _: delete_in(filled, sent))
    filled.s3.faults.add(land)
    receipt = filled.store.for_owner(OWNER).erase_all()

    # Then
    assert land.fired
    assert (receipt.sessions, counted(receipt), receipt.is_whole) == (len(SESSIONS), before, True)


def test_what_lands_after_several_requests_were_given_up_is_counted(filled: World) -> None:
    before = inventory(filled)
    sent: list[Any] = []
    for _ in range(3):
        assert dies_sending(filled, sent)

    filled.s3.faults.add(Fault("call", verb="LIST_VERSIONS", nth=2, callback=lambda _: delete_in(filled, sent)))
    receipt = filled.store.for_owner(OWNER).erase_all()

    assert (receipt.sessions, counted(receipt), receipt.is_whole) == (len(SESSIONS), before, True)


def test_a_deletion_whose_answer_is_lost_is_repeated_and_counted_once(filled: World) -> None:
    before = inventory(filled)
    filled.s3.faults.add(Fault("drop", verb="DELETE_OBJECTS", applied=True))
    client = filled.s3.client(config=Config(retries={"total_max_attempts": 3}))

    receipt = SessionStore.from_url(f"s3://{BUCKET}/{PREFIX}", client=client).for_owner(OWNER).erase_all()

    assert (receipt.sessions, counted(receipt), receipt.is_whole) == (len(SESSIONS), before, True)


def dies_sending(world: World, sent: list[Any]) -> bool:
    """Erase in a process that dies while its first deletion is under way. Keeps what it asked to be deleted."""
    client: Any = world.s3.client()

    def dying(**asked: Any) -> Any:
        sent.extend(asked["Delete"]["Objects"])
        raise DeadError

    client.delete_objects = dying
    try:
        SessionStore.from_url(f"s3://{BUCKET}/{PREFIX}", client=client).for_owner(OWNER).erase_all()
    except DeadError:
        return True
    return False


def delete_in(world: World, sent: list[Any]) -> None:
    """Let a deletion land: it takes what is as it was when it was sent."""
    for asked in sent:
        held = world.s3.store.bucket(BUCKET).versions.get(asked["Key"])
        if held and held[-1].etag == asked["ETag"].strip('"'):
            world.s3.store.delete(BUCKET, asked["Key"])


def start_over(world: World, *, versioned: bool) -> None:
    world.s3.reset()
    fill(world)
    if versioned:
        keep_versions(world)
        fill(world)


def test_killed_again_and_again_it_comes_to_its_end_with_the_right_numbers(filled: World) -> None:
    before, killed = inventory(filled), 0

    while dies(filled, 3, applied=killed % 2 == 0):
        killed += 1
        assert killed < 100

    receipt = filled.store.for_owner(OWNER).erase_all()
    assert killed > 5
    assert (receipt.sessions, counted(receipt)) == (len(SESSIONS), before)


@pytest.mark.parametrize("applied", [False, True])
def test_on_disk_killed_at_every_deletion_the_receipt_adds_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch, applied: bool
) -> None:
    unlink = os.unlink
    count = len(files_of(folder))
    size = sum((folder / OWNER / name).stat().st_size for name in files_of(folder))
    store = FileSessionStore(folder).for_owner(OWNER)

    # Each process dies at its second deletion, so every deletion is one at which some process died.
    killed, left = 0, [0]

    def dying(path: Any, **options: Any) -> None:
        if "session_" not in str(path) or ".writing" in str(path):
            unlink(path, **options)
            return
        left[0] -= 1
        if left[0] == 0 and not applied:
            raise DeadError
        unlink(path, **options)
        if left[0] == 0:
            raise DeadError

    monkeypatch.setattr(os, "unlink", dying)
    while True:
        left[0] = 2
        try:
            receipt = store.erase_all()
        except DeadError:
            killed += 1
            continue
        break

    assert killed >= count // 2
    assert (receipt.sessions, counted(receipt)) == (len(SESSIONS), (count, 0, 0, size))


def test_a_session_that_is_half_erased_is_read_by_nobody(filled: World) -> None:
    assert dies(filled, 4, applied=True)
    store = filled.store.for_owner(OWNER)
    left = Counter(name.split("/")[0] for name in below(filled))

    half = [name.removeprefix("session_") for name in ("session_ada", "session_ada-b") if name in left]
    assert half
    for session_id in half:
        with pytest.raises(SessionNotFoundError):
            store.describe(session_id)


def test_two_at_once_do_not_count_twice(filled: World) -> None:
    before = inventory(filled)
    store = filled.store.for_owner(OWNER)
    others: list[ErasureReceipt] = []

    def another(_: object) -> None:
        others.append(
            SessionStore.from_url(f"s3://{BUCKET}/{PREFIX}", client=filled.s3.client()).for_owner(OWNER).erase_all()
        )

    with pytest.raises(SessionBusyError) as refused:
        interrupted_by(filled, another)(store.erase_all)

    assert refused.value.retry_after_seconds > 0
    assert (others[0].sessions, counted(others[0])) == (len(SESSIONS), before)


def interrupted_by(world: World, act: Callable[[object], None]) -> Callable[[Callable[[], Any]], Any]:
    """Let something happen between the first note of an erasure and its deletion."""

    def run(erase: Callable[[], Any]) -> Any:
        called: list[int] = []
        delete = world.client.delete_objects

        def interrupted(**asked: Any) -> Any:
            if not called:
                called.append(1)
                act(None)
            return delete(**asked)

        world.client.delete_objects = interrupted  # type: ignore[method-assign] # a client of this test alone
        return erase()

    return run


# --- what cannot be deleted -----------------------------------------------------------------------------


def test_what_cannot_be_deleted_is_named_with_its_reason_and_everything_else_goes(filled: World) -> None:
    before = inventory(filled)
    kept = [f"{PREFIX}/{OWNER}/session_bob/agents/agent_default/messages/message_{number}.json" for number in (1, 8)]
    for key in kept:
        filled.s3.faults.add(Fault("key_error", key=key, times=None, code="AccessDenied"))
    store = filled.store.for_owner(OWNER)

    receipt = store.erase_all()
    session_ids = store.sessions().session_ids
    filled.s3.faults.clear()
    mended = store.erase_all()

    assert sorted(receipt.left) == [(key, "AccessDenied") for key in kept]
    assert (receipt.left_count, receipt.goes_on, receipt.is_whole, receipt.ended_at) == (2, False, False, None)
    assert (receipt.sessions, receipt.objects) == (len(SESSIONS) - 1, OBJECTS - 3)
    assert session_ids == (), "what is left is closed"
    assert (mended.sessions, counted(mended)) == (len(SESSIONS), before)


def test_on_disk_what_cannot_be_deleted_is_named_and_everything_else_goes(folder: Path) -> None:
    stuck = folder / OWNER / "session_ada/agents/agent_default/messages/message_1.json"
    hold = lambda path, number: path == str(stuck)  # noqa: E731 - a predicate

    with failing("unlink", errno.EPERM, folder, hold):
        receipt = FileSessionStore(folder).for_owner(OWNER).erase_all()

    assert receipt.left == ((str(stuck), "EPERM"),)
    assert files_of(folder) == ["erasure.json", str(stuck.relative_to(folder / OWNER)), "session_ada/session.json"]


def test_what_passes_by_itself_is_worth_another_call(filled: World) -> None:
    filled.s3.faults.add(Fault("key_error", key="*message_1.json", times=None, code="InternalError"))

    receipt = filled.store.for_owner(OWNER).erase_all()

    assert receipt.goes_on
    assert receipt.left_count > 0


def test_a_damaged_session_and_a_foreign_name_go_too(filled: World) -> None:
    filled.s3.store.put(BUCKET, f"{PREFIX}/{OWNER}/session_ada/session.json", b"{")
    filled.s3.store.put(BUCKET, f"{PREFIX}/{OWNER}/session_\x01/whatever", b"odd")
    filled.s3.store.put(BUCKET, f"{PREFIX}/{OWNER}/session_lost/agents/agent_a/agent.json", b"{}")
    before = inventory(filled)

    receipt = filled.store.for_owner(OWNER).erase_all()

    assert counted(receipt) == before
    assert below(filled) == ["erasure.json"]


def test_a_record_of_progress_that_cannot_be_understood_is_no_obstacle(filled: World) -> None:
    filled.s3.store.put(BUCKET, f"{PREFIX}/{OWNER}/erasure.json", b'{"format": 1, "totals": [')

    assert filled.store.for_owner(OWNER).erase_all().is_whole

    assert below(filled) == ["erasure.json"]
