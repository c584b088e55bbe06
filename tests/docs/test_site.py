"""The documentation's site has a page for whatever the library offers, and no link to what it does not carry."""

import re
from pathlib import Path

from infra.commands.docs_source import CLIENT, LIBRARY, lay_out, public_modules


def test_every_public_module_has_a_page_in_the_reference(tmp_path: Path) -> None:
    reference = tmp_path / "site" / "reference"
    pages = lay_out(tmp_path / "site")

    assert {page.stem for page in pages if page.parent == reference} == set(public_modules(LIBRARY))
    assert {page.stem for page in pages if page.parent == reference / "client"} == set(public_modules(CLIENT))
    assert {"session_store", "s3_session_manager", "lease", "client", "events"} <= {page.stem for page in pages}
    index = (reference / "index.md").read_text()
    for page in pages:
        assert re.search(rf"\| \[`{page.stem}`\]\({page.relative_to(reference)}\) \| \S", index)
    assert "::: agent_sessions_client.client\n" in (reference / "client" / "client.md").read_text()


def test_links_lead_to_pages_of_the_site(tmp_path: Path) -> None:
    site = tmp_path / "site"
    lay_out(site)

    for page in site.rglob("*.md"):
        for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s#]+)", page.read_text()):
            assert target.startswith("https://") or (page.parent / target).is_file(), (page, target)
