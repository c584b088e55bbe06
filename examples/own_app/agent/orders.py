"""Where an order is."""

import os

import boto3
from strands import tool


@tool
def order_status(order_id: str) -> str:
    """Tell where an order is.

    Args:
        order_id: Its number, such as "A-17".
    """
    table = boto3.resource("dynamodb").Table(os.environ["ORDERS_TABLE"])
    order = table.get_item(Key={"id": order_id}).get("Item")
    return str(order["place"]) if order else "There is no such order."
