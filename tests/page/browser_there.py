"""``make test-page`` begins here: without a browser it says what is missing, once, and ends."""

import sys

from tests.page.browsing import HOW_TO_GET_ONE, chromium

if __name__ == "__main__" and chromium() is None:
    sys.exit(HOW_TO_GET_ONE)
