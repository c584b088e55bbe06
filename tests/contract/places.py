"""Where a subject of the contract keeps its records, seen from outside: the bytes as they lie there."""

import json
from pathlib import Path
from typing import Any, Protocol

import boto3
from botocore.config import Config
from mypy_boto3_s3 import S3Client


class Place(Protocol):
    """Raw access to a session store, without the library under test."""

    def keys(self) -> list[str]:
        """Every record's key, sorted, relative to the store's root."""

    def read(self, key: str) -> bytes:
        """The bytes of one record."""

    def write(self, key: str, body: bytes) -> None:
        """Put bytes at a key, folders included, whatever is there."""

    def remove(self, key: str) -> None:
        """Take one record away."""


def read_json(place: Place, key: str) -> dict[str, Any]:
    """One record as the JSON object it holds."""
    record: dict[str, Any] = json.loads(place.read(key))
    return record


class FolderPlace:
    """A folder on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keys(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    def read(self, key: str) -> bytes:
        return (self.folder / key).read_bytes()

    def write(self, key: str, body: bytes) -> None:
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)

    def remove(self, key: str) -> None:
        (self.folder / key).unlink()


class BucketPlace:
    """A bucket below a prefix."""

    def __init__(self, client: S3Client, bucket: str, prefix: str = "") -> None:
        self.client = client
        self.bucket = bucket
        self.prefix = prefix

    def keys(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
        found = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return sorted(key.removeprefix(self.prefix) for key in found)

    def read(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.bucket, Key=self.prefix + key)["Body"].read()

    def write(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=body)

    def remove(self, key: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=self.prefix + key)


def s3_client_for(url: str) -> S3Client:
    """A client with credentials no account has."""
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(retries={"total_max_attempts": 2}, max_pool_connections=20),
    )
