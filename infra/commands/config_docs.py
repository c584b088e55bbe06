"""Writes ``docs/CONFIGURATION.md`` from the configuration: ``python -m infra.commands.config_docs``."""

import sys
from pathlib import Path
from typing import Any

from infra.config import KitConfig
from infra.config_fields import allowed_values

PAGE = Path(__file__).resolve().parents[2] / "docs" / "CONFIGURATION.md"
_HEAD = """\
# Configuration

Made from `infra/config.py` by `make config-docs`; a test compares the two.

Set a value in `cdk.json` under `context`, or for one command with `make deploy ARGS="-c key=value"`. `-c key=` goes
back to the default. A value that is not allowed, and a key that does not exist, is refused before anything is deployed.

| key | default | allowed | meaning |
|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    rows = [
        f"| `{key}` | {_default(field.default)} | {allowed_values(field)} | {field.description} |"
        for key, field in KitConfig.model_fields.items()
    ]
    return _HEAD + "\n".join(rows) + "\n"


def _default(value: Any) -> str:
    if value is None or value in ({}, ()):
        return "unset"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name}: {len(KitConfig.model_fields)} keys\n")
