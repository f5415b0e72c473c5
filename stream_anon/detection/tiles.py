"""Which parts of a frame to look at when not all of it must be looked at."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

WORTHWHILE = 0.6
"""Share of the whole frame's cost from which tiles are given up for one whole look."""


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
        inside[top:max(top, bottom), left:max(left, right)] = True
    return inside


def cells_touched(boxes: Array, cell: float, shape: tuple[int, int]) -> Mask:
    """Cells of a grid that one of the boxes touches; arguments as of ``cells_in``."""
    touched = np.zeros(shape, np.bool_)
    for x0, y0, x1, y1 in boxes:
        left, top = max(0, int(np.floor(x0 / cell))), max(0, int(np.floor(y0 / cell)))
        right, bottom = int(np.ceil(x1 / cell)), int(np.ceil(y1 / cell))
        touched[top:max(top, bottom), left:max(left, right)] = True
    return touched


def plan(
    boxes: Array, width: int, height: int, sides: tuple[int, ...], margin: int
) -> list[tuple[int, int, int]] | None:
    """Cover boxes by square tiles.

    Args:
        boxes: (n, 4) in pixels of a (height, width) frame, the largest first.
        width: of the frame.
        height: likewise.
        sides: of tiles, ascending.
        margin: pixels along a tile's border in which nothing may be expected to be found.

    Returns:
        Tiles (x, y, side) inside the frame, or None where the whole frame is cheaper.
    """
    budget = WORTHWHILE * width * height
    tiles: list[tuple[int, int, int]] = []
    spent = 0.0
    for box in boxes:
        box = np.clip(box, 0, (width, height, width, height))
        if any(_inside(box, core(tile, margin, width, height)) for tile in tiles):
            continue
        wide, high = box[2:] - box[:2]
        side = next((s for s in sides if s - 2 * margin - 8 >= max(wide, high)), 0)
        # A region too large for a tile is not cut into several: a face could lie across them.
        if side == 0 or side > min(width, height):
            return None
        # In the middle, but inside the frame.
        x, y = ((box[:2] + box[2:]) / 2 - side / 2).tolist()
        tiles.append(
            (
                int(min(max(0.0, x), width - side)) // 8 * 8,
                int(min(max(0.0, y), height - side)) // 8 * 8,
                side,
            )
        )
        spent += side * side
        if spent > budget:
            return None
    return tiles


def core(tile: tuple[int, int, int], margin: int, width: int, height: int) -> Array:
    """The part of a tile (4,) in which faces are found: all but its border inside the frame."""
    x, y, side = tile
    return np.array(
        [
            0.0 if x == 0 else x + margin,
            0.0 if y == 0 else y + margin,
            width if x + side >= width else x + side - margin,
            height if y + side >= height else y + side - margin,
        ]
    )


def _inside(box: Array, outer: Array) -> bool:
    return bool((box[:2] >= outer[:2] - 1e-6).all() and (box[2:] <= outer[2:] + 1e-6).all())
