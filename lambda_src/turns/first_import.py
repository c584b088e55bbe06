"""Importing the agent, and Strands with it: the longest single step of a cold start."""

import gc
from functools import cache


@cache
def import_agent() -> None:
    """Import ``lambda_src.agent``, once a process, without the cyclic garbage collector.

    What is imported stays. While it grows, the collector would go through half of it again and again, for nothing (a
    twelfth of the cold start's CPU time). Later it would go through all of it: hence the freeze.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        import lambda_src.agent  # noqa: F401 - imported for its imports
    finally:
        if was_enabled:
            gc.enable()
    gc.freeze()
