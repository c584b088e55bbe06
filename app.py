"""CDK entry point: reads the configuration and builds the stack."""

import sys

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks

from infra.config import ConfigError, load_config
from infra.packaging.shipped_files import PackageError
from infra.policies.agent_policy import AgentPolicyError, table
from infra.stack import KitStack

app = App()
try:
    stack = KitStack(app, load_config(app.node.get_all_context()))
except (AgentPolicyError, ConfigError, PackageError) as error:
    sys.exit(str(error))
if stack.agent_policy and stack.bundling_required:
    sys.stderr.write(f"lambda_src/agent/policy.json lets the function do this, too:\n{table(stack.agent_policy)}")
Validations.of(app).add_plugins(AwsSolutionsChecks(app))
app.synth()
