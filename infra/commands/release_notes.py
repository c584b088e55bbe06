"""What the changelog says of a release: ``python -m infra.commands.release_notes v1.2.3``."""

import re
import sys

from agent_sessions import __version__
from infra.packaging.python_package import ROOT


class ReleaseError(ValueError):
    """The tag, the version and the changelog do not name the same release."""


def release_notes(tag: str, version: str, changelog: str) -> str:
    """The section of the changelog that a release is published with.

    Args:
        tag: The release's tag, ``v`` and the version.
        version: The version that the package says it has.
        changelog: The whole changelog, in the form of Keep a Changelog.

    Raises:
        ReleaseError: The tag is another version's, or the changelog has nothing to say of this one.
    """
    if tag != f"v{version}":
        raise ReleaseError(f"TAG={tag!r}: the package's version is {version}, so the tag has to be v{version}.")
    section = re.search(rf"^## \[{re.escape(version)}\][^\n]*\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if section is None or not section[1].strip():
        raise ReleaseError(f"CHANGELOG.md has no section [{version}]: move what [Unreleased] says there.")
    return section[1].strip() + "\n"


def main(arguments: list[str]) -> int:
    """Print the notes."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    try:
        sys.stdout.write(release_notes(arguments[0] if arguments else "", __version__, changelog))
    except ReleaseError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
