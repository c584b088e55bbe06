"""The bucket in which sessions live, and who may do what with them."""

from typing import Final, Literal, Self

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from agent_sessions.expiry import lifecycle_days

from ..config import KitConfig
from ..policies.nag_waivers import waive
from ..policies.session_access import SessionPlace, delete_statements, read_statements, write_statements

PREFIX: Final = "sessions"


class SessionBucket(Construct):
    """An encrypted, private bucket that forgets sessions after their time.

    The bucket is emptied by `make destroy`, not by a custom resource: that would be one more function whose role may
    delete everything, deployed for the day the stack is removed.

    Args:
        scope: Parent construct.
        construct_id: Id within it.
        ttl_days: Days after its last use at which a session expires; ``0`` keeps sessions for ever.
        ttl_days_before: While the lifetime is being lowered: what it was. The rule stays as it was, too.
        encryption: ``s3`` or ``kms`` (a customer-managed key of its own, rotated).
        versioned: Whether replaced and deleted objects are kept for a day.
        retain: Whether bucket and key outlive the stack.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        ttl_days: float,
        ttl_days_before: float | None = None,
        encryption: Literal["s3", "kms"],
        versioned: bool,
        retain: bool,
    ) -> None:
        super().__init__(scope, construct_id)
        self.ttl_days = ttl_days
        removal = RemovalPolicy.RETAIN if retain else RemovalPolicy.DESTROY
        self.key: kms.Key | None = None
        if encryption == "kms":
            self.key = kms.Key(
                self, "Key", description="Encrypts agent sessions", enable_key_rotation=True, removal_policy=removal
            )
        self.bucket = s3.Bucket(
            self,
            "Bucket",
            encryption=s3.BucketEncryption.S3_MANAGED if self.key is None else s3.BucketEncryption.KMS,
            encryption_key=self.key,
            # One data key serves many objects for a while: a hundredth of the requests to KMS.
            bucket_key_enabled=None if self.key is None else True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=versioned,
            lifecycle_rules=_lifecycle(ttl_days, ttl_days_before),
            removal_policy=removal,
        )
        self.place = SessionPlace(
            self.bucket.bucket_arn, PREFIX, None if self.key is None else self.key.key_arn, versioned=versioned
        )
        waive(
            self.bucket,
            {
                "AwsSolutions-S1": "Access logs would need a second bucket that outlives this one and holds the names "
                "of all sessions. Who called is in the function's log; CloudTrail's data events log the rest on demand."
            },
        )

    @classmethod
    def configured(cls, scope: Construct, construct_id: str, config: KitConfig) -> Self:
        """The bucket of a configuration.

        Args:
            scope: Parent construct.
            construct_id: Id within it.
            config: Says how long sessions live, how they are encrypted, and whether they outlive the stack.
        """
        return cls(
            scope,
            construct_id,
            ttl_days=config.session_ttl_days,
            ttl_days_before=config.session_ttl_days_before,
            encryption=config.encryption,
            versioned=config.bucket_versioning,
            retain=config.is_production,
        )

    @property
    def url(self) -> str:
        """The store's name for the session library: ``s3://bucket/prefix``."""
        return f"s3://{self.bucket.bucket_name}/{PREFIX}"

    def grant_read(self, grantee: iam.IGrantable, sub_prefix: str | None = None) -> None:
        """Let someone read and list sessions.

        Args:
            grantee: A function, a role or another principal of this account.
            sub_prefix: Only those below it: ``owner_prefix(issuer, subject)`` for one owner's.
        """
        _grant(grantee, read_statements(self._within(sub_prefix)))

    def grant_read_write(self, grantee: iam.IGrantable, sub_prefix: str | None = None) -> None:
        """Let someone read, list, begin and continue sessions; arguments as for :meth:`grant_read`."""
        _grant(grantee, write_statements(self._within(sub_prefix)))

    def grant_delete(self, grantee: iam.IGrantable, sub_prefix: str | None = None) -> None:
        """Let someone list and erase sessions; arguments as for :meth:`grant_read`."""
        _grant(grantee, delete_statements(self._within(sub_prefix)))

    def _within(self, sub_prefix: str | None) -> SessionPlace:
        return self.place if sub_prefix is None else self.place.within(sub_prefix)


def _grant(grantee: iam.IGrantable, statements: list[iam.PolicyStatement]) -> None:
    for statement in statements:
        grantee.grant_principal.add_to_principal_policy(statement)


def _lifecycle(ttl_days: float, ttl_days_before: float | None) -> list[s3.LifecycleRule]:
    # Rules of their own: each can be read, and changed, without the others. The last two stay while versioning is off:
    # a bucket whose versioning was on keeps its old versions until such a rule removes them.
    days = lifecycle_days(ttl_days, lowered_from=ttl_days_before)
    expiry = (
        []
        if days is None
        else [s3.LifecycleRule(id="expire-sessions", prefix=f"{PREFIX}/", expiration=Duration.days(days))]
    )
    return [
        *expiry,
        s3.LifecycleRule(id="abort-uploads", abort_incomplete_multipart_upload_after=Duration.days(1)),
        s3.LifecycleRule(id="remove-old-versions", noncurrent_version_expiration=Duration.days(1)),
        s3.LifecycleRule(id="remove-delete-markers", expired_object_delete_marker=True),
    ]
