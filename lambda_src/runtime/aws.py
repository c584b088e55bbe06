"""The process's connection to AWS: one boto3 session, and what must not outlive a snapshot.

A boto3 session loads its service models once; sharing it between S3 and Bedrock saves about 80 ms of a cold start.
"""

from __future__ import annotations

import random
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from lambda_src.runtime.s3_requests import SENT

if TYPE_CHECKING:
    from collections.abc import Callable

    import boto3
    import botocore.session
    from mypy_boto3_s3.client import S3Client

S3_CONNECT_SECONDS = 2
S3_READ_SECONDS = 5
S3_ATTEMPTS = 4
"""Tries of one request. When S3 does not answer at all, they and their pauses take at most about half a minute."""

SECRET_ATTEMPTS = 3

_on_restore: list[Callable[[], object]] = []
_sharing: list[Any] = []
"""The S3 client, when there is one: others use its authorities for TLS."""


@lru_cache(maxsize=1)
def boto_session() -> boto3.Session:
    """The one boto3 session of this process. The first call imports boto3."""
    import boto3

    return boto3.Session(botocore_session=_core())


@lru_cache(maxsize=1)
def _core() -> botocore.session.Session:
    import botocore.session

    from lambda_src.runtime.service_models import use_service_models

    core = botocore.session.get_session()
    use_service_models(core)
    return core


def _user_agent() -> str:
    """What a client calls itself.

    botocore would put it together twice for each request, always the same: a tenth of the request's processor time.
    """
    core = _core()
    # What boto3 adds is added to a given name, too.
    return str(core.user_agent()).removesuffix(f" {core.user_agent_extra}")


def s3_client() -> S3Client:
    """A client for the sessions, which gives up while there is time to tell the caller.

    boto3 waits 60 seconds for an answer and asks up to five times: longer than most functions live.
    """
    from botocore.config import Config

    from agent_sessions.s3_session_manager import s3_client as make

    session = boto_session()
    client = make(
        session,
        Config(
            user_agent=_user_agent(),
            connect_timeout=S3_CONNECT_SECONDS,
            read_timeout=S3_READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": S3_ATTEMPTS},
            max_pool_connections=32,
        ),
    )
    SENT.watch(client)
    _sharing[:] = [client]
    return client


def share_authorities(client: Any) -> None:
    """Have a client read together with the S3 client, and not once more, whom it trusts for TLS.

    Args:
        client: Made with the session of this process and nothing of its own about TLS; it has sent nothing yet.
    """
    if _sharing:
        from agent_sessions.s3_session_manager import share_authorities as share

        share(_sharing[0], client)


def secrets_client(service: str) -> Any:
    """A client for secrets, which gives up while there is time to tell the caller.

    Args:
        service: ``secretsmanager`` or ``ssm``.
    """
    from botocore.config import Config

    config = Config(
        connect_timeout=S3_CONNECT_SECONDS,
        read_timeout=S3_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": SECRET_ATTEMPTS},
    )
    session: Any = boto_session()  # its overloads know the services with stubs only
    return session.client(service, config=config)


def on_restore(forget: Callable[[], object]) -> None:
    """Have something called when the process wakes up from a snapshot: a cache of clients, say."""
    _on_restore.append(forget)


def restored() -> None:
    """Forget what processes that wake up from one snapshot must not share.

    Connections and credentials are stale, and every copy would draw the same "random" retry delays. The kit's own
    ids come from the operating system's randomness, which a snapshot does not freeze.
    """
    boto_session.cache_clear()
    _core.cache_clear()
    _sharing.clear()
    for forget in _on_restore:
        forget()
    random.seed()


def register_snapshot_hooks(prime: Callable[[], object]) -> bool:
    """Register what SnapStart runs before a snapshot is taken and after it is restored.

    Args:
        prime: Called once before the snapshot: imports and connections that every invocation would pay for.

    Returns:
        Whether the runtime has the hooks. Outside Lambda it usually has not.
    """
    try:
        from snapshot_restore_py import (  # type: ignore[import-untyped] # the runtime ships it without types
            register_after_restore,
            register_before_snapshot,
        )
    except ImportError:
        return False
    register_before_snapshot(prime)
    register_after_restore(restored)
    return True
