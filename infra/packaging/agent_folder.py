"""The folder with the user's own agent, wherever it is: what has to be in it, and what it may bring."""

import ast
from pathlib import Path
from typing import Any, Final

from agent_sessions.exceptions import InvalidIdentifierError
from agent_sessions.identifiers import check_identifier

from .kit_files import AGENT_FOLDER
from .shipped_files import PackageError

_BUILDER: Final = "__init__.py"
MODEL: Final = "model.txt"


class AgentFolderError(PackageError):
    """There is no agent in a folder; the message names it and what is missing."""


def agent_folder(given: str | Path | None) -> Path:
    """The folder that is packaged as ``lambda_src/agent``.

    Args:
        given: A folder, relative to the working folder; ``None`` for the kit's demo agent.

    Raises:
        AgentFolderError: It is no folder.
    """
    if given is None:
        return AGENT_FOLDER
    folder = Path(given).resolve()
    if not folder.is_dir():
        state = "is a file" if folder.exists() else "does not exist"
        raise AgentFolderError(
            f"agent={str(given)!r}: {folder} {state}; allowed: a folder whose {_BUILDER} has build_agent or AGENTS"
        )
    return folder


def check_builder(folder: Path) -> None:
    """Check that a folder is a package with builders, as far as its text says. Nothing of it is run.

    Raises:
        AgentFolderError: It has no ``__init__.py``, or that is no Python, or has neither ``build_agent`` nor an
            ``AGENTS`` that maps ids to builders.
    """
    if not (folder / _BUILDER).is_file():
        raise AgentFolderError(f"{folder} holds no agent: it has no {_BUILDER}, where build_agent or AGENTS is")
    builder = folder / _BUILDER
    try:
        problem = _problem_with(ast.parse(builder.read_bytes(), str(builder)))
    except (SyntaxError, ValueError) as error:
        problem = f"no Python: {getattr(error, 'msg', error)}, line {getattr(error, 'lineno', 1)}"
    if problem:
        raise AgentFolderError(f"{builder}: {problem}")


def _problem_with(module: ast.Module) -> str | None:
    """What is wrong with the names that the module gives; ``None`` where its text does not say."""
    names = _names(module)
    if "*" in names:
        return None
    agents = names.get("AGENTS")
    stores = [node for node in ast.walk(module) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    is_none = isinstance(agents, ast.Constant) and agents.value is None
    has_agents = "AGENTS" in names and not (is_none and [node.id for node in stores].count("AGENTS") == 1)
    if "build_agent" not in names and not has_agents:
        return "it has neither a function build_agent nor AGENTS, a mapping of agent ids and builders"
    if isinstance(agents, ast.Dict):
        return _problem_with_agents(agents)
    if isinstance(agents, (ast.List, ast.Tuple, ast.Set)) or (
        isinstance(agents, ast.Constant) and agents.value is not None
    ):
        return f"AGENTS is {_kind(agents)}; it has to be a mapping of agent ids and builders"
    return None


def _problem_with_agents(agents: ast.Dict) -> str | None:
    if not agents.keys:
        return "AGENTS is empty; it has to be a mapping of agent ids and builders"
    for key, builder in zip(agents.keys, agents.values, strict=True):
        if not isinstance(key, ast.Constant):
            continue  # another mapping, or a name: only running it tells
        agent_id: Any = key.value
        try:
            check_identifier("agent", agent_id)
        except InvalidIdentifierError as error:
            return f"AGENTS has a key that is no agent id: {error}"
        if isinstance(builder, (ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.JoinedStr)):
            return f"AGENTS[{agent_id!r}] is {_kind(builder)}; it has to be a function that builds"
    return None


def _kind(value: ast.expr) -> str:
    if isinstance(value, ast.Constant):
        return f"a {type(value.value).__name__}"
    return "a str" if isinstance(value, ast.JoinedStr) else f"a {type(value).__name__.lower()}"


def _names(module: ast.Module) -> dict[str, ast.expr | None]:
    """The names that a module has after it was run, with their values where the text has one."""
    names: dict[str, ast.expr | None] = {}
    for node in ast.walk(module):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.setdefault(name, None)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                names |= {alias.asname or alias.name: None for alias in aliases}
            case ast.Name(id=name, ctx=ast.Store()):
                names.setdefault(name, None)
    for node in module.body:
        match node:
            case ast.Assign(targets=targets, value=value):
                names |= {target.id: value for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is not None:
                names[name] = value
    return names


def default_model(folder: Path) -> str | None:
    """What ``model.txt`` of an agent's folder says; ``None`` where there is none."""
    path = folder / MODEL
    return path.read_text(encoding="utf-8").strip() if path.is_file() else None
