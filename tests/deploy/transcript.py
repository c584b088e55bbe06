"""What a rehearsal prints."""

import sys


class Transcript:
    """Prints, and keeps what it printed."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        """Add text as it is."""
        self.text += text
        sys.stdout.write(text)
        sys.stdout.flush()

    def line(self, text: str) -> None:
        """Add a line."""
        self.write(f"{text}\n")

    def heading(self, text: str) -> None:
        """Begin a part of the story."""
        self.line(f"\n== {text}")
