"""One rule for the URL of a store, whoever reads it: the settings, ``make run``, ``SessionStore``."""

import string
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent_sessions import store_url
from agent_sessions.session_store import FileSessionStore, SessionStore
from agent_sessions.store_url import (
    BucketAddress,
    FolderAddress,
    Storage,
    StoreUrlError,
    parse_store_url,
)
from lambda_src.settings import load_settings
from local.configuration import read_configuration

REFUSED = {
    # what is no URL of a store
    "": "",
    "sessions": "",
    "/srv/sessions": "",
    "s3:bucket": "",
    "file:relative": "",
    "//bucket/prefix": "",
    "gs://bucket": "begins with gs:",
    "https://bucket.s3.amazonaws.com/p": "begins with https:",
    "s3a://bucket/p": "begins with s3a:",
    # a bucket
    "s3://": "names no bucket",
    "s3:///prefix": "names no bucket",
    "s3://../prefix": "names no bucket",
    "s3://-bucket": "names no bucket",
    "s3://b ucket/p": "names no bucket",
    "s3://büro/p": "names no bucket",
    "s3://%62ucket/p": "names no bucket",
    "s3://[::1]/p": "has a port",
    "s3://[bucket/p": "names no bucket",
    f"s3://{'b' * 256}": "names no bucket",
    "s3://bucket:9000/p": "has a port",
    "s3://bucket:/p": "has a port",
    "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/ap": "has a port",
    "s3://bucket:secret@host/p": "has credentials",
    "s3://AKIAEXAMPLE@bucket/p": "has credentials",
    # a prefix
    "s3://bucket/p?versionId=1": "has a query",
    "s3://bucket/p?": "has a query",
    "s3://bucket?x=1": "has a query",
    "s3://bucket/p#part": "has a fragment",
    "s3://bucket/p#": "has a fragment",
    "s3://bucket//p": "has an empty part",
    "s3://bucket/p//q": "has an empty part",
    "s3://bucket/p//": "has an empty part",
    "s3://bucket//": "has an empty part",
    "s3://bucket/../p": "has a relative part",
    "s3://bucket/p/./q": "has a relative part",
    "s3://bucket/p/..": "has a relative part",
    "s3://bucket/my%20prefix": "has a percent sign",
    "s3://bucket/100%": "has a percent sign",
    "s3://bucket/p\\q": "has a backslash",
    "s3://bucket/p\n": "has control characters",
    "s3://bucket/p\tq": "has control characters",
    "s3://bucket/p\x00": "has control characters",
    "s3://bucket/p\udce9": "has control characters",
    " s3://bucket/p": "has control characters, or spaces around it",
    "s3://bucket/p ": "has control characters, or spaces around it",
    f"s3://bucket/{'p' * 301}": "has a prefix longer than 300 bytes",
    f"s3://bucket/{'é' * 151}": "has a prefix longer than 300 bytes",
    # a folder
    "file://": "names no folder",
    "file:///": "names no folder",
    "file://host/sessions": "names a host",
    "file://localhost/sessions": "names a host",
    "file://user@host/sessions": "has credentials",
    "file:///sessions?x=1": "has a query",
    "file:///sessions#1": "has a fragment",
    "file:////sessions": "has an empty part",
    "file:///srv//sessions": "has an empty part",
    "file:///srv/../sessions": "has a relative part",
    "file:///srv/%2e%2e/sessions": "has a relative part",
    "file:///srv/%2E/sessions": "has a relative part",
    "file:///srv%2Fsessions": "has a path separator in percent-encoding",
    "file:///srv%5Csessions": "has a path separator in percent-encoding",
    "file:///srv/caf%E9": "is not UTF-8 in its percent-encoding",
    "file:///srv/100%": "has a percent sign that begins no %XX",
    "file:///srv/%zz": "has a percent sign that begins no %XX",
    "file:///srv/%00": "has control characters in percent-encoding",
    "file:///srv/a%0Ab": "has control characters in percent-encoding",
}

READERS: dict[str, Callable[[str, Path], object]] = {
    "settings": lambda text, _: load_settings({"SESSION_STORE": text}),
    "make run": lambda text, folder: read_configuration({"STORE": text}, folder),
    "SessionStore": lambda text, _: SessionStore.from_url(text),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", [text for text in REFUSED if text])
def test_every_reader_of_a_wrong_url_refuses_it_and_says_what_is_allowed(
    reader: str, text: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="file:///absolute/folder") as refused:
        READERS[reader](text, tmp_path)

    told = str(refused.value)
    assert "s3://bucket/prefix" in told
    assert REFUSED[text] in told
    assert "\n" not in told


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "text", ["s3://AKIAEXAMPLE:wJalrXUtnFEMI@bucket/p", "wJalrXUtnFEMI@bucket", "file://ada:wJalrXUtnFEMI@nas/sessions"]
)
def test_credentials_in_it_are_not_told_to_the_log(reader: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\*\*\*@") as refused:
        READERS[reader](text, tmp_path)

    assert "wJalrXUtnFEMI" not in str(refused.value)
    assert "AKIAEXAMPLE" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("s3://bucket", BucketAddress("bucket", "")),
        ("s3://bucket/", BucketAddress("bucket", "")),
        ("s3://bucket/prefix", BucketAddress("bucket", "prefix")),
        ("s3://bucket/prefix/", BucketAddress("bucket", "prefix")),
        ("S3://bucket/a/b", BucketAddress("bucket", "a/b")),
        ("s3://my.old_Bucket-1/p", BucketAddress("my.old_Bucket-1", "p")),
        ("s3://bucket/session_x", BucketAddress("bucket", "session_x")),
        ("s3://bucket/büro ä/..x", BucketAddress("bucket", "büro ä/..x")),
        ("s3://bucket/a@b:c", BucketAddress("bucket", "a@b:c")),
        (f"s3://bucket/{'p' * 300}", BucketAddress("bucket", "p" * 300)),
        ("file:///srv/sessions", FolderAddress(Path("/srv/sessions"))),
        ("file:///srv/sessions/", FolderAddress(Path("/srv/sessions"))),
        ("file:///srv/my%20sessions%20%23%201%3F%25", FolderAddress(Path("/srv/my sessions # 1?%"))),
        ("file:///srv/caf%C3%A9", FolderAddress(Path("/srv/café"))),
        ("file:///srv/café ü", FolderAddress(Path("/srv/café ü"))),
    ],
)
def test_it_names_exactly_one_place(text: str, address: object) -> None:
    assert parse_store_url(text) == address
    assert load_settings({"SESSION_STORE": text}).session_store == text


def test_the_store_that_is_opened_is_the_one_that_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "my sessions # 1"

    store = SessionStore.from_url(folder.as_uri(), ttl_days=7)
    store.session_manager("s")

    assert (folder / "session_s" / "session.json").is_file()
    assert store.ttl_days == 7


def test_only_a_bucket_needs_aws() -> None:
    assert parse_store_url("S3://bucket").needs_aws
    assert not parse_store_url("file:///srv/sessions").needs_aws


def test_another_storage_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Memory(FolderAddress):
        pass

    class MemoryStore(FileSessionStore, address=Memory):
        pass

    with_memory = {**store_url.STORAGES, "memory": Storage("memory://name", lambda name, _: Memory(Path("/", name)))}
    monkeypatch.setattr(store_url, "STORAGES", with_memory)

    assert load_settings({"SESSION_STORE": "memory://mine"}).session_store == "memory://mine"
    assert read_configuration({"STORE": "memory://mine"}, tmp_path).settings_on_aws == []
    assert isinstance(SessionStore.from_url("memory://mine"), MemoryStore)
    with pytest.raises(ValueError, match="memory://name"):
        parse_store_url("gs://bucket")


PARTS = st.text(alphabet=string.ascii_letters + "äß _-.@:~+", min_size=1).filter(
    lambda part: part == part.strip() and part not in {".", ".."}
)


@given(st.lists(PARTS, max_size=4))
def test_any_prefix_of_whole_parts_is_the_prefix(parts: list[str]) -> None:
    prefix = "/".join(parts)
    if len(prefix.encode()) <= store_url.MAX_PREFIX_BYTES:
        assert parse_store_url(f"s3://bucket/{prefix}") == BucketAddress("bucket", prefix)


@given(st.lists(st.text(min_size=1).filter(lambda part: part not in {".", ".."}), min_size=1, max_size=4))
def test_any_folder_is_found_by_its_own_url_or_refused(parts: list[str]) -> None:
    folder = Path("/", *parts)
    try:
        url = folder.as_uri()
    except UnicodeEncodeError:
        return  # half of a surrogate pair: no file system has such a name

    try:
        found = parse_store_url(url)
    except StoreUrlError:
        assert any(ord(character) < 32 or 126 < ord(character) < 160 or character == "\\" for character in str(folder))
    else:
        assert found == FolderAddress(folder)


@given(st.text() | st.from_regex(r"(s3|file)://[^\n]{0,12}", fullmatch=True))
@example("s3://[")
@example("s3://\N{FULLWIDTH SOLIDUS}")
def test_any_text_names_a_place_or_is_refused(text: str) -> None:
    try:
        address: object = parse_store_url(text)
    except StoreUrlError as refused:
        address, told = None, str(refused)
        assert told.startswith("must be s3://bucket/prefix or file:///absolute/folder")
    assert address is None or isinstance(address, BucketAddress | FolderAddress)
