"""CDK entry point: reads the configuration and builds the stack."""

import sys

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks

from infra.config import ConfigError, load_config
from infra.packaging.shipped_files import PackageError
from infra.stack import KitStack

app = App()
try:
    KitStack(app, load_config(app.node.get_all_context()))
except (ConfigError, PackageError) as error:
    sys.exit(str(error))
Validations.of(app).add_plugins(AwsSolutionsChecks(app))
app.synth()
