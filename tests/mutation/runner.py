"""Breaks the program one line at a time, and looks whether a test notices.

A test-suite that stays green when the line it should guard is broken guards nothing. Every break
is made in a copy of the checkout, never in the checkout itself; the tests that must turn red are
run there. Survivors, tests that were red before, and breaks whose line has changed all fail.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

COPIED = ("stream_anon", "pipelines", "configs", "docs", "tests", "pyproject.toml")
"""What tests read of a checkout."""

LIMIT = 900
"""Seconds for the tests of one break."""


@dataclass(frozen=True, slots=True)
class Break:
    """One line made wrong.

    Attributes:
        name: short, unique.
        file: relative to the checkout.
        old: text that stands in the file exactly once.
        new: what takes its place.
        tests: files or node ids, at least one of which must turn red.
        why: what the break does to somebody in a video.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one break.

    Attributes:
        made: the break.
        killed: a test turned red.
        by: that test, or what went wrong instead.
        seconds: the tests took.
    """

    made: Break
    killed: bool
    by: str
    seconds: float


class StaleBreak(Exception):
    """The line that a break changes is not there any more, or not only once."""


def broken(made: Break, root: Path = ROOT) -> str:
    """The text of the file with the break in it.

    Raises:
        StaleBreak: ``old`` is not found exactly once, or the result is no Python.
    """
    path = root / made.file
    if not path.is_file():
        raise StaleBreak(f"{made.name}: there is no {made.file}; tests/mutation is out of date")
    text = path.read_text(encoding="utf-8")
    count = text.count(made.old)
    if count != 1:
        raise StaleBreak(
            f"{made.name}: its line stands {count} times in {made.file}, not once; "
            "tests/mutation is out of date"
        )
    result = text.replace(made.old, made.new)
    if result == text:
        raise StaleBreak(f"{made.name}: changes nothing")
    if path.suffix == ".py":
        try:
            ast.parse(result)
        except SyntaxError as error:
            raise StaleBreak(f"{made.name}: leaves no Python ({error})") from error
    return result


class Copy:
    """A copy of the checkout to break.

    Args:
        folder: an empty one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        self.folder.mkdir(parents=True)
        leave = shutil.ignore_patterns("__pycache__", "*.pyc")
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, self.folder / name, ignore=leave)
            else:
                shutil.copy(source, self.folder / name)

    def tests(self, names: Sequence[str], *more: str) -> subprocess.CompletedProcess[str]:
        """Run some tests of the copy, the slow ones too."""
        # Bytecode is compared by time and size: a break that keeps both would not be seen.
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return subprocess.run(
            [
                sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line",
                "-m", "slow or not slow", f"--timeout={LIMIT // 2}", *more, *names,
            ],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )  # fmt: skip

    def whole(self, breaks: Sequence[Break]) -> str | None:
        """What is red before anything is broken, None if nothing is."""
        names = sorted({name for made in breaks for name in made.tests})
        done = self.tests(names)
        return None if done.returncode == 0 else done.stdout[-4000:] + done.stderr[-2000:]

    def judge(self, made: Break) -> Verdict:
        """Break it, run its tests, mend it.

        Raises:
            StaleBreak: as from ``broken``.
        """
        path = self.folder / made.file
        before = path.read_text(encoding="utf-8")
        path.write_text(broken(made, self.folder), encoding="utf-8")
        began = time.monotonic()
        try:
            done = self.tests(made.tests, "-x")
        except subprocess.TimeoutExpired:
            return Verdict(made, False, f"no answer for {LIMIT} s", float(LIMIT))
        finally:
            path.write_text(before, encoding="utf-8")
        seconds = time.monotonic() - began
        # 1: tests ran and failed. Everything else, a file that cannot be collected included, says
        # nothing of what the tests look at.
        if done.returncode == 1:
            found = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
            return Verdict(made, True, found[1] if found else "a test", seconds)
        last = (done.stdout.strip().splitlines() or [""])[-1]
        return Verdict(made, False, f"pytest ended with {done.returncode}: {last}", seconds)
