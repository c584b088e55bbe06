"""S3's REST operations over the store: a request in, an answer out."""

import secrets
from collections.abc import Callable, Mapping
from email.utils import formatdate
from urllib.parse import unquote

from tests.doubles.s3 import documents, listing
from tests.doubles.s3.conditions import read_condition, requested_range
from tests.doubles.s3.errors import S3Error
from tests.doubles.s3.messages import Request, Response
from tests.doubles.s3.payload import has_integrity_header, read_payload
from tests.doubles.s3.store import Bucket, Deletion, ObjectStore, Version

KeyFault = Callable[[str], str | None]
"""Asks whether deleting this key within DeleteObjects is to fail, and with which error code."""

_SYSTEM_METADATA = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
)
_MAX_METADATA_BYTES = 2048
_BUCKET_SUBRESOURCES = ("versioning", "location", "versions", "delete")
# Query parameters of the object operations here; any other one names an operation this S3 does not have.
_OBJECT_QUERY = frozenset({"versionId", "x-id", "partNumber"})


class S3Service:
    """Answers requests.

    Args:
        store: What there is.
        listing_allowed: Whether the caller has ``s3:ListBucket``. Without it a listing is refused, and a missing key
            answers 403 instead of 404.
    """

    def __init__(self, store: ObjectStore, *, listing_allowed: bool = True) -> None:
        self._store = store
        self.listing_allowed = listing_allowed

    def handle(self, request: Request, key_fault: KeyFault = lambda _key: None) -> Response:
        """Carry a request out.

        Args:
            request: The request.
            key_fault: Which keys of a DeleteObjects request fail.
        """
        request_id = secrets.token_hex(8).upper()
        try:
            response = self._dispatch(request, key_fault)
        except S3Error as failure:
            response = error_response(failure, request, request_id)
        response.headers["x-amz-request-id"] = request_id
        return response

    def _dispatch(self, request: Request, key_fault: KeyFault) -> Response:
        if not request.bucket:
            return self._list_buckets()
        if not request.key:
            return self._bucket_operation(request, key_fault)
        if request.query.keys() - _OBJECT_QUERY:
            raise S3Error("NotImplemented")
        if "x-amz-copy-source" in request.headers:
            return self._copy_object(request)
        match request.method:
            case "GET" | "HEAD":
                return self._get_object(request)
            case "PUT":
                return self._put_object(request)
            case "DELETE":
                return self._delete_object(request)
        raise S3Error("MethodNotAllowed")

    # --- objects ---

    def _get_object(self, request: Request) -> Response:
        try:
            version = self._store.get(request.bucket, request.key, request.query.get("versionId"))
        except S3Error as failure:
            if failure.code == "NoSuchKey" and not self.listing_allowed:
                raise S3Error("AccessDenied") from failure
            raise
        headers = self._object_headers(version, request)
        status = read_condition(request.headers, version)
        if status == 304:
            return Response(304, {name: headers[name] for name in ("etag", "last-modified")})
        headers["accept-ranges"] = "bytes"
        if "range" in request.headers:
            span = requested_range(request.headers["range"], len(version.body))
            if span is not None:
                headers["content-range"] = f"bytes {span.start}-{span.stop - 1}/{len(version.body)}"
                for name in version.checksums:  # of the whole object: no use for a part
                    headers.pop(name, None)
                return Response(206, headers, version.body[span.start : span.stop])
        return Response(200, headers, version.body)

    def _object_headers(self, version: Version, request: Request) -> dict[str, str]:
        headers = {"content-type": "binary/octet-stream", **version.headers}
        headers["etag"] = f'"{version.etag}"'
        headers["last-modified"] = formatdate(version.last_modified, usegmt=True)
        headers |= {f"x-amz-meta-{name}": value for name, value in version.metadata.items()}
        headers |= self._write_headers(request.bucket, version)
        if request.headers.get("x-amz-checksum-mode", "").upper() != "ENABLED":
            for name in (*version.checksums, "x-amz-checksum-type"):
                headers.pop(name, None)
        return headers

    def _write_headers(self, bucket_name: str, version: Version) -> dict[str, str]:
        """Return what the answers to PUT and GET have in common."""
        kms = self._store.etags == "random"
        headers = {"etag": f'"{version.etag}"', "x-amz-server-side-encryption": "aws:kms" if kms else "AES256"}
        if version.checksums:
            headers |= {**version.checksums, "x-amz-checksum-type": "FULL_OBJECT"}
        if self._store.bucket(bucket_name).versioning:
            headers["x-amz-version-id"] = version.version_id
        return headers

    def _put_object(self, request: Request) -> Response:
        headers = request.headers
        if headers.get("if-none-match", "*") != "*" or headers.get("if-match") == "*":
            raise S3Error(
                "NotImplemented", fields={"Header": "If-None-Match" if "if-none-match" in headers else "If-Match"}
            )
        body, checksums = read_payload(headers, request.body)
        metadata = {n.removeprefix("x-amz-meta-"): v for n, v in headers.items() if n.startswith("x-amz-meta-")}
        if sum(len(name) + len(value.encode()) for name, value in metadata.items()) > _MAX_METADATA_BYTES:
            raise S3Error("MetadataTooLarge")
        version = self._store.put(
            request.bucket,
            request.key,
            body,
            headers=_system_metadata(headers),
            metadata=metadata,
            checksums=checksums,
            if_match=headers.get("if-match"),
            if_none_match=headers.get("if-none-match"),
        )
        return Response(200, self._write_headers(request.bucket, version))

    def _copy_object(self, request: Request) -> Response:
        headers = request.headers
        named = {
            name for name in headers if name.startswith("x-amz-copy-source-") or name == "x-amz-metadata-directive"
        }
        if request.method != "PUT" or named - {"x-amz-copy-source-if-match"}:
            raise S3Error("NotImplemented")
        source_bucket, _, source_key = unquote(headers["x-amz-copy-source"]).removeprefix("/").partition("/")
        source = self._store.get(source_bucket, source_key, None)
        wanted = headers.get("x-amz-copy-source-if-match")
        if wanted is not None and wanted.strip('"') != source.etag:
            raise S3Error("PreconditionFailed", fields={"Condition": "x-amz-copy-source-If-Match"})
        version = self._store.put(
            request.bucket,
            request.key,
            source.body,
            headers=source.headers,
            metadata=source.metadata,
            checksums=source.checksums,
            if_none_match=headers.get("if-none-match"),
        )
        parts = documents.element("ETag", f'"{version.etag}"')
        parts += documents.element("LastModified", documents.iso_time(version.last_modified))
        return _xml(documents.document("CopyObjectResult", parts))

    def _delete_object(self, request: Request) -> Response:
        if any(name.startswith("x-amz-if-match-") for name in request.headers):
            raise S3Error("NotImplemented")  # of directory buckets only
        deletion = self._store.delete(
            request.bucket, request.key, request.query.get("versionId"), if_match=request.headers.get("if-match")
        )
        headers = {"x-amz-version-id": deletion.version_id} if deletion.version_id else {}
        if deletion.is_delete_marker:
            headers["x-amz-delete-marker"] = "true"
        return Response(204, headers)

    # --- buckets ---

    def _list_buckets(self) -> Response:
        buckets = [self._store.bucket(name) for name in self._store.bucket_names()]
        entries = [documents.element("Name", b.name) + _created(b) for b in buckets]
        parts = "".join(f"<Bucket>{entry}</Bucket>" for entry in entries)
        return _xml(documents.document("ListAllMyBucketsResult", f"<Buckets>{parts}</Buckets>"))

    def _bucket_operation(self, request: Request, key_fault: KeyFault) -> Response:
        subresource = next((name for name in _BUCKET_SUBRESOURCES if name in request.query), "")
        if (request.method, subresource) == ("POST", "delete"):
            return self._delete_objects(request, key_fault)
        operations: Mapping[tuple[str, str], Callable[[Request], Response]] = {
            ("PUT", ""): self._create_bucket,
            ("HEAD", ""): self._head_bucket,
            ("DELETE", ""): self._delete_bucket,
            ("GET", ""): self._list_objects,
            ("GET", "versions"): self._list_versions,
            ("GET", "location"): self._get_location,
            ("GET", "versioning"): self._get_versioning,
            ("PUT", "versioning"): self._put_versioning,
        }
        operation = operations.get((request.method, subresource))
        if operation is None:
            raise S3Error("NotImplemented")
        return operation(request)

    def _create_bucket(self, request: Request) -> Response:
        # A query names an operation on the bucket (lifecycle, policy, …), not its creation.
        if request.query.keys() - {"x-id"}:
            raise S3Error("NotImplemented")
        self._store.create_bucket(request.bucket)
        return Response(200, {"location": f"/{request.bucket}"})

    def _head_bucket(self, request: Request) -> Response:
        self._store.bucket(request.bucket)
        return Response(200, {"x-amz-bucket-region": "us-east-1"})

    def _delete_bucket(self, request: Request) -> Response:
        if request.query.keys() - {"x-id"}:
            raise S3Error("NotImplemented")
        self._store.delete_bucket(request.bucket)
        return Response(204)

    def _get_location(self, request: Request) -> Response:
        self._store.bucket(request.bucket)
        return _xml(documents.document("LocationConstraint"))

    def _get_versioning(self, request: Request) -> Response:
        status = self._store.bucket(request.bucket).versioning
        return _xml(documents.document("VersioningConfiguration", status and documents.element("Status", status)))

    def _put_versioning(self, request: Request) -> Response:
        status = documents.read_versioning(request.body)
        if status == "Enabled":
            self._store.bucket(request.bucket).versioning = "Enabled"
        elif status == "Suspended":
            self._store.bucket(request.bucket).versioning = "Suspended"
        else:
            raise S3Error("MalformedXML")
        return Response(200)

    def _list_objects(self, request: Request) -> Response:
        query = request.query
        # Anything else is another operation (lifecycle, policy, uploads, the first version of ListObjects).
        if query.get("list-type") != "2":
            raise S3Error("NotImplemented")
        if not self.listing_allowed:
            raise S3Error("AccessDenied")
        max_keys = listing.parse_max_keys(query.get("max-keys"))
        with self._store.lock:
            page = listing.list_objects(
                self._store.bucket(request.bucket),
                prefix=query.get("prefix", ""),
                delimiter=query.get("delimiter", ""),
                max_keys=max_keys,
                start_after=query.get("start-after", ""),
                token=query.get("continuation-token"),
            )
        return _xml(documents.object_listing(page, bucket=request.bucket, query=query, max_keys=max_keys))

    def _list_versions(self, request: Request) -> Response:
        query = request.query
        if not self.listing_allowed:
            raise S3Error("AccessDenied")
        max_keys = listing.parse_max_keys(query.get("max-keys"))
        with self._store.lock:
            page = listing.list_versions(
                self._store.bucket(request.bucket),
                prefix=query.get("prefix", ""),
                delimiter=query.get("delimiter", ""),
                max_keys=max_keys,
                key_marker=query.get("key-marker", ""),
                version_id_marker=query.get("version-id-marker", ""),
            )
        return _xml(documents.version_listing(page, bucket=request.bucket, query=query, max_keys=max_keys))

    def _delete_objects(self, request: Request, key_fault: KeyFault) -> Response:
        if not has_integrity_header(request.headers):
            missing = "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"
            raise S3Error("InvalidRequest", missing)
        body, _ = read_payload(request.headers, request.body)
        objects, quiet = documents.read_deletions(body)
        self._store.bucket(request.bucket)
        outcomes = (self._delete_one(request.bucket, entry, key_fault, quiet=quiet) for entry in objects)
        return _xml(documents.document("DeleteResult", *outcomes))

    def _delete_one(self, bucket: str, entry: Mapping[str, str], key_fault: KeyFault, *, quiet: bool) -> str:
        fields: dict[str, str] = {name: entry[name] for name in ("Key", "VersionId") if name in entry}
        code = key_fault(entry["Key"])
        failure = S3Error(code) if code is not None else None
        deletion = Deletion()
        if failure is None:
            try:
                deletion = self._store.delete(bucket, entry["Key"], entry.get("VersionId"), if_match=entry.get("ETag"))
            except S3Error as error:
                failure = error
        if failure is not None:
            fields |= {"Code": failure.code, "Message": failure.message}
        elif quiet:
            return ""
        elif deletion.is_delete_marker and deletion.version_id:
            fields |= {"DeleteMarker": "true", "DeleteMarkerVersionId": deletion.version_id}
        outcome = "Error" if failure else "Deleted"
        return f"<{outcome}>{''.join(documents.element(*pair) for pair in fields.items())}</{outcome}>"


def error_response(failure: S3Error, request: Request, request_id: str) -> Response:
    """Make the answer of an error; one to HEAD has no body."""
    resource = f"/{request.bucket}/{request.key}" if request.key else f"/{request.bucket}"
    body = documents.error(failure, resource=resource, request_id=request_id)
    return Response(failure.status, {"content-type": "application/xml", **failure.headers}, body)


def _xml(body: bytes) -> Response:
    return Response(200, {"content-type": "application/xml"}, body)


def _created(bucket: Bucket) -> str:
    return documents.element("CreationDate", documents.iso_time(bucket.created))


def _system_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    kept = {name: headers[name] for name in _SYSTEM_METADATA if name in headers}
    # aws-chunked describes the transfer, not the object: S3 strips it before storing.
    codings = [coding.strip() for coding in kept.pop("content-encoding", "").split(",")]
    encoding = ",".join(coding for coding in codings if coding and coding != "aws-chunked")
    return kept | ({"content-encoding": encoding} if encoding else {})
