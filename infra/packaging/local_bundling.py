"""Assets that a Python function of ours builds, where the CDK would otherwise start a container."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsii
from aws_cdk import AssetHashType, BundlingOptions, DockerImage, ILocalBundling
from aws_cdk import aws_lambda as lambda_


@jsii.implements(ILocalBundling)
class LocalBuild:
    """Fills an asset's folder.

    Args:
        build: Called with the empty folder. What it raises ends the synthesis: there is no container to fall back to.
    """

    def __init__(self, build: Callable[[Path], None]) -> None:
        self._build = build

    def try_bundle(self, output_dir: str, *_options: Any, **_more_options: Any) -> bool:
        """Build; the CDK calls this with the folder to fill and options meant for a container."""
        self._build(Path(output_dir))
        return True


def built_code(source: Path, build: Callable[[Path], None]) -> lambda_.AssetCode:
    """Lambda code built on this machine.

    Args:
        source: What it is built from. Stands in for the result where bundling is switched off
            (context ``aws:cdk:bundling-stacks``).
        build: Fills an empty folder.

    Returns:
        The code; its hash is that of the result, so that nothing is deployed anew that did not change.
    """
    return lambda_.Code.from_asset(
        str(source),
        asset_hash_type=AssetHashType.OUTPUT,
        bundling=BundlingOptions(
            image=DockerImage.from_registry("never-used"),
            local=LocalBuild(build),
        ),
    )
