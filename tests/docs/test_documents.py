"""Every document: links lead somewhere, and the commands exist."""

import re
from pathlib import Path

import pytest

from tests.docs.documents import ROOT, anchors, documents, files, links, make_targets, transcript

DOCUMENTS = documents()


def make_rules() -> set[str]:
    return set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def broken_links(document: Path, root: Path = ROOT) -> list[str]:
    broken = []
    for link in links(document.read_text()):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        inside = target.is_relative_to(root) and target.exists()
        if not inside or (anchor and anchor not in anchors(target.read_text())):
            broken.append(link)
    return broken


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_its_links_lead_somewhere(document: Path) -> None:
    assert broken_links(document) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_make_targets_it_names_exist(document: Path) -> None:
    assert make_targets(document.read_text()) - make_rules() == set()


def test_the_readme_names_the_two_commands() -> None:
    assert {"run", "test"} <= make_targets((ROOT / "README.md").read_text())


def test_every_target_of_the_makefile_is_explained_by_make_help() -> None:
    explained = re.findall(r"^([a-z][a-z0-9-]*):.*## \S", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert make_rules() == set(explained)


def test_every_decision_is_numbered_and_short() -> None:
    decisions = sorted((ROOT / "docs" / "adr").glob("*.md"))

    numbers = [int(path.name.partition("-")[0]) for path in decisions]
    # Numbers are given out before decisions are written down: one may be missing, and none comes twice.
    assert numbers == sorted(set(numbers))
    for number, path in zip(numbers, decisions, strict=True):
        assert path.read_text().startswith(f"# {number}. ")
        assert len(path.read_text().splitlines()) <= 25


# --- the reader itself ----------------------------------------------------------------------------------


def test_a_link_that_leads_nowhere_is_noticed(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(
        "[gone](gone.md), [here](#a-page), [where](#no-page), ![p](p.svg), [out](../x.md)\n\n# A page\n"
    )
    (tmp_path.parent / "x.md").touch()

    assert broken_links(document, tmp_path) == ["gone.md", "#no-page", "p.svg", "../x.md"]


def test_links_in_code_are_none() -> None:
    assert links("`[a](b.md)`\n\n```\n[c](d.md)\n```\n\n[e](f.md)\n") == ["f.md"]


def test_a_target_is_named_in_commands_only() -> None:
    text = (
        'You make sure of it. `make deploy ARGS="-c a=b"`, `make PYTHON=python3.12 setup`\n\n'
        "```\n$ make run\n```\n\n```python\n# make sure\n```\n"
    )

    assert make_targets(text) == {"deploy", "setup", "run"}


def test_an_anchor_is_what_github_makes_of_a_heading() -> None:
    assert anchors("# One, two: `three`?\n\n## No-op\n") == {"one-two-three", "no-op"}


def test_a_transcript_is_commands_and_what_they_print() -> None:
    text = "```console\n$ one \\\n    two\nprinted\nmore\n$ three\n```\n\n```python\n$ no\n```\n"

    assert transcript(text) == [("one     two", "printed\nmore\n"), ("three", "")]


def test_a_file_of_a_page_is_a_block_that_begins_with_its_name() -> None:
    assert files("```python\n# a.py\nx = 1\n```\n\n```python\ny = 2\n```\n") == {"a.py": "# a.py\nx = 1\n"}
