"""The CDK CLI's command line, read as the CLI reads it, except that nothing is ignored.

The CLI goes on without an option that it does not know. A warning scrolls by, and ``--contex stage=prod`` deploys,
or destroys, stage ``dev``. Everything in ``ARGS=`` is therefore looked up in the table below. A test compares the table
with the one that the pinned CLI brings.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import Final


class OptionError(ValueError):
    """An argument that the CDK CLI does not know, or would read differently; the message is one line."""


@dataclass(frozen=True)
class Command:
    """What a command of the CLI takes.

    Attributes:
        flags: Options that are there or not; each also exists as ``--no-<name>``.
        values: Options with one value, given at most once.
        lists: Options with one value that may be repeated.
        aliases: Other names, short ones among them.
    """

    flags: frozenset[str]
    values: frozenset[str]
    lists: frozenset[str]
    aliases: dict[str, str]

    def with_more(self, flags: str, values: str, lists: str, aliases: str) -> Command:
        """What a command takes beside what every command takes; the arguments are names with spaces between."""
        return Command(
            self.flags | set(flags.split()),
            self.values | set(values.split()),
            self.lists | set(lists.split()),
            self.aliases | dict(pair.split("=", 1) for pair in aliases.split()),
        )


_EVERY: Final = Command(frozenset(), frozenset(), frozenset(), {}).with_more(
    flags="asset-metadata ci color debug debug-app debug-cli ec2creds help ignore-errors lookups no-color notices "
    "path-metadata staging strict trace verbose version version-reporting yes",
    values="app build ca-bundle-path output profile proxy region role-arn telemetry-file",
    lists="context plugin unstable",
    aliases="a=app c=context h=help i=ec2creds o=output p=plugin r=role-arn v=verbose y=yes "
    "telemetry=version-reporting",
)
DEPLOY: Final = _EVERY.with_more(
    flags="all asset-parallelism asset-prebuild exclusively execute express force hotswap hotswap-fallback "
    "ignore-no-stacks import-existing-resources logs previous-parameters revert-drift rollback watch",
    values="asset-build-concurrency change-set-name concurrency hotswap-ecs-maximum-healthy-percent "
    "hotswap-ecs-minimum-healthy-percent hotswap-ecs-stabilization-timeout-seconds method monitoring-time-minutes "
    "outputs-file progress require-approval toolkit-stack-name",
    lists="build-exclude notification-arns parameters rollback-trigger-alarm-arns tags",
    aliases="E=build-exclude O=outputs-file R=no-rollback e=exclusively f=force m=method t=tags",
)
DESTROY: Final = _EVERY.with_more("all exclusively express force", "concurrency", "", "e=exclusively f=force")
SYNTH: Final = _EVERY.with_more("exclusively json quiet validation watch", "", "", "e=exclusively j=json q=quiet")
# For what is told with which arguments a stack was deployed.
ANY: Final = Command(
    DEPLOY.flags | DESTROY.flags | SYNTH.flags,
    DEPLOY.values | DESTROY.values | SYNTH.values,
    DEPLOY.lists | DESTROY.lists | SYNTH.lists,
    DEPLOY.aliases | DESTROY.aliases | SYNTH.aliases,
)


@dataclass
class Options:
    """A command line that was understood.

    Attributes:
        flags: What is switched on or off.
        values: Options with one value.
        lists: Options that may be repeated, in the order given.
        stacks: What was named without an option.
        arguments: The same command line as the CLI reads it: ``-cstage=test`` has become ``-c stage=test``.
        respelled: What had to be written otherwise for that, as it was given.
    """

    flags: dict[str, bool] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    stacks: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    respelled: list[str] = field(default_factory=list)

    def flag(self, name: str) -> bool:
        """Whether a flag is switched on."""
        return self.flags.get(name, False)


def read_options(arguments: list[str], command: Command = ANY) -> Options:
    """Read a command line.

    Args:
        arguments: Such as ``["-c", "stage=prod", "--profile", "work"]``.
        command: What may be given.

    Returns:
        What was given.

    Raises:
        OptionError: When something is not known, or a value is missing, superfluous or given twice.
    """
    return _Reader(command).read(arguments)


class _Reader:
    """Goes through a command line once."""

    def __init__(self, command: Command) -> None:
        self._command = command
        self._options = Options()
        self._rest: list[str] = []

    def read(self, arguments: list[str]) -> Options:
        self._rest = list(arguments)
        while self._rest:
            argument = self._rest.pop(0)
            if argument.startswith("--"):
                name, has_value, value = argument[2:].partition("=")
                self._options.arguments.append(argument)
                self._take(f"--{name}", self._own_name(name), value if has_value else None)
            elif argument.startswith("-"):
                self._read_short(argument)
            else:
                self._options.arguments.append(argument)
                self._options.stacks.append(argument)
        return self._options

    def _read_short(self, argument: str) -> None:
        letters, has_value, value = argument[1:].partition("=")
        first = self._command.aliases.get(letters[:1], "")
        if len(letters) > 1 and first in self._command.values | self._command.lists:
            # In one word, `-cmemory_mb=512`: the CLI would take every letter for a flag and go on without the value.
            self._options.respelled.append(argument)
            self._rest.insert(0, argument[2:])
            argument, letters, has_value = argument[:2], letters[0], ""
        self._options.arguments.append(argument)
        for position, letter in enumerate(letters):
            is_last = position == len(letters) - 1
            name = self._command.aliases.get(letter, "") if letter.isalpha() else ""
            self._take(f"-{letter}", name, value if is_last and has_value else None, may_follow=is_last)

    def _take(self, said: str, name: str, value: str | None, *, may_follow: bool = True) -> None:
        if name in self._command.flags or (name.startswith("no-") and name[3:] in self._command.flags):
            self._take_flag(said, name, value, may_follow=may_follow)
        elif name in self._command.values | self._command.lists:
            self._take_value(name, self._following(said) if value is None else value)
        else:
            raise self._unknown(said)

    def _take_value(self, name: str, value: str) -> None:
        if name in self._command.lists:
            self._options.lists.setdefault(name, []).append(value)
        elif name in self._options.values:
            raise OptionError(f"--{name} is given twice: {self._options.values[name]} and {value}")
        else:
            self._options.values[name] = value

    def _take_flag(self, said: str, name: str, value: str | None, *, may_follow: bool) -> None:
        if value is None and may_follow and self._rest and self._rest[0] in {"true", "false"}:
            value = self._following(said)
        if value not in {None, "true", "false"}:
            raise OptionError(f"{said} takes no value; {value!r} is one")
        is_on = (name in self._command.flags) == (value != "false")
        self._options.flags[name if name in self._command.flags else name[3:]] = is_on

    def _following(self, said: str) -> str:
        if not self._rest or self._rest[0].startswith("-"):
            raise OptionError(f"{said} needs a value")
        value = self._rest.pop(0)
        self._options.arguments.append(value)
        return value

    def _own_name(self, name: str) -> str:
        """What an option is called; ``requireApproval`` is ``require-approval``, and some have a second name."""
        dashed = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)
        return self._command.aliases.get(dashed, dashed) if len(dashed) > 1 else ""

    def _unknown(self, said: str) -> OptionError:
        names = sorted(self._command.flags | self._command.values | self._command.lists)
        near = difflib.get_close_matches(said.lstrip("-"), names, n=1, cutoff=0.6) if len(said) > 2 else []  # noqa: PLR2004
        hint = f"did you mean --{near[0]}?" if near else "`./node_modules/.bin/cdk --help` lists what there is"
        return OptionError(f"{said}: no such option of the CDK CLI's; {hint}")
