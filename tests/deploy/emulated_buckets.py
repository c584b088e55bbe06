"""What moto's CloudFormation drops of a bucket: lifecycle, public access, ownership, versioning and its policy."""

import contextlib
import copy
import json
from types import MethodType
from typing import Any

from moto.core.common_models import CloudFormationModel
from moto.s3.exceptions import MissingBucket
from moto.s3.models import FakeBucket, s3_backends

Properties = dict[str, Any]


def extend_buckets() -> None:
    """Have buckets made and changed with all that their template says."""
    create, update = FakeBucket.create_from_cloudformation_json, FakeBucket.update_from_cloudformation_json

    def create_bucket(_cls: Any, name: str, resource: Any, account: str, region: str, **more: Any) -> FakeBucket:
        bucket = create(name, resource, account, region, **more)
        _apply_bucket_properties(bucket, resource["Properties"])
        return bucket

    def update_bucket(_cls: Any, **arguments: Any) -> FakeBucket:
        bucket = update(**arguments)
        _apply_bucket_properties(bucket, arguments["cloudformation_json"]["Properties"])
        return bucket

    FakeBucket.create_from_cloudformation_json = MethodType(create_bucket, FakeBucket)  # type: ignore[method-assign]
    FakeBucket.update_from_cloudformation_json = MethodType(update_bucket, FakeBucket)  # type: ignore[method-assign]


def _apply_bucket_properties(bucket: FakeBucket, properties: Properties) -> None:
    backend = s3_backends[bucket.account_id]["aws"]
    if "LifecycleConfiguration" in properties:
        rules = [_lifecycle_rule(rule) for rule in properties["LifecycleConfiguration"]["Rules"]]
        backend.put_bucket_lifecycle_configuration(bucket.name, rules)
    if "PublicAccessBlockConfiguration" in properties:
        block = {name: str(value).lower() for name, value in properties["PublicAccessBlockConfiguration"].items()}
        backend.put_public_access_block(bucket.name, block)
    if "OwnershipControls" in properties:
        backend.put_bucket_ownership_controls(bucket.name, {"Rule": properties["OwnershipControls"]["Rules"][0]})
    if "VersioningConfiguration" in properties:
        backend.put_bucket_versioning(bucket.name, properties["VersioningConfiguration"]["Status"])


def _lifecycle_rule(rule: Properties) -> Properties:
    # From CloudFormation's spelling to the API's.
    expiration: Properties = {}
    if "ExpirationInDays" in rule:
        expiration["Days"] = rule["ExpirationInDays"]
    if "ExpiredObjectDeleteMarker" in rule:
        expiration["ExpiredObjectDeleteMarker"] = rule["ExpiredObjectDeleteMarker"]
    answer: Properties = {"ID": rule.get("Id", "rule"), "Status": rule["Status"]}
    answer["Filter"] = {"Prefix": rule.get("Prefix", "")}
    if expiration:
        answer["Expiration"] = expiration
    for name in ("AbortIncompleteMultipartUpload", "NoncurrentVersionExpiration"):
        if name in rule:
            answer[name] = rule[name]
    return answer


class BucketPolicy(CloudFormationModel):
    """``AWS::S3::BucketPolicy``, without its conditional denials."""

    def __init__(self, bucket: str) -> None:
        self.physical_resource_id = bucket

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::S3::BucketPolicy"

    @classmethod
    def create_from_cloudformation_json(  # type: ignore[override]
        cls, _name: str, resource: Any, account: str, _region: str, **_more: Any
    ) -> "BucketPolicy":
        properties = resource["Properties"]
        document = copy.deepcopy(properties["PolicyDocument"])
        statements = document["Statement"]
        document["Statement"] = [s for s in statements if not (s["Effect"] == "Deny" and "Condition" in s)]
        if document["Statement"]:
            s3_backends[account]["aws"].put_bucket_policy(properties["Bucket"], json.dumps(document).encode())
        return cls(properties["Bucket"])

    def delete(self, account: str, _region: str) -> None:
        """Moto deletes in no order: the bucket may have gone first."""
        with contextlib.suppress(MissingBucket):
            s3_backends[account]["aws"].delete_bucket_policy(self.physical_resource_id)
