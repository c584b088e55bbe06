"""The S3 stand-in, asked by the real boto3, answers as S3's documentation says; so does moto, but for a few points.

Two independent implementations that agree are less likely to share a misreading.
"""

import base64
import hashlib
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from tests.doubles.s3_server import S3Server

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

# Where moto 5.2.5 departs from S3. A departure that ends makes its test fail here (xfail is strict).
MOTO_DIFFERS = {
    "test_a_copy_creates_once": "ignores the condition",
    "test_a_copy_of_what_has_changed_is_refused": "ignores the condition",
    "test_a_condition_on_writing_that_s3_does_not_have_is_501": "takes If-None-Match with an ETag, and ignores it",
    "test_a_key_of_more_than_1024_bytes_is_refused": "counts another limit",
    "test_a_marker_itself_cannot_be_read": "answers NoSuchVersion",
    "test_a_wrong_checksum_is_refused": "does not verify checksums",
    "test_a_wrong_continuation_token_is_refused": "answers 500",
    "test_a_wrong_md5_is_refused": "does not verify Content-MD5",
    "test_delete_objects_takes_a_condition_for_each_key": "ignores the ETag of an object to delete",
    "test_delete_objects_takes_at_most_1000_keys": "takes any number",
    "test_deleting_if_anything_is_there": "takes If-Match: * for an ETag",
    "test_deleting_in_a_versioned_bucket_leaves_a_marker": "does not say that a marker is why there is no such key",
    "test_quiet_delete_objects_names_only_errors": "ignores Quiet",
    "test_removing_the_marker_brings_the_object_back": "does not say that what was removed was a marker",
    "test_suspended_versioning_overwrites_only_the_null_version": "overwrites every version",
}

_numbers = itertools.count()


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def stand_in() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture(scope="module", params=["stand-in", "moto"])
def s3(request: pytest.FixtureRequest) -> "S3Client":
    url = (
        request.getfixturevalue("stand_in").url if request.param == "stand-in" else request.getfixturevalue("moto_url")
    )
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
    return session.client("s3", endpoint_url=url, config=Config(retries={"total_max_attempts": 1}))


@pytest.fixture(autouse=True)
def known_difference(request: pytest.FixtureRequest) -> None:
    name = getattr(request.node, "originalname", request.node.name)
    if "moto" in request.node.callspec.id and name in MOTO_DIFFERS:
        request.node.add_marker(pytest.mark.xfail(strict=True, reason=MOTO_DIFFERS[name]))


@pytest.fixture
def bucket(s3: "S3Client") -> str:
    name = f"bucket-{next(_numbers)}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def versioned(s3: "S3Client", bucket: str) -> str:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return bucket


def refused(call: Any, **arguments: Any) -> tuple[str, int]:
    """Make a call that must fail; return its error code and HTTP status."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def keys(page: Any) -> list[str]:
    return [entry["Key"] for entry in page.get("Contents", [])]


# --- objects ---


def test_what_was_put_is_got(s3: "S3Client", bucket: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="a/ü b+c", Body=b"one", ContentType="application/json", Metadata={"n": "1"})
    got = s3.get_object(Bucket=bucket, Key="a/ü b+c")
    assert got["Body"].read() == b"one"
    assert got["ETag"] == put["ETag"] == '"f97c5d29941bfb1b2fdab0874906ab82"'
    assert (got["ContentType"], got["ContentLength"], got["Metadata"]) == ("application/json", 3, {"n": "1"})


def test_head_tells_the_same_without_the_body(s3: "S3Client", bucket: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"12345")
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (head["ContentLength"], head["ETag"]) == (5, put["ETag"])
    assert head["ContentType"] == "binary/octet-stream"


def test_an_empty_object_is_an_object(s3: "S3Client", bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    assert s3.get_object(Bucket=bucket, Key="empty")["Body"].read() == b""


def test_a_missing_key_and_a_missing_bucket_are_two_errors(s3: "S3Client", bucket: str) -> None:
    assert refused(s3.get_object, Bucket=bucket, Key="none") == ("NoSuchKey", 404)
    assert refused(s3.head_object, Bucket=bucket, Key="none") == ("404", 404)
    assert refused(s3.get_object, Bucket="no-such-bucket", Key="k") == ("NoSuchBucket", 404)
    assert refused(s3.put_object, Bucket="no-such-bucket", Key="k", Body=b"") == ("NoSuchBucket", 404)
    assert refused(s3.list_objects_v2, Bucket="no-such-bucket") == ("NoSuchBucket", 404)
    assert refused(s3.head_bucket, Bucket="no-such-bucket") == ("404", 404)


def test_a_range_is_a_part(s3: "S3Client", bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    part = s3.get_object(Bucket=bucket, Key="k", Range="bytes=2-4")
    assert (part["Body"].read(), part["ContentRange"]) == (b"234", "bytes 2-4/10")
    assert s3.get_object(Bucket=bucket, Key="k", Range="bytes=-3")["Body"].read() == b"789"
    assert s3.get_object(Bucket=bucket, Key="k", Range="bytes=8-")["Body"].read() == b"89"
    assert refused(s3.get_object, Bucket=bucket, Key="k", Range="bytes=10-11") == ("InvalidRange", 416)


def test_a_checksum_is_kept_and_told_on_request(s3: "S3Client", bucket: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"one", ChecksumAlgorithm="SHA256")
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    expected = base64.b64encode(hashlib.sha256(b"one").digest()).decode()
    assert put["ChecksumSHA256"] == got["ChecksumSHA256"] == expected


def test_a_wrong_checksum_is_refused(s3: "S3Client", bucket: str) -> None:
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"one", ChecksumCRC32="AAAAAA==") == ("BadDigest", 400)
    assert refused(s3.get_object, Bucket=bucket, Key="k") == ("NoSuchKey", 404)


def test_a_wrong_md5_is_refused(s3: "S3Client", bucket: str) -> None:
    wrong = "XUFAKrxLKna5cZ2REBfFkg=="
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"one", ContentMD5=wrong) == ("BadDigest", 400)


def test_a_key_of_more_than_1024_bytes_is_refused(s3: "S3Client", bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k" * 1024, Body=b"")
    assert refused(s3.put_object, Bucket=bucket, Key="k" * 1025, Body=b"") == ("KeyTooLongError", 400)


# --- conditions ---


def test_if_none_match_creates_once(s3: "S3Client", bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"first", IfNoneMatch="*")
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"second", IfNoneMatch="*") == (
        "PreconditionFailed",
        412,
    )
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"first"


def test_if_match_updates_only_what_was_read(s3: "S3Client", bucket: str) -> None:
    read = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["ETag"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch=read)
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"3", IfMatch=read) == ("PreconditionFailed", 412)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"2"


def test_an_object_is_copied_as_it_is(s3: "S3Client", bucket: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="a b/é", Body=b"1", ContentType="application/json", Metadata={"m": "v"})
    source: Any = {"Bucket": bucket, "Key": "a b/é"}
    copied = s3.copy_object(Bucket=bucket, Key="k", CopySource=source, CopySourceIfMatch=put["ETag"])
    found = s3.get_object(Bucket=bucket, Key="k")
    assert (found["Body"].read(), found["ContentType"], found["Metadata"]) == (b"1", "application/json", {"m": "v"})
    assert copied["CopyObjectResult"]["ETag"] == found["ETag"]


def test_a_copy_of_what_has_changed_is_refused(s3: "S3Client", bucket: str) -> None:
    read = s3.put_object(Bucket=bucket, Key="a", Body=b"1")["ETag"]
    s3.put_object(Bucket=bucket, Key="a", Body=b"2")
    source: Any = {"Bucket": bucket, "Key": "a"}
    copy = {"Bucket": bucket, "Key": "k", "CopySource": source, "CopySourceIfMatch": read}
    assert refused(s3.copy_object, **copy) == ("PreconditionFailed", 412)


def test_a_copy_of_nothing_is_404(s3: "S3Client", bucket: str) -> None:
    source: Any = {"Bucket": bucket, "Key": "a"}
    assert refused(s3.copy_object, Bucket=bucket, Key="k", CopySource=source) == ("NoSuchKey", 404)


def test_a_copy_creates_once(s3: "S3Client", bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"1")
    source: Any = {"Bucket": bucket, "Key": "a"}
    s3.copy_object(Bucket=bucket, Key="k", CopySource=source, IfNoneMatch="*")
    copy = {"Bucket": bucket, "Key": "k", "CopySource": source, "IfNoneMatch": "*"}
    assert refused(s3.copy_object, **copy) == ("PreconditionFailed", 412)


def test_if_match_on_a_missing_key_is_404(s3: "S3Client", bucket: str) -> None:
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"1", IfMatch='"e"') == ("NoSuchKey", 404)


def test_a_condition_on_writing_that_s3_does_not_have_is_501(s3: "S3Client", bucket: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"1", IfNoneMatch=put["ETag"]) == ("NotImplemented", 501)


def test_a_delete_marker_counts_as_absent_for_conditional_writes(s3: "S3Client", versioned: str) -> None:
    etag = s3.put_object(Bucket=versioned, Key="k", Body=b"1")["ETag"]
    s3.delete_object(Bucket=versioned, Key="k")
    assert refused(s3.put_object, Bucket=versioned, Key="k", Body=b"2", IfMatch=etag) == ("NoSuchKey", 404)
    s3.put_object(Bucket=versioned, Key="k", Body=b"3", IfNoneMatch="*")
    assert s3.get_object(Bucket=versioned, Key="k")["Body"].read() == b"3"


def test_reading_with_if_none_match_is_304_while_unchanged(s3: "S3Client", bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["ETag"]
    assert refused(s3.get_object, Bucket=bucket, Key="k", IfNoneMatch=etag) == ("304", 304)
    assert refused(s3.head_object, Bucket=bucket, Key="k", IfNoneMatch=etag) == ("304", 304)
    s3.put_object(Bucket=bucket, Key="k", Body=b"2")
    assert s3.get_object(Bucket=bucket, Key="k", IfNoneMatch=etag)["Body"].read() == b"2"


def test_reading_with_if_match_is_412_when_changed(s3: "S3Client", bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["ETag"]
    assert s3.get_object(Bucket=bucket, Key="k", IfMatch=etag)["Body"].read() == b"1"
    assert refused(s3.get_object, Bucket=bucket, Key="k", IfMatch='"other"') == ("PreconditionFailed", 412)


def test_reading_by_date(s3: "S3Client", bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    assert refused(s3.get_object, Bucket=bucket, Key="k", IfModifiedSince=modified) == ("304", 304)
    long_ago = modified.replace(year=modified.year - 1, day=1)
    assert s3.get_object(Bucket=bucket, Key="k", IfModifiedSince=long_ago)["ContentLength"] == 1
    assert refused(s3.get_object, Bucket=bucket, Key="k", IfUnmodifiedSince=long_ago) == ("PreconditionFailed", 412)


def test_deleting_with_if_match_deletes_only_what_was_read(s3: "S3Client", bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["ETag"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"2")
    assert refused(s3.delete_object, Bucket=bucket, Key="k", IfMatch=etag) == ("PreconditionFailed", 412)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"2"
    s3.delete_object(Bucket=bucket, Key="k", IfMatch=s3.head_object(Bucket=bucket, Key="k")["ETag"])
    assert refused(s3.get_object, Bucket=bucket, Key="k") == ("NoSuchKey", 404)


def test_deleting_a_missing_key_succeeds_unless_a_condition_says_it_must_be_there(s3: "S3Client", bucket: str) -> None:
    assert s3.delete_object(Bucket=bucket, Key="none")["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(s3.delete_object, Bucket=bucket, Key="none", IfMatch='"e"') == ("NoSuchKey", 404)


def test_deleting_if_anything_is_there(s3: "S3Client", bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    s3.delete_object(Bucket=bucket, Key="k", IfMatch="*")
    assert refused(s3.head_object, Bucket=bucket, Key="k") == ("404", 404)


# --- listing ---


def test_a_listing_is_in_binary_order_and_tells_what_head_tells(s3: "S3Client", bucket: str) -> None:
    for key in ("b", "a/10", "a/9", "a", "Z", "ä"):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    page = s3.list_objects_v2(Bucket=bucket)
    assert keys(page) == ["Z", "a", "a/10", "a/9", "b", "ä"]
    assert (page["KeyCount"], page["IsTruncated"]) == (6, False)
    head = s3.head_object(Bucket=bucket, Key="ä")
    summary = page["Contents"][-1]
    assert (summary["ETag"], summary["Size"], summary["LastModified"]) == (head["ETag"], 2, head["LastModified"])


def test_pages_follow_each_other_without_gap_or_overlap(s3: "S3Client", bucket: str) -> None:
    names = sorted(f"p/{number}" for number in range(7))
    for name in [*names, "q", "o"]:
        s3.put_object(Bucket=bucket, Key=name, Body=b"")
    pages = list(
        s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="p/", PaginationConfig={"PageSize": 3})
    )
    assert [len(keys(page)) for page in pages] == [3, 3, 1]
    assert [key for page in pages for key in keys(page)] == names


def test_a_full_last_page_is_not_truncated(s3: "S3Client", bucket: str) -> None:
    for name in "ab":
        s3.put_object(Bucket=bucket, Key=name, Body=b"")
    page = s3.list_objects_v2(Bucket=bucket, MaxKeys=2)
    assert (keys(page), page["IsTruncated"]) == (["a", "b"], False)


def test_a_delimiter_rolls_keys_up(s3: "S3Client", bucket: str) -> None:
    for key in ("a", "b/1", "b/2", "c/1", "d"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    page = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert keys(page) == ["a", "d"]
    assert [entry["Prefix"] for entry in page["CommonPrefixes"]] == ["b/", "c/"]
    assert page["KeyCount"] == 4


def test_rolled_up_pages_name_each_prefix_once(s3: "S3Client", bucket: str) -> None:
    for key in ("a", "b/1", "b/2", "b/3", "c/1", "c/2", "d"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    paginator = s3.get_paginator("list_objects_v2")
    seen: list[str] = []
    for page in paginator.paginate(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 1}):
        seen += keys(page) + [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
    assert seen == ["a", "b/", "c/", "d"]


def test_start_after_begins_behind_a_key(s3: "S3Client", bucket: str) -> None:
    for key in ("a", "b", "c"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    assert keys(s3.list_objects_v2(Bucket=bucket, StartAfter="a")) == ["b", "c"]
    assert keys(s3.list_objects_v2(Bucket=bucket, StartAfter="aa", MaxKeys=1)) == ["b"]


def test_a_listing_without_keys_is_empty(s3: "S3Client", bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    page = s3.list_objects_v2(Bucket=bucket, MaxKeys=0)
    assert (keys(page), page["KeyCount"], page["IsTruncated"]) == ([], 0, False)


def test_a_wrong_continuation_token_is_refused(s3: "S3Client", bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    assert refused(s3.list_objects_v2, Bucket=bucket, ContinuationToken="nonsense") == ("InvalidArgument", 400)


def test_names_that_xml_cannot_hold_survive_listing(s3: "S3Client", bucket: str) -> None:
    odd = "a\x01b<&>\"' %2F+ü"
    s3.put_object(Bucket=bucket, Key=odd, Body=b"")
    assert keys(s3.list_objects_v2(Bucket=bucket)) == [odd]


# --- deleting many ---


def test_delete_objects_deletes_and_names_what_it_deleted(s3: "S3Client", bucket: str) -> None:
    for key in ("a", "b", "c"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a"}, {"Key": "b"}, {"Key": "none"}]})
    assert sorted(entry["Key"] for entry in answer["Deleted"]) == ["a", "b", "none"]
    assert answer.get("Errors", []) == []
    assert keys(s3.list_objects_v2(Bucket=bucket)) == ["c"]


def test_quiet_delete_objects_names_only_errors(s3: "S3Client", bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a"}], "Quiet": True})
    assert answer.get("Deleted", []) == []
    assert keys(s3.list_objects_v2(Bucket=bucket)) == []


def test_delete_objects_takes_a_condition_for_each_key(s3: "S3Client", bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="a", Body=b"1")["ETag"]
    s3.put_object(Bucket=bucket, Key="b", Body=b"1")
    objects: list[ObjectIdentifierTypeDef] = [{"Key": "a", "ETag": etag}, {"Key": "b", "ETag": '"other"'}]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects})
    assert [entry["Key"] for entry in answer["Deleted"]] == ["a"]
    assert [(entry["Key"], entry["Code"]) for entry in answer["Errors"]] == [("b", "PreconditionFailed")]


def test_delete_objects_takes_at_most_1000_keys(s3: "S3Client", bucket: str) -> None:
    objects = [{"Key": str(number)} for number in range(1001)]
    assert refused(s3.delete_objects, Bucket=bucket, Delete={"Objects": objects}) == ("MalformedXML", 400)


# --- versions ---


def test_a_versioned_bucket_keeps_every_write(s3: "S3Client", versioned: str) -> None:
    first = s3.put_object(Bucket=versioned, Key="k", Body=b"1")["VersionId"]
    second = s3.put_object(Bucket=versioned, Key="k", Body=b"2")["VersionId"]
    assert s3.get_object(Bucket=versioned, Key="k")["Body"].read() == b"2"
    assert s3.get_object(Bucket=versioned, Key="k", VersionId=first)["Body"].read() == b"1"
    listed = s3.list_object_versions(Bucket=versioned)["Versions"]
    assert [(entry["VersionId"], entry["IsLatest"]) for entry in listed] == [(second, True), (first, False)]


def test_deleting_in_a_versioned_bucket_leaves_a_marker(s3: "S3Client", versioned: str) -> None:
    version = s3.put_object(Bucket=versioned, Key="k", Body=b"1")["VersionId"]
    deletion = s3.delete_object(Bucket=versioned, Key="k")
    assert deletion["DeleteMarker"] is True
    with pytest.raises(ClientError) as caught:
        s3.get_object(Bucket=versioned, Key="k")
    assert caught.value.response["Error"]["Code"] == "NoSuchKey"
    assert caught.value.response["ResponseMetadata"]["HTTPHeaders"]["x-amz-delete-marker"] == "true"
    assert keys(s3.list_objects_v2(Bucket=versioned)) == []
    listing = s3.list_object_versions(Bucket=versioned)
    assert [entry["VersionId"] for entry in listing["Versions"]] == [version]
    assert [(e["VersionId"], e["IsLatest"]) for e in listing["DeleteMarkers"]] == [(deletion["VersionId"], True)]


def test_removing_the_marker_brings_the_object_back(s3: "S3Client", versioned: str) -> None:
    s3.put_object(Bucket=versioned, Key="k", Body=b"1")
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    removal = s3.delete_object(Bucket=versioned, Key="k", VersionId=marker)
    assert (removal["VersionId"], removal["DeleteMarker"]) == (marker, True)
    assert s3.get_object(Bucket=versioned, Key="k")["Body"].read() == b"1"


def test_removing_a_version_is_for_good(s3: "S3Client", versioned: str) -> None:
    first = s3.put_object(Bucket=versioned, Key="k", Body=b"1")["VersionId"]
    s3.put_object(Bucket=versioned, Key="k", Body=b"2")
    s3.delete_object(Bucket=versioned, Key="k", VersionId=first)
    assert refused(s3.get_object, Bucket=versioned, Key="k", VersionId=first) == ("NoSuchVersion", 404)
    assert s3.get_object(Bucket=versioned, Key="k")["Body"].read() == b"2"


def test_a_marker_itself_cannot_be_read(s3: "S3Client", versioned: str) -> None:
    s3.put_object(Bucket=versioned, Key="k", Body=b"1")
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    assert refused(s3.get_object, Bucket=versioned, Key="k", VersionId=marker) == ("MethodNotAllowed", 405)


def test_delete_objects_removes_versions(s3: "S3Client", versioned: str) -> None:
    ids = [s3.put_object(Bucket=versioned, Key="k", Body=b"1")["VersionId"] for _ in range(3)]
    answer = s3.delete_objects(Bucket=versioned, Delete={"Objects": [{"Key": "k", "VersionId": ids[0]}, {"Key": "k"}]})
    deleted = answer["Deleted"]
    assert deleted[0]["VersionId"] == ids[0]
    assert (deleted[1]["DeleteMarker"], "VersionId" in deleted[1]) == (True, False)
    listing = s3.list_object_versions(Bucket=versioned)
    assert [entry["VersionId"] for entry in listing["Versions"]] == [ids[2], ids[1]]
    assert [entry["VersionId"] for entry in listing["DeleteMarkers"]] == [deleted[1]["DeleteMarkerVersionId"]]


def test_version_pages_follow_each_other_without_gap_or_overlap(s3: "S3Client", versioned: str) -> None:
    written = [
        (key, s3.put_object(Bucket=versioned, Key=key, Body=b"")["VersionId"]) for key in ("a", "a", "a", "b", "c", "c")
    ]
    paginator = s3.get_paginator("list_object_versions")
    pages = list(paginator.paginate(Bucket=versioned, PaginationConfig={"PageSize": 2}))
    seen = [(entry["Key"], entry["VersionId"]) for page in pages for entry in page.get("Versions", [])]
    assert len(pages) == 3
    assert sorted(seen) == sorted(written)
    assert [key for key, _ in seen] == ["a", "a", "a", "b", "c", "c"]
    assert seen[0] == written[2]


def test_what_was_there_before_versioning_is_the_null_version(s3: "S3Client", bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"before")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=bucket, Key="k", Body=b"after")
    assert s3.get_object(Bucket=bucket, Key="k", VersionId="null")["Body"].read() == b"before"


def test_suspended_versioning_overwrites_only_the_null_version(s3: "S3Client", versioned: str) -> None:
    kept = s3.put_object(Bucket=versioned, Key="k", Body=b"kept")["VersionId"]
    s3.put_bucket_versioning(Bucket=versioned, VersioningConfiguration={"Status": "Suspended"})
    for body in (b"1", b"2"):
        s3.put_object(Bucket=versioned, Key="k", Body=body)
    listed = s3.list_object_versions(Bucket=versioned)["Versions"]
    assert [entry["VersionId"] for entry in listed] == ["null", kept]
    assert s3.get_object(Bucket=versioned, Key="k")["Body"].read() == b"2"


# --- buckets ---


def test_a_bucket_with_content_cannot_be_deleted(s3: "S3Client", bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    assert refused(s3.delete_bucket, Bucket=bucket) == ("BucketNotEmpty", 409)
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)
    assert refused(s3.head_bucket, Bucket=bucket) == ("404", 404)


def test_a_bucket_tells_whether_it_is_versioned(s3: "S3Client", bucket: str) -> None:
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"


def test_creating_ones_own_bucket_again_succeeds_in_us_east_1(s3: "S3Client", bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"kept")
    s3.create_bucket(Bucket=bucket)
    assert bucket in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]
    assert keys(s3.list_objects_v2(Bucket=bucket)) == ["k"]
