"""What IAM does in front of S3: sees a function's requests as actions on resources, and refuses what its role may not.

Moto itself evaluates no identity policies.
"""

import html
import io
import re
import urllib.parse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tests.infra.policy_evaluator import Decision, Statement, decide

_OBJECTS = re.compile(rb"<Object>(.*?)</Object>", re.DOTALL)
_KEY = re.compile(rb"<Key>(.*?)</Key>", re.DOTALL)
# Others (acl, tagging, uploads ...) are other actions. x-id only repeats the operation's name.
_OBJECT_PARAMETERS = {"versionId", "x-id"}
_OBJECT_ACTIONS = {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "PUT": "s3:PutObject", "DELETE": "s3:DeleteObject"}
Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


@dataclass(frozen=True)
class Call:
    """One permission that one request needs.

    Attributes:
        action: Such as ``s3:GetObject``.
        resource: The ARN it is about.
        prefix: For a listing, the value of ``s3:prefix``.
        implied: Not asked for: S3 looks at it only to tell a missing key (404) from a forbidden one (403).
    """

    action: str
    resource: str
    prefix: str | None = None
    implied: bool = False

    def context(self) -> dict[str, str]:
        """The request's condition keys, as they would be over HTTPS."""
        prefix = {} if self.prefix is None else {"s3:prefix": self.prefix}
        return {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3", **prefix}


class PermissionCheck:
    """Stands in front of the emulator; requests of one access key need leave of a role.

    Args:
        application: The emulator.
        access_key: Whose requests.

    Attributes:
        role: The statements of the role; nothing is allowed before it is known.
        calls: What was asked for.
        refused: What was refused.
    """

    def __init__(self, application: Wsgi, access_key: str) -> None:
        self._application = application
        self._access_key = access_key
        self.role: list[Statement] = []
        self.calls: set[Call] = set()
        self.refused: set[Call] = set()

    def forget(self, role: list[Statement]) -> None:
        """Begin anew, with another role."""
        self.role, self.calls, self.refused = role, set(), set()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Pass a request on, or refuse it."""
        authorization = environ.get("HTTP_AUTHORIZATION", "")
        if f"Credential={self._access_key}/" not in authorization or "/s3/aws4_request" not in authorization:
            return self._application(environ, start_response)
        body = b""
        if environ["REQUEST_METHOD"] == "POST":
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
        asked = calls_of(environ, body)
        denied = {call for call in asked if not self.allows(call)}
        self.calls |= asked
        self.refused |= denied
        if any(not call.implied for call in denied):
            start_response("403 Forbidden", [("Content-Type", "application/xml")])
            return [b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"]
        return self._application(environ, start_response)

    def allows(self, call: Call) -> bool:
        """Whether the role allows a call."""
        return decide(self.role, call.action, call.resource, call.context()) is Decision.ALLOWED


def calls_of(environ: dict[str, Any], body: bytes = b"") -> set[Call]:
    """The permissions a request needs.

    Source: Amazon S3 user guide, "Required permissions for Amazon S3 API operations".

    Args:
        environ: The WSGI environment.
        body: Of a request that deletes several objects.

    Returns:
        One call for each permission. A request that is none of the session library's raises.

    Raises:
        NotImplementedError: For a request whose permissions are not known here.
    """
    bucket, key = _bucket_and_key(environ)
    query = urllib.parse.parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    method = environ["REQUEST_METHOD"]
    arn = f"arn:aws:s3:::{bucket}"
    if not key:
        if method == "GET" and ("list-type" in query or "versions" in query):
            action = "s3:ListBucketVersions" if "versions" in query else "s3:ListBucket"
            return {Call(action, arn, query.get("prefix", [None])[0])}
        if method == "POST" and "delete" in query:
            return {call for entry in _OBJECTS.findall(body) for call in _deletion(arn, entry)}
    elif _is_about_one_object(environ, query):
        version = "Version" if "versionId" in query else ""
        calls = {Call(f"{_OBJECT_ACTIONS[method]}{version}", f"{arn}/{key}")}
        source = environ.get("HTTP_X_AMZ_COPY_SOURCE")
        if source is not None:  # an object without tags, as all of ours are
            calls.add(Call("s3:GetObject", f"arn:aws:s3:::{urllib.parse.unquote(source).lstrip('/')}"))
        if "HTTP_IF_MATCH" in environ:
            calls.add(Call("s3:GetObject", f"{arn}/{key}"))  # what a condition compares with has to be readable
        if method in {"GET", "HEAD"}:
            calls.add(Call("s3:ListBucket", arn, key, implied=True))
        return calls
    raise NotImplementedError(f"{method} {bucket}/{key}?{environ.get('QUERY_STRING')}")


def _is_about_one_object(environ: dict[str, Any], query: dict[str, list[str]]) -> bool:
    return environ["REQUEST_METHOD"] in _OBJECT_ACTIONS and query.keys() <= _OBJECT_PARAMETERS


def _deletion(bucket_arn: str, entry: bytes) -> Iterable[Call]:
    (key,) = _KEY.findall(entry)
    arn = f"{bucket_arn}/{html.unescape(key.decode())}"
    yield Call("s3:DeleteObjectVersion" if b"<VersionId>" in entry else "s3:DeleteObject", arn)
    if b"<ETag>" in entry:
        yield Call("s3:GetObject", arn)


def _bucket_and_key(environ: dict[str, Any]) -> tuple[str, str]:
    host = environ["HTTP_HOST"].partition(":")[0]
    path = str(environ["PATH_INFO"]).encode("latin-1").decode().lstrip("/")
    if host.endswith(".localhost"):
        return host.removesuffix(".localhost"), path
    bucket, _, key = path.partition("/")
    return bucket, key
