"""A client for an Agent Session Kit endpoint: turns as they are said, and a lost connection loses nothing.

    with Client("http://localhost:8000") as client:
        for event in client.stream("demo", "Hello"):
            if isinstance(event, Text):
                print(event.text, end="", flush=True)

:class:`Client` blocks, :class:`AsyncClient` awaits; both have the same methods. Behind IAM they sign
(:class:`SigV4Auth`), behind an issuer of tokens they bring one (:class:`BearerAuth`).
"""

from agent_sessions_client.async_client import AsyncClient, AsyncTurnStream
from agent_sessions_client.auth import BearerAuth, SigV4Auth
from agent_sessions_client.client import Client, TurnStream
from agent_sessions_client.errors import AgentSessionsError, ConnectionLostError, EndpointProblemError
from agent_sessions_client.events import Event, Message, Node, Reasoning, Reply, Submitted, Text, Tool, TurnBegan
from agent_sessions_client.sessions import Fork, ListedSession, RunningTurn, SessionsPage

__all__ = [
    "AgentSessionsError",
    "AsyncClient",
    "AsyncTurnStream",
    "BearerAuth",
    "Client",
    "ConnectionLostError",
    "EndpointProblemError",
    "Event",
    "Fork",
    "ListedSession",
    "Message",
    "Node",
    "Reasoning",
    "Reply",
    "RunningTurn",
    "SessionsPage",
    "SigV4Auth",
    "Submitted",
    "Text",
    "Tool",
    "TurnBegan",
    "TurnStream",
]
