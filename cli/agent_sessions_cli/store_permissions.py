"""What these credentials may do in a bucket: each permission is used once and named if it is missing."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_sessions.object_store import ObjectStore

_NAMED: dict[str, str] = {
    "write": "s3:PutObject",
    "read": "s3:GetObject",
    "list": "s3:ListBucket",
    "delete": "s3:DeleteObject",
}
_IN_MESSAGE = re.compile(r"not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)")
"""How AWS says which permission was missing; a key's permissions are named in answers of S3."""


def name_of(verb: str, error: BaseException | None, *, on_s3: bool) -> str:
    """The permission that a refused request lacked; the verb where permissions have no names.

    Args:
        verb: What was tried: ``write``, ``read``, ``list`` or ``delete``.
        error: How it was refused.
        on_s3: Whether the store is a bucket.
    """
    while error is not None:
        told = _IN_MESSAGE.search(_message(error))
        if told:
            return told[1]
        error = error.__cause__
    return _NAMED[verb] if on_s3 else verb


def _message(error: BaseException) -> str:
    return str(error.response.get("Error", {}).get("Message", "")) if isinstance(error, ClientError) else ""


class VersionsProbe:
    """Whether versions of a probe's object may be listed and deleted. Trying it is what takes the object away.

    Args:
        objects: A bucket's.
        key: The probe's object.

    Attributes:
        may: Each permission that was used, with the code of the error that refused it.
        left: Whether something of the object may be left.
        uses_key: Whether the object was encrypted with a key of KMS.
    """

    def __init__(self, objects: ObjectStore, key: str) -> None:
        self._client: Any = getattr(objects, "client", None)
        self._bucket: str = getattr(objects, "bucket", "")
        self._key = key
        self._versions: set[str] = set()
        self.may: dict[str, str | None] = {}
        self.left = False
        self.uses_key = False

    @property
    def on_s3(self) -> bool:
        """Whether there can be versions at all."""
        return self._client is not None

    def note(self) -> None:
        """Remember the version that is there now: whoever may not list versions can still delete those it knows."""
        if self.on_s3:
            found = self._ask(lambda: self._client.head_object(Bucket=self._bucket, Key=self._key))
            self.uses_key = str((found or {}).get("ServerSideEncryption", "")).startswith("aws:kms")
            self._remember(found)

    def clear(self) -> None:
        """Delete the object, its versions and its delete markers; each deletion makes a marker, and is made once."""
        deleted = self._ask(lambda: self._client.delete_object(Bucket=self._bucket, Key=self._key), _NAMED["delete"])
        self._remember(deleted)
        if not self._versions:
            return  # the bucket keeps none
        page = self._ask(
            lambda: self._client.list_object_versions(Bucket=self._bucket, Prefix=self._key), "s3:ListBucketVersions"
        )
        for entry in [*(page or {}).get("Versions", []), *(page or {}).get("DeleteMarkers", [])]:
            self._remember(entry)
        for version in sorted(self._versions):
            request = {"Bucket": self._bucket, "Key": self._key, "VersionId": version}
            gone = self._ask(partial(self._client.delete_object, **request), "s3:DeleteObjectVersion")
            self.left = self.left or gone is None

    def _remember(self, answer: dict[str, Any] | None) -> None:
        if answer is not None and "VersionId" in answer:
            self._versions.add(answer["VersionId"])

    def _ask(self, call: Callable[[], Any], permission: str = "") -> Any:
        try:
            answer = call()
        except (ClientError, BotoCoreError) as error:
            if permission:
                told = _IN_MESSAGE.search(_message(error))
                code = error.response.get("Error", {}).get("Code", "an error") if isinstance(error, ClientError) else ""
                self.may[told[1] if told else permission] = code or type(error).__name__
            return None
        if permission:
            self.may.setdefault(permission, None)
        return answer
