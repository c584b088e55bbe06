"""Lays out what the site is built from: the documents as they are, and a page for each public module."""

import ast
import re
import shutil
import sys
from pathlib import Path

from infra.packaging.python_package import ROOT

SOURCE = ROOT / "build" / "docs-source"
LIBRARY = ROOT / "layer" / "agent_sessions"
CLIENT = ROOT / "client" / "agent_sessions_client"
_TOP = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")


def public_modules(package: Path) -> list[str]:
    """The doors of a package: the modules at its top whose names begin with no underscore."""
    return sorted(path.stem for path in package.glob("*.py") if not path.stem.startswith("_"))


def lay_out(destination: Path = SOURCE) -> list[Path]:
    """Copy the documents and write the pages of the API reference.

    Links between documents stay as they are: the site has the repository's folders. Links to code become plain words,
    since the site does not carry the code.

    Returns:
        The pages of the API reference.
    """
    shutil.rmtree(destination, ignore_errors=True)
    shutil.copytree(ROOT / "docs", destination / "docs", ignore=shutil.ignore_patterns("*.py"))
    for name in _TOP:
        shutil.copy(ROOT / name, destination / name)
    shutil.move(destination / "README.md", destination / "index.md")
    for example in sorted((ROOT / "examples").glob("*/README.md")):
        copy = destination / example.relative_to(ROOT)
        copy.parent.mkdir(parents=True)
        shutil.copy(example, copy)
    for page in destination.rglob("*.md"):
        page.write_text(_site_links(page, destination), encoding="utf-8")
    reference = destination / "reference"
    lines, pages = ["# API reference"], []
    for package, folder in ((LIBRARY, reference), (CLIENT, reference / "client")):
        written = _write_pages(package, folder)
        pages += written
        lines += ["", f"What `{package.name}` offers, module by module.", "", "| module | holds |", "|---|---|"]
        lines += [
            f"| [`{page.stem}`]({page.relative_to(reference)}) | {_first_line(package / f'{page.stem}.py')} |"
            for page in written
        ]
    (reference / "index.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return pages


def _write_pages(package: Path, folder: Path) -> list[Path]:
    folder.mkdir()
    pages = []
    for module in public_modules(package):
        name = f"{package.name}.{module}"
        pages.append(folder / f"{module}.md")
        pages[-1].write_text(f"# `{name}`\n\n::: {name}\n", encoding="utf-8")
    return pages


def _first_line(module: Path) -> str:
    return (ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def _site_links(page: Path, site: Path) -> str:
    """The page's text, its links to what the site has not turned into plain names."""

    def replace(match: re.Match[str]) -> str:
        words, target = match[1], match[2]
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        place, _, _ = target.partition("#")
        wanted = (page.parent / place).resolve()
        if wanted == (site / "README.md").resolve():
            wanted, target = site / "index.md", target.replace("README.md", "index.md")
        return match[0].replace(match[2], target) if wanted.is_file() else words

    return re.sub(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)", replace, page.read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.stderr.write(f"{len(lay_out())} public modules\n")
