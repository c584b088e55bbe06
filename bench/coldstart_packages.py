"""What is started: the package as the CDK app builds it, and the same built plainly or with one measure at a time."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aws_cdk import App

from infra.config import load_config
from infra.packaging.bytecode import compile_tree, remove_bytecode
from infra.packaging.python_package import ROOT
from infra.packaging.runtime_layer_build import INSTALLED_AS, LayerTarget, install_packages
from infra.stack import KitStack
from tests.deploy.lambda_process import DeployedFunction, install_runtime
from tests.infra.synthesis import ResolvedTemplate

if TYPE_CHECKING:
    from pathlib import Path

    from infra.packaging.interpreters import Interpreter

PACKAGED, PLAIN, BEFORE, TOKENS = "packaged", "plain", "before", "tokens"

_TASK_ROOT = "/var/task"
_OWN = ("lambda_src", "agent_sessions")
# Beside the function's packages: a handler as one writes it who does not think of cold starts.
_EAGER = "everything_imported"
_NOTHING = "nothing_at_all"
# In front of the handler: the stand-in takes the place of Amazon's S3, which is not tested for conditions.
_AS_ON_AMAZON = "as_on_amazon"
_TRUSTING = """import os

from {module} import lambda_handler as take


def lambda_handler(event, context):
    from agent_sessions._storage.s3_conditions import trust

    trust(os.environ["AWS_ENDPOINT_URL_S3"])
    return take(event, context)
"""
# Some need what this package has not: pytest, another provider's SDK.
_IMPORT = "try:\n    import {module}\nexcept ImportError:\n    pass\n"
# As boto3 does it: every connection reads whom it trusts.
_EACH_CONNECTION = """from agent_sessions._storage import s3_authorities

s3_authorities.read_once = lambda client: None
s3_authorities.share = lambda client, other: None
"""
_UNCHECKED_HASH = b"\x01\x00\x00\x00"


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to build the function.

    Attributes:
        name: In JSON and on the command line.
        label: In tables.
        function: Ready to be started, but for the environment.
        answers: Whether it takes turns; else it returns at once.
        takes_tokens: Whether its callers have tokens (``auth=jwt``); else they sign (``auth=iam``).
    """

    name: str
    label: str
    function: DeployedFunction
    answers: bool = True
    takes_tokens: bool = False


def build_variants(
    folder: Path, interpreter: Interpreter, architecture: str, *, before: str | None = None
) -> list[Variant]:
    """Build every variant.

    Args:
        folder: An existing folder, for all of them.
        interpreter: The Python that will run them.
        architecture: This machine's, in Lambda's words: the packages hold machine code.
        before: A revision; one more variant has the kit's modules of that, and all else of today.

    Returns:
        The variants, the plain one first and the CDK app's own last: for callers who sign, and for people with tokens.

    Raises:
        subprocess.CalledProcessError: There is no such revision.
    """
    version = interpreter.full_version.rpartition(".")[0]
    install_runtime(version, folder)
    # AWS brings its own runtime compiled; it is the same for every variant.
    compile_tree(folder / "runtime", interpreter, "/var/runtime")
    packaged = synthesized(folder, interpreter, architecture)
    plain = _plain(folder, packaged, LayerTarget(version, architecture))
    compiled = _compiled(folder, plain)
    lazy = replace(compiled, configuration=packaged.configuration)
    nothing = replace(plain, layers=[], configuration={**plain.configuration, "Handler": f"{_NOTHING}.lambda_handler"})
    own = _as_on_amazon(packaged)
    return [
        Variant(PLAIN, "plain: no byte code, everything imported, all botocore data", _as_on_amazon(plain)),
        Variant("compiled", "plain with byte code", _as_on_amazon(compiled)),
        Variant("lazy", "with byte code, lazy imports, and trust read once", _as_on_amazon(lazy)),
        Variant("nothing", "the runtime client with an empty handler", nothing, answers=False),
        *([_before(folder, packaged, before)] if before else []),
        Variant(PACKAGED, "as `make deploy` packages it", own),
        Variant(TOKENS, "the same with `auth=jwt`", own, takes_tokens=True),
    ]


def synthesized(folder: Path, interpreter: Interpreter, architecture: str) -> DeployedFunction:
    """Let the CDK app build the function and its layers, and take them out of its output.

    Args:
        folder: The output goes to ``folder/cdk``; ``folder/runtime`` holds what Lambda's runtime brings.
        interpreter: The Python that will run it.
        architecture: ``arm64`` or ``x86_64``.
    """
    values = {"architecture": architecture, "python_version": interpreter.full_version.rpartition(".")[0]}
    app = App(outdir=str(folder / "cdk"), context={**values, "aws:cdk:enable-asset-metadata": True})
    stack = KitStack(app, load_config(values))
    template = app.synth().get_stack_by_name(stack.stack_name).template
    resolved = ResolvedTemplate(template).properties("AWS::Lambda::Function")
    (function,) = [one for one in template["Resources"].values() if one["Type"] == "AWS::Lambda::Function"]
    layers = [template["Resources"][layer["Ref"]] for layer in function["Properties"]["Layers"]]
    configuration: dict[str, Any] = {
        **{name: resolved[name] for name in ("Environment", "Handler", "MemorySize", "Timeout")},
        "FunctionName": "coldstart",
        "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:coldstart",
        "Version": "1",
    }

    def asset(resource: dict[str, Any]) -> Path:
        return folder / "cdk" / str(resource["Metadata"]["aws:asset:path"])

    runtime = folder / "runtime"
    return DeployedFunction(configuration, asset(function), [asset(one) for one in layers], interpreter, runtime)


def compiled_share(function: DeployedFunction) -> tuple[int, int]:
    """Count the modules that have byte code which Lambda takes as it is.

    Args:
        function: Its own code and its layers are looked at.

    Returns:
        How many have unchecked-hash byte code (PEP 552) of the function's Python, and how many there are.
    """
    version = "".join(function.interpreter.full_version.split(".")[:2])
    modules = [path for folder in (function.task_root, *function.layers) for path in folder.rglob("*.py")]
    caches = [path.parent / "__pycache__" / f"{path.stem}.cpython-{version}.pyc" for path in modules]
    return sum(path.is_file() and path.read_bytes()[4:8] == _UNCHECKED_HASH for path in caches), len(modules)


def _plain(folder: Path, packaged: DeployedFunction, target: LayerTarget) -> DeployedFunction:
    """Build as ``pip install --target`` and a copy of the sources do."""
    layer, task_root = folder / "plain-layer", folder / "plain-function"
    (layer / "python").mkdir(parents=True)
    install_packages(ROOT / "requirements" / "endpoint.txt", target, layer / "python")
    remove_bytecode(layer)
    for source in (ROOT / "lambda_src", ROOT / "layer" / "agent_sessions"):
        shutil.copytree(source, task_root / source.name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    imports = "".join(_IMPORT.format(module=module) for package in _OWN for module in _modules(task_root, package))
    handler = f"{_EACH_CONNECTION}from lambda_src.handler import lambda_handler\n"
    (task_root / f"{_EAGER}.py").write_text(imports + handler, encoding="utf-8")
    (task_root / f"{_NOTHING}.py").write_text("def lambda_handler(event, context):\n    return {}\n", encoding="utf-8")
    configuration = {**packaged.configuration, "Handler": f"{_EAGER}.lambda_handler"}
    return replace(packaged, configuration=configuration, task_root=task_root, layers=[layer])


def _before(folder: Path, packaged: DeployedFunction, revision: str) -> Variant:
    """Package the kit's own modules of another revision."""
    command = ["git", "archive", "--format=tar", revision, "lambda_src", "layer/agent_sessions"]
    archive = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout  # noqa: S603  # our own
    sources, task_root, layer = (folder / f"before-{name}" for name in ("sources", "function", "layer"))
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(sources, filter="data")
    shutil.copytree(packaged.task_root, task_root)
    shutil.copytree(packaged.layers[-1], layer)
    for source, parent, installed_as in (
        (sources / "lambda_src", task_root, _TASK_ROOT),
        (sources / "layer" / "agent_sessions", layer / "python", INSTALLED_AS),
    ):
        shutil.rmtree(parent / source.name)
        shutil.copytree(source, parent / source.name)
        compile_tree(parent, packaged.interpreter, installed_as)
    function = replace(packaged, task_root=task_root, layers=[*packaged.layers[:-1], layer])
    return Variant(BEFORE, f"the same at commit `{revision}`", _as_on_amazon(function))


def _modules(task_root: Path, package: str) -> list[str]:
    paths = sorted((task_root / package).rglob("*.py"))
    names = [".".join(path.relative_to(task_root).with_suffix("").parts) for path in paths]
    return [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]


def _as_on_amazon(function: DeployedFunction) -> DeployedFunction:
    """Have the function take the stand-in for Amazon's S3."""
    module, _, _ = function.configuration["Handler"].rpartition(".")
    name = f"{_AS_ON_AMAZON}_{module.replace('.', '_')}"
    (function.task_root / f"{name}.py").write_text(_TRUSTING.format(module=module), encoding="utf-8")
    compiled, _ = compiled_share(function)
    if compiled:
        compile_tree(function.task_root, function.interpreter, _TASK_ROOT)
    return replace(function, configuration={**function.configuration, "Handler": f"{name}.lambda_handler"})


def _compiled(folder: Path, plain: DeployedFunction) -> DeployedFunction:
    layer, task_root = folder / "compiled-layer", folder / "compiled-function"
    shutil.copytree(plain.layers[0], layer)
    shutil.copytree(plain.task_root, task_root)
    compile_tree(layer / "python", plain.interpreter, INSTALLED_AS)
    compile_tree(task_root, plain.interpreter, _TASK_ROOT)
    return replace(plain, task_root=task_root, layers=[layer])
