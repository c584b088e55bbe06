"""Building the runtime layer's folder: what the endpoint needs from PyPI, for the function's Python and processor.

No Docker: uv installs wheels for another platform than its own. The result is a function of the lock, the target and
the compiling interpreter, byte for byte, and is kept under ``.cache/`` until one of them changes.
"""

import contextlib
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from .agent_requirements import shortened
from .bytecode import compile_tree, remove_bytecode
from .interpreters import GET_UV, Interpreter, find_interpreter, tool
from .shipped_files import PackageError, folder_size, normalise, set_modes, shipped_mode

# Lambda's Python 3.12 and later run on Amazon Linux 2023 (glibc 2.34), which takes wheels of either tag.
_PLATFORMS: Final = {
    ("linux", "arm64"): "aarch64-manylinux_2_28",
    ("linux", "x86_64"): "x86_64-manylinux_2_28",
    ("darwin", "arm64"): "aarch64-apple-darwin",
    ("darwin", "x86_64"): "x86_64-apple-darwin",
    ("win32", "x86_64"): "x86_64-pc-windows-msvc",
}
# Written by the installer: where it ran, when, and hashes of the scripts in bin/, which hold this machine's paths.
_INSTALLER_FILES: Final = ("INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_build.json", "uv_cache.json")
# LiteLLM's package is its server, too. With that server's web pages, and with native code for which it has Python in
# reserve, its layer would exceed what Lambda takes.
_NEVER_USED: Final = (
    *("litellm/proxy/_experimental/out", "litellm/proxy/swagger", "litellm/rust_bridge/_native*.so"),
    *("hf_xet", "hf_xet-*.dist-info"),  # what downloads models from Hugging Face faster
)
INSTALLED_AS: Final = "/opt/python"
LIMIT_BYTES: Final = 250 * 1024 * 1024  # Lambda: function and layers together, unzipped
_REST_BYTES: Final = 5_000_000  # of which function and session layer need less than half


class LayerBuildError(PackageError):
    """The layer cannot be built here; the message says what to do."""


@dataclass(frozen=True)
class LayerTarget:
    """What a layer is built for.

    Attributes:
        python_version: Such as ``3.13``.
        architecture: ``arm64`` or ``x86_64``.
        system: As ``sys.platform`` says it; another one than Lambda's only where the function is tried.
    """

    python_version: str
    architecture: str
    system: str = "linux"


@dataclass(frozen=True)
class LayerReport:
    """What was built.

    Attributes:
        size_bytes: All files together, as Lambda unpacks them.
        files: How many they are.
        compiled_with: The interpreter's full version, or ``None`` without byte code.
        own_bytes: What of it the agent's own packages add.
    """

    size_bytes: int
    files: int
    compiled_with: str | None
    own_bytes: int = 0


def build_runtime_layer(
    lock: Path, target: LayerTarget, output: Path, cache: Path, own_lock: Path | None = None
) -> LayerReport:
    """Fill ``output`` with the layer's content (``python/...``).

    Args:
        lock: Requirements with hashes.
        target: Python version and processor.
        output: An existing folder.
        cache: Where built layers are kept between calls.
        own_lock: The packages of the user's own agent, if there are any.

    Returns:
        Size and kind of what was built.

    Raises:
        LayerBuildError: When uv is missing, a wheel for the target is, or the result exceeds Lambda's limit.
    """
    if not _is_usable(cache):
        with tempfile.TemporaryDirectory() as own:
            return build_runtime_layer(lock, target, output, Path(own), own_lock)
    kept = _kept([lock] if own_lock is None else [lock, own_lock], target, cache)
    report = LayerReport(**json.loads((kept / "report.json").read_text(encoding="utf-8")))
    shutil.copytree(kept / "layer", output, copy_function=_link, symlinks=True, dirs_exist_ok=True)
    normalise(output)
    return report


def built_packages(locks: Sequence[Path], target: LayerTarget, cache: Path) -> Path:
    """The folder of a layer's packages, to run something with them here.

    Args:
        locks: Requirements with hashes.
        target: Python version and processor: those of this machine.
        cache: Where built layers are kept between calls.

    Raises:
        LayerBuildError: See :func:`build_runtime_layer`.
    """
    if not _is_usable(cache):
        raise LayerBuildError(f"{cache} cannot be used")
    return _kept(list(locks), target, cache) / "layer" / "python"


def _kept(locks: list[Path], target: LayerTarget, cache: Path) -> Path:
    interpreter = find_interpreter(target.python_version)
    kept = cache / _cache_key(locks, target, interpreter)
    if not (kept / "report.json").is_file():
        # Built aside and renamed: an interrupted build leaves nothing that looks finished, and of two builds at the
        # same time the second finds the first one's, which has the same bytes.
        with tempfile.TemporaryDirectory(dir=cache, prefix="building-") as scratch:
            built = Path(scratch) / "built"
            report = _build(locks, target, interpreter, built)
            (built / "report.json").write_text(json.dumps(asdict(report)), encoding="utf-8")
            set_modes(built)  # whoever builds next may be another user
            with contextlib.suppress(OSError):
                built.rename(kept)
    return kept


def _is_usable(cache: Path) -> bool:
    """Whether layers can be kept there; not where another user has made the folder."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="building-"):
            return True
    except OSError as error:
        sys.stderr.write(f"{cache} cannot be used ({error.strerror}); the runtime layer is built without it\n")
        return False


def require_uv() -> Path:
    """The installer.

    Raises:
        LayerBuildError: When there is none, with the command that gets it.
    """
    uv = tool("uv")
    if uv is None:
        raise LayerBuildError(f"uv is needed to build the runtime layer and is not installed. {GET_UV}")
    return uv


def describe(name: str, target: LayerTarget, report: LayerReport) -> str:
    """One line for whoever watches the build."""
    line = f"{name}: {report.size_bytes / 1e6:.1f} MB unzipped in {report.files} files"
    if report.own_bytes:
        line += f", {report.own_bytes / 1e6:.1f} MB of it packages of your agent"
    if report.compiled_with is None:
        return (
            f"{line}; WITHOUT byte code: no Python {target.python_version} on this machine. Cold starts will take a"
            f" second longer; install Python {target.python_version} (pyenv, uv python install) and deploy again."
        )
    return f"{line}; byte code of Python {report.compiled_with}"


def _build(locks: list[Path], target: LayerTarget, interpreter: Interpreter | None, folder: Path) -> LayerReport:
    packages = folder / "layer" / "python"
    packages.mkdir(parents=True)
    of_kit: set[Path] = set()
    for lock in locks:
        of_kit = _sources(packages)
        install_packages(lock, target, packages)
    prune(packages)
    own = _sources(packages) - of_kit if len(locks) > 1 else set()
    if interpreter is not None:
        compile_tree(packages, interpreter, INSTALLED_AS)
    size_bytes, files = folder_size(packages)
    own_bytes = sum(path.stat().st_size for path in packages.rglob("*") if path.is_file() and _source(path) in own)
    if size_bytes > LIMIT_BYTES - _REST_BYTES:
        of_own = f", {own_bytes / 1e6:.0f} MB of it packages of your agent" if own_bytes else ""
        raise LayerBuildError(
            f"the runtime layer of {locks[0].parent.name}/{locks[0].name} has {size_bytes / 1e6:.0f} MB "
            f"unzipped{of_own}. Lambda takes {LIMIT_BYTES / 1e6:.0f} MB, and function and session library need up to "
            f"{_REST_BYTES / 1e6:.0f} MB of that"
        )
    return LayerReport(size_bytes, files, None if interpreter is None else interpreter.full_version, own_bytes)


def _sources(packages: Path) -> set[Path]:
    return {_source(path) for path in packages.rglob("*") if path.is_file()}


def _source(path: Path) -> Path:
    """The module that byte code was made from; of any other file, the file itself."""
    if path.parent.name != "__pycache__":
        return path
    return path.parent.parent / f"{path.name.partition('.')[0]}.py"


def install_packages(lock: Path, target: LayerTarget, packages: Path) -> None:
    """Install what the lock names for the target, whatever runs here.

    Args:
        lock: Requirements with hashes.
        target: Python version and processor.
        packages: An existing folder.

    Raises:
        LayerBuildError: When uv is missing or a wheel for the target is.
    """
    if (target.system, target.architecture) not in _PLATFORMS:
        raise LayerBuildError(f"there are no packages for {target.system} on {target.architecture}")
    command = [
        *(str(require_uv()), "pip", "install", "--quiet", "--no-config", "--no-compile-bytecode"),
        *("--target", str(packages), "--python", sys.executable, "--python-version", target.python_version),
        *("--python-platform", _PLATFORMS[target.system, target.architecture], "--only-binary", ":all:"),
        # Copies, because files linked to uv's cache would change with it.
        *("--link-mode", "copy", "--no-deps", "--require-hashes", "--requirements", str(lock)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - uv and our own arguments
    if done.returncode != 0:
        raise LayerBuildError(
            f"{lock.parent.name}/{lock.name} cannot be installed for Python {target.python_version} on "
            f"{target.architecture}:\n{shortened(done.stderr)}"
        )


def prune(packages: Path) -> None:
    """Remove what a function never uses or what differs between two builds.

    Args:
        packages: The folder of installed packages. Changed in place.
    """
    remove_bytecode(packages)
    shutil.rmtree(packages / "bin", ignore_errors=True)
    (packages / ".lock").unlink(missing_ok=True)
    for metadata in packages.glob("*.dist-info"):
        for name in _INSTALLER_FILES:
            (metadata / name).unlink(missing_ok=True)
    for unused in _NEVER_USED:
        for path in sorted(packages.glob(unused)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    # Only where a package keeps its own: a module called `tests` that code imports would be a file.
    for tests in sorted(packages.glob("*/**/tests")):
        if tests.is_dir():
            shutil.rmtree(tests)


def _cache_key(locks: list[Path], target: LayerTarget, interpreter: Interpreter | None) -> str:
    digest = hashlib.sha256(b"\0".join(lock.read_bytes() for lock in locks))
    for part in (
        target.python_version,
        target.architecture,
        target.system,
        interpreter.full_version if interpreter else "no byte code",
    ):
        digest.update(f"\0{part}".encode())
    here = Path(__file__)
    for source in (here, here.with_name("bytecode.py"), here.with_name("shipped_files.py")):
        digest.update(source.read_bytes())
    return f"{target.python_version}-{target.architecture}-{digest.hexdigest()[:16]}"


def _link(source: str, destination: str) -> None:
    # Hard links spare 60 MB of copying; nothing changes a built layer's files in place. A link shares its mode with the
    # cache, which may have got another one since, or belong to somebody whose files we cannot change.
    kept = Path(source)
    if stat.S_IMODE(kept.stat().st_mode) == shipped_mode(kept):
        with contextlib.suppress(OSError):
            os.link(source, destination)
            return
    shutil.copyfile(source, destination)
