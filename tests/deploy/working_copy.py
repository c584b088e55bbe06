"""A user's copy of the kit: the parts that are deployed, with the one file edited that is meant to be."""

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_DEPLOYED = ("app.py", "cdk.json", "infra", "lambda_src", "layer", "local", "requirements", "examples")
_EDIT = Path(__file__).with_name("user_edit") / "refunds.py"
_TOOLS = "tools=[calculator, current_time]"
_IMPORT = "from lambda_src.agent.tools import calculator, current_time\n"


def copy_and_edit(folder: Path) -> str:
    """Make the copy, and add a tool to its agent.

    Args:
        folder: Where; it must not exist.

    Returns:
        The edit, as a user would describe it.

    Raises:
        RuntimeError: When ``lambda_src/agent/__init__.py`` no longer looks as it is expected to.
    """
    folder.mkdir()
    for name in _DEPLOYED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "cdk.out"))
        else:
            shutil.copy(source, folder / name)
    # What `make setup` installed, and layers that were built before: a user has them after the first deployment too.
    (ROOT / ".cache").mkdir(exist_ok=True)
    for name in (".cache", ".venv", "node_modules"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(_EDIT, folder / "lambda_src" / "agent" / _EDIT.name)
    agent = folder / "lambda_src" / "agent" / "__init__.py"
    text = agent.read_text(encoding="utf-8")
    if text.count(_TOOLS) != 1 or text.count(_IMPORT) != 1:
        raise RuntimeError(f"{agent}: the place of the tools has changed; change it here too")
    text = text.replace(_TOOLS, "tools=[calculator, current_time, refund]")
    agent.write_text(text.replace(_IMPORT, f"from lambda_src.agent.refunds import refund\n{_IMPORT}"), encoding="utf-8")
    return f"lambda_src/agent/__init__.py: {_TOOLS} -> tools=[calculator, current_time, refund]"
