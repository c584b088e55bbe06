"""The example of an app of one's own, as somebody has it who installed the wheel and never saw the repository."""

import shutil
import subprocess
import sys
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

from infra.packaging.runtime_layer_build import require_uv
from tests.deploy.cdk_cli import ROOT, Cdk, CdkError

EXAMPLE = ROOT / "examples" / "own_app"
INSTALLED = "agent-session-kit[cdk]"


class OwnApp:
    """A copy of the example, with an environment that holds the wheel and what it asks for.

    Args:
        folder: Where; it must not exist, and is outside the repository.
        cdk: The CLI.
    """

    def __init__(self, folder: Path, cdk: Cdk) -> None:
        self._folder = folder
        self._app = folder / "app"
        self._environment = folder / "venv"
        self._cdk = cdk.beside(self._environment / "bin")
        self._files: set[Path] = set()

    def install(self) -> str:
        """Build the wheel, and install it in the versions that the tests run with.

        Returns:
            What was installed, in a sentence.
        """
        (built,) = WheelBuilder(str(ROOT)).build(directory=str(self._folder / "dist"), versions=["standard"])
        uv = str(require_uv())
        lock = str(ROOT / "requirements" / "dev.txt")
        python = str(self._environment / "bin" / "python")
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(self._environment)], check=True)
        subprocess.run(
            [uv, "pip", "install", "--quiet", "--python", python, "-c", lock, f"{INSTALLED} @ {Path(built).as_uri()}"],
            check=True,
        )
        self._files = self._installed_files()
        return f"the wheel, {Path(built).stat().st_size / 1e3:.0f} KB, installs with its extra cdk"

    def synthesize(self, context: dict[str, str]) -> Path:
        """Have the CDK CLI synthesize the app.

        Args:
            context: For the CLI.

        Returns:
            The assembly.
        """
        shutil.copytree(EXAMPLE, self._app, ignore=shutil.ignore_patterns("__pycache__", "cdk.out"))
        self._synth(context)
        return self._app / "cdk.out"

    def refusal_of(self, builder: str, context: dict[str, str]) -> str:
        """What the CDK CLI says when the app's agent has another ``build_agent``.

        Args:
            builder: Its source.
            context: For the CLI.
        """
        path = self._app / "agent" / "__init__.py"
        original = path.read_text(encoding="utf-8")
        path.write_text(f"{original}\n\n{builder}", encoding="utf-8")
        try:
            self._synth(context)
        except CdkError as error:
            return str(error)
        finally:
            path.write_text(original, encoding="utf-8")
        return "nothing"

    def _synth(self, context: dict[str, str]) -> None:
        settings = (word for item in context.items() for word in ("-c", "=".join(item)))
        self._cdk.run(self._app, "synth", "--quiet", *settings)

    def written(self) -> set[Path]:
        """What has appeared beside the installed packages since."""
        return self._installed_files() - self._files

    def _installed_files(self) -> set[Path]:
        return {path for path in self._environment.rglob("*") if path.is_file()}
