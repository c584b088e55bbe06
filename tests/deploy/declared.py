"""Reading back from the emulator what the template declared."""

import json
from typing import Any

import boto3

from agent_sessions.expiry import lifecycle_days
from infra.commands.smoke.report import Report, expect
from infra.config import KitConfig
from infra.constructs.endpoint_alarms import alarm_specs
from infra.constructs.endpoint_metrics import NAMESPACE
from infra.constructs.saved_queries import QUERIES
from tests.infra.policy_evaluator import Statement

_WHO_MAY_OPEN = {
    "iam": "of type AWS_IAM; a policy says who may call",
    "jwt": "of type NONE; there is no policy of callers, and the function knows the issuer",
}


def check_deployed(report: Report, session: boto3.Session, outputs: dict[str, str], config: KitConfig) -> None:
    """Compare bucket, role and function with the configuration.

    Args:
        report: Where the results go.
        session: Of the emulator.
        outputs: Of the stack.
        config: What was deployed.
    """
    check = report.check
    check(f"lifecycle: sessions leave the bucket after {lifecycle_days(config.session_ttl_days)} days",
          lambda: _lifecycle(session, outputs, config))  # fmt: skip
    check("encryption: with keys of S3", lambda: _encryption(session, outputs))
    check("public access: blocked in all four ways", lambda: _public_access(session, outputs))
    check("role: reads, writes and deletes below sessions/, lists there, invokes one model and its own alias",
          lambda: _role(session, outputs))  # fmt: skip
    check("function: as configured, with both layers", lambda: _function(session, outputs, config))
    check("alias: live points to a published version of this code", lambda: _alias(session, outputs))
    check("url: its mode and the function's transport go together", lambda: _streaming(session, outputs, config))
    check(f"url: {_WHO_MAY_OPEN[config.auth]}", lambda: _opened_by(session, outputs, config))
    check(
        "alias: an event that nobody waits for is tried three times within an hour", lambda: _events(session, outputs)
    )
    check("alarms: ten, as the table says", lambda: _alarms(session, config))
    check("dashboard: it asks for this deployment's metrics", lambda: _dashboard(session, config))
    check("saved queries: each asks this function's log", lambda: _queries(session, outputs, config))
    check("layers: the newest session layer is found by its parameter", lambda: _parameter(session, outputs, config))


def _lifecycle(session: boto3.Session, outputs: dict[str, str], config: KitConfig) -> None:
    answer = session.client("s3").get_bucket_lifecycle_configuration(Bucket=outputs["BucketName"])
    rules: dict[str, Any] = {rule["ID"]: rule for rule in answer["Rules"]}
    expire = rules["expire-sessions"]
    expect(expire["Expiration"] == {"Days": lifecycle_days(config.session_ttl_days)}, expire)
    expect((expire["Filter"], expire["Status"]) == ({"Prefix": "sessions/"}, "Enabled"), expire)
    expect(rules["abort-uploads"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}, rules)
    expect(rules["remove-old-versions"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}, rules)
    expect(rules["remove-delete-markers"]["Expiration"] == {"ExpiredObjectDeleteMarker": True}, rules)


def _encryption(session: boto3.Session, outputs: dict[str, str]) -> None:
    answer = session.client("s3").get_bucket_encryption(Bucket=outputs["BucketName"])
    (rule,) = answer["ServerSideEncryptionConfiguration"]["Rules"]
    expect(rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256", rule)


def _public_access(session: boto3.Session, outputs: dict[str, str]) -> None:
    answer = session.client("s3").get_public_access_block(Bucket=outputs["BucketName"])
    block = answer["PublicAccessBlockConfiguration"]
    names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    expect(block == dict.fromkeys(names, True), block)


def role_statements(session: boto3.Session, outputs: dict[str, str]) -> list[Statement]:
    """The statements of the deployed function's role: its inline policies, and nothing attached."""
    iam = session.client("iam")
    role = _configuration(session, outputs)["Role"].rpartition("/")[2]
    attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    expect(attached == [], attached)
    statements: list[Statement] = []
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document: Any = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        statements += (json.loads(document) if isinstance(document, str) else document)["Statement"]
    return statements


def _role(session: boto3.Session, outputs: dict[str, str]) -> None:
    statements = role_statements(session, outputs)
    found: dict[str, set[str]] = {}
    for statement in statements:
        for action in _many(statement["Action"]):
            found.setdefault(action, set()).update(_many(statement["Resource"]))
    bucket = f"arn:aws:s3:::{outputs['BucketName']}"
    for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"):
        expect(found.pop(action) == {f"{bucket}/sessions/*"}, statements)
    expect(found.pop("s3:ListBucket") == {bucket}, statements)
    model = "claude-haiku-4-5"
    for action in ("bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"):
        expect(all(model in resource and "*" not in resource for resource in found.pop(action)), statements)
    live = session.client("lambda").get_alias(FunctionName=outputs["FunctionName"], Name="live")["AliasArn"]
    expect(found.pop("lambda:InvokeFunction") == {live}, statements)
    expect(set(found) == {"logs:CreateLogStream", "logs:PutLogEvents"}, found)


def _function(session: boto3.Session, outputs: dict[str, str], config: KitConfig) -> None:
    found = _configuration(session, outputs)
    expected = {
        "Runtime": f"python{config.python_version}",
        "Architectures": [config.architecture],
        "MemorySize": config.memory_mb,
        "Timeout": config.timeout_seconds,
        "Handler": "lambda_src.handler.lambda_handler",
    }
    expect({name: found[name] for name in expected} == expected, found)
    layers = [layer["Arn"] for layer in found["Layers"]]
    expect(layers == [outputs["RuntimeLayerArn"], outputs["SessionLayerArn"]], layers)
    variables = found["Environment"]["Variables"]
    expect(variables["SESSION_STORE"] == f"s3://{outputs['BucketName']}/sessions", variables)
    for name in ("session_ttl_days", "agent_window_messages", "lease_wait_seconds", "deadline_margin_seconds"):
        expect(float(variables[name.upper()]) == getattr(config, name), variables)
    expect((variables["AGENT_MODEL"], variables["ENDPOINT_AUTH"]) == (config.agent_model, config.auth), variables)
    group = found["LoggingConfig"]["LogGroup"]
    (log,) = session.client("logs").describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    expect(log["retentionInDays"] == config.log_retention_days, log)


def _alias(session: boto3.Session, outputs: dict[str, str]) -> None:
    client = session.client("lambda")
    version = client.get_alias(FunctionName=outputs["FunctionName"], Name="live")["FunctionVersion"]
    expect(version.isdigit(), version)
    published = client.get_function(FunctionName=outputs["FunctionName"], Qualifier="live")["Configuration"]
    expect(published["CodeSha256"] == _configuration(session, outputs)["CodeSha256"], published)


def _streaming(session: boto3.Session, outputs: dict[str, str], config: KitConfig) -> None:
    url = session.client("lambda").get_function_url_config(FunctionName=outputs["FunctionName"], Qualifier="live")
    expect(url["InvokeMode"] == ("RESPONSE_STREAM" if config.streaming else "BUFFERED"), url)
    variables = _configuration(session, outputs)["Environment"]["Variables"]
    expect(variables["STREAMING"] == str(config.streaming).lower(), variables)


def _opened_by(session: boto3.Session, outputs: dict[str, str], config: KitConfig) -> None:
    signed = config.auth == "iam"
    client = session.client("lambda")
    url = client.get_function_url_config(FunctionName=outputs["FunctionName"], Qualifier="live")
    expect(url["AuthType"] == ("AWS_IAM" if signed else "NONE"), url)
    # A stack's own resources: who signs needs a policy, and nobody else does.
    resources = session.client("cloudformation").describe_stack_resources(StackName=config.stack_name)["StackResources"]
    policies = [entry for entry in resources if entry.get("ResourceType") == "AWS::IAM::ManagedPolicy"]
    expect(
        [entry["PhysicalResourceId"] for entry in policies] == ([outputs["CallerPolicyArn"]] if signed else []),
        policies,
    )
    expect(("CallerPolicyArn" in outputs) == signed, outputs)
    variables = _configuration(session, outputs)["Environment"]["Variables"]
    expect(variables.get("JWT_ISSUER") == config.jwt_issuer, variables)


def _events(session: boto3.Session, outputs: dict[str, str]) -> None:
    found = session.client("lambda").get_function_event_invoke_config(FunctionName=outputs["FunctionName"])
    expect((found["MaximumRetryAttempts"], found["MaximumEventAgeInSeconds"]) == (2, 3600), found)


def _alarms(session: boto3.Session, config: KitConfig) -> None:
    found = session.client("cloudwatch").describe_alarms()["MetricAlarms"]
    alarms = {alarm["AlarmDescription"]: alarm for alarm in found}
    specs = alarm_specs(config.timeout_seconds)
    expect(alarms.keys() == {spec.description for spec in specs}, sorted(alarms))
    for spec in specs:
        alarm = alarms[spec.description]
        name = spec.metric.removeprefix("AWS/Lambda ")
        expect((alarm["MetricName"], alarm["Threshold"]) == (name, spec.threshold), alarm)
        expect((alarm["Period"], alarm["EvaluationPeriods"]) == (60 * spec.period_minutes, spec.periods), alarm)
        expect(alarm.get("Statistic", alarm.get("ExtendedStatistic")) == spec.statistic, alarm)
        if alarm["Namespace"] == NAMESPACE:
            dimensions = {entry["Name"]: entry["Value"] for entry in alarm["Dimensions"]}
            expect(dimensions == {"service": config.stack_name, "stage": config.stage}, alarm)


def _dashboard(session: boto3.Session, config: KitConfig) -> None:
    client = session.client("cloudwatch")
    (name,) = [entry["DashboardName"] for entry in client.list_dashboards()["DashboardEntries"]]
    body = json.loads(client.get_dashboard(DashboardName=name)["DashboardBody"])
    shown = [entry for widget in body["widgets"] for entry in widget["properties"].get("metrics", [])]
    ours = [entry for entry in shown if entry[0] == NAMESPACE]
    expect(bool(ours), body)
    for entry in ours:
        expect(entry[2:6] == ["service", config.stack_name, "stage", config.stage], entry)


def _queries(session: boto3.Session, outputs: dict[str, str], config: KitConfig) -> None:
    found = session.client("logs").describe_query_definitions()["queryDefinitions"]
    texts = {query["name"]: query["queryString"] for query in found}
    expect(texts == {f"{config.stack_name}/{query.title}": query.text for query in QUERIES}, sorted(texts))
    log = _configuration(session, outputs)["LoggingConfig"]["LogGroup"]
    expect(all(query["logGroupNames"] == [log] for query in found), found)


def _parameter(session: boto3.Session, outputs: dict[str, str], config: KitConfig) -> None:
    name = f"/agent-session-kit/{config.stage}/session-layer-arn"
    value = session.client("ssm").get_parameter(Name=name)["Parameter"]["Value"]
    expect(value == outputs["SessionLayerArn"], value)


def _configuration(session: boto3.Session, outputs: dict[str, str]) -> Any:
    return session.client("lambda").get_function(FunctionName=outputs["FunctionName"])["Configuration"]


def _many(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]
