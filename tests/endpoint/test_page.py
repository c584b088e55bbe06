"""The chat page as it is served: its document, its files, what browsers are told, and who is asked who is calling."""

import base64
import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_src.callers.issuer_keys import IssuerError
from lambda_src.callers.sign_in import FRESH_SECONDS, RETRY_SECONDS, SignIn, addresses_in
from lambda_src.doors.page import content_security_policy, in_script
from lambda_src.doors.page_files import CONTENT_TYPES, FOLDER, PageFiles
from lambda_src.settings import SettingsError, load_settings
from local.development_issuer import ISSUER, DevelopmentIssuer
from tests.conftest import TOTAL
from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.function import Answer, Function, answer_in, http_event

ROOT = Path(__file__).parents[2]
Scripted = Callable[..., tuple[Function, ScriptedModel]]
LOCAL = {"ENDPOINT_AUTH": "local", "PAGE": "true"}
JWT = {"SESSION_STORE": "file:///tmp/x", "ENDPOINT_AUTH": "jwt", "JWT_ISSUER": "https://x.example.com"} | {
    "JWT_AUDIENCES": "api",
    "PAGE": "true",
}
CONFIGURATION = {
    "authorization_endpoint": "https://login.example.com/authorize",
    "token_endpoint": "https://tokens.example.com/token",
    "end_session_endpoint": "https://login.example.com/logout",
}
LIMIT_BYTES = 150_000
WHOLE_BYTES = 254_000
"""Not compressed. Of them 101,000 are others'. Nothing of ours is minified: what a browser runs can be read."""


@pytest.fixture
def local(scripted: Scripted) -> Function:
    return scripted(**LOCAL)[0]


def page_of(function: Function) -> Answer:
    answer = function.http("GET", "/", caller=None)
    assert answer.status == 200, answer.text
    return answer


def assets_of(function: Function) -> str:
    found = re.search(r'"(/assets/[0-9a-f]+)/', page_of(function).text)
    assert found
    return found[1]


def settings_in(text: str) -> Any:
    found = re.search(r'<script type="application/json" id="settings">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_document_names_its_files_and_carries_the_settings(local: Function) -> None:
    page = page_of(local)

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache"
    assert "{{" not in page.text
    told = settings_in(page.text)
    assert told["auth"] == "local"
    assert told["sign_in"] is None
    assert told["agent"] == "default"
    assert told["limits"]["blocks"] == 1_000
    assert "webp" in told["limits"]["formats"]["image"]
    for asset in re.findall(r'(?:src|href)="(/assets/[^"]+)"', page.text):
        assert local.http("GET", asset, caller=None).status == 200, asset


def test_no_module_waits_for_another_one_to_be_read(local: Function) -> None:
    """What is imported is asked for at once. The sign-in library is not: only some pages need it."""
    preloaded = set(re.findall(r'rel="modulepreload" href="/assets/[^/"]+/([^"]+)"', page_of(local).text))

    scripts = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.js")}
    assert preloaded == scripts - {"app/main.js", "vendor/oauth4webapi.js"}


def test_the_agents_to_choose_from_are_told_in_their_order(local: Function) -> None:
    local.cold_start()
    local.part("agent").AGENTS = {"writer": print, "default": print}

    assert settings_in(page_of(local).text)["agents"] == ["writer", "default"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_files_are_kept_for_ever_under_a_digest_of_all_of_them(local: Function, method: str) -> None:
    answer = local.http(method, f"{assets_of(local)}/vendor/marked.esm.js", caller=None)

    assert answer.status == 200
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_another_content_gives_all_files_other_addresses(tmp_path: Path) -> None:
    for name, text in (("index.html", "x"), ("a.js", "1"), ("b.js", "2"), ("LICENSE.txt", "3"), (".hidden", "4")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    before = PageFiles(tmp_path)
    (tmp_path / "b.js").write_text("22", encoding="utf-8")
    after = PageFiles(tmp_path)

    assert before.assets_path != after.assets_path
    assert after.asset(f"{before.assets_path}/a.js") is None
    served = after.asset(f"{after.assets_path}/a.js")
    assert served is not None
    assert served.text == "1"
    for name in ("index.html", "LICENSE.txt", ".hidden", "../a.js", ""):
        assert after.asset(f"{after.assets_path}/{name}") is None


@pytest.mark.parametrize(
    "path",
    [
        "/../settings.py",
        "/app/../../settings.py",
        "/%2e%2e/settings.py",
        "/..%2fsettings.py",
        "//etc/passwd",
        "/index.html",
        "/vendor/manifest.json",
        "/vendor/LICENSE-marked.txt",
        "/app/",
        "/app",
        "/style.css/",
        "/style.css%00",
        "/nothing.js",
    ],
)
def test_whatever_is_no_file_of_the_page_is_a_problem(local: Function, path: str) -> None:
    answer = local.http("GET", f"{assets_of(local)}{path}", caller=None)

    assert (answer.status, answer.problem) == (404, "not-found")
    assert answer.headers["cache-control"] == "no-store"


def test_a_file_of_another_version_is_a_problem(local: Function) -> None:
    assert local.http("GET", "/assets/0123456789abcdef0123/style.css", caller=None).status == 404


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH"])
def test_the_page_is_only_read(local: Function, method: str) -> None:
    for path in ("/", f"{assets_of(local)}/style.css"):
        answer = local.http(method, path, caller=None)

        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


def test_what_a_browser_has_already_is_not_sent_again(local: Function) -> None:
    for path in ("/", f"{assets_of(local)}/style.css"):
        first = local.http("GET", path, caller=None)
        tag = first.headers["etag"]

        again = local.http("GET", path, caller=None, headers={"if-none-match": f'"other", {tag}'})
        changed = local.http("GET", path, caller=None, headers={"if-none-match": '"other"'})

        assert (again.status, again.text, again.headers["etag"]) == (304, "", tag)
        assert changed.text == first.text


def test_files_are_compressed_for_whom_takes_it(local: Function) -> None:
    event = http_event("GET", f"{assets_of(local)}/vendor/marked.esm.js", caller=None)
    plain = answer_in(local.invoke(event))
    event["headers"]["accept-encoding"] = "br, gzip"
    compressed = local.invoke(event)

    assert compressed["headers"]["Content-Encoding"] == "gzip"
    assert gzip.decompress(base64.b64decode(compressed["body"])).decode() == plain.text
    assert len(compressed["body"]) < len(plain.text) / 2
    assert "Accept-Encoding" in plain.headers["vary"]
    event["headers"]["if-none-match"] = plain.headers["etag"]
    assert answer_in(local.invoke(event)).status == 304


def test_browsers_are_told_what_the_page_may_do(local: Function) -> None:
    headers = page_of(local).headers

    directives = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == directives["style-src"] == directives["connect-src"] == "'self'"
    assert directives["frame-ancestors"] == directives["base-uri"] == directives["form-action"] == "'none'"
    assert directives["require-trusted-types-for"] == "'script'"
    assert directives["img-src"] == "'self' blob:"
    assert "media-src" not in directives, "films can be saved, and are not played"
    assert "unsafe" not in headers["content-security-policy"]
    assert "http" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert "camera=()" in headers["permissions-policy"]


def test_settings_cannot_end_their_element() -> None:
    told = {"client": "</script><script>alert(1)</script><!--", "lines": "\u2028\u2029&"}

    text = in_script(json.dumps(told, ensure_ascii=False))

    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text) == told


class TestWithTokens:
    @pytest.fixture
    def issuer(self) -> Iterator[DevelopmentIssuer]:
        issuer = DevelopmentIssuer(("https://agent.example.com",))
        yield issuer
        issuer.close()

    def test_the_page_needs_no_token_and_everything_else_does(
        self, issuer: DevelopmentIssuer, scripted: Scripted
    ) -> None:
        function, _ = scripted(ENDPOINT_AUTH="jwt", PAGE="true", **issuer.settings)

        page = page_of(function)
        told = settings_in(page.text)

        assert told["sign_in"] == {
            "issuer": ISSUER,
            "client_id": "agent-session-kit-page",
            "scope": "openid",
            "audience": "agent-session-kit",
            "authorization_endpoint": f"{issuer.url}/authorize",
            "token_endpoint": f"{issuer.url}/token",
            "end_session_endpoint": f"{issuer.url}/end-session",
            "revocation_endpoint": f"{issuer.url}/revoke",
            "id_token_algorithms": ["ES256"],
        }
        assert f"connect-src 'self' {issuer.url};" in page.headers["content-security-policy"]
        assert page.headers["strict-transport-security"].startswith("max-age=")
        assert function.http("GET", f"{assets_of(function)}/style.css", caller=None).status == 200
        for path in ("/sessions", "/assets", "/export", "/sessions/chat/messages"):
            assert function.http("GET", path, caller=None).status == 401
        bearer = {"authorization": f"Bearer {issuer.token('ada')}"}
        assert function.http("GET", "/sessions", caller=None, headers=bearer).json["session_ids"] == []

    def test_while_the_issuer_says_nothing_the_page_is_there_to_say_so(self, scripted: Scripted) -> None:
        gone = DevelopmentIssuer()
        gone.close()
        function, _ = scripted(ENDPOINT_AUTH="jwt", PAGE="true", **gone.settings)

        answer = function.http("GET", "/", caller=None)

        assert answer.status == 503
        assert (answer.headers["retry-after"], answer.headers["cache-control"]) == ("5", "no-store")
        assert settings_in(answer.text)["sign_in"] is None
        assert "connect-src 'self';" in answer.headers["content-security-policy"]
        asset = re.search(r'src="(/assets/[^"]+)"', answer.text)
        assert asset
        assert function.http("GET", asset[1], caller=None).status == 200

    def test_no_cache_keeps_a_document_whose_address_holds_a_code(
        self, issuer: DevelopmentIssuer, scripted: Scripted
    ) -> None:
        function, _ = scripted(ENDPOINT_AUTH="jwt", PAGE="true", **issuer.settings)
        tag = page_of(function).headers["etag"]

        for query in ({"code": "c", "state": "s"}, {"code": "c"}, {"error": "access_denied"}):
            answer = function.http("GET", "/", caller=None, query=query, headers={"if-none-match": tag})

            assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
            assert "etag" not in answer.headers

    def test_where_it_is_off_there_is_no_page(self, issuer: DevelopmentIssuer, scripted: Scripted) -> None:
        function, _ = scripted(ENDPOINT_AUTH="jwt", **issuer.settings)
        bearer = {"authorization": f"Bearer {issuer.token('ada')}"}

        for path in ("/", "/assets/x/style.css"):
            assert function.http("GET", path, caller=None).status == 401
            assert function.http("GET", path, caller=None, headers=bearer).status == 404


class TestAddressesOfAnIssuer:
    def test_only_the_token_endpoint_s_origin_may_be_asked(self) -> None:
        addresses = addresses_in(CONFIGURATION, "https://login.example.com")

        assert "connect-src 'self' https://tokens.example.com;" in content_security_policy(addresses)
        assert "login.example.com" not in content_security_policy(addresses)

    @pytest.mark.parametrize(
        "changed",
        [
            {"token_endpoint": None},
            {"authorization_endpoint": 1},
            {"token_endpoint": "http://tokens.example.com/token"},
            {"token_endpoint": "https://tokens.example.com; script-src */token"},
            {"token_endpoint": "javascript:alert(1)"},
            {"authorization_endpoint": "https://user@login.example.com/"},
        ],
    )
    def test_what_is_no_safe_address_is_refused(self, changed: dict[str, Any]) -> None:
        with pytest.raises(IssuerError, match="names no https address to sign in, or none for tokens"):
            addresses_in({**CONFIGURATION, **changed}, "https://login.example.com")

    def test_signing_out_may_be_missing(self) -> None:
        addresses = addresses_in({**CONFIGURATION, "end_session_endpoint": "http://x"}, "https://login.example.com")

        assert (addresses.end_session_endpoint, addresses.revocation_endpoint) == (None, None)

    def test_where_tokens_are_given_back_may_be_asked_too(self) -> None:
        configuration = {**CONFIGURATION, "revocation_endpoint": "https://revoked.example.com/revoke"}

        policy = content_security_policy(addresses_in(configuration, "https://login.example.com"))

        assert "connect-src 'self' https://tokens.example.com https://revoked.example.com;" in policy

    def test_they_are_asked_for_every_ten_minutes_and_kept_while_the_issuer_is_silent(self) -> None:
        now, asked, silent = [0.0], [0], [True]

        def fetch() -> dict[str, str]:
            asked[0] += 1
            if silent[0]:
                raise IssuerError("status 500")
            return CONFIGURATION

        sign_in = SignIn("https://login.example.com", fetch, lambda: now[0])
        for _ in range(3):
            with pytest.raises(IssuerError, match="status 500"):
                sign_in.addresses()
        assert asked[0] == 1
        now[0] += RETRY_SECONDS
        silent[0] = False
        first = sign_in.addresses()
        now[0] += FRESH_SECONDS
        silent[0] = True

        assert sign_in.addresses() == first
        assert asked[0] == 3


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"ENDPOINT_AUTH": "iam"}, "PAGE=true: the page needs ENDPOINT_AUTH=jwt, .* or local; it is iam"),
        ({"ENDPOINT_AUTH": "none"}, "PAGE=true: the page needs ENDPOINT_AUTH=jwt, .* or local; it is none"),
        (JWT, "PAGE_CLIENT_ID is not set"),
    ],
)
def test_a_page_without_people_is_refused(changed: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load_settings({"SESSION_STORE": "file:///tmp/x", "PAGE": "true", **changed})


def test_no_other_request_imports_anything_of_the_page(tmp_path: Path) -> None:
    asked = """
import json, sys
from lambda_src import handler
from tests.endpoint.function import Context, http_event
for path in ("/health", "/sessions", "/"):
    handler.lambda_handler(http_event("GET", path), Context())
    print(path, sorted(name for name in sys.modules if name.startswith("lambda_src.doors.page")), file=sys.stderr)
"""
    environment = {**LOCAL, "SESSION_STORE": f"file://{tmp_path}/s", "PYTHONPATH": f"{ROOT / 'layer'}:{ROOT}"}

    ran = subprocess.run(
        [sys.executable, "-c", asked], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )

    routes = ["lambda_src.doors.page_routes"]
    told = [line for line in ran.stderr.splitlines() if line.startswith("/")]
    assert told == [
        f"/health {routes}",
        f"/sessions {routes}",
        f"/ {['lambda_src.doors.page', 'lambda_src.doors.page_files', *routes]}",
    ]


def test_everything_that_the_page_loads_is_small(local: Function, record_property: Callable[[str, Any], None]) -> None:
    """As the function sends it, with the sign-in library that only `auth=jwt` loads; and as the files are."""
    names = [path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.suffix in CONTENT_TYPES]
    paths = {"/": "/", **{name: f"{assets_of(local)}/{name}" for name in names}}

    sent, whole = {}, {}
    for name, path in paths.items():
        event = http_event("GET", path, caller=None)
        event["headers"]["accept-encoding"] = "gzip"
        body = base64.b64decode(local.invoke(event)["body"])
        sent[name], whole[name] = len(body), len(gzip.decompress(body))

    record_property(f"{TOTAL}bytes of the chat page, as sent", sum(sent.values()))
    record_property(f"{TOTAL}bytes of the chat page, not compressed", sum(whole.values()))
    assert sum(sent.values()) <= LIMIT_BYTES, f"{sum(sent.values())} bytes: {sent}"
    assert sum(whole.values()) <= WHOLE_BYTES, f"{sum(whole.values())} bytes: {whole}"
