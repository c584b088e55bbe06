"""What every object store owes, wherever it keeps the objects. Your class overrides the fixture ``objects``."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agent_sessions.object_store import Absent, PreconditionFailedError, Unchanged

if TYPE_CHECKING:
    from agent_sessions.object_store import StoredObject

KEYS = [
    "p/session_a-b/session.json",
    "p/session_a/agents/agent_x/agent.json",
    "p/session_a/agents/agent_x/messages/message_0.json",
    "p/session_a/agents/agent_x/messages/message_1.json",
    "p/session_a/agents/agent_x/messages/message_10.json",
    "p/session_a/session.json",
    "p/session_a0/session.json",
    "p/session_ä/session.json",
    "p/zoo/else.json",
]
"""In the order of their bytes, which is S3's."""


def fill(objects: Any, keys: list[str]) -> None:
    """Write an object at each key, in no order."""
    for key in sorted(keys, key=lambda key: key[::-1]):
        objects.put(key, f"in {key}".encode(), Absent())


def body_of(stored: StoredObject | None) -> bytes | None:
    """The bytes of a stored object; ``None`` if there is none."""
    return None if stored is None else stored.body


def keys(objects: Any, prefix: str, start_after: str = "") -> list[str]:
    """The keys that a listing shows."""
    return [entry.key for entry in objects.list(prefix, start_after=start_after)]


class ObjectStoreConformance:
    """Conditions, listings, erasures."""

    @pytest.fixture
    def objects(self) -> Any:
        """A new, empty store for each test.

        Raises:
            NotImplementedError: It was not overridden.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `objects` that returns an empty store")

    @pytest.fixture
    def filled(self, objects: Any) -> Any:
        """The store with an object at each of :data:`KEYS`."""
        fill(objects, KEYS)
        return objects

    # --- reading and writing ----------------------------------------------------------------------------

    def test_what_was_written_is_read(self, objects: Any) -> None:
        body = "Ünïcode \0 and bytes".encode() + bytes(range(256))

        written = objects.put("p/a.json", body, Absent())

        found = objects.get("p/a.json")
        assert (found.body, found.etag) == (body, written.etag)
        assert abs(datetime.now(UTC) - found.last_modified) < timedelta(days=1)
        assert found.read_at >= found.last_modified.replace(microsecond=0)

    def test_nothing_is_read_where_nothing_was_written(self, objects: Any) -> None:
        assert objects.get("p/none.json") is None
        assert list(objects.get_many(["p/none.json"])) == [None]
        assert list(objects.get_many([])) == []

    def test_several_are_read_in_the_order_they_were_asked_for(self, filled: Any) -> None:
        found = filled.get_many([KEYS[3], "p/none.json", KEYS[0], KEYS[3]])

        assert [stored and stored.body.decode() for stored in found] == [
            f"in {KEYS[3]}",
            None,
            f"in {KEYS[0]}",
            f"in {KEYS[3]}",
        ]

    def test_what_is_there_is_not_created_again(self, objects: Any) -> None:
        objects.put("p/a.json", b"first", Absent())

        with pytest.raises(PreconditionFailedError) as refused:
            objects.put("p/a.json", b"second", Absent())

        assert body_of(refused.value.found) == b"first"
        assert objects.get("p/a.json").body == b"first"

    def test_only_the_version_that_was_read_is_replaced(self, objects: Any) -> None:
        first = objects.put("p/a.json", b"first", Absent())
        second = objects.put("p/a.json", b"second", Unchanged(first.etag))

        with pytest.raises(PreconditionFailedError) as refused:
            objects.put("p/a.json", b"third", Unchanged(first.etag))

        assert refused.value.found is not None
        assert (refused.value.found.body, refused.value.found.etag) == (b"second", second.etag)
        assert objects.get("p/a.json").body == b"second"

    def test_what_is_gone_is_not_replaced(self, objects: Any) -> None:
        first = objects.put("p/a.json", b"first", Absent())
        objects.delete(["p/a.json"])

        with pytest.raises(PreconditionFailedError) as refused:
            objects.put("p/a.json", b"second", Unchanged(first.etag))

        assert refused.value.found is None
        assert objects.get("p/a.json") is None

    @pytest.mark.parametrize("expects", ["nothing", "the version that was read"])
    def test_of_many_writers_at_once_one_writes(self, objects: Any, expects: str) -> None:
        expectation: Any = Absent()
        if expects != "nothing":
            expectation = Unchanged(objects.put("p/a.json", b"before", Absent()).etag)
        together = threading.Barrier(8)
        outcomes: list[str | None] = []

        def write(number: int) -> None:
            together.wait()
            try:
                objects.put("p/a.json", f"writer {number}".encode(), expectation)
            except PreconditionFailedError:
                outcomes.append(None)
            else:
                outcomes.append(f"writer {number}")

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        (winner,) = [outcome for outcome in outcomes if outcome is not None]
        assert len(outcomes) == 8
        assert objects.get("p/a.json").body.decode() == winner

    # --- deleting ---------------------------------------------------------------------------------------

    def test_deleting_what_is_not_there_is_no_error(self, objects: Any) -> None:
        objects.put("p/a.json", b"1", Absent())

        objects.delete(["p/a.json", "p/none.json"])

        assert objects.get("p/a.json") is None

    @pytest.mark.parametrize("how", ["delete_version", "delete_current"])
    def test_only_the_version_that_was_read_is_deleted(self, objects: Any, how: str) -> None:
        first = objects.put("p/a.json", b"first", Absent())
        second = objects.put("p/a.json", b"second", Unchanged(first.etag))

        assert not getattr(objects, how)("p/a.json", first.etag)
        assert objects.get("p/a.json").body == b"second"
        assert getattr(objects, how)("p/a.json", second.etag)
        assert objects.get("p/a.json") is None
        assert not getattr(objects, how)("p/a.json", second.etag)

    # --- listing ----------------------------------------------------------------------------------------

    def test_a_listing_has_the_keys_in_their_order(self, filled: Any) -> None:
        assert keys(filled, "p/") == KEYS

    @pytest.mark.parametrize("start_after", [*KEYS, "p/session_a/", "p/session_a/agents/agent_x/messages/message_1"])
    def test_a_listing_begins_behind_a_key_which_need_not_be_there(self, filled: Any, start_after: str) -> None:
        assert keys(filled, "p/", start_after) == [key for key in KEYS if key > start_after]

    @pytest.mark.parametrize("prefix", ["p/session_", "p/session_a", "p/session_a/", "p/session_a/agents/", "q"])
    def test_a_listing_has_what_begins_with_a_prefix_and_nothing_else(self, filled: Any, prefix: str) -> None:
        assert keys(filled, prefix) == [key for key in KEYS if key.startswith(prefix)]

    def test_folders_are_listed_by_what_their_names_begin_with(self, filled: Any) -> None:
        assert list(filled.list_folders("p/")) == ["session_a-b", "session_a", "session_a0", "session_ä", "zoo"]
        assert list(filled.list_folders("p/", named="session_"))[-1] == "session_ä"
        assert list(filled.list_folders("p/", named="session_", start_after="session_a")) == ["session_a0", "session_ä"]
        assert list(filled.list_folders("nowhere/", named="session_")) == []

    def test_looking_shows_what_a_listing_shows(self, filled: Any) -> None:
        listed = {entry.key: entry for entry in filled.list("p/")}

        found = filled.stat_many([KEYS[3], "p/session_a/none.json", "p/session_a", KEYS[0]])

        assert [entry and entry.key for entry in found] == [KEYS[3], None, None, KEYS[0]]
        assert [entry.size for entry in found if entry] == [listed[KEYS[3]].size, listed[KEYS[0]].size]
        assert list(filled.stat_many([])) == []

    # --- erasing ----------------------------------------------------------------------------------------

    def test_an_erasure_takes_what_lies_below_and_nothing_beside_it(self, filled: Any) -> None:
        erased = filled.erase("p/session_a/", keep=["p/session_a/session.json"])

        assert erased == 4
        assert keys(filled, "p/") == [key for key in KEYS if not key.startswith("p/session_a/") or key == KEYS[5]]
        assert filled.erase("p/session_a/") == 1
        assert filled.erase("p/session_a/") == 0

    def test_a_step_deletes_nothing_when_it_is_not_wanted_any_more(self, filled: Any) -> None:
        step = filled.erase_some("p/session_a/", still=lambda: False)

        assert (step.objects, step.more) == (0, False)
        assert keys(filled, "p/") == KEYS

    def test_what_is_written_while_a_step_looks_is_left_and_said_to_be(self, filled: Any) -> None:
        def rewrite() -> bool:
            filled.put(KEYS[3], b"anew", Unchanged(filled.get(KEYS[3]).etag))
            return True

        step = filled.erase_some("p/session_a/", still=rewrite)

        assert (step.objects, step.more) == (4, True)
        assert keys(filled, "p/session_a/") == [KEYS[3]]

    def test_a_sweep_deletes_what_was_chosen_and_passes_the_rest(self, filled: Any) -> None:
        seen: list[Any] = []

        def choose(listed: Any) -> Any:
            seen.extend(listed)
            return [entry for entry in listed if entry.key == KEYS[3]]

        step = filled.sweep("p/session_a/", choose)

        below = [key for key in KEYS if key.startswith("p/session_a/")]
        assert [entry.key for entry in seen] == below
        assert [entry.size for entry in seen] == [len(f"in {key}") for key in below]
        assert [entry.key for entry in step.gone] == [KEYS[3]]
        assert (list(step.left), step.changed, step.behind) == ([], False, None)
        assert keys(filled, "p/") == [key for key in KEYS if key != KEYS[3]]

    def test_a_sweep_goes_on_behind_a_key(self, filled: Any) -> None:
        step = filled.sweep("p/", list, behind=KEYS[-2])

        assert [entry.key for entry in step.gone] == [KEYS[-1]]
        assert keys(filled, "p/") == KEYS[:-1]

    def test_what_is_written_while_a_sweep_chooses_is_left_and_said_to_be(self, filled: Any) -> None:
        def choose(listed: Any) -> Any:
            filled.put(KEYS[3], b"anew", Unchanged(filled.get(KEYS[3]).etag))
            return listed

        step = filled.sweep("p/session_a/", choose)

        assert (len(step.gone), step.changed) == (4, True)
        assert keys(filled, "p/session_a/") == [KEYS[3]]
