"""The commands of ``agent-sessions``."""

import click

from agent_sessions import __version__
from agent_sessions_cli.bench import bench
from agent_sessions_cli.chatting import chat
from agent_sessions_cli.copying import cp
from agent_sessions_cli.doctoring import doctor
from agent_sessions_cli.erasing import rm
from agent_sessions_cli.expiring import expire
from agent_sessions_cli.exporting import export
from agent_sessions_cli.forking import fork
from agent_sessions_cli.importing import import_
from agent_sessions_cli.listing import ls
from agent_sessions_cli.naming import rename
from agent_sessions_cli.showing import show


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, package_name="agent-session-kit")
def agent_sessions() -> None:
    """Look at the sessions of a store, on S3 or in a folder, take them along and erase them."""


for command in (ls, show, rename, fork, export, import_, cp, rm, expire, doctor, chat, bench):
    agent_sessions.add_command(command)
