"""A CDK app of its own: a table of orders, and an agent behind a URL that reads it."""

from typing import Any

from agent_session_kit_cdk import AgentEndpoint, KitConfig
from aws_cdk import App, CfnOutput, RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct


class Shop(Stack):
    """What was there before, and an agent that knows it.

    Args:
        scope: The app.
        **settings: Of the endpoint: whatever docs/CONFIGURATION.md of the kit lists.
    """

    def __init__(self, scope: Construct, **settings: Any) -> None:
        super().__init__(scope, "shop", description="Orders, and an agent that knows where they are")
        orders = dynamodb.Table(
            self,
            "Orders",
            partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            removal_policy=RemovalPolicy.DESTROY,
        )
        # The endpoint.
        config = KitConfig(agent_environment={"ORDERS_TABLE": orders.table_name}, **settings)
        chat = AgentEndpoint(self, "Chat", agent="agent", config=config)
        orders.grant_read_data(chat.function)

        CfnOutput(self, "EndpointUrl", value=chat.url.url, description="Where the agent answers")
        CfnOutput(self, "OrdersTable", value=orders.table_name, description="What the agent reads")


if __name__ == "__main__":
    app = App()
    # What the function runs on: in cdk.json, or for one command with -c architecture=x86_64. Unset is the default.
    Shop(app, **{name: app.node.try_get_context(name) for name in ("architecture", "python_version")})
    app.synth()
