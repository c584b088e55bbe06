"""Importing the agent, and Strands with it: the longest single step of a cold start."""

from functools import cache

from lambda_src.runtime import collector


@cache
def import_agent() -> None:
    """Import ``lambda_src.agent``, once a process, without the cyclic garbage collector.

    That saves a twelfth of the cold start's CPU time.
    """
    with collector.paused():
        import lambda_src.agent  # noqa: F401 - imported for its imports
    collector.keep_what_is_there()


def is_agent_imported() -> bool:
    """Whether :func:`import_agent` has nothing left to do."""
    return import_agent.cache_info().currsize > 0
