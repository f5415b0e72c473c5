"""The command line: one short file per command, loaded when it is called."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from stream_anon.cli.signals import interruptible

__all__ = ["main", "run"]


def run(arguments: Sequence[str]) -> int:
    """See ``boundary.run``."""
    from stream_anon.cli import boundary

    return boundary.run(arguments)


def main() -> NoReturn:
    """Entry point of the ``stream-anon`` script."""
    # Before anything that takes time is imported: a stop in the first moments is a stop, too.
    interruptible()
    try:
        sys.exit(_guarded(sys.argv[1:]))
    except KeyboardInterrupt:
        # Between two lines of the boundary itself.
        sys.exit(130)


def _guarded(arguments: Sequence[str]) -> int:
    from stream_anon.cli import boundary

    boundary.complete_streams()
    # Before NumPy is loaded. Its matrix products are small here, and its threads spin while they
    # wait, which the encoder's threads pay for.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return boundary.run(arguments)
