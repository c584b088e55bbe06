"""The XML that S3 reads and writes."""

import time
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import quote
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from tests.doubles.s3.errors import S3Error
from tests.doubles.s3.listing import ObjectPage, VersionPage
from tests.doubles.s3.store import Version

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
MAX_DELETE_KEYS = 1000


def iso_time(seconds: float) -> str:
    """Write a time as listings do: ``2026-11-23T10:00:00.000Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))


def document(root: str, *parts: str) -> bytes:
    """Wrap ready-made elements into a document of S3's namespace."""
    return f'{_DECLARATION}<{root} xmlns="{_NAMESPACE}">{"".join(parts)}</{root}>'.encode()


def element(name: str, value: object) -> str:
    """Write one element; booleans as S3 does."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"<{name}>{escape(text)}</{name}>"


def error(failure: S3Error, *, resource: str, request_id: str) -> bytes:
    """Write an error document."""
    fields = {"Code": failure.code, "Message": failure.message, **failure.fields}
    fields |= {"Resource": resource, "RequestId": request_id}
    return f"{_DECLARATION}<Error>{''.join(element(*pair) for pair in fields.items())}</Error>".encode()


def object_listing(page: ObjectPage, *, bucket: str, query: Mapping[str, str], max_keys: int) -> bytes:
    """Write the answer of ListObjectsV2."""
    encode = _encoder(query)
    parts = [element("Name", bucket), element("Prefix", encode(query.get("prefix", "")))]
    parts += [element("MaxKeys", max_keys), element("KeyCount", page.key_count)]
    parts.append(element("IsTruncated", page.next_token is not None))
    if "delimiter" in query:
        parts.append(element("Delimiter", encode(query["delimiter"])))
    if "start-after" in query:
        parts.append(element("StartAfter", encode(query["start-after"])))
    if "continuation-token" in query:
        parts.append(element("ContinuationToken", query["continuation-token"]))
    if page.next_token is not None:
        parts.append(element("NextContinuationToken", page.next_token))
    if "encoding-type" in query:
        parts.append(element("EncodingType", query["encoding-type"]))
    parts += [f"<Contents>{_summary(version, encode(version.key))}</Contents>" for version in page.objects]
    parts += _common_prefixes(encode(prefix) for prefix in page.common_prefixes)
    return document("ListBucketResult", *parts)


def version_listing(page: VersionPage, *, bucket: str, query: Mapping[str, str], max_keys: int) -> bytes:
    """Write the answer of ListObjectVersions."""
    encode = _encoder(query)
    parts = [element("Name", bucket), element("Prefix", encode(query.get("prefix", "")))]
    parts += [element("KeyMarker", encode(query.get("key-marker", ""))), element("MaxKeys", max_keys)]
    parts += [element("VersionIdMarker", query.get("version-id-marker", ""))]
    parts.append(element("IsTruncated", page.next_key is not None))
    if "delimiter" in query:
        parts.append(element("Delimiter", encode(query["delimiter"])))
    if page.next_key is not None:
        parts.append(element("NextKeyMarker", encode(page.next_key)))
    if page.next_version_id is not None:
        parts.append(element("NextVersionIdMarker", page.next_version_id))
    if "encoding-type" in query:
        parts.append(element("EncodingType", query["encoding-type"]))
    for version, is_latest in page.versions:
        identity = element("VersionId", version.version_id) + element("IsLatest", is_latest)
        if version.is_delete_marker:
            body = element("Key", encode(version.key)) + element("LastModified", iso_time(version.last_modified))
            parts.append(f"<DeleteMarker>{body}{identity}</DeleteMarker>")
        else:
            parts.append(f"<Version>{_summary(version, encode(version.key))}{identity}</Version>")
    parts += _common_prefixes(encode(prefix) for prefix in page.common_prefixes)
    return document("ListVersionsResult", *parts)


def read_deletions(body: bytes) -> tuple[list[dict[str, str]], bool]:
    """Read a DeleteObjects request.

    Returns:
        For each object its ``Key`` and, where given, ``VersionId`` and ``ETag``; and whether the answer is to be quiet.

    Raises:
        S3Error: ``MalformedXML``, also for none or more than 1,000 objects.
    """
    root = read_document(body, "Delete")
    objects = [_children(child) for child in root if _local_name(child) == "Object"]
    if not 0 < len(objects) <= MAX_DELETE_KEYS or any(not entry.get("Key") for entry in objects):
        raise S3Error("MalformedXML")
    return objects, _children(root).get("Quiet", "false") == "true"


def read_versioning(body: bytes) -> str:
    """Read the status in a PutBucketVersioning request."""
    return _children(read_document(body, "VersioningConfiguration")).get("Status", "")


def read_document(body: bytes, root_name: str) -> ET.Element:
    """Parse a request's document; its clients are tests of this repository."""
    try:
        root = ET.fromstring(body)  # noqa: S314  # no stranger's input
    except ET.ParseError:
        raise S3Error("MalformedXML") from None
    if _local_name(root) != root_name:
        raise S3Error("MalformedXML")
    return root


def _children(node: ET.Element) -> dict[str, str]:
    return {_local_name(child): child.text or "" for child in node}


def _local_name(node: ET.Element) -> str:
    return node.tag.rpartition("}")[2]


def _summary(version: Version, name: str) -> str:
    parts = element("Key", name) + element("LastModified", iso_time(version.last_modified))
    parts += element("ETag", f'"{version.etag}"')
    for checksum in version.checksums:
        algorithm = checksum.removeprefix("x-amz-checksum-").upper()
        parts += element("ChecksumAlgorithm", algorithm) + element("ChecksumType", "FULL_OBJECT")
    return parts + element("Size", len(version.body)) + element("StorageClass", "STANDARD")


def _common_prefixes(names: Iterable[str]) -> list[str]:
    return [f"<CommonPrefixes>{element('Prefix', name)}</CommonPrefixes>" for name in names]


def _encoder(query: Mapping[str, str]) -> Callable[[str], str]:
    """Return how a listing writes names: as they are, or percent-encoded on request."""
    encoding = query.get("encoding-type")
    if encoding not in (None, "url"):
        raise S3Error("InvalidArgument", "Invalid Encoding Method specified in Request")
    return quote if encoding == "url" else str
