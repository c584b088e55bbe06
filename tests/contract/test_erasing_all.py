"""Erasing everything of an owner, with whatever is under way there: on disk, on S3, and on what is like it."""

from pathlib import Path
from typing import Any

import pytest
from strands import Agent, tool

from agent_sessions.exceptions import SessionException
from agent_sessions.lease import SessionLease
from agent_sessions.session_store import FileSessionStore, S3SessionStore, SessionStore
from tests.contract.places import BucketPlace, FolderPlace
from tests.contract.subjects import Subject
from tests.doubles.scripted_model import ScriptedModel, tool_use

OWNER = "o_" + "a" * 52
OTHER = "o_" + "b" * 52


@pytest.fixture
def root(ours_stored: Subject) -> SessionStore:
    """The store above the owners."""
    place = ours_stored.stored
    if isinstance(place, FolderPlace):
        return FileSessionStore(Path(ours_stored.options["storage_dir"]))
    assert isinstance(place, BucketPlace)
    return S3SessionStore(place.client, place.bucket, ours_stored.options["prefix"])


@pytest.fixture
def store(root: SessionStore) -> SessionStore:
    return root.for_owner(OWNER)


def agent_of(store: SessionStore, *script: Any, tools: Any = (), lease: SessionLease | None = None) -> Agent:
    manager = store.session_manager("ada", lease=lease, durability="turn")
    return Agent(
        agent_id="a", model=ScriptedModel(*script), session_manager=manager, tools=[*tools], callback_handler=None
    )


def keys_of(store: SessionStore) -> list[str]:
    root = store.layout.root
    return sorted(entry.key.removeprefix(root) for entry in store.objects.list(root) if "session_" in entry.key)


def test_everything_of_an_owner_goes_and_nothing_of_another(root: SessionStore, store: SessionStore) -> None:
    for place in (store, root.for_owner(OTHER), root):
        agent_of(place, "Hi.")("My secret.")
    before = [keys_of(root.for_owner(OTHER)), [key for key in keys_of(root) if key.startswith("session_")]]
    count = len(keys_of(store))

    receipt = store.erase_all()

    assert (receipt.sessions, receipt.objects, receipt.is_whole) == (1, count, True)
    assert keys_of(store) == []
    assert [keys_of(root.for_owner(OTHER)), [key for key in keys_of(root) if key.startswith("session_")]] == before
    assert store.erase_all() == receipt


def test_in_a_bucket_that_keeps_versions_they_go_too(ours_s3: Subject) -> None:
    place = ours_s3.stored
    assert isinstance(place, BucketPlace)
    place.client.put_bucket_versioning(Bucket=place.bucket, VersioningConfiguration={"Status": "Enabled"})
    store = S3SessionStore(place.client, place.bucket, ours_s3.options["prefix"]).for_owner(OWNER)
    for _ in range(2):
        agent_of(store, "Hi.")("My secret.")
    prefix = f"{store.layout.root}session_"
    listed = place.client.list_object_versions(Bucket=place.bucket, Prefix=prefix)
    count = len(listed.get("Versions", [])) + len(listed.get("DeleteMarkers", []))

    receipt = store.erase_all()

    assert receipt.versions > 0
    assert receipt.objects + receipt.versions + receipt.markers == count
    left = place.client.list_object_versions(Bucket=place.bucket, Prefix=prefix)
    assert (left.get("Versions", []), left.get("DeleteMarkers", [])) == ([], [])
    again = agent_of(store)
    assert again.messages == []


@pytest.mark.parametrize("earlier_turns", [0, 1])
@pytest.mark.parametrize("leased", [False, True])
def test_a_turn_that_runs_meanwhile_is_refused_and_nothing_of_it_survives(
    store: SessionStore, earlier_turns: int, leased: bool
) -> None:
    # Given: a turn whose tool erases everything, as somebody else would at that moment
    for _ in range(earlier_turns):
        agent_of(store, "Hi.")("My secret.")
    receipts = []

    @tool
    def forget() -> str:
        """Forget."""
        receipts.append(store.erase_all())
        return "My secret again."

    lease = SessionLease(store, "ada", holder="a turn") if leased else None

    # When
    if lease is not None:
        lease.acquire()
    agent = agent_of(store, [tool_use("forget")], "My secret, last.", tools=[forget], lease=lease)
    with pytest.raises(Exception) as refused:
        agent("My secret.")
    if lease is not None:
        assert [undeleted.code for undeleted in receipts[0].left] == ["InUse"]
        assert receipts[0].goes_on
        lease.release()

    # Then
    errors = [refused.value, refused.value.__cause__, getattr(refused.value, "original_exception", None)]
    assert any(isinstance(error, SessionException) for error in errors)
    assert store.sessions().session_ids == ()
    assert store.erase_all().is_whole
    assert keys_of(store) == []


def test_the_next_turn_after_it_begins_anew(store: SessionStore) -> None:
    agent_of(store, "Hi.")("My secret.")
    store.erase_all()

    agent = agent_of(store, "Hello.")
    agent("Who am I?")

    assert [message["content"][0]["text"] for message in agent_of(store).messages] == ["Who am I?", "Hello."]
    assert store.erase_all().sessions == 1
