"""Tools of an MCP server, for an agent of the endpoint: ``tools=[McpTools("https://..."), ...]`` in a builder.

The connection is opened when the agent is built, and closed with the turn, however that ends. Import this module only
where it is used: it imports the MCP client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from strands import tool
from strands.tools.mcp import MCPClient

from lambda_src.answers.diagnosis import diagnosis
from lambda_src.answers.errors import EndpointError
from lambda_src.answers.logs import logger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from strands.types.tools import AgentTool

STARTUP_SECONDS = 10


class McpTools(MCPClient):
    """The tools of one MCP server over streamable HTTP.

    When the server cannot be reached, the agent works without its tools: in their place is one that tells the model so.

    Args:
        url: The server's address.
        name: What the model is told of the server; also the beginning of its tools' names, ``<name>_<tool>``.
        headers: Sent with every request: a key, say, from ``lambda_src.secrets.secret``.
        startup_seconds: How long the server may take to answer at first.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        headers: Mapping[str, str] | None = None,
        startup_seconds: int = STARTUP_SECONDS,
    ) -> None:
        super().__init__(url=url, headers=dict(headers or {}), prefix=name, startup_timeout=startup_seconds)
        self._name = name

    async def load_tools(self, **kwargs: Any) -> Sequence[AgentTool]:
        """The server's tools; or, when it cannot be reached, the one that says so."""
        try:
            return await super().load_tools(**kwargs)
        except EndpointError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the agent goes on without this server
            logger.warning("an MCP server cannot be used", extra={"server": self._name, **diagnosis(error)})
            return [_unavailable(self._name)]


def _unavailable(name: str) -> AgentTool:
    why = f"The tools of {name} cannot be used at the moment: the server cannot be reached."

    @tool(name=f"{name}_unavailable", description=f"{why} Tell the user so instead of guessing what they would say.")
    def unavailable() -> str:
        raise ConnectionError(why)

    return unavailable
