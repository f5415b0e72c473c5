"""The command line: one short file per command, loaded when it is called."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from stream_anon.cli.boundary import run

__all__ = ["main", "run"]


def main() -> NoReturn:
    """Entry point of the ``stream-anon`` script."""
    # Before NumPy is loaded. Its matrix products are small here, and its threads spin while they
    # wait, which the encoder's threads pay for.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(run(sys.argv[1:]))
