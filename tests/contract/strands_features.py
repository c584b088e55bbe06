"""What the installed Strands has, so that a test can say why it does not run on an older one."""

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

needs_pins = pytest.mark.skipif(not HAS_PINS, reason="this version of Strands has no pinned messages")
