"""A CDK app of its own: one function with the session layer and leave to read."""

import hashlib
import tempfile
from pathlib import Path

from aws_cdk import App, Aws, CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_ssm as ssm
from constructs import Construct

MODULE = Path(__file__).resolve().parent / "function" / "session_report.py"


class SessionReport(Stack):
    """Reads the sessions of an Agent Session Kit that is deployed in the same account and region.

    Args:
        scope: The app.
        stage: Of the kit's deployment.
        key_arn: Of the KMS key, when the kit was deployed with ``encryption=kms``: its output ``KeyArn``.
    """

    def __init__(self, scope: Construct, stage: str, key_arn: str | None = None) -> None:
        super().__init__(scope, f"session-report-{stage}", description="Reports on agent sessions")
        layer_arn = ssm.StringParameter.value_for_string_parameter(
            self, f"/agent-session-kit/{stage}/session-layer-arn"
        )
        bucket = ssm.StringParameter.value_for_string_parameter(self, f"/agent-session-kit/{stage}/bucket-name")
        bucket_arn = f"arn:{Aws.PARTITION}:s3:::{bucket}"
        log_group = logs.LogGroup(
            self, "Log", retention=logs.RetentionDays.ONE_MONTH, removal_policy=RemovalPolicy.DESTROY
        )
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(role)
        role.add_to_policy(iam.PolicyStatement(actions=["s3:GetObject"], resources=[f"{bucket_arn}/sessions/*"]))
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:ListBucket"],
                resources=[bucket_arn],
                conditions={"StringLike": {"s3:prefix": "sessions/*"}},
            )
        )
        if key_arn is not None:
            role.add_to_policy(iam.PolicyStatement(actions=["kms:Decrypt"], resources=[key_arn]))
        with tempfile.TemporaryDirectory() as folder:
            function = lambda_.Function(
                self,
                "Function",
                runtime=lambda_.Runtime.PYTHON_3_13,
                architecture=lambda_.Architecture.ARM_64,
                handler="session_report.lambda_handler",
                code=readable_by_lambda(MODULE, Path(folder)),
                layers=[lambda_.LayerVersion.from_layer_version_arn(self, "Sessions", layer_arn)],
                environment={"SESSION_STORE": f"s3://{bucket}/sessions"},
                role=role,
                log_group=log_group,
                memory_size=512,
                timeout=Duration.seconds(60),
            )
        CfnOutput(self, "FunctionName", value=function.function_name)


def readable_by_lambda(module: Path, folder: Path) -> lambda_.AssetCode:
    """Package a function of one module.

    Lambda runs it as another user than the one who builds, so the module's mode must not be what the umask here makes
    it. The CDK's own hash knows the content alone: with it, a package of other modes would count as uploaded already.

    Args:
        module: The module.
        folder: An empty folder, which has to last until the function is constructed.
    """
    shipped = folder / module.name
    shipped.write_bytes(module.read_bytes())
    shipped.chmod(0o644)
    digest = hashlib.sha256(b"0644 " + module.name.encode() + b"\0" + module.read_bytes()).hexdigest()
    return lambda_.Code.from_asset(str(folder), asset_hash=digest)


if __name__ == "__main__":
    app = App()
    SessionReport(app, app.node.try_get_context("stage") or "dev", app.node.try_get_context("key_arn"))
    app.synth()
