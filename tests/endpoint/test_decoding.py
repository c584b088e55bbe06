"""The HTTP door decodes once, strictly: what cannot be decoded exactly is refused, and no two ids become one."""

import base64
import itertools
import json
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import TOTAL
from tests.endpoint.function import ALICE, Answer, Caller, Context, Function, http_event
from tests.endpoint.one_process import _fresh_processes, one_process  # noqa: F401 - fixtures

ROUTES = (("GET", ""), ("DELETE", ""), ("GET", "/messages"), ("POST", "/messages"))


@dataclass
class Visitor(Function):
    """A caller of its own, with no sessions yet, of the one process that serves all of these tests."""

    caller: Caller = ALICE

    def event(self, method: str, path: str, body: Any = None, **options: Any) -> dict[str, Any]:
        return http_event(method, path, body, caller=self.caller, **options)

    def send(self, event: dict[str, Any]) -> Answer:
        response = self.invoke(event, Context())
        json.dumps(response)  # what the runtime does with it
        headers = {name.lower(): value for name, value in response["headers"].items()}
        return Answer(response["statusCode"], headers, response["body"] or "")

    def http(self, method: str, path: str, body: Any = None, context: Context | None = None, **event: Any) -> Answer:
        return super().http(method, path, body, context, **{"caller": self.caller, **event})


@pytest.fixture
def function(process: Function) -> Iterator[Visitor]:
    """A visitor. After the test it is answered again: nothing is left half done."""
    visitor = Visitor(process.environment, process.models, None, process.module, Caller(f"AROA{next(_numbers)}"))
    yield visitor
    assert visitor.say("Next", "afterwards").status == 200


_numbers = itertools.count(1)


def sessions_of(function: Visitor) -> list[str]:
    listed: list[str] = function.http("GET", "/sessions").json["session_ids"]
    return listed


UNDECODABLE = [
    "caf%E9",
    "caf%E8",
    "%FF",
    "%80",
    "%C3",
    "%C0%AF",
    "%E0%80%AF",
    "%C1%81",
    "%ED%A0%80",
    "%ED%A0%BD%ED%B8%80",
    "%F4%90%80%80",
    "%",
    "%4",
    "a%zz",
    "a%2",
    "%%34%31",
    "%u0041",
    "caf\ud83d",
]
REFUSED = ["%EF%BF%BD", "caf%EF%BF%BD", "caf\ufffd", "%25", "a%2541", "a%252Fb", "%2e", "%2E%2e", "a%00", "a%0A", "%20"]


class TestPaths:
    @pytest.mark.parametrize("session_id", UNDECODABLE + REFUSED)
    def test_an_id_that_cannot_be_decoded_exactly_is_refused_by_every_route(
        self, session_id: str, function: Visitor
    ) -> None:
        for method, rest in ROUTES:
            body = {"prompt": "Hi"} if method == "POST" else None
            refused = function.http(method, f"/sessions/{session_id}{rest}", body)

            assert (refused.status, refused.problem) == (422, "invalid-request"), (method, rest, refused.text)
            assert refused.json["errors"][0]["location"] in {"path.session_id", "path"}
        assert sessions_of(function) == []

    def test_what_is_no_text_is_not_shown_as_text(self, function: Visitor) -> None:
        assert function.http("GET", "/sessions/caf%E9").json["session_id"] is None
        assert function.http("GET", "/sessions/caf%C3%A9").json["session_id"] == "café"

    @pytest.mark.parametrize(
        ("raw", "session_id"),
        [
            ("caf%C3%A9", "café"),
            ("caf%c3%a9", "café"),
            ("café", "café"),
            ("a%20b", "a b"),
            ("a b", "a b"),
            ("a+b", "a+b"),
            ("a%2Bb", "a+b"),
            ("%61bc", "abc"),
            ("a%22b%23c%3Fd%60e", 'a"b#c?d`e'),
            ('a"b#c`e', 'a"b#c`e'),
            ("a;b,c=d&e", "a;b,c=d&e"),
            ("%F0%9F%98%80", "\N{GRINNING FACE}"),
            ("...", "..."),
            ("%E2%80%8B", "\N{ZERO WIDTH SPACE}"),
        ],
    )
    def test_an_id_is_what_its_encoding_says(self, raw: str, session_id: str, function: Visitor) -> None:
        first = function.say("Hi", raw)
        again = function.say("Hi", quote(session_id, safe=""))

        assert first.json["session_id"] == again.json["session_id"] == session_id
        assert again.json["restored_messages"] == 2
        assert sessions_of(function) == [session_id]

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")),
            ("K", "\N{KELVIN SIGN}"),
            ("Ada", "ada"),
            ("a", "а"),  # noqa: RUF001 - the second is Cyrillic
            ("fi", "\N{LATIN SMALL LIGATURE FI}"),
            ("a", "a "),
            ("a b", "a+b"),
            ("a", "a\N{ZERO WIDTH SPACE}"),
        ],
    )
    def test_ids_that_look_alike_are_two_sessions(self, one: str, other: str, function: Visitor) -> None:
        for session_id in (one, other):
            reply = function.reply("Hi", quote(session_id, safe=""))
            assert (reply["session_id"], reply["restored_messages"]) == (session_id, 0)

        assert sorted(sessions_of(function)) == sorted([one, other])
        assert function.http("DELETE", f"/sessions/{quote(one)}").status == 204
        assert sessions_of(function) == [other]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.text(st.sampled_from("aé%25E9C3\u0301\ufffd +.\ud83d/\\"), min_size=1, max_size=8))
def test_whatever_stands_in_a_path_is_one_session_of_exactly_that_id_or_refused(raw: str, function: Visitor) -> None:
    answer = function.say("Hi", raw)

    assert answer.status in {200, 404, 405, 422}, answer.text
    if answer.status == 200:
        assert answer.json["session_id"].encode() == bytes_of(raw)


def bytes_of(raw: str) -> bytes:
    """What a path's component means, written down a second time: escapes are bytes, all else is UTF-8."""
    result, rest = b"", raw
    while rest:
        if rest[0] == "%":
            result, rest = result + bytes.fromhex(rest[1:3]), rest[3:]
        else:
            result, rest = result + rest[0].encode(), rest[1:]
    return result


class TestQueries:
    def ask(self, function: Visitor, query: str, path: str = "/sessions/chat/messages") -> Answer:
        event = function.event("GET", path)
        event["rawQueryString"] = query
        # What Lambda makes of it is not asked: it decodes leniently and joins by commas.
        event["queryStringParameters"] = {"agent_id": "another", "limit": "7"}
        return function.send(event)

    @pytest.mark.parametrize("name", ["agent_id", "cursor", "unknown"])
    @pytest.mark.parametrize("value", UNDECODABLE[:-1])
    def test_a_parameter_that_cannot_be_decoded_is_refused(self, name: str, value: str, function: Visitor) -> None:
        refused = self.ask(function, f"limit=1&{name}={value}")

        assert (refused.status, refused.problem) == (422, "invalid-request"), refused.text
        assert refused.json["errors"][0]["location"] == f"query.{name}"

    @pytest.mark.parametrize(
        ("query", "location"),
        [
            ("agent_id=caf%EF%BF%BD", "query.agent_id"),
            ("agent_id=", "query.agent_id"),
            ("agent_id=a%2Fb", "query.agent_id"),
            ("agent_id=a&agent_id=b", "query.agent_id"),
            ("agent_id=a&agent_id=a", "query.agent_id"),
            ("cursor=", "query.cursor"),
            ("cursor=abc", "query.cursor"),
            ("cursor=-1", "query.cursor"),
            ("cursor=%D9%A1", "query.cursor"),
            (f"cursor={'9' * 5000}", "query.cursor"),
            ("cursor=1&cursor=2", "query.cursor"),
            *(
                (f"limit={limit}", "query.limit")
                for limit in ("", "0", "-1", "1001", "ten", "1_0", "%2B5", "+5", "5%20", "5.0", "5e0", "0x5", "05")
            ),
            ("limit=%D9%A5", "query.limit"),
            (f"limit={'9' * 5000}", "query.limit"),
            ("limit=1&limit=2", "query.limit"),
            ("limit=null&limit=null", "query.limit"),
            ("limit=1,2", "query.limit"),
            ("limit=%E9", "query.limit"),
            ("%E9=1", "query"),
        ],
    )
    def test_a_value_that_is_none_is_refused_with_its_place(self, query: str, location: str, function: Visitor) -> None:
        refused = self.ask(function, query)

        assert (refused.status, refused.problem) == (422, "invalid-request"), refused.text
        assert refused.json["errors"][0]["location"] == location

    @pytest.mark.parametrize("cursor", ["", "a/b", "%00", "%E9", "a&cursor=b", "..", "%EF%BF%BD"])
    def test_a_cursor_that_no_listing_gave_is_refused(self, cursor: str, function: Visitor) -> None:
        refused = self.ask(function, f"cursor={cursor}", "/sessions")

        assert (refused.status, refused.problem) == (422, "invalid-request"), refused.text

    @pytest.mark.parametrize(
        ("agent_id", "spellings"),
        [
            ("a b", ["a+b", "a%20b"]),
            ("a+b", ["a%2Bb"]),
            ("a,b", ["a,b", "a%2Cb"]),
            ("a=b&c", ["a%3Db%26c", "a=b%26c"]),
            ("café", ["caf%C3%A9", "café"]),
            ("50%", ["50%25"]),
        ],
    )
    def test_an_agent_is_named_exactly(self, agent_id: str, spellings: list[str], function: Visitor) -> None:
        function.http("POST", "/sessions/chat/messages", {"prompt": "Hi", "agent_id": agent_id})
        function.http("POST", "/sessions/chat/messages", {"prompt": "Hi", "agent_id": "other"})

        for spelling in spellings:
            read = self.ask(function, f"agent_id={spelling}&utm_source=x&X-Amz-Date=1")
            assert (read.status, read.json["agent_id"]) == (200, agent_id)

    def test_an_event_without_a_raw_query_string_has_what_was_parsed(self, function: Visitor) -> None:
        function.reply("Hi")
        event = function.event("GET", "/sessions/chat/messages")
        event["queryStringParameters"] = {"agent_id": "default", "limit": "1"}

        assert len(function.send(event).json["messages"]) == 1
        for odd in ("a\ud83d", "caf\ufffd"):
            event["queryStringParameters"] = {"agent_id": odd}
            assert function.send(event).status == 422


class TestHeaders:
    def post(self, function: Visitor, headers: Any) -> Answer:
        event = function.event("POST", "/sessions/chat/messages", {"prompt": "Hi"})
        event["headers"] = headers
        return function.send(event)

    @pytest.mark.parametrize(
        "media_type",
        [
            "application/json",
            "Application/JSON",
            "APPLICATION/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=UTF-8",
            'Application/Json ; Charset="Utf-8"',
            "application/json; charset=utf8",
            'application/json; version=1; profile="a;b\\"c"',
            "application/json;",
            " application/json ",
            "application/json ; ; charset=utf-8 ;",
            "",
        ],
    )
    @pytest.mark.parametrize("name", ["content-type", "Content-Type", "CONTENT-TYPE"])
    def test_json_is_json_in_whatever_case_and_with_whatever_parameters(
        self, name: str, media_type: str, function: Visitor
    ) -> None:
        assert self.post(function, {name: media_type}).status == 200

    @pytest.mark.parametrize(
        "media_type",
        [
            "text/plain",
            "application/x-www-form-urlencoded",
            "Application/X-WWW-Form-Urlencoded",
            "multipart/form-data; boundary=x",
            "MULTIPART/FORM-DATA",
            "application/jsonp",
            "application/json5",
            "application/ld+json",
            "application/json-seq",
            "application/json charset=utf-8",
            "application/json; charset=utf-16",
            "application/json; charset=iso-8859-1",
            "application/json; charset=",
            "application/json; charset=utf-8; charset=utf-16",
            "application/json; charset",
            "application/json,application/json",
            "application/json, text/plain",
            "json",
            "*/*",
            "application/json\u00e9",
            "application/json" + "; " * 5_000 + "\u00e9",
            ";",
        ],
    )
    def test_a_body_that_is_declared_as_other_than_json_in_utf_8_is_refused(
        self, media_type: str, function: Visitor
    ) -> None:
        refused = self.post(function, {"content-type": media_type})

        assert (refused.status, refused.problem) == (415, "unsupported-media-type")
        assert sessions_of(function) == []

    @pytest.mark.parametrize("headers", [None, {}, {"host": "x"}])
    def test_without_a_content_type_a_body_is_json(self, headers: Any, function: Visitor) -> None:
        assert self.post(function, headers).status == 200

    def test_a_header_that_stands_there_twice_is_both(self, function: Visitor) -> None:
        twice = {"Content-Type": "application/json", "content-type": "text/plain"}

        assert self.post(function, twice).status == 415

    @pytest.mark.parametrize("name", ["Idempotency-Key", "idempotency-key", "IDEMPOTENCY-KEY"])
    @pytest.mark.parametrize("key", ["4f1c", "a,b", "a, b", "a b", "~" * 200])
    def test_a_key_is_taken_whole_in_a_header_of_any_case(self, name: str, key: str, function: Visitor) -> None:
        first = self.post(function, {name: key})
        again = self.post(function, {name.swapcase(): key})
        other = self.post(function, {name: "another"})

        assert [answer.json["restored_messages"] for answer in (first, again, other)] == [0, 0, 2]

    @pytest.mark.parametrize(
        "key", ["", " ", "\u00e9", "a\u00e9", "a\x00b", "a\tb", "a\n", " a", "a ", "x" * 201, "\ud83d"]
    )
    def test_a_key_that_no_header_carries_safely_is_refused(self, key: str, function: Visitor) -> None:
        refused = self.post(function, {"idempotency-key": key})

        assert (refused.status, refused.problem) == (422, "invalid-request"), refused.text
        assert refused.json["errors"][0]["location"] == "header.idempotency-key"
        assert sessions_of(function) == []


ENABLED: list[object] = ["yes", 1, "true", 0.0, []]


class TestBodies:
    def post(self, function: Visitor, body: Any, *, encoded: Any = False) -> Answer:
        event = function.event("POST", "/sessions/chat/messages")
        event |= {"body": body, "isBase64Encoded": encoded}
        return function.send(event)

    @pytest.mark.parametrize(
        "body",
        [
            "/9j/",
            "e30",
            "e30==",
            "e30===",
            "e3 0=",
            "e30=\n",
            "=e30",
            "e30=e30=",
            "e30K====",
            "{}",
            "e30\u00e9",
            "\ud83d",
            "e",
            base64.b64encode('{"prompt": "caf\u00e9"}'.encode("latin-1")).decode(),
            base64.b64encode('{"prompt": "Hi"}'.encode("utf-16")).decode(),
            base64.b64encode(b'{"prompt": "\xed\xa0\x80"}').decode(),
            base64.b64encode(b'{"prompt": "\xc0\xaf"}').decode(),
            base64.b64encode(b'\xef\xbb\xbf{"prompt": "Hi"}').decode(),
        ],
    )
    def test_bytes_that_are_no_text_are_refused(self, body: str, function: Visitor) -> None:
        refused = self.post(function, body, encoded=True)

        assert (refused.status, refused.problem) == (400, "malformed-request"), refused.text
        assert sessions_of(function) == []

    @pytest.mark.parametrize("encoded", [True, False, None])
    @pytest.mark.parametrize("body", ["", None])
    def test_a_body_that_is_not_there_is_missing(self, body: Any, encoded: Any, function: Visitor) -> None:
        refused = self.post(function, body, encoded=encoded)

        assert (refused.status, refused.problem) == (422, "invalid-request")
        assert refused.json["errors"][0]["location"] == "body"

    @pytest.mark.parametrize(
        "body",
        [
            " ",
            "{",
            "}",
            "prompt=Hi",
            "{'prompt': 'Hi'}",
            '{"prompt": "Hi",}',
            '{"prompt": "Hi"} x',
            '{"prompt": "Hi"}{"prompt": "Ho"}',
            '\ufeff{"prompt": "Hi"}',
            '{"prompt": "a\nb"}',
            '{"prompt": NaN}',
            '{"prompt": "Hi", "n": Infinity}',
            '{"prompt": "Hi", "n": -Infinity}',
            '{"prompt": "Hi", "n": 01}',
            '{"prompt": "Hi", "n": .5}',
            '{"prompt": "Hi", "n": 0x10}',
            '{"prompt": "Hi", "n": 1_000}',
            '{"prompt": "Hi", "prompt": "Ho"}',
            '{"prompt": "Hi", "prompt": "Hi"}',
            '{"interrupt_responses": [{"interrupt_id": "i", "response": {"a": 1, "\\u0061": 2}}]}',
            '{"prompt": "Hi", "n": ' + "[" * 70 + "]" * 70 + "}",
            '{"prompt": "Hi", "n": ' + '{"a":' * 70 + "1" + "}" * 70 + "}",
            '{"prompt": "Hi", "n": ' + "[" * 900 + "]" * 900 + "}",
            '{"prompt": "Hi", "n": ' + "[" * 5_000 + "]" * 5_000 + "}",
            '{"prompt": "Hi", "n": ' + "[" * 100_000 + "]" * 100_000 + "}",
            '{"prompt": "Hi", "n": ' + '{"a":' * 100_000 + "1" + "}" * 100_000 + "}",
            "[" * 100_000,
            "\ud83d",
        ],
    )
    def test_what_not_everybody_reads_alike_is_refused(self, body: str, function: Visitor) -> None:
        refused = self.post(function, body)

        assert (refused.status, refused.problem) == (400, "malformed-request"), refused.text
        assert sessions_of(function) == []

    @pytest.mark.parametrize(
        ("value", "location"),
        [
            ("9" * 4301, "body.n"),
            ("-" + "9" * 4301, "body.n"),
            ("9" * 4300, "body.n"),
            ("1" + "0" * 309, "body.n"),
            ("1e999", "body.n"),
            ("-1e999", "body.n"),
            ("1e309", "body.n"),
            ("9" * 400 + ".5", "body.n"),
            ("1" + "0" * 400 + "e0", "body.n"),
            ('{"a": [0, 1e999]}', "body.n.a.1"),
            ('"\\ud83d"', "body.n"),
            ('["\\ude00\\ud83d"]', "body.n.0"),
            ('{"\\ud83d": 1}', "body.n"),
        ],
    )
    def test_a_value_that_cannot_be_carried_on_is_named_with_its_place(
        self, value: str, location: str, function: Visitor
    ) -> None:
        for body in (f'{{"prompt": "Hi", "n": {value}}}', f'{{"n": {value}, "prompt": "Hi"}}'):
            refused = self.post(function, body)

            assert (refused.status, refused.problem) == (422, "invalid-request"), refused.text
            assert location in {error["location"] for error in refused.json["errors"]}
        assert sessions_of(function) == []

    def test_a_million_mistakes_are_answered_briefly(self, function: Visitor) -> None:
        for many in ("[" + "1e999," * 100_000 + "1]", "[" + "{}," * 100_000 + "{}]", "[" + "[]," * 500_000 + "[]]"):
            refused = self.post(function, f'{{"prompt": {many}}}')

            assert refused.status == 422
            assert len(refused.text) < 10_000

    def test_a_prompt_has_at_most_a_thousand_blocks(self, function: Visitor) -> None:
        assert self.post(function, json.dumps({"prompt": [{"text": "a"}] * 1_000})).status == 200
        refused = self.post(function, json.dumps({"prompt": [{"text": "a"}] * 1_001}))
        assert (refused.status, refused.json["errors"][0]["location"]) == (422, "body.prompt")

    def test_a_body_is_measured_in_bytes(self, function: Visitor) -> None:
        refused = self.post(function, json.dumps({"prompt": "\u20ac" * 2_200_000}, ensure_ascii=False))

        assert (refused.status, refused.problem) == (413, "payload-too-large")

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    def test_routes_that_take_no_body_do_not_look_at_one(self, method: str, function: Visitor) -> None:
        function.reply("Hi")
        event = function.event(method, "/sessions/chat", "{", headers={"content-type": "text/plain"})

        assert function.send(event).status in {200, 204}

    @pytest.mark.parametrize(
        ("body", "location"),
        [
            ({"prompt": [{"document": {**d, "citations": {"enabled": enabled}}}]}, "body.prompt.0.document.citations")
            for d in [{"format": "txt", "name": "n", "source": {"bytes": "YQ=="}}]
            for enabled in ENABLED
        ]
        + [
            ({"prompt": [{"image": {"format": "png", "source": {"data": "iVBORw0KGgo="}}}]}, "body.prompt.0.image"),
            ({"prompt": [{"cache_point": {"type": "default"}}]}, "body.prompt.0"),
            ({"prompt": [{"document": {"format": "txt", "name": "n", "source": {"bytes": "YQ==="}}}]}, "body.prompt.0"),
            ({"prompt": [{"document": {"format": "txt", "name": "n", "source": {"bytes": "YWJj="}}}]}, "body.prompt.0"),
            (
                {"prompt": [{"document": {"format": "txt", "name": "n", "source": {"bytes": "YQ==YQ=="}}}]},
                "body.prompt",
            ),
            ({"prompt": {"text": "Hi"}}, "body.prompt"),
            ({"prompt": True}, "body.prompt"),
            ({"prompt": "Hi", "agent_id": 7}, "body.agent_id"),
            ({"prompt": "Hi", "agent_id": ["a"]}, "body.agent_id"),
            ({"prompt": "Hi", "agent_id": ""}, "body.agent_id"),
            ({"prompt": "Hi", "agent_id": "a\x00b"}, "body.agent_id"),
            ({"prompt": "Hi", "agent_id": "caf\ufffd"}, "body.agent_id"),
            ({"interrupt_responses": {"interrupt_id": "i", "response": 1}}, "body.interrupt_responses"),
            ({"interrupt_responses": [{"interrupt_id": 7, "response": 1}]}, "body.interrupt_responses.0.interrupt_id"),
            ({"interrupt_responses": [{"interrupt_id": "i", "response": None}]}, "body.interrupt_responses.0"),
            ({"interrupt_responses": [{"interrupt_id": "i"}]}, "body.interrupt_responses.0.response"),
        ],
    )
    def test_only_the_types_of_the_contract_are_taken(
        self, body: dict[str, Any], location: str, function: Visitor
    ) -> None:
        refused = self.post(function, json.dumps(body))

        assert (refused.status, refused.problem) == (422, "invalid-request"), refused.text
        assert refused.json["errors"][0]["location"].startswith(location)
        assert sessions_of(function) == []


ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    float("nan"),
    10**4000,
    "",
    "x",
    "\ud83d",
    "\x00",
    b"x",
    [],
    [1],
    {},
    {"a": 1},
    {1: 2},
]
PLACES = [
    ("rawPath",),
    ("rawQueryString",),
    ("queryStringParameters",),
    ("queryStringParameters", "limit"),
    ("headers",),
    ("headers", "content-type"),
    ("headers", "idempotency-key"),
    ("cookies",),
    ("cookies", 0),
    ("body",),
    ("isBase64Encoded",),
    ("version",),
    ("routeKey",),
    ("requestContext", "http"),
    ("requestContext", "http", "method"),
    ("requestContext", "http", "path"),
    ("requestContext", "stage"),
    ("requestContext", "authorizer"),
    ("requestContext", "authorizer", "iam"),
    ("requestContext", "authorizer", "iam", "userId"),
    ("requestContext", "authorizer", "iam", "accountId"),
    ("requestContext", "timeEpoch"),
]


class TestOddEvents:
    """HTTP events that no Function URL writes: a direct invocation, a test, another service in front."""

    @pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
    def test_is_answered_and_never_raised(self, place: tuple[Any, ...], function: Visitor) -> None:
        for method, path in (("POST", "/sessions/chat/messages"), ("GET", "/sessions")):
            for odd in ODD if place == ("requestContext", "http") else [*ODD, "absent"]:
                event = function.event(method, path, {"prompt": "Hi"} if method == "POST" else None)
                event |= {"cookies": ["a=b"], "queryStringParameters": {"limit": "10"}}
                put(event, place, odd)

                answer = function.send(event)

                assert answer.status < 500, (place, odd, answer.text)
                if answer.status >= 400:
                    assert answer.problem in {
                        "malformed-request",
                        "invalid-request",
                        "unauthenticated",
                        "not-found",
                        "method-not-allowed",
                        "unsupported-media-type",
                    }

    @pytest.mark.parametrize("http", [None, [], "GET", 7, {}, {"method": None}, {"method": "GET /"}, {"method": ""}])
    def test_without_a_method_there_is_nothing_to_do(self, http: Any, function: Visitor) -> None:
        event = function.event("GET", "/sessions")
        event["requestContext"]["http"] = http

        answer = function.send(event)

        assert (answer.status, answer.problem) == (400, "malformed-request")

    def test_a_method_is_one_in_any_case(self, function: Visitor) -> None:
        event = function.event("get", "/health")

        assert function.send(event).status == 200

    def test_a_stage_or_another_s_fields_do_not_change_the_route(self, function: Visitor) -> None:
        event = function.event("GET", "/health")
        event["requestContext"] |= {"stage": "prod", "resourcePath": "/x"}
        event |= {"multiValueHeaders": 7, "multiValueQueryStringParameters": [], "pathParameters": "x"}

        assert function.send(event).status == 200


def put(event: Any, place: tuple[Any, ...], value: Any) -> None:
    """Put a value somewhere into an event, or take away what is there."""
    *way, last = place
    for step in way:
        event = event[step]
    if value == "absent" and isinstance(event, dict):
        event.pop(last, None)
    elif isinstance(event, dict):
        event[last] = value
    else:
        event[last:] = [value]


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(ODD),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.sampled_from(PLACES), json_like), min_size=1, max_size=3), post=st.booleans())
def any_event(function: Visitor, counted: Iterator[int], changes: Any, post: bool) -> None:
    event = function.event("POST" if post else "GET", "/sessions/chat/messages", {"prompt": "Hi"} if post else None)
    event |= {"cookies": ["a=b"], "queryStringParameters": {"limit": "10"}}
    for place, value in changes:
        try:
            put(event, place, value)
        except (TypeError, KeyError, AttributeError, IndexError):
            continue  # an earlier change has taken the place away
    next(counted)

    answer = function.send(event)

    assert answer.status < 500, answer.text
    assert answer.status < 400 or answer.problem


def test_any_http_event_is_answered(function: Visitor, record_property: Callable[[str, object], None]) -> None:
    counted = itertools.count()

    any_event(function, counted)

    record_property(f"{TOTAL}HTTP events of any shape, answered without a 5xx", next(counted))
