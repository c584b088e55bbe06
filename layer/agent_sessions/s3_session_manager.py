"""Sessions in an Amazon S3 bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from agent_sessions._objects.object_repository import ObjectSessionRepository
from agent_sessions._records.layout import Layout
from agent_sessions._storage import s3_authorities
from agent_sessions._storage.s3_objects import S3Objects
from agent_sessions.repository_session_manager import RepositorySessionManager

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3.client import S3Client

    from agent_sessions._objects.read_ahead import ReadAhead
    from agent_sessions._objects.turn_writer import Durability, Fence
    from agent_sessions.lease import SessionLease

USER_AGENT = "strands-agents"
"""What Strands' own manager adds to the user agent. It is kept so that existing dashboards go on counting."""

_CONNECTIONS = 32


def s3_client(
    boto_session: boto3.Session | None = None,
    boto_client_config: Config | None = None,
    region_name: str | None = None,
    endpoint_url: str | None = None,
) -> S3Client:
    """Make an S3 client as the session manager makes its own.

    Args:
        boto_session: The boto3 session to use instead of a new one.
        boto_client_config: The client's configuration. It is kept; ``strands-agents`` is added to its
            ``user_agent_extra``.
        region_name: The bucket's region.
        endpoint_url: Another S3 than Amazon's, or a VPC endpoint.
    """
    given = boto_client_config or Config(max_pool_connections=_CONNECTIONS)
    extra = getattr(given, "user_agent_extra", None)
    config = given.merge(Config(user_agent_extra=f"{extra} {USER_AGENT}" if extra else USER_AGENT))
    session = boto_session or boto3.Session(region_name=region_name)
    if boto_session is not None and region_name is not None:
        return session.client(service_name="s3", config=config, endpoint_url=endpoint_url, region_name=region_name)
    return session.client(service_name="s3", config=config, endpoint_url=endpoint_url)


def share_authorities(client: S3Client, other: Any) -> None:
    """Have two clients read once, and not once each, whom they trust for TLS. It costs a cold start 25 ms and more.

    Args:
        client: An S3 client.
        other: A client of any service that has not opened a connection yet, made with the same session and nothing of
            its own about TLS: one that does not verify would switch that off for both.
    """
    s3_authorities.share(client, other)


class S3SessionManager(RepositorySessionManager, ObjectSessionRepository):
    """Keeps agents and orchestrators in one session in an S3 bucket.

    Takes the arguments of Strands' manager of the same name, and reads and writes the same layout.

    Args:
        session_id: The session. It is created when the bucket holds none of this id.
        bucket: The bucket's name.
        prefix: Where in the bucket the sessions live.
        boto_session: The boto3 session to make the client from.
        boto_client_config: The client's configuration; ``strands-agents`` is added to its ``user_agent_extra``.
        region_name: The bucket's region.
        endpoint_url: Another S3 than Amazon's, or a VPC endpoint.
        client: An S3 client to use as it is, instead of making one. One client serves any number of managers.
        durability: When a message is durable: ``message``: when it has been appended; ``turn``: at the latest when
            the turn has ended. The messages after a turn's first are then written while the model works.
        fence: What a turn's first message is waited for before. ``model``: the model is called. ``effects``, with
            ``durability="turn"``: the model is called at once, and the message is waited for before the turn has any
            effect: a tool runs, another message is sent, a word of the model reaches a handler or a stream. A refused
            turn cancels the model's call. Whoever shows something else of a turn asks :meth:`fence_acknowledged`.
        agent_id: The agent that is going to be restored. Its records are read together with the session's; another
            agent's take a second round trip. By default, the one restored last with this client.
        lease: The session's lease, if the caller has taken it. While it is held, messages beyond the restored
            conversation were left by a turn that was cut off.
        ttl_days: Days after its last use at which the session expires; ``0`` or ``None`` keeps it for ever. Every
            writer of a session has to know it: see ``docs/EXPIRY.md``.
        allow_unconditional: Whether to write to a store that is like S3 and keeps no conditional writes, where two
            turns at once can lose each other's messages: see ``docs/STORES.md``. Amazon's keeps them.
        time_left: Tells the seconds until the turn's caller has to be answered. Work that can wait for the next turn,
            such as renewing a long session, then ends in time. When not given, nothing is cut short.
        recent: Whether turns keep the session in the list of those used last, and give it a title: see
            ``SessionStore.list_recent``. In the first turn of a UTC day it costs a write and a deletion more, in a
            session's first turn two writes.
        read_ahead: What was asked for while the lease was being taken: see ``SessionStore.read_ahead``.
        **kwargs: For later additions.

    Raises:
        InvalidIdentifierError: The id cannot become part of a key.
        SessionStorageError: S3 refused or failed. ``ConditionsNotKeptError``: it is not Amazon's, and keeps no
            conditional writes.
    """

    def __init__(
        self,
        session_id: str,
        bucket: str,
        prefix: str = "",
        boto_session: boto3.Session | None = None,
        boto_client_config: Config | None = None,
        region_name: str | None = None,
        endpoint_url: str | None = None,
        *,
        client: S3Client | None = None,
        durability: Durability = "message",
        fence: Fence = "model",
        agent_id: str | None = None,
        lease: SessionLease | None = None,
        ttl_days: float | None = None,
        allow_unconditional: bool = False,
        time_left: Callable[[], float] | None = None,
        recent: bool = False,
        read_ahead: ReadAhead | None = None,
        **kwargs: Any,
    ) -> None:
        layout = Layout(prefix)
        self.bucket = bucket
        self.prefix = prefix
        self.client = client or s3_client(boto_session, boto_client_config, region_name, endpoint_url)
        ObjectSessionRepository.__init__(
            self,
            S3Objects(self.client, bucket, folder=layout.root, allow_unconditional=allow_unconditional),
            layout,
            durability=durability,
            fence=fence,
            consolidates=True,
            agent_id=agent_id,
            lease=lease,
            ttl_days=ttl_days,
            time_left=time_left,
            recent=recent,
            read_ahead=read_ahead,
        )
        RepositorySessionManager.__init__(self, session_id, session_repository=self, **kwargs)
