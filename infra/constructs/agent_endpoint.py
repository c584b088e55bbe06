"""The agent behind a URL: function, role, log, alias and who may call."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from aws_cdk import Annotations, CfnElement, Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from ..config import KitConfig
from ..packaging.agent_folder import agent_folder, default_model
from ..packaging.runtime_layer_build import LayerTarget
from ..policies.agent_policy import AgentStatement, agent_statements, read_agent_policy, wide_resources
from ..policies.cors import cors_options
from ..policies.model_access import guardrail_statements, model_statements, wildcards
from ..policies.model_choice import package_of
from ..policies.nag_waivers import waive
from ..policies.secret_access import secret_statements
from ..policies.secret_places import secret_place
from .endpoint_operations import EndpointOperations, service_name
from .function_code import function_code
from .runtime_layer import RuntimeLayer, check_layers, cpu_architecture, python_runtime
from .session_bucket import PREFIX, SessionBucket
from .session_layer import SessionLayer

_ALIAS = "live"
_WHY_ANY_TRACE = "X-Ray has no resource to name: xray:PutTraceSegments and xray:PutTelemetryRecords are for all of it."
# Of a turn that nobody waits for. Lambda waits one minute before the first retry and two before the second, and each
# attempt may take the longest timeout there is, 15 minutes: an hour is enough for all three. What is older is dropped.
_ASYNC_RETRIES = 2
_ASYNC_MAX_AGE = Duration.hours(1)


class AgentEndpoint(Construct):
    """A Lambda function that runs one turn of a session per request.

    Args:
        scope: Parent construct.
        construct_id: Id within it.
        config: The settings. Its ``stage`` is a dimension of metrics. In ``prod`` sessions and log outlive a stack.
        agent: The folder of the user's own agent, as ``lambda_src/agent`` in the kit's repository, relative to the
            working folder. Its ``model.txt`` is the default of ``agent_model``. ``None``: the demo agent.
        store: Where sessions live. The function may read, write and delete there. ``None``: a bucket of its own.
        agent_policy: What the agent may do beside that. ``None``: what ``policy.json`` in its folder says.
        layers: The ``layer`` of a :class:`RuntimeLayer` that was made for this agent, model, Python and processor, and
            that of a :class:`SessionLayer`. ``None``: layers of its own.

    Attributes:
        config: The settings, with the agent's default model.
        store: Where sessions live.
        function: The function; give its agent further rights with the ``grant_...`` methods of what it needs.
        url: The Function URL.
        caller_policy: What whoever signs requests needs; ``None`` unless ``auth`` is ``iam``: nobody else signs any.
        operations: Its metrics, alarms and saved questions to the log.

    Raises:
        AgentFolderError: The agent's folder is none, or the agent cannot be used: it is tried while it is packaged.
        AgentPolicyError: The agent's policy is none, or allows too much.
        ConfigError: The agent's default model lacks what it needs, or has what it cannot use.
        AgentRequirementsError: The agent's requirements are not those of their lock.
        LayerBuildError: A package has no wheel for the function's processor, or the layer is too large.
        ValueError: The bucket was made for another ``session_ttl_days``, or the layers do not hold what the function
            needs.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: KitConfig | None = None,
        agent: str | Path | None = None,
        store: SessionBucket | None = None,
        agent_policy: list[AgentStatement] | None = None,
        layers: Sequence[lambda_.ILayerVersion] | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        folder = agent_folder(agent)
        self.config = config = (config or KitConfig()).with_default_model(default_model(folder))
        asked_in = "the agent's policy"
        if agent_policy is None:
            policy = folder / "policy.json"
            agent_policy = read_agent_policy(policy, wildcards=config.agent_policy_wildcards)
            asked_in = os.path.relpath(policy)
        self.store = store = store or SessionBucket.configured(self, "Sessions", config)
        if store.ttl_days != config.session_ttl_days:
            raise ValueError(
                f"session_ttl_days={config.session_ttl_days:g}: the bucket forgets sessions after {store.ttl_days:g} "
                "days; make both from one configuration: SessionBucket.configured(scope, id, config)"
            )
        of_function = self._layers(config, agent, layers)  # before the code: what cannot be installed is said first
        self.log_group = self._log_group(config)
        self.role = self._role(config, store, agent_policy, asked_in)
        service = service_name(self)
        self.function = lambda_.Function(
            self,
            "Function",
            description="One turn of a session with an agent",
            runtime=python_runtime(config.python_version),
            architecture=cpu_architecture(config.architecture),
            handler="lambda_src.handler.lambda_handler",
            code=function_code(self, config, agent, settings_of_function(config)),
            layers=of_function,
            role=self.role,
            log_group=self.log_group,
            memory_size=config.memory_mb,
            timeout=Duration.seconds(config.timeout_seconds),
            reserved_concurrent_executions=config.max_concurrency,
            # Adds to the role what X-Ray needs: to put segments and telemetry, which have no resource to be named.
            tracing=lambda_.Tracing.ACTIVE if config.tracing == "xray" else lambda_.Tracing.DISABLED,
            snap_start=lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS if config.uses_snap_start else None,
            environment={
                "SESSION_STORE": store.url,
                **settings_of_function(config),
                "POWERTOOLS_SERVICE_NAME": service,
            },
        )
        # The URL belongs to the alias: SnapStart works on published versions only, and a version can be rolled back to.
        self.alias = lambda_.Alias(self, "Alias", alias_name=_ALIAS, version=self._version(config))
        self.url = self.alias.add_function_url(
            # With tokens the URL is open, and the function asks for one.
            auth_type=lambda_.FunctionUrlAuthType.AWS_IAM if config.auth == "iam" else lambda_.FunctionUrlAuthType.NONE,
            cors=cors_options(config.cors_origins),
            # The function cannot see this mode. STREAMING tells it, and has to say the same.
            invoke_mode=lambda_.InvokeMode.RESPONSE_STREAM if config.streaming else lambda_.InvokeMode.BUFFERED,
        )
        self.alias.configure_async_invoke(retry_attempts=_ASYNC_RETRIES, max_event_age=_ASYNC_MAX_AGE)
        self._let_it_invoke_itself()
        self.caller_policy: iam.ManagedPolicy | None = None
        if config.auth == "iam":
            self.caller_policy = iam.ManagedPolicy(
                self, "CallerPolicy", description="May call the agent endpoint", statements=self._call_statements()
            )
        waive(
            self.function,
            {
                "AwsSolutions-L1": "The Python version is configuration (python_version), because the runtime layer is "
                "built and compiled for exactly one."
            },
        )
        self.operations = EndpointOperations(
            *(self, "Operations"), config=config, function=self.function, service=service, log_group=self.log_group
        )
        if config.uses_snap_start:
            Annotations.of(self.function).acknowledge_warning(
                "@aws-cdk/aws-lambda:snapStartRequirePublish", "The URL belongs to an alias of a published version."
            )

    def grant_call(self, grantee: iam.IGrantable) -> None:
        """Let someone call the endpoint's URL: as one owner, with sessions of their own.

        Args:
            grantee: A function, a role or another principal of this account.
        """
        for statement in self._call_statements():
            grantee.grant_principal.add_to_principal_policy(statement)

    def _layers(
        self, config: KitConfig, agent: str | Path | None, given: Sequence[lambda_.ILayerVersion] | None
    ) -> list[lambda_.ILayerVersion]:
        target = LayerTarget(config.python_version, config.architecture)
        package = package_of(config.agent_model)
        if given is not None:
            check_layers(given, target, package, agent)
            return list(given)
        runtime = RuntimeLayer(self, "RuntimeLayer", target=target, provider_package=package, agent=agent)
        return [runtime.layer, SessionLayer(self, "SessionLayer", python_version=config.python_version).layer]

    def _log_group(self, config: KitConfig) -> logs.LogGroup:
        log_group = logs.LogGroup(
            self, "Log", removal_policy=RemovalPolicy.RETAIN if config.is_production else RemovalPolicy.DESTROY
        )
        resource = log_group.node.default_child
        assert isinstance(resource, logs.CfnLogGroup)  # noqa: S101 - tells mypy what the CDK documents
        resource.retention_in_days = config.log_retention_days
        return log_group

    def _role(
        self, config: KitConfig, store: SessionBucket, agent_policy: list[AgentStatement], asked_in: str
    ) -> iam.Role:
        # Written out instead of AWSLambdaBasicExecutionRole, which may write to every log group of the account.
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description="What the agent endpoint's function may do",
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[self.log_group.log_group_arn]
            )
        )
        places = [secret_place(text) for text in config.agent_secrets.values()]
        for statement in (
            *model_statements(self, config.agent_model),
            *guardrail_statements(self, config.agent_guardrail_id),
            *secret_statements(self, places),
            *agent_statements(self, agent_policy),
        ):
            role.add_to_policy(statement)
        store.grant_read_write(role)
        store.grant_delete(role)
        bucket = Stack.of(store).get_logical_id(cast("CfnElement", store.bucket.node.default_child))
        objects = f"AwsSolutions-IAM5[Resource::<{bucket}.Arn>/{PREFIX}/*]"
        waive(
            role,
            {objects: "Sessions and their messages are created all the time; the prefix keeps out all else."}
            | ({"AwsSolutions-IAM5[Resource::*]": _WHY_ANY_TRACE} if config.tracing == "xray" else {})
            | {
                f"AwsSolutions-IAM5[Resource::{resource}]": "Where an inference profile may route to. A condition ties "
                "the statement to that one profile."
                for resource in wildcards(config.agent_model)
            }
            | {
                f"AwsSolutions-IAM5[Resource::{resource}]": f"Asked for in {asked_in}."
                for resource in wide_resources(agent_policy)
            },
        )
        return role

    def _let_it_invoke_itself(self) -> None:
        # For turns without a caller (ASYNC_FUNCTION). A policy of its own: the function waits for its role's first one
        # to be there, and this one waits for the function's alias.
        policy = iam.Policy(
            self,
            "OwnAliasPolicy",
            statements=[iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[self.alias.function_arn])],
        )
        policy.attach_to_role(self.role)

    def _version(self, config: KitConfig) -> lambda_.IVersion:
        version = self.function.current_version
        # Without SnapStart an old version costs nothing, and the alias can go back to it.
        version.apply_removal_policy(RemovalPolicy.DESTROY if config.uses_snap_start else RemovalPolicy.RETAIN)
        return version

    def _call_statements(self) -> list[iam.PolicyStatement]:
        # Both actions are asked for. The second without its condition would let a caller invoke the function directly
        # with an event of their own making, and be whoever that event says.
        return [
            iam.PolicyStatement(
                actions=["lambda:InvokeFunctionUrl"],
                resources=[self.alias.function_arn],
                conditions={"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}},
            ),
            iam.PolicyStatement(
                actions=["lambda:InvokeFunction"],
                resources=[self.alias.function_arn],
                conditions={"Bool": {"lambda:InvokedViaFunctionUrl": "true"}},
            ),
        ]


def settings_of_function(config: KitConfig) -> dict[str, str]:
    """The function's environment variables that depend on the configuration alone.

    Args:
        config: The settings, with their model.
    """
    # Names as in lambda_src/settings.py; a test reads these values with it.
    optional = {
        "AGENT_SYSTEM_PROMPT": config.agent_system_prompt,
        "AGENT_MODEL_URL": config.agent_model_url,
        "AGENT_MAX_TOKENS": str(config.agent_max_tokens) if config.agent_max_tokens else None,
        "AGENT_GUARDRAIL_ID": config.agent_guardrail_id,
        "AGENT_GUARDRAIL_VERSION": config.agent_guardrail_version if config.agent_guardrail_id else None,
        "AGENT_PROMPT_CACHING": "true" if config.agent_prompt_caching else None,
        "TRACING": None if config.tracing == "off" else config.tracing,
        "AGENT_THINKING_TOKENS": str(config.agent_thinking_tokens) if config.agent_thinking_tokens else None,
        "JWT_ISSUER": config.jwt_issuer,
        "JWT_AUDIENCES": ",".join(config.jwt_audiences) or None,
        "JWT_CLIENT_IDS": ",".join(config.jwt_client_ids) or None,
        "JWT_JWKS_URL": config.jwt_jwks_url,
        "PAGE": "true" if config.page else None,
        "PAGE_CLIENT_ID": config.page_client_id,
        "PAGE_SCOPE": config.page_scope if config.page else None,
        "COGNITO_IDENTITY_OWNERS": None if config.cognito_identity_owners else "false",
    }
    secrets = {"AGENT_SECRETS": json.dumps(dict(config.agent_secrets))} if config.agent_secrets else {}
    return {
        "SESSION_TTL_DAYS": f"{config.session_ttl_days:g}",
        "STAGE": config.stage,
        "ENDPOINT_AUTH": config.auth,
        "AGENT_MODEL": config.agent_model,
        "AGENT_WINDOW_MESSAGES": str(config.agent_window_messages),
        "LEASE_WAIT_SECONDS": f"{config.lease_wait_seconds:g}",
        "DEADLINE_MARGIN_SECONDS": f"{config.deadline_margin_seconds:g}",
        "STREAMING": str(config.streaming).lower(),
        # The function's own name would be a circle in the template; Lambda tells it to the process.
        "ASYNC_FUNCTION": f":{_ALIAS}",
        **{name: value for name, value in optional.items() if value is not None},
        **secrets,
        **config.agent_environment,
        "POWERTOOLS_LOG_LEVEL": "INFO",
    }
