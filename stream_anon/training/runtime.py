"""What every stage shares: device, seeds, checkpoints, progress."""

from __future__ import annotations

import logging
import math
import os
import time
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Generator, nn

log = logging.getLogger(__name__)

Net = TypeVar("Net", bound=nn.Module)


def pick_device(name: str) -> torch.device:
    """``auto`` is CUDA where there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def autocast(device: torch.device, *, enabled: bool = True) -> torch.autocast:
    """bfloat16 autocast on this device."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def step_generator(seed: int, stage: int, step: int, device: torch.device) -> Generator:
    """The randomness of one step: a resumed run draws what the first one would have drawn."""
    rng = Generator(device=device)
    rng.manual_seed((seed * 1_000_003 + stage) * 10_000_019 + step)
    return rng


def cosine_schedule(progress: float, warm: float = 0.05) -> float:
    """Factor of the learning rate: linear warm-up, then half a cosine down to 2 %."""
    if progress < warm:
        return progress / warm
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm)))


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint of `save_checkpoint` (tensors and plain values only)."""
    state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    return state


class Progress:
    """Means of what is measured, and a line every so often."""

    def __init__(self, stage: str, total: int, every_seconds: float = 20.0) -> None:
        self.stage = stage
        self.total = total
        self.every = every_seconds
        self._sums: dict[str, list[float]] = {}
        self._start = time.monotonic()
        self._images = 0

    def add(self, images: int, values: dict[str, float]) -> None:
        """Note one step."""
        self._images += images
        for key, value in values.items():
            self._sums.setdefault(key, []).append(value)

    def report(self, done: int) -> dict[str, float] | None:
        """Log and return the means since the last line if it is time, else None."""
        elapsed = time.monotonic() - self._start
        if elapsed < self.every:
            return None
        rate = self._images / elapsed
        means = {k: sum(v) / len(v) for k, v in self._sums.items()}
        left = max(self.total - done, 0) / max(rate, 1e-9)
        text = "  ".join(f"{k} {v:.4f}" for k, v in means.items())
        log.info(
            "%s %d/%d images  %.0f/s  left %d min  %s",
            self.stage, done, self.total, rate, round(left / 60), text,
        )  # fmt: skip
        self._sums.clear()
        self._images = 0
        self._start = time.monotonic()
        return means


class Threads:
    """Use the cores that others leave free (Linux): asked for now and then between steps.

    Two threads that wait for each other run at the pace of the slower one, so
    beside a busy neighbour fewer threads are faster.

    Args:
        most: Threads when nobody else computes; 0 leaves torch's number alone.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._before = self._read() if most else (0.0, 0.0)
        if most:
            torch.set_num_threads(most)

    @staticmethod
    def _read() -> tuple[float, float]:
        """Seconds all cores were busy since start, and those that were ours."""
        fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
        values = [float(v) for v in fields]
        busy = (sum(values[:8]) - values[3] - values[4]) / os.sysconf("SC_CLK_TCK")
        ours = os.times()
        return busy, ours.user + ours.system

    def adapt(self, seconds: float) -> int:
        """Choose the number of threads from the last ``seconds``; returns it."""
        if not self.most:
            return torch.get_num_threads()
        busy, ours = self._read()
        others = (busy - self._before[0] - (ours - self._before[1])) / max(seconds, 1e-3)
        self._before = (busy, ours)
        free = max(1, min(self.most, round((os.cpu_count() or 1) - others - 0.1)))
        torch.set_num_threads(free)
        return free


def place(net: Net, device: torch.device) -> Net:
    """Move a net to a device, its weights laid out channels last; returns it."""
    net.to(device)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net
