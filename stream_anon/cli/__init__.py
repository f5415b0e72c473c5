"""The command line: one short file per command, loaded when it is called."""

from __future__ import annotations

import sys
from typing import NoReturn

from stream_anon.cli.boundary import run

__all__ = ["main", "run"]


def main() -> NoReturn:
    """Entry point of the ``stream-anon`` script."""
    sys.exit(run(sys.argv[1:]))
