"""``make page-vendor``: what the chat page has from others, out of ``node_modules`` into ``lambda_src/page/vendor``.

Two files are as npm has them. The third is made of the parts of oauth4webapi that the page uses, because npm has the
whole in one file of 100 kB. ``manifest.json`` says of each which package it is from, and what is in it.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
VENDOR: Final = ROOT / "lambda_src" / "page" / "vendor"
LOCK: Final = ROOT / "package-lock.json"
MODULES: Final = ROOT / "node_modules"
MANIFEST: Final = "manifest.json"

COPIED: Final = {
    "marked.esm.js": ("marked", "lib/marked.esm.js"),
    "purify.min.js": ("dompurify", "dist/purify.min.js"),
    "LICENSE-marked.txt": ("marked", "LICENSE"),
    "LICENSE-dompurify.txt": ("dompurify", "LICENSE"),
    "LICENSE-oauth4webapi.txt": ("oauth4webapi", "LICENSE.md"),
}
"""File: the package it is from, and its name there."""

USED_OF_OAUTH4WEBAPI: Final = (
    "AuthorizationResponseError",
    "None",
    "ResponseBodyError",
    "allowInsecureRequests",
    "authorizationCodeGrantRequest",
    "calculatePKCECodeChallenge",
    "generateRandomCodeVerifier",
    "generateRandomNonce",
    "generateRandomState",
    "getValidatedIdTokenClaims",
    "processAuthorizationCodeResponse",
    "processRefreshTokenResponse",
    "refreshTokenGrantRequest",
    "validateAuthResponse",
)
_MADE: Final = "oauth4webapi.js"
_NOT_NPMS: Final = "dompurify.js"
"""Ours: npm's small file of DOMPurify is no module."""


def locked(package: str) -> tuple[str, str]:
    """Version and integrity of a package, as ``package-lock.json`` has them."""
    entry = json.loads(LOCK.read_text(encoding="utf-8"))["packages"][f"node_modules/{package}"]
    return entry["version"], entry["integrity"]


def vendor_into(folder: Path) -> None:
    """Write the files and their manifest into a folder.

    Args:
        folder: Exists.

    Raises:
        SystemExit: ``node_modules`` has other versions than the lock, or none.
    """
    for package in ("marked", "dompurify", "oauth4webapi", "esbuild"):
        _require_locked(package)
    for name, (package, path) in COPIED.items():
        (folder / name).write_bytes((MODULES / package / path).read_bytes())
    (folder / _MADE).write_bytes(_made())
    manifest = {name: _entry(folder / name, package, path) for name, (package, path) in COPIED.items()}
    manifest[_MADE] = {
        **_entry(folder / _MADE, "oauth4webapi", "build/index.js"),
        "exports": list(USED_OF_OAUTH4WEBAPI),
        "made_with": f"esbuild {locked('esbuild')[0]} --bundle --minify --format=esm",
    }
    text = json.dumps(manifest, indent=2, sort_keys=True)
    (folder / MANIFEST).write_text(f"{text}\n", encoding="utf-8")


def _made() -> bytes:
    names = ", ".join(USED_OF_OAUTH4WEBAPI)
    entry = f'export {{ {names} }} from "./node_modules/oauth4webapi/build/index.js";'
    version, _ = locked("oauth4webapi")
    banner = f"/*! oauth4webapi {version} | MIT | (c) Filip Skokan | a part of it: see manifest.json */"
    command = [str(MODULES / ".bin" / "esbuild"), "--bundle", "--minify", "--format=esm", "--target=es2022"]
    made = subprocess.run(  # noqa: S603 - the pinned bundler, on a text of ours
        [*command, f"--banner:js={banner}", "--log-level=error"],
        input=entry.encode(),
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return made.stdout


def _entry(file: Path, package: str, path: str) -> Mapping[str, Any]:
    version, integrity = locked(package)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return {"package": package, "version": version, "integrity": integrity, "path": path, "sha256": digest}


def _require_locked(package: str) -> None:
    stated = MODULES / package / "package.json"
    found = json.loads(stated.read_text(encoding="utf-8"))["version"] if stated.is_file() else None
    if found != locked(package)[0]:
        sys.exit(f"node_modules has {package} {found}, and package-lock.json {locked(package)[0]}: run npm ci")


def differences() -> list[str]:
    """The names of files that are not what ``make page-vendor`` would write."""
    with tempfile.TemporaryDirectory() as fresh:
        vendor_into(Path(fresh))
        wanted = {path.name: path.read_bytes() for path in Path(fresh).iterdir()}
    present = {path.name: path.read_bytes() for path in VENDOR.iterdir() if path.name != _NOT_NPMS}
    return sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))


def main() -> int:
    """Write the files, or with ``--check`` say whether they are as they would be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when something would change")
    if not parser.parse_args().check:
        VENDOR.mkdir(exist_ok=True)
        vendor_into(VENDOR)
        return 0
    if found := differences():
        sys.stderr.write(f"lambda_src/page/vendor: {', '.join(found)} differ; make page-vendor writes them again\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
