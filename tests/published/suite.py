"""Fetches Strands' published session tests and points them at this kit's modules.

The tests are not ours and are never committed: they come from the source distribution on the package index, pinned by
its hash, and live in the build folder.
"""

import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Final

VERSION: Final = "1.62.0"
REQUIREMENTS: Final = Path(__file__).with_name("requirements.txt")

#: The published tests of the message-log session module, and what they import from their own fixtures.
TEST_FILES: Final = (
    "tests/strands/session/test_file_session_manager.py",
    "tests/strands/session/test_file_session_manager_symlink_protection.py",
    "tests/strands/session/test_repository_session_manager.py",
    "tests/strands/session/test_s3_session_manager.py",
    "tests/strands/types/test_session.py",
)
FIXTURE_FILES: Final = (
    "tests/__init__.py",
    "tests/fixtures/mock_session_repository.py",
    "tests/strands/session/__init__.py",
)

#: The modules whose private names make a test private. The snapshot manager is another layout and no subject here.
SUBJECT_FILES: Final = (
    "src/strands/session/file_session_manager.py",
    "src/strands/session/repository_session_manager.py",
    "src/strands/session/s3_session_manager.py",
    "src/strands/session/session_manager.py",
    "src/strands/session/session_repository.py",
    "src/strands/types/session.py",
)

#: Replacement by text, so that ``patch("strands.session...")`` is redirected too.
REDIRECTS: Final = (
    ("strands.session.file_session_manager", "agent_sessions.file_session_manager"),
    ("strands.session.repository_session_manager", "agent_sessions.repository_session_manager"),
    ("strands.session.s3_session_manager", "agent_sessions.s3_session_manager"),
    ("strands.session.session_manager", "agent_sessions.session_manager"),
    ("strands.session.session_repository", "agent_sessions.session_repository"),
    ("strands.types.exceptions import SessionException", "agent_sessions.exceptions import SessionException"),
    ("strands.types.session", "agent_sessions.types"),
)

#: Strands runs its coroutine tests with a plugin; running them to their end is all that is needed here.
CONFTEST: Final = """\
import asyncio
import inspect


def pytest_configure(config):
    config.addinivalue_line("markers", "asyncio: a coroutine test")


def pytest_pyfunc_call(pyfuncitem):
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
"""


def download(folder: Path) -> Path:
    """The source distribution, fetched by pip and checked against its pinned hash; fetched once.

    Returns:
        The archive's path.

    Raises:
        subprocess.CalledProcessError: When the index cannot be reached or the hash differs.
    """
    archive = folder / f"strands_agents-{VERSION}.tar.gz"
    if not archive.exists():
        folder.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        # Without build isolation pip reads the package's metadata with the locked hatchling of this environment.
        options = ["--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--require-hashes"]
        subprocess.run([*pip, "download", *options, "-r", str(REQUIREMENTS), "-d", str(folder)], check=True)
    return archive


def read_sources(archive: Path) -> dict[str, str]:
    """The needed files of the archive by their path inside it."""
    sources: dict[str, str] = {}
    with tarfile.open(archive) as package:
        for name in (*TEST_FILES, *FIXTURE_FILES, *SUBJECT_FILES):
            member = package.extractfile(f"strands_agents-{VERSION}/{name}")
            if member is None:
                raise FileNotFoundError(f"{name} | not a file of {archive.name}")
            sources[name] = member.read().decode()
    return sources


def redirect(source: str) -> str:
    """The source with Strands' session modules replaced by this kit's."""
    for theirs, ours in REDIRECTS:
        source = source.replace(theirs, ours)
    return source


def write_suite(sources: dict[str, str], folder: Path) -> None:
    """Write the redirected tests so that pytest can run them from ``folder``."""
    for name in (*TEST_FILES, *FIXTURE_FILES):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(redirect(sources[name]))
    for package in ("tests/strands", "tests/strands/types", "tests/fixtures"):
        (folder / package / "__init__.py").touch()
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text("[pytest]\n")
