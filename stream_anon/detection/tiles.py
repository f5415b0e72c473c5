"""Which parts of a frame to look at when not all of it must be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Tile = tuple[int, int, int, int]
"""x, y, width, height in network pixels."""

WORTHWHILE = 0.6
"""Share of the whole frame's cost from which tiles are given up for one whole look."""

RUN = 6_000
"""Network pixels that cost as much as one tile more: several of one size are run at once, but the
network may have to be set up for another size."""

COARSE_FROM = 384
"""Network pixels along a tile's longer side above which it is looked at in coarser sizes, too, as
the whole frame is: it could hold a face that is too large for the finest."""

MOST_BOXES, GRID = 12, 32
"""Boxes beyond which they are first joined on a grid of so many pixels."""


def boxes_of(cells: Mask, cell: float) -> Array:
    """Bounding boxes of connected groups of cells.

    Args:
        cells: (rows, columns).
        cell: side of a cell in pixels.

    Returns:
        (n, 4) float64, x0 y0 x1 y1 in pixels, the largest first.
    """
    count, _, stats, _ = cv2.connectedComponentsWithStats(cells.view(np.uint8), connectivity=8)
    found = stats[1:count, :4].astype(np.float64)
    boxes = np.concatenate([found[:, :2], found[:, :2] + found[:, 2:]], axis=1) * cell
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return boxes[np.argsort(-areas, kind="stable")]


def cells_in(boxes: Array, cell: float, shape: tuple[int, int]) -> Mask:
    """Cells of a grid that lie wholly inside one of the boxes, or reach over the grid's end.

    Args:
        boxes: (n, 4) pixels.
        cell: side of a cell in pixels.
        shape: rows and columns of the grid.
    """
    inside = np.zeros(shape, np.bool_)
    for x0, y0, x1, y1 in boxes:
        left, top = max(0, int(np.ceil(x0 / cell - 1e-6))), max(0, int(np.ceil(y0 / cell - 1e-6)))
        right, bottom = int(np.floor(x1 / cell + 1e-6)), int(np.floor(y1 / cell + 1e-6))
        inside[top : max(top, bottom), left : max(left, right)] = True
    return inside


def cells_touched(boxes: Array, cell: float, shape: tuple[int, int]) -> Mask:
    """Cells of a grid that one of the boxes touches; arguments as of ``cells_in``."""
    touched = np.zeros(shape, np.bool_)
    for x0, y0, x1, y1 in boxes:
        left, top = max(0, int(np.floor(x0 / cell))), max(0, int(np.floor(y0 / cell)))
        right, bottom = int(np.ceil(x1 / cell)), int(np.ceil(y1 / cell))
        touched[top : max(top, bottom), left : max(left, right)] = True
    return touched


def plan(
    boxes: Array,
    sizes: Sequence[tuple[int, int]],
    tile_sizes: Sequence[tuple[int, int]],
    margin: int,
) -> list[Tile] | None:
    """Cover boxes by tiles, as cheaply as a few merges make it.

    Args:
        boxes: (n, 4) in pixels of the finest size.
        sizes: in which the whole frame would be looked at, (width, height), finest first.
        tile_sizes: that a tile may have, beside the frame's own; cut to the frame.
        margin: pixels along a tile's border in which nothing may be expected to be found.

    Returns:
        Tiles inside the frame, or None where the whole frame is cheaper.
    """
    width, height = sizes[0]
    boxes = np.clip(boxes, 0, (width, height, width, height))
    if len(boxes) > MOST_BOXES:
        rows, columns = -(-height // GRID), -(-width // GRID)
        boxes = boxes_of(cells_touched(boxes, GRID, (rows, columns)), GRID)
    kinds = _kinds(sizes, tile_sizes, margin)
    boxes = _merged(boxes, kinds)
    chosen = kinds.of(boxes)
    if kinds.costs[chosen].sum() > WORTHWHILE * kinds.costs[-1]:
        return None
    tiles = []
    for box, (w, h) in zip(boxes, kinds.sizes[chosen].tolist(), strict=True):
        # In the middle, but inside the frame.
        x, y = ((box[:2] + box[2:]) / 2 - np.array([w, h]) / 2).tolist()
        x, y = min(max(0.0, x), width - w), min(max(0.0, y), height - h)
        tiles.append((int(x) // 8 * 8, int(y) // 8 * 8, w, h))
    return tiles


@dataclass(frozen=True, slots=True, eq=False)
class _Kinds:
    """Sizes of tiles, the cheapest first and the whole frame last.

    Attributes:
        sizes: (k, 2) int, width and height.
        holds: (k, 2) largest box that each has room for.
        costs: (k,) in network pixels.
    """

    sizes: NDArray[np.int64]
    holds: Array
    costs: Array

    def of(self, boxes: Array) -> NDArray[np.int64]:
        """The cheapest that holds each of (..., 4) boxes."""
        fits = (boxes[..., None, 2:] - boxes[..., None, :2] <= self.holds).all(axis=-1)
        return np.asarray(fits.argmax(axis=-1))


@lru_cache(maxsize=16)
def _made(
    sizes: tuple[tuple[int, int], ...], tile_sizes: tuple[tuple[int, int], ...], margin: int
) -> _Kinds:
    width, height = sizes[0]
    coarser = sum((w * h) / (width * height) for w, h in sizes[1:])
    kinds = {(min(w, width), min(h, height)) for w, h in tile_sizes} | {(width, height)}

    def cost(kind: tuple[int, int]) -> float:
        if max(kind) <= COARSE_FROM:
            return kind[0] * kind[1] + RUN
        return kind[0] * kind[1] * (1.0 + coarser) + RUN * len(sizes)

    ordered = np.array(sorted(kinds, key=cost))
    whole = ordered == (width, height)
    holds = np.where(whole, np.inf, ordered - 2.0 * margin - 8.0)
    return _Kinds(ordered, holds, np.array([cost((w, h)) for w, h in ordered.tolist()]))


def _kinds(
    sizes: Sequence[tuple[int, int]], tile_sizes: Sequence[tuple[int, int]], margin: int
) -> _Kinds:
    return _made(tuple(sizes), tuple(tile_sizes), margin)


def _merged(boxes: Array, kinds: _Kinds) -> Array:
    """Merge boxes by twos as long as one tile for both costs less than two."""
    while len(boxes) > 1:
        union = np.concatenate(
            [np.minimum(boxes[:, None, :2], boxes[None, :, :2]),
             np.maximum(boxes[:, None, 2:], boxes[None, :, 2:])], axis=2
        )  # fmt: skip
        costs = kinds.costs[kinds.of(union)]
        own = np.diag(costs)
        saved = own[:, None] + own[None] - costs
        np.fill_diagonal(saved, -1.0)
        a, b = divmod(int(np.argmax(saved)), len(boxes))
        if saved[a, b] < 0:
            break
        rest = np.delete(boxes, [a, b], axis=0)
        boxes = np.concatenate([rest, union[a, b][None]])
    return boxes


def core(tile: Tile, margin: int, width: int, height: int) -> Array:
    """The part of a tile (4,) in which faces are found: all but its border inside the frame."""
    x, y, w, h = tile
    return np.array(
        [
            0.0 if x == 0 else x + margin,
            0.0 if y == 0 else y + margin,
            width if x + w >= width else x + w - margin,
            height if y + h >= height else y + h - margin,
        ]
    )
