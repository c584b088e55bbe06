"""Which published tests touch a private name of Strands' session managers, decided on their syntax trees.

A test is *private* when it, a fixture it asks for or a function of its own file that it uses reads or writes an
attribute whose name one of Strands' message-log session modules defines with a leading underscore: a method, a
function, or an attribute of ``self``. Everything else states behaviour that a replacement can be held to. Private
names of other parts of Strands (``agent._interrupt_state``) do not count: the agent under test is Strands' own.
"""

import ast
from collections.abc import Iterable, Iterator

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def private_names(sources: Iterable[str]) -> frozenset[str]:
    """Names with one leading underscore that the given module sources define."""
    names: set[str] = set()
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, _Function):
                names.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
                names.add(node.attr)
    return frozenset(name for name in names if _is_private(name))


def private_tests(source: str, names: frozenset[str]) -> frozenset[str]:
    """Names of the test functions in ``source`` that touch one of ``names``, directly or through what they use."""
    functions = {node.name: node for node in ast.walk(ast.parse(source)) if isinstance(node, _Function)}
    return frozenset(
        name
        for name in functions
        if name.startswith("test_")
        and any(_attributes(functions[used]) & names for used in _used_functions(name, functions))
    )


def _used_functions(start: str, functions: dict[str, _Function]) -> Iterator[str]:
    """The function and, transitively, the file's own fixtures and functions it names."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in functions:
            continue
        seen.add(name)
        yield name
        function = functions[name]
        waiting += [argument.arg for argument in function.args.args]
        waiting += [node.id for node in ast.walk(function) if isinstance(node, ast.Name)]


def _attributes(function: _Function) -> frozenset[str]:
    return frozenset(node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute))


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")
