"""What the installed Strands has, so that a test can say why it does not run on an older one."""

from importlib.metadata import version
from importlib.util import find_spec
from typing import Final

import pytest


def has_module(name: str) -> bool:
    """Whether a module of Strands exists in the installed version."""
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


HAS_PINS: Final = has_module("strands.agent.conversation_manager.compression")
HAS_BIDI: Final = has_module("strands.bidi")

#: The installed release, such as ``(1, 62)``.
RELEASE: Final = tuple(int(part) for part in version("strands-agents").split(".")[:2])

needs_pins = pytest.mark.skipif(not HAS_PINS, reason="this version of Strands has no pinned messages")
needs_swarm_checkpoints = pytest.mark.skipif(
    RELEASE < (1, 55), reason="swarms of this version of Strands cannot go on from, or start after, a stored state"
)

#: Whether Strands' own managers encode bytes in an agent's state; this kit's do on every release.
MANAGERS_STORE_BYTES_IN_STATE: Final = RELEASE >= (1, 55)
