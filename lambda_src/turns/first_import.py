"""Importing the agent, and Strands with it: the longest single step of a cold start."""

import gc
from functools import cache


@cache
def import_agent() -> None:
    """Import ``lambda_src.agent``, once a process, without the cyclic garbage collector.

    What is imported stays. The collector would go through half of it again and again while it grows, for nothing
    (a twelfth of the cold start's CPU time), and through all of it later: hence the freeze.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        import lambda_src.agent  # noqa: F401 - imported for its imports
    finally:
        if was_enabled:
            gc.enable()
    gc.freeze()
