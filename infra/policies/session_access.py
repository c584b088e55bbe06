"""The policy statements for sessions in a bucket: who reads, who writes, who deletes, and nothing beside the prefix.

S3 asks for the permission to list whenever a key is missing: a caller without it hears 403 instead of 404. It judges
that by the same condition as a listing, with the key in the place of the prefix, so a conditioned permission serves
both.
"""

from dataclasses import dataclass

from aws_cdk import aws_iam as iam


@dataclass(frozen=True)
class SessionPlace:
    """Where sessions are.

    Attributes:
        bucket_arn: The bucket.
        prefix: Key prefix, without a slash at its end.
        key_arn: The KMS key that encrypts them, if it is a customer-managed one.
        versioned: Whether the bucket keeps versions.
    """

    bucket_arn: str
    prefix: str
    key_arn: str | None = None
    versioned: bool = False

    def within(self, sub_prefix: str) -> "SessionPlace":
        """The part of this place below a sub-prefix, such as one owner's.

        Raises:
            ValueError: When the sub-prefix is empty, has a slash at an end, or holds characters that a policy would
                read as a wildcard or a variable.
        """
        if not sub_prefix or sub_prefix != sub_prefix.strip("/") or any(sign in sub_prefix for sign in "*?$"):
            raise ValueError(f"sub_prefix={sub_prefix!r} | must be a plain key prefix without slashes at its ends")
        return SessionPlace(self.bucket_arn, f"{self.prefix}/{sub_prefix}", self.key_arn, self.versioned)


def read_statements(place: SessionPlace) -> list[iam.PolicyStatement]:
    """Reading and listing."""
    return [
        _objects(place, "s3:GetObject"),
        _listing(place, "s3:ListBucket"),
        *_key(place, "kms:Decrypt"),
    ]


def write_statements(place: SessionPlace) -> list[iam.PolicyStatement]:
    """Reading, listing, creating and replacing. A conditional write reads what it replaces."""
    return [
        _objects(place, "s3:GetObject", "s3:PutObject"),
        _listing(place, "s3:ListBucket"),
        *_key(place, "kms:Decrypt", "kms:GenerateDataKey"),
    ]


def delete_statements(place: SessionPlace) -> list[iam.PolicyStatement]:
    """Listing and deleting; where the bucket keeps versions, those too. A conditional delete reads what it deletes."""
    versions = [_listing(place, "s3:ListBucketVersions")] if place.versioned else []
    deletion = ["s3:DeleteObject", *(["s3:DeleteObjectVersion"] if place.versioned else [])]
    return [
        _objects(place, "s3:GetObject", *deletion),
        _listing(place, "s3:ListBucket"),
        *versions,
        *_key(place, "kms:Decrypt"),
    ]


def _objects(place: SessionPlace, *actions: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=list(actions), resources=[f"{place.bucket_arn}/{place.prefix}/*"])


def _listing(place: SessionPlace, action: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        actions=[action],
        resources=[place.bucket_arn],
        conditions={"StringLike": {"s3:prefix": f"{place.prefix}/*"}},
    )


def _key(place: SessionPlace, *actions: str) -> list[iam.PolicyStatement]:
    return [] if place.key_arn is None else [iam.PolicyStatement(actions=list(actions), resources=[place.key_arn])]
