"""Building layers without Docker: pruned, compiled for the target, and the same bytes every time."""

import base64
import hashlib
import importlib.util
import marshal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from infra.packaging import runtime_layer_build
from infra.packaging.bytecode import compile_tree
from infra.packaging.interpreters import Interpreter, find_interpreter
from infra.packaging.python_package import ROOT, copy_package
from infra.packaging.runtime_layer_build import (
    LayerBuildError,
    LayerReport,
    LayerTarget,
    build_runtime_layer,
    describe,
    require_uv,
)

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
UNCHECKED_HASH = 0b01


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """A lock with one package of our own making, so that no registry is asked."""
    wheel = tmp_path / "parrot-1.0-py3-none-any.whl"
    files = {
        "parrot/__init__.py": "WORDS = frozenset({'pining', 'fjords', 'dead', 'resting'})\ndef say(): return WORDS\n",
        "parrot/colours.py": "def colour():\n    return {'norwegian': 'blue', 'kind': 'parrot'}\n",
        "parrot/tests/test_parrot.py": "assert False\n",
        "parrot-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: parrot\nVersion: 1.0\n",
        "parrot-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "parrot-1.0.dist-info/entry_points.txt": "[console_scripts]\nparrot = parrot:say\n",
    }
    record = "".join(f"{name},sha256={_record_hash(text)},{len(text)}\n" for name, text in files.items())
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in {**files, "parrot-1.0.dist-info/RECORD": record}.items():
            archive.writestr(name, text)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    path = tmp_path / "lock.txt"
    path.write_text(f"parrot @ {wheel.as_uri()} --hash=sha256:{digest}\n", encoding="utf-8")
    return path


def _record_hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def build(lock: Path, folder: Path, *, cache: str = "cache") -> tuple[LayerReport, Path]:
    output = folder / "output"
    output.mkdir(parents=True)
    return build_runtime_layer(lock, LayerTarget(HERE, "arm64"), output, folder / cache), output


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_layer_holds_the_packages_and_not_what_a_function_never_uses(lock: Path, tmp_path: Path) -> None:
    report, output = build(lock, tmp_path / "a")

    names = set(contents(output))
    assert {"python/parrot/__init__.py", "python/parrot/colours.py", "python/parrot-1.0.dist-info/METADATA"} <= names
    assert not [name for name in names if "/bin/" in name or "/tests/" in name or name.endswith("RECORD")]
    assert report.files == len(names)
    assert report.size_bytes == sum(len(data) for data in contents(output).values())


def test_two_builds_give_the_same_bytes(lock: Path, tmp_path: Path) -> None:
    _, first = build(lock, tmp_path / "a")
    _, second = build(lock, tmp_path / "somewhere" / "else")

    assert contents(first) == contents(second)


def test_byte_code_is_never_compared_with_its_source_and_names_the_place_it_runs_in(lock: Path, tmp_path: Path) -> None:
    report, output = build(lock, tmp_path / "a")

    assert report.compiled_with is not None
    pyc = Path(importlib.util.cache_from_source(str(output / "python" / "parrot" / "colours.py"))).read_bytes()
    assert pyc[:4] == importlib.util.MAGIC_NUMBER
    assert int.from_bytes(pyc[4:8], "little") == UNCHECKED_HASH
    assert marshal.loads(pyc[16:]).co_filename == "/opt/python/parrot/colours.py"  # noqa: S302 - compiled above


def test_the_second_build_comes_from_the_cache(lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report, output = build(lock, tmp_path / "a")

    def no_installer() -> Path:
        raise AssertionError("the installer was asked for again")

    monkeypatch.setattr(runtime_layer_build, "require_uv", no_installer)
    again = tmp_path / "again"
    again.mkdir()

    assert build_runtime_layer(lock, LayerTarget(HERE, "arm64"), again, tmp_path / "a" / "cache") == report
    assert contents(again) == contents(output)


def test_another_lock_is_another_layer(lock: Path, tmp_path: Path) -> None:
    build(lock, tmp_path / "a")
    lock.write_text("", encoding="utf-8")
    output = tmp_path / "b"
    output.mkdir()

    report = build_runtime_layer(lock, LayerTarget(HERE, "arm64"), output, tmp_path / "a" / "cache")

    assert report.files == 0


def test_a_package_that_is_not_the_locked_one_is_refused(lock: Path, tmp_path: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    lock.write_text(text[:-5] + ("0000\n" if text[-5:] != "0000\n" else "1111\n"), encoding="utf-8")

    with pytest.raises(LayerBuildError, match=r"(?i)hash"):
        build(lock, tmp_path / "a")


def test_without_the_installer_the_user_is_told_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_layer_build, "tool", lambda _name: None)

    with pytest.raises(LayerBuildError, match="make setup"):
        require_uv()


def test_a_layer_that_lambda_would_not_take_is_refused(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_layer_build, "LIMIT_BYTES", 100)

    with pytest.raises(LayerBuildError, match="Lambda takes"):
        build(lock, tmp_path / "a")


def test_without_a_matching_interpreter_the_layer_is_built_and_says_so(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_layer_build, "find_interpreter", lambda _version: None)

    report, output = build(lock, tmp_path / "a")

    assert report.compiled_with is None
    assert not [name for name in contents(output) if name.endswith(".pyc")]
    assert "WITHOUT byte code" in describe("runtime layer", LayerTarget(HERE, "arm64"), report)


def test_an_interpreter_of_the_asked_version_is_found_or_none() -> None:
    found = find_interpreter(HERE)

    assert found is not None
    assert found.full_version.startswith(f"{HERE}.")
    assert find_interpreter("3.1") is None


def test_a_module_that_does_not_compile_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text("x = 1\n", encoding="utf-8")
    (tmp_path / "template.py").write_text("x = {{ placeholder\n", encoding="utf-8")
    interpreter = find_interpreter(HERE)
    assert interpreter is not None

    compile_tree(tmp_path, interpreter, "/opt/python")

    assert [path.name.split(".")[0] for path in (tmp_path / "__pycache__").iterdir()] == ["good"]


def test_a_compiler_that_fails_is_reported(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("x = 1\n", encoding="utf-8")
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho out of order >&2\nexit 3\n", encoding="utf-8")
    broken.chmod(0o755)

    with pytest.raises(RuntimeError, match="out of order"):
        compile_tree(tmp_path, Interpreter(broken, "3.99.0"), "/opt/python")


def test_the_session_library_is_importable_from_its_layer_with_boto3_alone(tmp_path: Path) -> None:
    copy_package(
        ROOT / "layer" / "agent_sessions", tmp_path / "python", python_version=HERE, installed_as="/opt/python"
    )
    package = tmp_path / "python" / "agent_sessions"

    assert not [path for path in package.rglob("*.pyc") if "__pycache__" not in path.parts]
    assert list(package.rglob("*.pyc"))
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import agent_sessions, sys; print(agent_sessions.__file__)"],
        env={"PYTHONPATH": str(tmp_path / "python"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == str(package / "__init__.py"), done.stderr


def test_what_litellm_brings_beside_its_client_is_left_out(tmp_path: Path) -> None:
    installed = Path(str(importlib.util.find_spec("litellm").origin)).parents[1]  # type: ignore[union-attr]
    for pattern in runtime_layer_build._NEVER_USED:
        found = next(installed.glob(pattern))
        copy = tmp_path / found.relative_to(installed)
        (copy / "folder" if found.is_dir() else copy.parent).mkdir(parents=True)
        (copy / "file" if found.is_dir() else copy).touch()
    (tmp_path / "litellm" / "main.py").touch()

    runtime_layer_build.prune(tmp_path)

    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["main.py"]
    assert not list(tmp_path.glob("hf_xet*"))
