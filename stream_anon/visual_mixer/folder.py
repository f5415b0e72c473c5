"""A folder of images mixed into another folder: classes kept, resumable, by several processes."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np

from stream_anon.errors import InputError, OutputError, StreamAnonError, UsageError
from stream_anon.kernels.chacha import KEY_BYTES
from stream_anon.visual_mixer.layout import layout
from stream_anon.visual_mixer.mix import DEFAULT_VFE, Outcome, goal_of, mix, share_of

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
RECORD = "mix.json"
"""What the output was made with; never a key."""

CHUNK = 16
PNG_LEVEL = 1
"""Shuffled pixels do not compress; a higher level only takes longer."""


@dataclass(frozen=True, slots=True)
class MixOptions:
    """How a folder is mixed.

    Attributes:
        vfe: target; None is the full shuffle.
        region: side of a region, None by each image's size.
        smallest: smallest window, None half a region's side.
        channels: greatest share of pixels whose channels are drawn anew.
        workers: processes; 0 takes one for each processor.
        overwrite: results that exist are made anew.

    Raises:
        UsageError: a value is out of range.
    """

    vfe: float | None = DEFAULT_VFE
    region: int | None = None
    smallest: int | None = None
    channels: float = 1.0
    workers: int = 0
    overwrite: bool = False

    def __post_init__(self) -> None:
        try:
            if self.vfe is not None:
                goal_of(self.vfe)
            share_of(self.channels)
            layout(64, 64, self.region, self.smallest)
        except ValueError as error:
            raise UsageError(str(error)) from error
        if not 0 <= self.workers <= 256:
            raise UsageError(f"workers must lie between 0 and 256, not {self.workers}")


@dataclass(slots=True)
class FolderResult:
    """What became of the images.

    Attributes:
        mixed: images written.
        kept: results that were there already.
        below: written, but the target was beyond a full shuffle of the image.
        above: written, though already the weakest shuffle exceeds the target.
        failed: (file, one line) of what could not be read or written.
    """

    mixed: int = 0
    kept: int = 0
    below: int = 0
    above: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)


Step = Callable[[int, int], None]
"""Is told how many images are done, of how many."""


def mix_folder(
    source: Path, target: Path, options: MixOptions | None = None, step: Step | None = None
) -> FolderResult:
    """Mix every image below ``source`` into a PNG at the same place below ``target``.

    Every image gets a key of its own from the operating system, which is dropped at once.
    An image appears whole or not at all, so a stopped run goes on where it was.

    Args:
        source: folder, searched at any depth.
        target: folder, made where it is not there.
        options: how.
        step: progress.

    Raises:
        InputError: the source is no folder or holds no image.
        UsageError: the folders lie in one another, or the target was begun with other options.
        OutputError: the target cannot be written.
    """
    options = options or MixOptions()
    if not source.is_dir():
        raise InputError(f"{source}: is no folder")
    here, there = source.resolve(), target.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise UsageError(f"{target}: the folders must not lie in one another")
    jobs = list(plan(source, target))
    if not jobs:
        raise InputError(f"{source}: holds no image")
    _record(target, options)
    result = FolderResult()
    todo = [job for job in jobs if options.overwrite or not job[1].exists()]
    result.kept = len(jobs) - len(todo)
    done = result.kept
    for outcomes in _run(todo, options):
        for path, outcome, words in outcomes:
            if words:
                result.failed.append((path, words))
            else:
                result.mixed += 1
                result.below += outcome == "below"
                result.above += outcome == "above"
        done += len(outcomes)
        if step is not None:
            step(done, len(jobs))
    return result


def plan(source: Path, target: Path) -> Iterator[tuple[Path, Path]]:
    """Pairs of an image and its result; two that differ in their ending alone keep it."""
    files = sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    seen: set[Path] = set()
    for file in files:
        relative = file.relative_to(source)
        result = relative.with_suffix(".png")
        if result in seen:
            result = relative.with_name(relative.name + ".png")
        seen.add(result)
        yield file, target / result


def _record(target: Path, options: MixOptions) -> None:
    """Note the options, or refuse to mix two kinds of result in one folder."""
    wanted = {k: v for k, v in asdict(options).items() if k not in ("workers", "overwrite")}
    file = target / RECORD
    try:
        target.mkdir(parents=True, exist_ok=True)
        if file.is_file() and not options.overwrite:
            known = json.loads(file.read_text(encoding="utf-8"))
            if known != wanted:
                raise UsageError(
                    f"{target}: was begun with other options ({known}); use --overwrite"
                )
        file.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror})") from error
    except ValueError as error:
        raise UsageError(f"{file}: is not a record of `stream-anon mix`") from error


Outcomes = list[tuple[Path, Outcome | None, str]]


def _run(todo: list[tuple[Path, Path]], options: MixOptions) -> Iterable[Outcomes]:
    workers = options.workers or os.cpu_count() or 1
    parts = [todo[i : i + CHUNK] for i in range(0, len(todo), CHUNK)]
    if workers == 1 or len(parts) <= 1:
        for part in parts:
            yield _mix_part(part, options)
        return
    # spawn: a forked process would inherit OpenCV's threads in whatever state they are.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(parts)), mp_context=context) as pool:
        futures = [pool.submit(_mix_part, part, options) for part in parts]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise OutputError("a worker process died; run again to go on") from error
        finally:
            for future in futures:
                future.cancel()


def _mix_part(part: list[tuple[Path, Path]], options: MixOptions) -> Outcomes:
    cv2.setNumThreads(1)
    outcomes: Outcomes = []
    for source, target in part:
        try:
            outcomes.append((source, mix_file(source, target, options), ""))
        except StreamAnonError as error:
            outcomes.append((source, None, str(error)))
    return outcomes


def mix_file(source: Path, target: Path, options: MixOptions) -> Outcome:
    """Mix one file. Orientation is applied; metadata and transparency are not carried over.

    Raises:
        InputError: it is no image, or smaller than 2 x 2.
        OutputError: the result cannot be written.
    """
    try:
        data = np.frombuffer(source.read_bytes(), np.uint8)
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({error.strerror})") from error
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise InputError(f"{source}: is no image")
    if min(image.shape[:2]) < 2:
        raise InputError(f"{source}: is too small to be mixed")
    mixed = mix(
        np.ascontiguousarray(image[..., ::-1]),
        os.urandom(KEY_BYTES),
        options.vfe,
        region=options.region,
        smallest=options.smallest,
        channels=options.channels,
    )
    good, encoded = cv2.imencode(
        ".png",
        np.ascontiguousarray(mixed.image[..., ::-1]),
        [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL],
    )
    if not good:
        raise OutputError(f"{target}: cannot be encoded")
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(encoded.tobytes())
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"{target}: cannot be written ({error.strerror})") from error
    return mixed.outcome
