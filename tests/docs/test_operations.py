"""docs/OPERATIONS.md says of metrics what the code says."""

import importlib.util
from typing import Any

from tests.docs.documents import ROOT

PAGE = ROOT / "docs" / "OPERATIONS.md"


def script() -> Any:
    spec = importlib.util.spec_from_file_location("operations_page", ROOT / "docs" / "operations.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_made_from_the_code_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert script().made(page) == page, "run `make operations-docs`"
    assert all(f"<!-- made: {name} -->" in page for name in script().PARTS)
