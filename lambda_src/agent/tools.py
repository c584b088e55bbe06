"""Two small tools for the default agent. Each does real work, without the network and without ``eval``."""

import ast
import math
import operator
from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from strands import tool

MAX_EXPRESSION_LENGTH = 500
MAX_EXPONENT = 1_000
MAX_MAGNITUDE = 1e300

_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_FUNCTIONS: dict[str, Callable[..., float]] = {
    "abs": abs,
    "ceil": math.ceil,
    "cos": math.cos,
    "exp": math.exp,
    "floor": math.floor,
    "log": math.log,
    "log10": math.log10,
    "max": max,
    "min": min,
    "round": round,
    "sin": math.sin,
    "sqrt": math.sqrt,
    "tan": math.tan,
}
_CONSTANTS = {"pi": math.pi, "e": math.e}


@tool
def current_time(timezone: str = "UTC") -> str:
    """Tell the current date and time in a time zone.

    Args:
        timezone: IANA name of the time zone, such as "UTC", "Europe/Berlin" or "America/New_York".
    """
    try:
        now = datetime.now(ZoneInfo(timezone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{timezone!r} is not an IANA time zone, such as UTC or Europe/Berlin") from None
    return now.strftime("%A, %Y-%m-%d %H:%M:%S %Z (UTC%z)")


@tool
def calculator(expression: str) -> str:
    """Calculate an arithmetic expression exactly as written.

    Args:
        expression: Numbers, + - * / // % **, parentheses, pi, e, and abs, ceil, cos, exp, floor, log, log10, max,
            min, round, sin, sqrt, tan. For example "sqrt(2) * (3 + 4)".
    """
    return str(evaluate(expression))


def evaluate(expression: str) -> float:
    """Evaluate arithmetic by walking its syntax tree; nothing else in the language can be reached.

    Raises:
        ValueError: When the expression is not arithmetic, or its result would be too large.
    """
    if len(expression) > MAX_EXPRESSION_LENGTH:
        raise ValueError(f"an expression can have at most {MAX_EXPRESSION_LENGTH} characters")
    try:
        return _value(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError("this is not an arithmetic expression") from None
    except (ArithmeticError, TypeError) as error:
        raise ValueError(f"cannot be calculated: {error}") from None


def _value(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=bool()):
            raise ValueError("only numbers can be calculated with")
        case ast.Constant(value=int() | float() as number):
            return _bounded(number)
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand)
        case ast.BinOp(op=op, left=left, right=right) if type(op) in _OPERATORS:
            return _apply(op, _value(left), _value(right))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            return _bounded(_FUNCTIONS[name](*(_value(argument) for argument in arguments)))
        case _:
            raise ValueError("only numbers, + - * / // % **, parentheses and the listed functions are allowed")


def _apply(op: ast.operator, left: float, right: float) -> float:
    # Integers have no upper bound in Python: 9**9**9 would fill the memory before it is too large to print.
    if isinstance(op, ast.Pow) and abs(right) > MAX_EXPONENT:
        raise ValueError(f"an exponent can be at most {MAX_EXPONENT}")
    return _bounded(_OPERATORS[type(op)](left, right))


def _bounded(number: float) -> float:
    if isinstance(number, complex):
        raise ValueError("the result is not a real number")  # noqa: TRY004 - a wrong value, not a wrong type
    if abs(number) > MAX_MAGNITUDE:
        raise ValueError("the result is too large")
    return number
