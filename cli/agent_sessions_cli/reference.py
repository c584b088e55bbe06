"""Writes ``docs/CLI.md`` from the commands: ``python -m agent_sessions_cli.reference``."""

from __future__ import annotations

import sys

import click

from agent_sessions_cli.commands import agent_sessions
from agent_sessions_cli.failures import MEANINGS
from agent_sessions_cli.place import OPTIONS
from agent_sessions_cli.recording import recorded

_HEAD = """\
# The terminal command

Made from `cli/agent_sessions_cli` by `make cli-docs`; a test compares the two.

```console
$ pip install "agent-session-kit[cli]"
$ export AGENT_SESSIONS_STORE=s3://my-sessions/chat
$ agent-sessions ls --limit 20
$ agent-sessions show ada
$ agent-sessions export ada --output ada.jsonl
$ agent-sessions import ada.jsonl --store file:///var/lib/chat
$ agent-sessions cp s3://my-sessions/chat file:///var/lib/chat
$ agent-sessions doctor --sessions
$ agent-sessions chat https://abc.lambda-url.eu-central-1.on.aws --sign
$ agent-sessions rm ada
$ agent-sessions expire --dry-run --ttl-days 30
```

`python -m agent_sessions_cli` is the same command; in a checkout, `make cli ARGS="ls --store file:///var/lib/chat"`.
The credentials are those of the AWS CLI. Colours appear on a terminal alone, and never with `NO_COLOR` set.

**Completion** of commands and options is a line in the shell's start file:

| shell | line |
|---|---|
| bash | `eval "$(_AGENT_SESSIONS_COMPLETE=bash_source agent-sessions)"` |
| zsh | `eval "$(_AGENT_SESSIONS_COMPLETE=zsh_source agent-sessions)"` |
| fish | `_AGENT_SESSIONS_COMPLETE=fish_source agent-sessions \\| source` |

Errors are one line on standard error, with what to do; `--debug` adds where they were raised.
"""


def page() -> str:
    """The whole page."""
    context = click.Context(agent_sessions, info_name="agent-sessions")
    names = agent_sessions.list_commands(context)
    commands = [agent_sessions.commands[name] for name in names]
    common = {parameter.name for parameter in _common()}
    parts = [_HEAD, "## At a terminal\n", f"Made by running the commands.\n\n```console\n{recorded()}```\n"]
    parts += ["## Options of every command\n", _table(_common()), "## Exit codes\n", _exit_codes()]
    for name, command in zip(names, commands, strict=True):
        own = [parameter for parameter in command.params if parameter.name not in common]
        arguments = "".join(f" {argument.make_metavar(context)}" for argument in own if _is_argument(argument))
        parts.append(f"## {name}{arguments}\n")
        parts.append(_paragraphs(command.help or ""))
        options = [parameter for parameter in own if isinstance(parameter, click.Option)]
        parts.append(_table(options) if options else "")
    return "\n".join(part for part in parts if part)


def _common() -> list[click.Option]:
    @click.command()
    def bare() -> None:
        """Carries the options."""

    for option in OPTIONS:
        bare = option(bare)
    return [parameter for parameter in bare.params if isinstance(parameter, click.Option)]


def _is_argument(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Argument)


def _table(options: list[click.Option]) -> str:
    rows = [f"| {_names(option)} | {option.help} |" for option in options]
    return "\n".join(["| option | meaning |", "|---|---|", *rows]) + "\n"


def _names(option: click.Option) -> str:
    value = "" if option.is_flag else f" {_metavar(option)}"
    names = ", ".join(f"`{name}{value}`" for name in option.opts)
    return f"{names}, or `{option.envvar}`" if option.envvar else names


def _metavar(option: click.Option) -> str:
    return option.make_metavar(click.Context(agent_sessions)).replace("|", " or ")


def _exit_codes() -> str:
    rows = [f"| {int(code)} | {meaning} |" for code, meaning in MEANINGS.items()]
    return "\n".join(["| code | meaning |", "|---|---|", *rows]) + "\n"


def _paragraphs(text: str) -> str:
    paragraphs = text.strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
