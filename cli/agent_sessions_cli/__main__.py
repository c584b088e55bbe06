"""The entry of ``agent-sessions`` and of ``python -m agent_sessions_cli``."""

import sys

_NEEDED = {"click", "rich"}


def main() -> None:
    """Run the command line, or say what has to be installed first."""
    try:
        from agent_sessions_cli.commands import agent_sessions
        from agent_sessions_cli.stopping import ctrl_c_that_is_heard, end
    except ModuleNotFoundError as error:
        if error.name not in _NEEDED:
            raise
        sys.exit(f"Error: {error.name} is not installed. Install it: pip install 'agent-session-kit[cli]'")
    try:
        with ctrl_c_that_is_heard():
            agent_sessions(prog_name="agent-sessions")
    except SystemExit as ended:
        end(ended)


if __name__ == "__main__":
    main()
