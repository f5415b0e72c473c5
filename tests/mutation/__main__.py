"""``make mutants``: every break of the table, or those whose names contain a word.

python -m tests.mutation [WORD ...] [--list]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.mutation.runner import Copy, StaleBreak
from tests.mutation.table import BREAKS


def main() -> int:
    """0 where every break turned a test red."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("words", nargs="*", help="only breaks whose names contain one of these")
    parser.add_argument("--list", action="store_true", help="only say what would be broken")
    options = parser.parse_args()
    chosen = [
        made
        for made in BREAKS
        if not options.words or any(word in made.name for word in options.words)
    ]
    if options.list:
        for made in chosen:
            print(f"{made.name:<28} {made.file}: {made.why}")
        return 0
    with tempfile.TemporaryDirectory(prefix="stream-anon-mutants-") as folder:
        copy = Copy(Path(folder))
        red = copy.whole(chosen)
        if red is not None:
            print(f"red before anything is broken:\n{red}", file=sys.stderr)
            return 1
        survivors = 0
        for made in chosen:
            try:
                verdict = copy.judge(made)
            except StaleBreak as error:
                print(error, file=sys.stderr)
                survivors += 1
                continue
            survivors += not verdict.killed
            word = "killed" if verdict.killed else "SURVIVED"
            print(f"{word:<9} {made.name:<28} {verdict.seconds:5.1f} s  {verdict.by}", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} breaks turned a test red")
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
