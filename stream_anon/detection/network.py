"""Detectors that are a network, run over a frame, or parts of it, in several sizes."""

from __future__ import annotations

import itertools
import math
import os
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.config import DetectorConfig
from stream_anon.detection import tiles
from stream_anon.detection.base import Detector, Look, View
from stream_anon.detection.suppression import OVERLAP, Candidates, merge, overlaps
from stream_anon.detection.types import Face
from stream_anon.errors import DetectorFault
from stream_anon.models import registry
from stream_anon.models.engine import Engine

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]

FINEST_AREA = 640 * 384
"""Network pixels that are always affordable: frames up to that size are not shrunk."""

COARSE_SIDE = 320
"""Longer side of the second, coarse look, which finds the faces that fill the frame."""

COARSE_FACE = 28.0
"""Side in pixels of the smallest face that is taken from the coarse look: the fine look finds
it better, and what else the coarse one sees is mostly texture."""

LEVEL_STEP = 4.5
"""Largest factor between the sizes in which a frame is looked at: a face that is too large for
one of them is not yet too small for the next."""

TILE_SIZES = (
    (96, 96), (128, 128), (192, 192), (256, 384), (384, 256), (384, 384), (768, 384), (384, 768)
)  # fmt: skip
"""Network pixels, width and height, of the tiles in which parts of a frame are looked at: few,
since for each the network has to be set up."""

GLANCE = 1.2
"""Factor on ``smallest_input`` in a glance, where nobody looks a second time soon."""

GLANCE_SHARE = 0.8
"""Of the finest scale, above which a glance saves nothing."""

BATCHES = (8, 4, 2, 1)
"""Tiles of one size that are run at once."""

TILE_MARGIN = 20
"""Network pixels along a tile's border in which no face begins or ends unnoticed."""

Shape = tuple[int, int, int]
"""Images at once, width and height."""

ANY_SIZE = (-1, -1, -1)
"""Shape of an engine that takes all."""

OWN_AFTER = 100
"""Runs at one size after which it gets an engine of its own. That takes as long to make as about
so many times setting the shared one up for another size."""

CUT, SURE = (0.6, 0.2), 1.5
"""Share of its longer side by which a face must stay away from a tile's border to be whole, if its
score is below so many times the threshold, and if it is not: what is left of a face that is cut off
is faint and drawn wrong."""

SHARED = 0.25
"""Share of a region or a face, whichever is smaller, from which the one belongs to the other."""


class NetworkDetector(Detector):
    """A network that is run over a frame in several sizes.

    In the finest the smallest wanted face has ``smallest_input`` pixels; the coarser ones are
    for faces too large for it.
    """

    smallest_input: ClassVar[float]
    """Side in network pixels at which a face is still found at the default threshold."""

    batches: ClassVar[tuple[int, ...]] = (1,)
    """Images that the network takes at once, the most first."""

    def __init__(self, config: DetectorConfig, models_dir: Path | None = None) -> None:
        """Find the weights; engines are built when they are needed.

        Raises:
            ModelError: the weights are missing or wrong.
        """
        self.config = config
        self.path = registry.path(self.name, models_dir)
        self._engines: dict[Shape, Engine] = {}
        self._uses: dict[Shape, int] = {}
        # Who shares a detector between threads puts something before it that runs one at a time.
        self.run: Callable[[Any], list[Candidates]] = self._candidates

    def sizes(self, width: int, height: int) -> list[tuple[int, int]]:
        """Network inputs (width, height), finest first, for a frame of this size."""
        area = width * height
        scale = max(self.smallest_input / self.config.smallest_face, math.sqrt(FINEST_AREA / area))
        scale = min(scale, max(1.0, self.smallest_input / self.config.smallest_face))
        return _levels(width, height, scale)

    def look(self, view: View, quarter_turns: int = 0, regions: Array | None = None) -> Look:
        """Look at tiles that hold the regions, or at everything; see ``Detector.look``."""
        quarter_turns %= 4
        if regions is not None:
            sizes = self.sizes(*_upright_size(view, quarter_turns))
            found = self._look_at_tiles(view, quarter_turns, regions, sizes)
            if found is not None:
                return found
        return Look(self.detect(view, quarter_turns), None)

    def glance(self, view: View, quarter_turns: int, regions: Array, smallest: float) -> Look:
        """Look at the regions in a coarser size; see ``Detector.glance``."""
        quarter_turns %= 4
        width, height = _upright_size(view, quarter_turns)
        scale = GLANCE * self.smallest_input / smallest
        if scale * width > GLANCE_SHARE * self.sizes(width, height)[0][0]:
            return self.look(view, quarter_turns, regions)
        sizes = _levels(width, height, scale)
        found = self._look_at_tiles(view, quarter_turns, regions, sizes)
        return found or Look(self._detect(view, quarter_turns, sizes), regions)

    def detect(self, view: View, quarter_turns: int = 0) -> list[Face]:
        """All faces with a score of at least the lower threshold; see ``Detector.detect``."""
        quarter_turns %= 4
        sizes = self.sizes(*_upright_size(view, quarter_turns))
        return self._detect(view, quarter_turns, sizes)

    def _detect(
        self, view: View, quarter_turns: int, sizes: Sequence[tuple[int, int]]
    ) -> list[Face]:
        upright = _upright_size(view, quarter_turns)
        found: list[Candidates] = []
        pixels: Any = None
        for width, height in sizes:
            if pixels is None:
                pixels = self._picture(view, quarter_turns, width, height)
            else:
                # From the finest one, which has more than enough detail: the frame is large.
                pixels = self._smaller(pixels, width, height)
            [candidates] = self.run(pixels[None])
            if found:
                candidates = _large(candidates)
            found.append(_scaled(candidates, upright[0] / width, upright[1] / height))
        return _faces(found, quarter_turns, *upright)

    def _look_at_tiles(
        self, view: View, quarter_turns: int, regions: Array, sizes: list[tuple[int, int]]
    ) -> Look | None:
        """Look at tiles that hold the regions; None where all of the frame is cheaper."""
        upright = _upright_size(view, quarter_turns)
        width, height = sizes[0]
        scale = np.tile((width / upright[0], height / upright[1]), 2)
        nothing = np.zeros((len(regions), 0, 2))
        wanted = (
            _turned(regions, nothing, (4 - quarter_turns) % 4, view.width, view.height)[0] * scale
        )
        pixels: Any = None
        found: list[Candidates] = []
        clear: list[Array] = []
        for tile_sizes in (TILE_SIZES, TILE_SIZES[1:]):
            planned = tiles.plan(wanted, sizes, tile_sizes, TILE_MARGIN)
            if planned is None:
                return None
            if pixels is None:
                pixels = self._picture(view, quarter_turns, width, height)
            cut: list[Array] = []
            for (x, y, w, h), (boxes, landmarks, scores) in self._in_tiles(pixels, planned, sizes):
                boxes = boxes + np.array([x, y, x, y])
                faint = scores < self.config.threshold
                unsure = scores < SURE * self.config.threshold
                whole = _whole(boxes, (x, y, w, h), width, height, np.where(unsure, *CUT))
                found.append((boxes[whole], landmarks[whole] + (x, y), scores[whole]))
                cut.append(boxes[~whole & ~faint])
                if not len(cut[-1]):
                    clear.append(tiles.core((x, y, w, h), TILE_MARGIN, width, height) / scale)
            broken = _unresolved(np.concatenate(cut), np.concatenate([f[0] for f in found]), wanted)
            if not len(broken):
                break
            # Faces that a tile's border cuts are looked at again, each in the middle of a tile.
            span = (broken[:, 2:] - broken[:, :2]) / 4
            wanted = np.concatenate([broken[:, :2] - span, broken[:, 2:] + span], axis=1)
        else:
            return None
        if clear:
            none = np.zeros((len(clear), 0, 2))
            more = _turned(np.array(clear), none, quarter_turns, *upright)[0]
            regions = np.concatenate([regions, more])
        border = np.array([view.width, view.height] * 2, np.float64) - 1e-6
        # What lies along the frame's border was looked at to its very edge.
        areas = np.where(regions >= border, 1e6, np.where(regions <= 1e-6, -1e6, regions))
        scaled = [_scaled(one, 1 / scale[0], 1 / scale[1]) for one in found]
        return Look(_faces(scaled, quarter_turns, *upright), areas)

    def _in_tiles(
        self, pixels: Any, planned: list[tiles.Tile], sizes: list[tuple[int, int]]
    ) -> Iterator[tuple[tiles.Tile, Candidates]]:
        """Look at parts of the frame, at large ones also in the coarser of the frame's sizes."""
        # Tiles of one size after each other: the network is set up anew for each.
        ordered = sorted(planned, key=lambda tile: tile[2:])
        for (width, height), group in itertools.groupby(ordered, key=lambda tile: tile[2:]):
            alike = list(group)
            images = self._stacked([pixels[y : y + h, x : x + w] for x, y, w, h in alike])
            found = [[one] for one in self.run(images)]
            for wide, _ in sizes[1:] if max(width, height) > tiles.COARSE_FROM else ():
                w, h = _size(width * wide / sizes[0][0], height * wide / sizes[0][0])
                small = self._stacked([self._smaller(image, w, h) for image in images])
                for own, more in zip(found, self.run(small), strict=True):
                    own.append(_scaled(_large(more), width / w, height / h))
            for tile, own in zip(alike, found, strict=True):
                boxes, landmarks, scores = (np.concatenate(p) for p in zip(*own, strict=True))
                yield tile, (boxes, landmarks, scores)

    def _picture(self, view: View, quarter_turns: int, width: int, height: int) -> Any:
        """The frame for the network, upright: (height, width, 3) uint8 BGR, wherever it lies."""
        return _upright(view, quarter_turns, width, height)

    def _smaller(self, pixels: Any, width: int, height: int) -> Any:
        """A picture shrunk by averages over areas."""
        return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA))

    def _stacked(self, pictures: Sequence[Any]) -> Any:  # pictures of one size as one array
        return np.stack(pictures)

    def _candidates(self, images: Any) -> list[Candidates]:
        """Run the network on (n, height, width, 3) uint8 BGR images."""
        height, width = images.shape[1:3]
        found: list[Candidates] = []
        while len(found) < len(images):
            left = len(images) - len(found)
            # One too few is filled up: cheaper than to set the network up once more.
            count = next(n for n in self.batches if n <= left + (n > 2))
            part = images[len(found) : len(found) + count]
            if len(part) < count:
                part = self._stacked([*part, part[0]])
            engine = self._engine_for((count, width, height))
            outputs = engine([part])
            if not all(np.isfinite(output).all() for output in outputs):
                raise DetectorFault(f"{self.name} answered with values that are not finite")
            for k in range(min(count, left)):
                named = {
                    name: output[k : k + 1]
                    for name, output in zip(engine.outputs, outputs, strict=True)
                }
                found.append(self._decode(named, width, height))
        return found

    def _engine_for(self, shape: Shape) -> Engine:
        """The engine that all shapes share, or one for this shape where it is often asked for."""
        uses = self._uses[shape] = self._uses.get(shape, 0) + 1
        if uses <= OWN_AFTER and shape not in self._engines:
            shape = ANY_SIZE
        if shape not in self._engines:
            self._engines[shape] = self._engine(*shape)
        return self._engines[shape]

    @property
    def threads(self) -> int:
        """Of the network. By default half of the processor's: decoding and encoding want theirs."""
        return self.config.threads or max(1, len(os.sched_getaffinity(0)) // 2)

    @abstractmethod
    def _engine(self, count: int, width: int, height: int) -> Engine:
        """The network for so many images of this size; -1 stands for any."""

    @abstractmethod
    def _decode(
        self, outputs: dict[str, NDArray[np.float32]], width: int, height: int
    ) -> Candidates:
        """Candidates with at least ``keep_threshold``, in network pixels."""


def _upright_size(view: View, quarter_turns: int) -> tuple[int, int]:
    """Width and height of a frame when it is turned upright."""
    return (view.width, view.height) if quarter_turns % 2 == 0 else (view.height, view.width)


def _levels(width: int, height: int, scale: float) -> list[tuple[int, int]]:
    """Network inputs (width, height) for a frame, from this scale down to the coarsest."""
    coarse = COARSE_SIDE / max(width, height)
    if 2 * coarse > scale:
        return [_size(width * scale, height * scale)]
    steps = math.ceil(math.log(scale / coarse, LEVEL_STEP) - 1e-9)
    scales = np.geomspace(scale, coarse, steps + 1)
    return [_size(width * one, height * one) for one in scales.tolist()]


def _upright(view: View, quarter_turns: int, width: int, height: int) -> Pixels:
    """A view's thumbnail, turned upright: (height, width, 3) uint8 BGR."""
    pixels = view.thumbnail(*((width, height) if quarter_turns % 2 == 0 else (height, width)))
    if quarter_turns:
        pixels = np.ascontiguousarray(np.rot90(pixels, quarter_turns))
    if pixels.shape != (height, width, 3) or pixels.dtype != np.uint8:
        raise DetectorFault(f"a thumbnail came as {pixels.shape} {pixels.dtype}")
    return pixels


def _large(candidates: Candidates) -> Candidates:
    """Of a coarse look, those that the fine one may miss."""
    boxes, landmarks, scores = candidates
    large = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) >= COARSE_FACE**2
    return boxes[large], landmarks[large], scores[large]


def _whole(
    boxes: Array, tile: tiles.Tile, width: int, height: int, share: Array
) -> NDArray[np.bool_]:
    """Which boxes are not cut by a tile's border inside the frame, with ``share`` as of ``CUT``."""
    x, y, w, h = tile
    # A network squeezes what it sees of a cut face into the tile: near the border is cut, too.
    near = share * (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0.0)
    inner = (boxes[:, 0] >= x + near) | (x == 0)
    inner &= (boxes[:, 1] >= y + near) | (y == 0)
    inner &= (boxes[:, 2] <= x + w - near) | (x + w >= width)
    inner &= (boxes[:, 3] <= y + h - near) | (y + h >= height)
    return np.asarray(inner, np.bool_)


def _unresolved(cut: Array, whole: Array, wanted: Array) -> Array:
    """Of faces that a tile cuts those that were to be looked for and that no other tile shows."""
    if not len(cut):
        return cut
    low, high = np.maximum(cut[:, None, :2], wanted[None, :, :2]), cut[:, None, 2:]
    sides = np.maximum(np.minimum(high, wanted[None, :, 2:]) - low, 0.0)
    areas = (cut[:, 2:] - cut[:, :2]).prod(axis=1)
    least = np.minimum(areas[:, None], (wanted[:, 2:] - wanted[:, :2]).prod(axis=1)[None])
    asked = (sides.prod(axis=2) > SHARED * least).any(axis=1)
    shown = (overlaps(cut, whole) > OVERLAP).any(axis=1)
    return np.asarray(cut[asked & ~shown])


def _faces(found: list[Candidates], quarter_turns: int, width: int, height: int) -> list[Face]:
    """Candidates in pixels of the upright frame as faces in the frame as it is stored."""
    parts = [np.concatenate(part) for part in zip(*found, strict=True)]
    boxes, landmarks, scores = merge(*parts)
    _check(boxes, landmarks, scores, width, height)
    boxes, landmarks = _turned(boxes, landmarks, quarter_turns, width, height)
    return [
        Face(box=box, landmarks=points, score=float(score))
        for box, points, score in zip(boxes, landmarks, scores, strict=True)
    ]


def _size(width: float, height: float) -> tuple[int, int]:
    return max(64, 32 * round(width / 32)), max(64, 32 * round(height / 32))


def _scaled(candidates: Candidates, x: float, y: float) -> Candidates:
    boxes, landmarks, scores = candidates
    return boxes * (x, y, x, y), landmarks * (x, y), scores


def _check(boxes: Array, landmarks: Array, scores: Array, width: int, height: int) -> None:
    """Refuse what is no face of this frame."""
    finite = np.isfinite(boxes).all() and np.isfinite(landmarks).all() and np.isfinite(scores).all()
    if not finite or (scores < 0).any() or (scores > 1).any():
        raise DetectorFault("the detector's answer is not finite or a score is not in 0..1")
    sides = boxes[:, 2:] - boxes[:, :2]
    centres = (boxes[:, 2:] + boxes[:, :2]) / 2
    longest = 4 * max(width, height)
    if (sides <= 0).any() or (sides > longest).any() or (np.abs(centres) > longest).any():
        raise DetectorFault("the detector's answer lies far outside the frame or has no area")


def _turned(
    boxes: Array, landmarks: Array, quarter_turns: int, width: int, height: int
) -> tuple[Array, Array]:
    """Undo counter-clockwise quarter turns; ``width`` and ``height`` are the upright frame's."""
    for _ in range(quarter_turns):
        # numpy.rot90 moved (x, y) to (y, W - x), W the width before it, now the height.
        boxes = np.stack(
            [height - boxes[:, 3], boxes[:, 0], height - boxes[:, 1], boxes[:, 2]], axis=1
        )
        landmarks = np.stack([height - landmarks[..., 1], landmarks[..., 0]], axis=-1)
        width, height = height, width
    return boxes, landmarks
