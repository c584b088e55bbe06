"""The S3 stand-in's own doings: clock, latency, faults, lifecycle, log, raw HTTP, and a process of its own."""

import http.client
import json
import subprocess
import sys
import threading
import time
import zlib
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ResponseStreamingError, SSLError

from bench.stand_in import StandIn
from tests.doubles.s3.lifecycle import removal_time
from tests.doubles.s3.request_log import LogEntry, rounds
from tests.doubles.s3_server import Fault, S3Server, SettableClock
from tests.doubles.tls import Authority

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ONCE = Config(retries={"total_max_attempts": 1}, max_pool_connections=64)
NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)


@pytest.fixture
def server() -> Iterator[S3Server]:
    with S3Server(buckets=["bucket"], clock=SettableClock(NOON.timestamp())) as running:
        yield running


@pytest.fixture
def s3(server: S3Server) -> "S3Client":
    return server.client(config=ONCE)


def put(s3: "S3Client", key: str = "k", body: bytes = b"1", **more: Any) -> Any:
    return s3.put_object(Bucket="bucket", Key=key, Body=body, **more)


def get(s3: "S3Client", key: str = "k") -> bytes:
    return s3.get_object(Bucket="bucket", Key=key)["Body"].read()


# --- clock and ETags ---


def test_dates_come_from_the_servers_clock(server: S3Server, s3: "S3Client") -> None:
    answer = put(s3)
    assert answer["ResponseMetadata"]["HTTPHeaders"]["date"] == "Thu, 15 Jan 2026 12:00:00 GMT"
    server.clock.advance(90.7)
    put(s3, "later")
    assert s3.head_object(Bucket="bucket", Key="k")["LastModified"] == NOON
    # Whole seconds, cut off: S3 keeps no fractions.
    assert s3.list_objects_v2(Bucket="bucket")["Contents"][1]["LastModified"] == NOON + timedelta(seconds=90)


def test_a_clock_let_go_runs_with_the_system() -> None:
    clock = SettableClock(5.0)
    assert clock.advance(2.5) == clock() == 7.5
    clock.set(None)
    assert abs(clock() - datetime.now(UTC).timestamp()) < 60


def test_md5_etags_are_equal_for_equal_bytes_and_random_ones_never(s3: "S3Client") -> None:
    assert put(s3)["ETag"] == put(s3)["ETag"]
    with S3Server(buckets=["bucket"], etags="random") as kms:
        client = kms.client(config=ONCE)
        first, second = put(client), put(client)
    assert first["ETag"] != second["ETag"]
    assert first["ServerSideEncryption"] == "aws:kms"


def test_without_permission_to_list_a_missing_key_is_forbidden() -> None:
    with S3Server(buckets=["bucket"], listing_allowed=False) as server:
        s3 = server.client(config=ONCE)
        for call in (lambda: get(s3), lambda: s3.list_objects_v2(Bucket="bucket")):
            with pytest.raises(ClientError, match="AccessDenied"):
                call()
        put(s3)
        assert get(s3) == b"1"


# --- latency ---


def test_latency_is_waited_out_for_each_request_and_shared_by_requests_at_once(
    server: S3Server, s3: "S3Client"
) -> None:
    server.set_latency({"GET": 0.05})
    server.store.put("bucket", "k", b"1")
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: get(s3), range(16)))
    entries = server.log.take()
    assert all(entry.finished - entry.started >= 0.05 for entry in entries)
    # One after the other they would take as long as all of them together.
    together = sum(entry.finished - entry.started for entry in entries)
    assert max(entry.finished for entry in entries) - min(entry.started for entry in entries) < together / 2
    get(s3)
    get(s3)
    assert rounds(server.log.entries) == 2


def test_latency_for_an_unknown_verb_is_refused(server: S3Server) -> None:
    with pytest.raises(ValueError, match="PTU"):
        server.set_latency({"PTU": 1})


def test_rounds_count_what_had_to_wait_for_something_else() -> None:
    def entry(started: float, finished: float) -> LogEntry:
        return LogEntry("GET", "b", "k", 200, 0, 0, 0.0, started, finished)

    assert rounds([]) == 0
    assert rounds([entry(0, 5), entry(1, 6), entry(2, 7)]) == 1
    assert rounds([entry(0, 5), entry(1, 6), entry(5, 9)]) == 2
    assert rounds([entry(0, 1), entry(1, 2), entry(2, 3)]) == 3


# --- faults ---


def test_an_error_before_the_write_leaves_nothing(server: S3Server, s3: "S3Client") -> None:
    rule = server.faults.add(Fault("error", verb="PUT", code="SlowDown"))
    with pytest.raises(ClientError, match="SlowDown") as caught:
        put(s3)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert server.objects("bucket") == {}
    assert (rule.seen, rule.fired) == (1, 1)
    put(s3)
    assert server.objects("bucket") == {"k": b"1"}


def test_an_error_after_the_write_leaves_it(server: S3Server, s3: "S3Client") -> None:
    server.faults.add(Fault("error", verb="PUT", code="InternalError", applied=True))
    with pytest.raises(ClientError, match="InternalError"):
        put(s3)
    assert server.objects("bucket") == {"k": b"1"}


def test_a_conflict_is_409(server: S3Server, s3: "S3Client") -> None:
    server.faults.add(Fault("error", verb="PUT", code="ConditionalRequestConflict"))
    with pytest.raises(ClientError) as caught:
        put(s3, IfNoneMatch="*")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 409


@pytest.mark.parametrize(("applied", "left"), [(False, {}), (True, {"k": b"1"})])
def test_a_dropped_connection_hides_whether_the_write_was_applied(
    server: S3Server, s3: "S3Client", applied: bool, left: dict[str, bytes]
) -> None:
    server.faults.add(Fault("drop", verb="PUT", applied=applied))
    with pytest.raises(ConnectionClosedError):
        put(s3)
    assert server.objects("bucket") == left
    assert [(entry.status, entry.fault) for entry in server.log.entries] == [(0, "drop")]


def test_boto3_retries_a_dropped_answer_into_a_failed_condition(server: S3Server) -> None:
    server.faults.add(Fault("drop", verb="PUT", applied=True))
    with pytest.raises(ClientError, match="PreconditionFailed"):
        put(server.client(), IfNoneMatch="*")
    assert server.objects("bucket") == {"k": b"1"}
    assert [entry.status for entry in server.log.entries] == [0, 412]


def test_an_answer_cut_in_the_middle_is_noticed(server: S3Server, s3: "S3Client") -> None:
    put(s3, body=b"x" * 10_000)
    server.faults.add(Fault("cut", verb="GET"))
    with pytest.raises(ResponseStreamingError):
        get(s3)
    assert get(s3) == b"x" * 10_000


def test_a_rule_acts_on_the_requests_it_names_and_no_others(server: S3Server, s3: "S3Client") -> None:
    rule = server.faults.add(Fault("error", verb="PUT", key="a/*/message_*.json", nth=2, times=2))
    outcomes = []
    for key in ("a/b/message_0.json", "b/message_1.json", *(f"a/b/c/message_{n}.json" for n in (1, 2, 3))):
        try:
            put(s3, key)
            outcomes.append("stored")
        except ClientError:
            outcomes.append("refused")
    assert outcomes == ["stored", "stored", "refused", "refused", "stored"]
    assert (rule.seen, rule.fired) == (4, 2)


def test_a_rule_without_end_acts_until_cleared(server: S3Server, s3: "S3Client") -> None:
    server.faults.add(Fault("error", verb="LIST", times=None))
    for _ in range(3):
        with pytest.raises(ClientError):
            s3.list_objects_v2(Bucket="bucket", Prefix="p")
    server.faults.clear()
    assert s3.list_objects_v2(Bucket="bucket", Prefix="p")["KeyCount"] == 0


@pytest.mark.parametrize(("applied", "seen_while_held"), [(False, {}), (True, {"k": b"1"})])
def test_a_held_request_waits_until_it_is_released(
    server: S3Server, s3: "S3Client", applied: bool, seen_while_held: dict[str, bytes]
) -> None:
    rule = server.faults.add(Fault("hold", verb="PUT", applied=applied))
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(put, s3)
        assert rule.arrived.wait(10)
        assert server.objects("bucket") == seen_while_held
        assert not writing.done()
        rule.release()
        assert writing.result(10)["ETag"]
    assert server.objects("bucket") == {"k": b"1"}


def test_a_callback_runs_when_its_request_comes(server: S3Server, s3: "S3Client") -> None:
    seen: list[tuple[str, dict[str, bytes]]] = []
    for applied in (False, True):
        callback = lambda request: seen.append((request.key, server.objects("bucket")))  # noqa: E731
        server.faults.add(Fault("call", verb="PUT", key=f"k{applied:d}", applied=applied, callback=callback))
    put(s3, "k0")
    put(s3, "k1")
    assert seen == [("k0", {}), ("k1", {"k0": b"1", "k1": b"1"})]


def test_a_failing_callback_drops_the_connection(server: S3Server, s3: "S3Client") -> None:
    server.faults.add(Fault("call", verb="PUT", callback=lambda _request: 1 / 0))  # type: ignore[arg-type]  # never returns
    with pytest.raises(ConnectionClosedError):
        put(s3)


def test_a_delay_comes_on_top_of_the_latency(server: S3Server, s3: "S3Client") -> None:
    put(s3)
    server.set_latency({"GET": 0.02})
    server.faults.add(Fault("delay", verb="GET", seconds=0.05))
    server.log.take()
    get(s3)
    (entry,) = server.log.entries
    assert entry.finished - entry.started >= 0.07


def test_single_keys_of_delete_objects_can_fail(server: S3Server, s3: "S3Client") -> None:
    put(s3, "a")
    put(s3, "b")
    server.faults.add(Fault("key_error", key="b", code="AccessDenied"))
    answer = s3.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "a"}, {"Key": "b"}], "Quiet": True})
    assert [(entry["Key"], entry["Code"]) for entry in answer["Errors"]] == [("b", "AccessDenied")]
    assert list(server.objects("bucket")) == ["b"]


@pytest.mark.parametrize("wrong", [{"action": "error", "nth": 0}, {"action": "drop", "times": 0}, {"action": "call"}])
def test_a_rule_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Fault(**wrong)


# --- lifecycle ---


@pytest.mark.parametrize(
    ("written", "days", "removed"),
    [
        (NOON, 3, datetime(2026, 1, 19, tzinfo=UTC)),
        (datetime(2026, 1, 15, 0, 0, 1, tzinfo=UTC), 1, datetime(2026, 1, 17, tzinfo=UTC)),
        (datetime(2026, 1, 15, tzinfo=UTC), 1, datetime(2026, 1, 16, tzinfo=UTC)),
        (datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC), 30, datetime(2027, 1, 31, tzinfo=UTC)),
    ],
)
def test_an_objects_age_is_rounded_up_to_midnight_utc(written: datetime, days: int, removed: datetime) -> None:
    assert removal_time(int(written.timestamp()), days) == removed.timestamp()


def test_each_object_expires_by_its_own_age(server: S3Server, s3: "S3Client") -> None:
    put(s3, "old")
    server.clock.advance(86_400)
    put(s3, "young")
    due = datetime(2026, 1, 17, tzinfo=UTC).timestamp()
    assert server.expire("bucket", days=1, now=due - 1).objects == ()
    assert server.expire("bucket", days=1, now=due, prefix="other").objects == ()
    assert server.expire("bucket", days=1, now=due).objects == ("old",)
    assert list(server.objects("bucket")) == ["young"]
    server.clock.set(due + 86_400)
    assert server.expire("bucket", days=1).objects == ("young",)


def test_in_a_versioned_bucket_expiry_leaves_a_marker_and_old_versions_have_their_own_rule(
    server: S3Server, s3: "S3Client"
) -> None:
    s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
    version = put(s3)["VersionId"]
    server.clock.advance(30 * 86_400)
    assert server.expire("bucket", days=1).objects == ("k",)
    assert server.objects("bucket") == {}
    assert s3.get_object(Bucket="bucket", Key="k", VersionId=version)["Body"].read() == b"1"
    # The version became noncurrent only now.
    assert server.expire("bucket", days=1, noncurrent_days=1).versions == ()
    server.clock.advance(2 * 86_400)
    expired = server.expire("bucket", days=1, noncurrent_days=1, drop_lone_markers=True)
    assert expired.versions[0] == ("k", version)
    assert server.store.bucket("bucket").keys == []


# --- log ---


def test_the_log_tells_what_was_asked_and_how_much_went_over_the_wire(server: S3Server, s3: "S3Client") -> None:
    put(s3, "p/k", b"12345", IfNoneMatch="*")
    get(s3, "p/k")
    s3.list_objects_v2(Bucket="bucket", Prefix="p/")
    s3.list_object_versions(Bucket="bucket", Prefix="p/")
    s3.head_object(Bucket="bucket", Key="p/k")
    s3.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "p/k"}]})
    s3.delete_object(Bucket="bucket", Key="p/k")
    entries = server.log.take()
    assert [(entry.verb, entry.key, entry.status) for entry in entries] == [
        ("PUT", "p/k", 200),
        ("GET", "p/k", 200),
        ("LIST", "p/", 200),
        ("LIST_VERSIONS", "p/", 200),
        ("HEAD", "p/k", 200),
        ("DELETE_OBJECTS", "", 200),
        ("DELETE", "p/k", 204),
    ]
    assert (entries[0].bytes_in, entries[0].condition, entries[1].bytes_out) == (5, "If-None-Match", 5)
    assert entries[4].bytes_out == entries[6].bytes_out == 0
    assert entries[0].time == NOON.timestamp()
    assert server.log.entries == []


# --- raw HTTP ---


def raw(server: S3Server, method: str, target: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
    connection.request(method, target, body, {name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


def chunked(content: bytes, checksum: bytes, *, signature: str = "") -> bytes:
    middle = len(content) // 2
    chunks = b"".join(
        f"{len(part):x}{signature}\r\n".encode() + part + b"\r\n"
        for part in (content[:middle], content[middle:])
        if part
    )
    return chunks + f"0{signature}\r\n".encode() + b"x-amz-checksum-crc32:" + checksum + b"\r\n\r\n"


@pytest.mark.parametrize("signature", ["", ";chunk-signature=" + "0" * 64])
def test_chunked_uploads_with_trailing_checksums_are_undone(server: S3Server, signature: str) -> None:
    content = b"line one\r\nline two" * 100
    checksum = b64encode(zlib.crc32(content).to_bytes(4, "big"))
    headers = {
        "content-encoding": "aws-chunked",
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length": str(len(content)),
        "x-amz-trailer": "x-amz-checksum-crc32",
    }
    status, _ = raw(server, "PUT", "/bucket/k", chunked(content, checksum, signature=signature), **headers)
    assert status == 200
    stored = server.store.get("bucket", "k")
    assert stored.body == content
    assert "content-encoding" not in stored.headers
    assert stored.checksums == {"x-amz-checksum-crc32": checksum.decode()}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"body": chunked(b"other content", b"AAAAAA==")}, b"BadDigest"),
        ({"x-amz-decoded-content-length": "99"}, b"IncompleteBody"),
        ({"body": b"d\r\nhalf a chunk"}, b"IncompleteBody"),
        ({"body": b"zz\r\n"}, b"IncompleteBody"),
        ({"x-amz-trailer": "x-amz-checksum-sha256"}, b"InvalidRequest"),
    ],
)
def test_a_damaged_chunked_upload_is_refused(server: S3Server, change: dict[str, Any], code: bytes) -> None:
    content = b"other content"
    headers = {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length": str(len(content)),
        "x-amz-trailer": "x-amz-checksum-crc32",
        **change,
    }
    body = headers.pop("body", chunked(content, b64encode(zlib.crc32(content).to_bytes(4, "big"))))
    status, answer = raw(server, "PUT", "/bucket/k", body, **headers)
    assert (status, b"<Code>" + code + b"</Code>" in answer) == (400, True)
    assert server.objects("bucket") == {}


# Check values of the catalogue of parametrised CRC algorithms, for "123456789".
@pytest.mark.parametrize(("name", "check"), [("crc32c", 0xE3069283), ("crc64nvme", 0xAE8B14860A799888)])
def test_crcs_that_the_standard_library_does_not_have_are_verified(server: S3Server, name: str, check: int) -> None:
    value = b64encode(check.to_bytes(4 if name == "crc32c" else 8, "big")).decode()
    assert raw(server, "PUT", "/bucket/k", b"123456789", **{f"x-amz-checksum-{name}": value})[0] == 200
    assert raw(server, "PUT", "/bucket/k", b"12345678", **{f"x-amz-checksum-{name}": value})[0] == 400


def test_delete_objects_insists_on_a_digest(server: S3Server) -> None:
    body = b"<Delete><Object><Key>k</Key></Object></Delete>"
    status, answer = raw(server, "POST", "/bucket?delete", body)
    assert (status, b"Content-MD5" in answer) == (400, True)


@pytest.mark.parametrize(
    ("method", "target"),
    [("GET", "/bucket?lifecycle"), ("PUT", "/bucket?policy"), ("GET", "/bucket"), ("PUT", "/bucket/k?tagging")],
)
def test_what_this_s3_cannot_do_it_says(server: S3Server, method: str, target: str) -> None:
    status, answer = raw(server, method, target)
    assert (status, b"<Code>NotImplemented</Code>" in answer) == (501, True)


def test_a_copy_has_the_content_and_keeps_both_conditions(server: S3Server) -> None:
    s3 = server.client(config=ONCE)
    etag = s3.put_object(Bucket="bucket", Key="k y", Body=b"1", ContentType="application/json")["ETag"]
    wanted: Any = {"Bucket": "bucket", "CopySource": {"Bucket": "bucket", "Key": "k y"}, "IfNoneMatch": "*"}

    copied = s3.copy_object(**wanted, Key="copy", CopySourceIfMatch=etag)
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.copy_object(**wanted, Key="copy")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.copy_object(**wanted, Key="another", CopySourceIfMatch='"stale"')

    found = s3.get_object(Bucket="bucket", Key="copy")
    assert (found["Body"].read(), found["ContentType"]) == (b"1", "application/json")
    assert copied["CopyObjectResult"]["ETag"] == found["ETag"] == etag
    assert list(server.objects("bucket")) == ["copy", "k y"]


def test_one_connection_carries_many_requests(server: S3Server) -> None:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
    for number in range(5):
        connection.request("PUT", f"/bucket/{number}", b"x" * number)
        assert connection.getresponse().read() == b""
        connection.request("HEAD", f"/bucket/{number}")
        response = connection.getresponse()
        assert (response.read(), response.headers["content-length"]) == (b"", str(number))
        connection.request("GET", "/bucket/none")
        assert b"NoSuchKey" in connection.getresponse().read()
    assert len({id(c) for c in server._front._opened}) == 1


def test_stopping_lets_everybody_go() -> None:
    with S3Server(buckets=["bucket"]) as server:
        held = [server.faults.add(Fault("hold", verb=verb)) for verb in ("GET", "PUT")]
        s3 = server.client(config=ONCE)
        failures: list[Exception] = []

        def expect_failure(call: Any) -> None:
            try:
                call(s3)
            except ConnectionClosedError as error:
                failures.append(error)

        waiting = [threading.Thread(target=expect_failure, args=(call,)) for call in (get, put)]
        for thread in waiting:
            thread.start()
        assert all(rule.arrived.wait(10) for rule in held)
    for thread in waiting:
        thread.join(10)
    assert not any(thread.is_alive() for thread in waiting)
    assert len(failures) == 2


# --- a process of its own ---


def test_a_process_of_its_own_is_steered_over_http() -> None:
    command = [
        sys.executable,
        "-m",
        "tests.doubles.s3_server",
        "--bucket",
        "bucket",
        "--latency",
        "get=1",
        "--etags",
        "random",
    ]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        announced = json.loads(process.stdout.readline())

        def ask(method: str, path: str, body: Any = None) -> Any:
            data = None if body is None else json.dumps(body).encode()
            request = Request(f"{announced['control']}/{path}", data, method=method)  # noqa: S310  # our own server
            with urlopen(request) as response:  # noqa: S310
                return json.load(response)

        s3 = S3Server.connect(announced["url"], config=ONCE)
        assert ask("POST", "clock", {"now": NOON.timestamp()}) == {"now": NOON.timestamp()}
        first = put(s3)
        assert s3.head_object(Bucket="bucket", Key="k")["LastModified"] == NOON
        ask("POST", "faults", {"action": "error", "verb": "PUT", "code": "InternalError"})
        with pytest.raises(ClientError, match="InternalError"):
            put(s3)
        assert ask("GET", "faults")[0]["fired"] == 1
        assert put(s3)["ETag"] != first["ETag"]
        assert [entry["verb"] for entry in ask("DELETE", "log")] == ["PUT", "HEAD", "PUT", "PUT"]
        state = ask("GET", "state")
        assert (state["latency"], state["buckets"]) == ({"GET": 0.001}, {"bucket": {"objects": 1, "bytes": 1}})
        ask("POST", "clock", {"advance": 5 * 86_400})
        assert ask("POST", "expire", {"bucket": "bucket", "days": 1})["objects"] == ["k"]
        put(s3, "kept")
        ask("POST", "copy", {"source": "bucket", "target": "twin"})
        put(s3, "only-here")
        assert [entry["Key"] for entry in s3.list_objects_v2(Bucket="twin")["Contents"]] == ["kept"]
        ask("POST", "reset")
        assert ask("GET", "state")["buckets"] == {"bucket": {"objects": 0, "bytes": 0}}
        # The end of its standard input is the end of the server: no orphans.
        process.communicate(timeout=30)
        assert process.returncode == 0


# --- TLS ---


def test_with_tls_it_is_the_same_store_and_every_handshake_is_noted(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with S3Server(buckets=["bucket"], tls=authority.server_context()) as server:
        trusting = S3Server.connect(server.tls_url, config=ONCE, verify=str(authority.bundle))
        put(server.client(config=ONCE), body=b"without TLS")

        assert [get(trusting), get(trusting)] == [b"without TLS", b"without TLS"]
        assert len(server.handshakes) == 1
        with pytest.raises(SSLError):  # botocore's own bundle knows nothing of the authority
            get(S3Server.connect(server.tls_url, config=ONCE))


def test_a_process_of_its_own_announces_where_it_speaks_tls_and_hands_out_its_handshakes(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with StandIn(tls=authority.server_file) as stand_in:
        stand_in.client().create_bucket(Bucket="bucket")
        trusting = S3Server.connect(stand_in.tls_url, verify=str(authority.bundle))
        began = time.monotonic()
        put(trusting)

        (ready,) = stand_in.take_handshakes()
        assert began < ready < time.monotonic()
        assert stand_in.take_handshakes() == []
