"""A release is published with its own section of the changelog, and only under its own tag."""

import pytest

from infra.commands.release_notes import ReleaseError, release_notes

CHANGELOG = """# Changelog

## [Unreleased]

- Not out yet.

## [1.2.3] - 2026-11-28

### Added

- Words as they come.

## [1.2.2] - 2026-10-01

- Older.
"""


def test_the_notes_are_the_section_of_the_release_and_nothing_else() -> None:
    assert release_notes("v1.2.3", "1.2.3", CHANGELOG) == "### Added\n\n- Words as they come.\n"


@pytest.mark.parametrize("tag", ["", "1.2.3", "v1.2.2", "v1.2.30"])
def test_a_tag_of_another_version_is_refused_with_the_right_one(tag: str) -> None:
    with pytest.raises(ReleaseError, match=r"has to be v1\.2\.3"):
        release_notes(tag, "1.2.3", CHANGELOG)


def test_a_release_that_the_changelog_does_not_know_is_refused() -> None:
    with pytest.raises(ReleaseError, match=r"no section \[1.3.0\]"):
        release_notes("v1.3.0", "1.3.0", CHANGELOG)
