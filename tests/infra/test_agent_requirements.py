"""The packages of the user's own agent: resolved under the kit's lock, installed with it, and named when they fail."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from aws_cdk import App, Stack

from infra.commands.agent_lock import main
from infra.constructs import runtime_layer
from infra.packaging import kit_files, runtime_layer_build
from infra.packaging.agent_requirements import (
    LOCK,
    REQUIREMENTS,
    AgentRequirementsError,
    check_agent_lock,
    lock_agent,
)
from infra.packaging.runtime_layer_build import (
    LayerBuildError,
    LayerReport,
    LayerTarget,
    build_runtime_layer,
    describe,
)
from infra.packaging.shipped_files import PackageError
from tests.infra.wheels import locked, wheel

ROOT = Path(__file__).parents[2]
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


class Folder:
    """A user's requirements beside a kit whose lock holds ``perch`` 2.0, and an index of a few packages."""

    def __init__(self, folder: Path) -> None:
        self.requirements, self.lock = folder / "requirements.in", folder / "agent.txt"
        self.kit_lock = folder / "requirements" / "dev.txt"
        self.kit_lock.parent.mkdir()
        self.kit_lock.write_text("perch==2.0\n")
        self.index = folder / "index"
        for version in ("1.0", "2.0"):
            wheel(self.index, "perch", version)
        wheel(self.index, "parrot", requires=["perch"])
        wheel(self.index, "dodo", requires=["perch<2"])

    def resolve(self, wanted: str) -> str:
        self.requirements.write_text(wanted, encoding="utf-8")
        options = ["--no-index", "--find-links", str(self.index)]
        lock_agent(self.requirements, self.lock, self.kit_lock, options)
        return self.lock.read_text(encoding="utf-8")

    def check(self) -> Path | None:
        return check_agent_lock(self.requirements, self.lock)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_the_lock_has_hashes_and_the_kits_own_versions(folder: Folder) -> None:
    lock = folder.resolve("parrot>=1  # it talks\n")

    assert "parrot==1.0" in lock
    assert "perch==2.0" in lock
    assert lock.count("--hash=sha256:") == 2
    assert folder.check() == folder.lock


def test_without_a_requirement_there_is_nothing_to_install(folder: Folder) -> None:
    folder.resolve("# none\n\n")

    assert folder.check() is None
    folder.requirements.unlink()
    folder.lock.unlink()
    assert folder.check() is None


@pytest.mark.parametrize("changed", ["", "parrot\nperch\n", "parrot==1.0\n"])
def test_requirements_that_changed_after_their_lock_are_refused(changed: str, folder: Folder) -> None:
    folder.resolve("parrot\n")
    folder.requirements.write_text(changed, encoding="utf-8")

    with pytest.raises(AgentRequirementsError, match="run `make lock-agent`"):
        folder.check()


def test_a_comment_may_change(folder: Folder) -> None:
    folder.resolve("parrot\n")
    folder.requirements.write_text("# a bird\nparrot  # it talks\n\n", encoding="utf-8")

    assert folder.check() == folder.lock


def test_a_lock_without_requirements_is_refused(folder: Folder) -> None:
    folder.resolve("parrot\n")
    folder.requirements.unlink()

    with pytest.raises(AgentRequirementsError, match="run `make lock-agent`"):
        folder.check()


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        ("dodo\n", r"dodo depend on perch<2 and perch==2\.0"),
        ("perch<2\n", r"perch<2 and perch==2\.0"),
        ("no-such-bird\n", "no-such-bird was not found"),
        ("a bird!\n", "Couldn't parse requirement in .*a bird!"),
    ],
)
def test_what_cannot_be_resolved_with_the_kits_own_packages_is_named(
    wanted: str, complaint: str, folder: Folder
) -> None:
    with pytest.raises(AgentRequirementsError) as refusal:
        folder.resolve(wanted)

    assert re.search(rf"\(requirements/dev\.txt\): .*{complaint}", " ".join(str(refusal.value).split()))


def build(folder: Path, *, kit: str, own: str | None, architecture: str = "arm64") -> tuple[LayerReport, Path]:
    folder.mkdir(parents=True)
    kit_lock, own_lock, output = folder / "kit.txt", folder / "agent.txt", folder / "output"
    kit_lock.write_text(kit, encoding="utf-8")
    own_lock.write_text(own or "", encoding="utf-8")
    output.mkdir()
    target = LayerTarget(HERE, architecture)
    return build_runtime_layer(kit_lock, target, output, folder / "cache", own_lock if own else None), output


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_layer_holds_both_and_says_what_the_agents_packages_add(tmp_path: Path) -> None:
    perch, parrot = (locked(wheel(tmp_path, name, module="X = 1\n" * 50_000)) for name in ("perch", "parrot"))

    report, output = build(tmp_path / "a", kit=perch, own=perch + parrot)

    of_agent = {name: data for name, data in contents(output).items() if name.startswith("python/parrot")}
    assert {"python/parrot/__init__.py", "python/parrot-1.0.dist-info/METADATA"} <= of_agent.keys()
    assert [name for name in of_agent if name.endswith(".pyc")]
    assert report.own_bytes == sum(len(data) for data in of_agent.values())
    assert report.own_bytes < report.size_bytes
    line = describe("runtime layer", LayerTarget(HERE, "arm64"), report)
    assert f", {report.own_bytes / 1e6:.1f} MB of it packages of your agent; byte code" in line


def test_without_packages_of_the_agent_the_layer_is_the_kits_to_the_last_byte(tmp_path: Path) -> None:
    perch = locked(wheel(tmp_path, "perch"))

    report, output = build(tmp_path / "a", kit=perch, own=None)

    assert report.own_bytes == 0
    assert not [name for name in contents(output) if "agent" in name]
    assert "of your agent" not in describe("runtime layer", LayerTarget(HERE, "arm64"), report)


def test_other_packages_are_another_layer(tmp_path: Path) -> None:
    perch, parrot, dodo = (locked(wheel(tmp_path, name)) for name in ("perch", "parrot", "dodo"))
    build(tmp_path / "a", kit=perch, own=parrot)
    output = tmp_path / "b"
    output.mkdir()
    own = tmp_path / "own.txt"
    own.write_text(dodo, encoding="utf-8")

    build_runtime_layer(tmp_path / "a" / "kit.txt", LayerTarget(HERE, "arm64"), output, tmp_path / "a" / "cache", own)

    assert (output / "python" / "dodo").is_dir()
    assert not (output / "python" / "parrot").exists()


@pytest.mark.parametrize(("built_for", "architecture"), [("x86_64", "arm64"), ("aarch64", "x86_64")])
def test_a_package_without_a_wheel_for_the_functions_processor_is_named(
    built_for: str, architecture: str, tmp_path: Path
) -> None:
    digits = HERE.replace(".", "")
    path = wheel(tmp_path, "parrot", tag=f"cp{digits}-cp{digits}-manylinux_2_28_{built_for}")

    with pytest.raises(LayerBuildError, match=rf"(?s)agent\.txt.*on {architecture}.*parrot.*{built_for}"):
        build(tmp_path / "a", kit="", own=locked(path), architecture=architecture)


def test_a_layer_that_lambda_would_not_take_says_what_the_agents_packages_add(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_layer_build, "LIMIT_BYTES", 6_000_000)
    perch = locked(wheel(tmp_path, "perch"))
    parrot = locked(wheel(tmp_path, "parrot", module="#" * 2_000_000))

    with pytest.raises(
        LayerBuildError,
        match=r"kit\.txt has 2 MB unzipped, 2 MB of it packages of your agent\. Lambda takes 6 MB, .* up to 5 MB",
    ):
        build(tmp_path / "a", kit=perch, own=parrot)


def test_the_deployed_layer_is_built_from_both_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kit, own = tmp_path / "kit.txt", tmp_path / "agent.txt"
    kit.write_text(locked(wheel(tmp_path, "perch")), encoding="utf-8")
    own.write_text(locked(wheel(tmp_path, "parrot")), encoding="utf-8")
    monkeypatch.setattr(runtime_layer, "endpoint_lock", lambda _: kit)
    monkeypatch.setattr(runtime_layer, "_CACHE", tmp_path / "cache")
    monkeypatch.setattr(runtime_layer, "check_agent_lock", lambda: own)

    runtime_layer.RuntimeLayer(
        Stack(App(outdir=str(tmp_path / "out")), "Mine"), "Layer", target=LayerTarget("3.13", "arm64")
    )

    (asset,) = (tmp_path / "out").glob("asset.*.package")
    assert {"perch", "parrot"} <= {path.name for path in (asset / "python").iterdir()}


def test_a_model_of_another_provider_brings_its_sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "endpoint-parrot.txt").write_text(locked(wheel(tmp_path, "parrot")), encoding="utf-8")
    monkeypatch.setattr(kit_files, "LOCKS", tmp_path)
    monkeypatch.setattr(runtime_layer, "_CACHE", tmp_path / "cache")

    runtime_layer.RuntimeLayer(
        Stack(App(outdir=str(tmp_path / "out")), "Mine"),
        "Layer",
        target=LayerTarget("3.13", "arm64"),
        provider_package="parrot",
    )

    (asset,) = (tmp_path / "out").glob("asset.*.package")
    assert (asset / "python" / "parrot").is_dir()


def test_a_provider_without_a_wheel_for_the_functions_processor_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = wheel(tmp_path, "parrot", tag="cp313-cp313-manylinux_2_28_x86_64")
    (tmp_path / "endpoint-parrot.txt").write_text(locked(path), encoding="utf-8")
    monkeypatch.setattr(kit_files, "LOCKS", tmp_path)
    monkeypatch.setattr(runtime_layer, "_CACHE", tmp_path / "cache")

    with pytest.raises(LayerBuildError, match=r"(?s)endpoint-parrot\.txt cannot be installed .* on arm64.*parrot"):
        runtime_layer.RuntimeLayer(
            Stack(App(outdir=str(tmp_path / "out")), "Mine"),
            "Layer",
            target=LayerTarget("3.13", "arm64"),
            provider_package="parrot",
        )


def test_what_is_not_locked_is_not_deployed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.in"
    requirements.write_text("parrot\n", encoding="utf-8")
    monkeypatch.setattr(check_agent_lock, "__defaults__", (requirements, LOCK))

    with pytest.raises(PackageError, match="run `make lock-agent`"):
        runtime_layer.RuntimeLayer(Stack(App(), "Mine"), "Layer", target=LayerTarget(HERE, "arm64"))


def test_the_committed_lock_is_that_of_the_committed_requirements() -> None:
    assert main(["--check"]) == 0
    assert check_agent_lock(REQUIREMENTS, LOCK) is None, "the kit itself needs no package of an agent"


def test_the_command_says_in_one_line_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    requirements = tmp_path / "requirements.in"
    requirements.write_text("parrot\n", encoding="utf-8")
    monkeypatch.setattr(check_agent_lock, "__defaults__", (requirements, LOCK))

    assert main(["--check"]) == 1
    assert capsys.readouterr().err == (
        "lambda_src/agent/requirements.in has changed and lambda_src/agent/requirements.txt has not: "
        "run `make lock-agent`\n"
    )


def test_tests_and_make_run_install_them_and_nobody_runs_with_others() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    assert makefile.count("-r lambda_src/agent/requirements.txt") == 2
    wanted = subprocess.run(["make", "-n", "run"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "infra.commands.agent_lock --check" in wanted
