"""The deployment: which constructs there are and how they meet."""

from pathlib import Path

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from infra.config import KitConfig
from infra.constructs.agent_endpoint import AgentEndpoint
from infra.constructs.runtime_layer import RuntimeLayer
from infra.constructs.session_bucket import PREFIX, SessionBucket
from infra.constructs.session_layer import SessionLayer
from infra.packaging.agent_folder import agent_folder, default_model
from infra.packaging.runtime_layer_build import LayerTarget
from infra.policies.agent_policy import read_agent_policy
from infra.policies.model_choice import package_of


class KitStack(Stack):
    """The bucket of the sessions, the layers, and the endpoint that uses both.

    Args:
        scope: The app.
        config: The deployment's configuration.
        agent: The folder of the user's own agent; ``None`` for ``lambda_src/agent``.

    Raises:
        ConfigError: When the agent's default model lacks what it needs, or has what it cannot use.
        AgentFolderError: When the agent cannot be used.
        AgentPolicyError: When the agent's policy is none, or allows too much.
    """

    def __init__(self, scope: Construct, config: KitConfig, agent: Path | None = None) -> None:
        folder = agent_folder(agent)
        config = config.with_default_model(default_model(folder))
        super().__init__(
            scope,
            config.stack_name,
            description="Agent Session Kit: an agent that remembers",
            termination_protection=config.is_production,
        )
        self.agent_policy = read_agent_policy(folder / "policy.json", wildcards=config.agent_policy_wildcards)
        self.store = SessionBucket.configured(self, "Store", config)
        # Under these names other apps find what they need, without knowing this stack: see examples/session-report.
        parameters = f"/agent-session-kit/{config.stage}"
        ssm.StringParameter(
            self,
            "BucketNameParameter",
            parameter_name=f"{parameters}/bucket-name",
            string_value=self.store.bucket.bucket_name,
            description=f"The bucket whose prefix {PREFIX}/ holds the sessions",
        )
        self.session_layer = SessionLayer(
            self,
            "SessionLayer",
            python_version=config.python_version,
            parameter_name=f"{parameters}/session-layer-arn",
        )
        self.runtime_layer = RuntimeLayer(
            self,
            "RuntimeLayer",
            target=LayerTarget(config.python_version, config.architecture),
            provider_package=package_of(config.agent_model),
            agent=agent,
        )
        self.endpoint = AgentEndpoint(
            self,
            "Endpoint",
            config=config,
            agent=agent,
            store=self.store,
            agent_policy=self.agent_policy,
            layers=[self.runtime_layer.layer, self.session_layer.layer],
        )
        outputs = {
            "EndpointUrl": (self.endpoint.url.url, "Where the agent answers"),
            "BucketName": (self.store.bucket.bucket_name, "Where sessions live"),
            "FunctionName": (self.endpoint.function.function_name, "The agent's function"),
            "SessionLayerArn": (self.session_layer.layer.layer_version_arn, "The session library, for other functions"),
            "RuntimeLayerArn": (self.runtime_layer.layer.layer_version_arn, "Strands, Powertools and boto3"),
        }
        if config.page:
            outputs["PageUrl"] = (self.endpoint.url.url, "The chat page: open it, and register it with the issuer")
        if self.endpoint.caller_policy is not None:
            arn = self.endpoint.caller_policy.managed_policy_arn
            outputs["CallerPolicyArn"] = (arn, "Attach it to whoever may call")
        if self.store.key is not None:
            outputs["KeyArn"] = (self.store.key.key_arn, "The key that encrypts sessions")
        for name, (value, description) in outputs.items():
            CfnOutput(self, name, value=value, description=description)
