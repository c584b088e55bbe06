"""``agent-sessions``: look at sessions, take them along and erase them, from a terminal.

    agent-sessions ls --store s3://my-sessions/chat
    agent-sessions show ada --store file:///var/lib/chat

The commands use the session library by its doors, as other people's code does. ``docs/CLI.md`` is made from them.
"""
