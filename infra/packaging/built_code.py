"""Lambda code that a Python function of ours builds, staged and hashed by us.

The CDK would build in a container, and its hash of what was built leaves out the modes (see ``shipped_files``). So we
build, hash, and put the package where the CDK stages assets, under the name it gives them: nothing is copied again.
"""

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from aws_cdk import Stack, Stage
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from .shipped_files import fingerprint, normalise


def built_code(scope: Construct, source: Path, build: Callable[[Path], object]) -> lambda_.AssetCode:
    """Lambda code built on this machine.

    Args:
        scope: Whose code it is.
        source: What it is built from. Stands in for the result where bundling is switched off
            (context ``aws:cdk:bundling-stacks``), as for commands that deploy nothing.
        build: Fills an empty folder. What it raises ends the synthesis.

    Returns:
        The code; its hash is that of the result, so that nothing is deployed anew that did not change.
    """
    if not Stack.of(scope).bundling_required:
        return lambda_.Code.from_asset(str(source))
    stage = Stage.of(scope)
    assert stage is not None  # noqa: S101 - tells mypy what the CDK documents: every stack is in one
    package, digest = stage_package(build, Path(stage.asset_outdir))
    return lambda_.Code.from_asset(str(package), asset_hash=digest)


def stage_package(build: Callable[[Path], object], staging: Path) -> tuple[Path, str]:
    """Build a package into the folder where assets are staged.

    Args:
        build: Fills an empty folder.
        staging: The CDK's output folder.

    Returns:
        The package's folder, and its hash.
    """
    staging.mkdir(parents=True, exist_ok=True)
    # Built aside and renamed: an interrupted build leaves nothing that looks finished.
    with tempfile.TemporaryDirectory(dir=staging, prefix="building-") as scratch:
        built = Path(scratch) / "package"
        built.mkdir()
        build(built)
        normalise(built)
        digest = fingerprint(built)
        # The name under which the CDK stages a folder: its hash of the hash it is given, and the folder's own suffix.
        # Were this ever to change, it would copy the package to where it wants it.
        staged = staging / f"asset.{hashlib.sha256(digest.encode()).hexdigest()}.package"
        if staged.is_dir() and fingerprint(staged) != digest:
            shutil.rmtree(staged)  # cut off while it was copied, or changed since
        with contextlib.suppress(OSError):  # it is there already, from an earlier build or one at the same time
            built.rename(staged)
    return staged, digest
