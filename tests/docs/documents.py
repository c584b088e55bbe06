"""Reads the documents as what they claim to be: code that runs, commands that exist, links that lead somewhere."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCED = re.compile(r"^```(?P<language>\w*)\n(?P<content>.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE_NAME = re.compile(r"# (\S+\.py)\n")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_INLINE_CODE = re.compile(r"`[^`\n]+`")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_MAKE = re.compile(r"\bmake ((?:[A-Z_]+=\S+ )*)([a-z][a-z0-9-]*)\b")


def documents() -> list[Path]:
    """Every Markdown document of the repository, not those of installed packages and builds."""
    folders = [ROOT / "docs", ROOT / "examples"]
    found = [path for folder in folders for path in folder.rglob("*.md") if "cdk.out" not in path.parts]
    return sorted([*ROOT.glob("*.md"), *found])


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return [found["content"] for found in _FENCED.finditer(text) if found["language"] == language]


def files(text: str) -> dict[str, str]:
    """The Python blocks that begin with a file's name, by that name."""
    named = ((_FILE_NAME.match(code), code) for code in blocks(text, "python"))
    return {name[1]: code for name, code in named if name is not None}


def links(text: str) -> list[str]:
    """Where the links and pictures of a document lead."""
    prose = _INLINE_CODE.sub("", _FENCED.sub("", text))
    return [link or picture for link, picture in _LINK.findall(prose)]


def anchors(text: str) -> set[str]:
    """The anchors GitHub makes of a document's headings."""
    headings = _HEADING.findall(_FENCED.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def make_targets(text: str) -> set[str]:
    """The targets of ``make`` that a document names as commands."""
    shown = [found["content"] for found in _FENCED.finditer(text) if found["language"] in {"", "console", "sh"}]
    code = shown + _INLINE_CODE.findall(_FENCED.sub("", text))
    return {target for piece in code for _, target in _MAKE.findall(piece)}


def transcript(text: str) -> list[tuple[str, str]]:
    """The commands of console blocks and what each printed."""
    found: list[tuple[str, str]] = []
    for block in blocks(text, "console"):
        for line in block.replace("\\\n", "").splitlines():
            if line.startswith("$ "):
                found.append((line.removeprefix("$ "), ""))
            elif found:
                command, printed = found[-1]
                found[-1] = (command, f"{printed}{line}\n")
    return found
