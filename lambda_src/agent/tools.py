"""Two small tools for the default agent. Each does real work, without the network and without ``eval``."""

import ast
import math
import operator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from simpleeval import InvalidExpression, SimpleEval  # type: ignore[import-untyped] # it has no types
from strands import tool

MAX_EXPRESSION_LENGTH = 500
MAX_EXPONENT = 1_000
MAX_MAGNITUDE = 1e300

_FUNCTIONS = {function.__name__: function for function in (abs, max, min, round)} | {
    name: getattr(math, name) for name in ("ceil", "cos", "exp", "floor", "log", "log10", "sin", "sqrt", "tan")
}


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
    """Evaluate arithmetic; nothing else in the language can be reached.

    Raises:
        ValueError: When the expression is not arithmetic, or its result would be too large.
    """
    if len(expression) > MAX_EXPRESSION_LENGTH:
        raise ValueError(f"an expression can have at most {MAX_EXPRESSION_LENGTH} characters")
    try:
        parsed = ast.parse(expression.strip(), mode="eval").body
        return _checked(_Arithmetic().eval(expression, previously_parsed=parsed))
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError("this is not an arithmetic expression") from None
    except InvalidExpression:
        raise ValueError("only numbers, + - * / // % **, parentheses and the listed functions are allowed") from None
    except (ArithmeticError, TypeError, AttributeError) as error:
        raise ValueError(f"cannot be calculated: {error}") from None


class _Arithmetic(SimpleEval):  # type: ignore[misc] # it has no types
    """Numbers, operators and the listed functions: what else simpleeval can do is taken away."""

    def __init__(self) -> None:
        super().__init__(functions=_FUNCTIONS, names={"pi": math.pi, "e": math.e})
        kinds = (ast.Expr, ast.Constant, ast.UnaryOp, ast.BinOp, ast.Call, ast.Name)
        evaluators: dict[type[ast.AST], Any] = vars(self)["nodes"]
        self.nodes = {kind: evaluators[kind] for kind in kinds}
        signs = {ast.UAdd: operator.pos, ast.USub: operator.neg}
        self.operators = signs | {
            ast.Add: operator.add,
            ast.Sub: operator.sub,
            ast.Mult: operator.mul,
            ast.Div: operator.truediv,
            ast.FloorDiv: operator.floordiv,
            ast.Mod: operator.mod,
            ast.Pow: _power,
        }

    def _eval(self, node: ast.AST) -> Any:
        # Every part is checked, not only the whole: integers have no upper bound in Python.
        return _checked(super()._eval(node))


def _power(base: float, exponent: float) -> float:
    if abs(exponent) > MAX_EXPONENT:
        raise ValueError(f"an exponent can be at most {MAX_EXPONENT}")
    result: float = base**exponent
    return result


def _checked(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("only real numbers can be calculated with")  # noqa: TRY004 - a wrong value, not a wrong type
    if abs(value) > MAX_MAGNITUDE:
        raise ValueError("the result is too large")
    return value
