"""Releases of Lambda's runtime client: those of the lock, and those that PyPI has besides."""

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from infra.packaging.runtime_layer_build import require_uv

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements" / "runtime-clients.txt"
_NEEDED_BESIDE = ("simplejson", "snapshot-restore-py")
_FOLDERS = ROOT / ".cache" / "runtime-clients"
_INDEX = "https://pypi.org/pypi/awslambdaric/json"
_TWO_YEARS = timedelta(days=2 * 365 + 1)
_BLOCK = re.compile(r"^([a-z0-9-]+)==([^ \\\n]+)[^\\\n]*(?:\\\n[^\\\n]*)*", re.MULTILINE)


def locked(lock: str, name: str) -> dict[str, str]:
    """The requirements of a package in a lock file, with their hashes, by version."""
    return {found[2]: found[0] for found in _BLOCK.finditer(lock) if found[1] == name}


def newer(index: Mapping[str, Any], known: Mapping[str, str], now: datetime) -> dict[str, str]:
    """The requirements of releases that the lock does not have.

    Args:
        index: What PyPI says of the project.
        known: The lock's releases.
        now: Today; what was uploaded two years before it, or earlier, is left out.

    Returns:
        By version; the hashes are PyPI's.
    """
    found = {}
    for version, files in index["releases"].items():
        wheels = [file for file in files if file["filename"].endswith(".whl") and not file["yanked"]]
        if version in known or not wheels or not re.fullmatch(r"[0-9.]+", version):
            continue
        uploaded = min(datetime.fromisoformat(file["upload_time"]).replace(tzinfo=UTC) for file in wheels)
        if now - uploaded < _TWO_YEARS:
            hashes = "".join(f" \\\n    --hash=sha256:{file['digests']['sha256']}" for file in wheels)
            found[version] = f"awslambdaric=={version}{hashes}"
    return found


def ask_index(timeout_seconds: float = 10) -> dict[str, Any]:
    """What PyPI says of the project.

    Raises:
        OSError: It cannot be asked.
    """
    with urllib.request.urlopen(_INDEX, timeout=timeout_seconds) as response:
        found: dict[str, Any] = json.load(response)
    return found


def install(version: str, requirement: str) -> Path:
    """Install one release, and what it needs, into a folder of its own.

    Returns:
        The folder, whose name is the version.

    Raises:
        RuntimeError: It cannot be installed for this Python; the message is the installer's.
    """
    python = f"{sys.implementation.cache_tag}"
    folder = _FOLDERS / python / version
    if (folder / "awslambdaric").is_dir():
        return folder
    dev = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")
    beside = [block for name in _NEEDED_BESIDE for block in locked(dev, name).values()]
    folder.parent.mkdir(parents=True, exist_ok=True)
    requirements = folder.with_suffix(".txt")
    requirements.write_text("\n".join([requirement, *beside]) + "\n", encoding="utf-8")
    done = subprocess.run(
        [
            *(str(require_uv()), "pip", "install", "--quiet", "--no-config", "--no-deps", "--require-hashes"),
            *("--target", str(folder), "--python", sys.executable, "--only-binary", ":all:"),
            *("--requirements", str(requirements)),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return folder
