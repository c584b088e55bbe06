"""The documentation's site has a page for whatever the library offers, and no link to what it does not carry."""

import re
from pathlib import Path

from infra.commands.docs_source import LIBRARY, lay_out, public_modules


def test_every_public_module_has_a_page_in_the_reference(tmp_path: Path) -> None:
    pages = lay_out(tmp_path / "site")

    assert {page.stem for page in pages} == set(public_modules(LIBRARY))
    assert {"session_store", "s3_session_manager", "lease"} <= {page.stem for page in pages}
    index = (tmp_path / "site" / "reference" / "index.md").read_text()
    assert all(re.search(rf"\| \[`{page.stem}`\]\({page.name}\) \| \S", index) for page in pages)


def test_links_lead_to_pages_of_the_site(tmp_path: Path) -> None:
    site = tmp_path / "site"
    lay_out(site)

    for page in site.rglob("*.md"):
        for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s#]+)", page.read_text()):
            assert target.startswith("https://") or (page.parent / target).is_file(), (page, target)
