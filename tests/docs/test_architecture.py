"""The page on the architecture shows the rooms that there are."""

import importlib.util
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from tests.docs.documents import ROOT

PICTURES = ROOT / "docs" / "pictures"
PAGE = (ROOT / "docs" / "ARCHITECTURE.md").read_text()


def script() -> Any:
    spec = importlib.util.spec_from_file_location("architecture_picture", PICTURES / "architecture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_what_the_script_draws() -> None:
    drawn = script().draw()

    assert ET.fromstring(drawn).tag.endswith("svg")  # noqa: S314 - our own
    assert (PICTURES / "architecture.svg").read_text() == drawn


def test_the_picture_shows_every_room() -> None:
    shown = {ROOT / room.folder for room in script().ROOMS if room.folder}

    for package in (ROOT / "lambda_src", ROOT / "layer" / "agent_sessions"):
        rooms = {path.parent for path in package.glob("*/__init__.py")}
        # The suite for other people's repositories is on no request's way.
        assert rooms - shown - {package / "conformance"} == set()


def test_every_module_and_folder_that_the_page_names_is_there() -> None:
    named = re.findall(r"`((?:lambda_src|layer|infra|agent_sessions|doors|turns|answers|_[a-z]+)/[\w/.]*)`", PAGE)
    places = [ROOT, ROOT / "lambda_src", ROOT / "layer", ROOT / "layer" / "agent_sessions"]

    assert len(named) > 20
    assert [name for name in named if not any((place / name).exists() for place in places)] == []


def test_the_readme_leads_to_it_on_the_first_screen() -> None:
    first_screen: list[str] = (ROOT / "README.md").read_text().splitlines()[:30]

    assert any("docs/ARCHITECTURE.md" in line for line in first_screen), Path("README.md")
