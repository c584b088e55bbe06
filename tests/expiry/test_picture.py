"""The picture of the documentation is drawn from the definition, and it is the one that is shown."""

import importlib.util
from pathlib import Path
from xml.etree import ElementTree as ET

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


def test_the_timeline_in_the_documentation_is_what_the_script_draws() -> None:
    spec = importlib.util.spec_from_file_location("expiry_picture", PICTURES / "expiry.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    drawn = script.draw()

    assert ET.fromstring(drawn).tag.endswith("svg")  # noqa: S314 - our own
    assert (PICTURES / "expiry.svg").read_text() == drawn
