"""What a user adds in the rehearsal: a tool that asks a person before it acts."""

from strands import ToolContext, tool


@tool(context=True)
def refund(order: str, euros: int, tool_context: ToolContext) -> str:
    """Give a customer their money back, once a person has agreed.

    Args:
        order: Number of the order.
        euros: How much.
        tool_context: The turn.
    """
    answer = tool_context.interrupt("approve-refund", reason={"order": order, "euros": euros})
    return f"refunded {euros} EUR for {order}" if answer == "yes" else "not refunded"
