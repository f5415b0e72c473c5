"""Times of single kernels, on whatever device a module runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from stream_anon.alignment.topology import topology
from stream_anon.geometry import ALIGNED_SIDE
from stream_anon.kernels.cuda import MemoryModule
from stream_anon.kernels.faces import BLOCKS
from stream_anon.kernels.maps import thumbnail_axes
from stream_anon.kernels.noise import EACH, gaussian_table
from stream_anon.kernels.warp import fixed_points
from stream_anon.media.device.plans import crop_plans, paste_plans, tiles_of
from stream_anon.media.device.surface import batch_of, from_planar

Clock = Callable[[Callable[[], None]], float]

CROP = 128
"""Side of a crop in pixels."""
THUMBNAIL = (960, 544)
FACES_TOLD = 8
"""Tracks, each with a permutation of its own."""


def kernel_times(
    load: Callable[[str], MemoryModule], clock: Clock, count: int, faces: int,
    size: tuple[int, int],
) -> dict[str, float]:  # fmt: skip
    """Seconds a frame of each kernel, one launch for all faces of ``count`` frames.

    Args:
        load: makes the module of a source.
        clock: seconds that a call takes.
        count: frames of the batch.
        faces: in each frame, about 150 pixels wide where there is room.
        size: width and height of the frames.
    """
    width, height = size
    rng = np.random.default_rng(0)
    modules = {name: load(name) for name in ("faces", "maps", "covers", "warp", "noise")}
    frames = modules["faces"]
    small = (height + 1) // 2, (width + 1) // 2
    shapes = ((height, width), small, small)
    planes = [rng.integers(16, 236, shape).astype(np.uint8) for shape in shapes]
    surfaces = [from_planar(frames, planes, width, height, 8, 1, False) for _ in range(count)]
    batch = batch_of(frames, surfaces)
    side = min(150.0, width / 4, height / 4)
    places = rng.uniform((0, 0), (width - side, height - side), (faces, 2))
    scale = ALIGNED_SIDE / side
    transforms = np.array([[[scale, 0, -scale * x], [0, scale, -scale * y]] for x, y in places])
    total = count * faces
    cut = np.concatenate(
        [crop_plans(transforms, CROP, ALIGNED_SIDE, width, height, n) for n in range(count)]
    )
    crops = frames.zeros((total, CROP, CROP, 3), np.uint8)
    masks = np.full((faces, CROP, CROP), 255, np.uint8)
    pasted = np.concatenate(
        [paste_plans(masks, transforms, CROP, ALIGNED_SIDE, width, height, n)[0]
         for n in range(count)]
    )  # fmt: skip
    tiles, lists = tiles_of(pasted)
    given = {
        "cut": frames.put(cut), "paste": frames.put(pasted), "tiles": frames.put(tiles),
        "lists": frames.put(lists), "masks": frames.put(np.tile(masks, (count, 1, 1))),
    }  # fmt: skip
    known = batch.addresses, batch.geometry, batch.colours

    def crop() -> None:
        frames.launch(
            "face_crop", total * CROP * CROP, *known, given["cut"], np.int32(total),
            np.int32(CROP), crops,
        )  # fmt: skip

    def paste() -> None:
        frames.launch(
            "face_paste", len(tiles) * BLOCKS, *known, given["paste"], given["tiles"],
            np.int32(len(tiles)), given["lists"], crops, np.int32(CROP), given["masks"],
            np.int32(CROP),
        )  # fmt: skip

    calls: dict[str, Callable[[], None]] = {
        "(1) crop": crop,
        "(2) noise": _noise(modules["noise"], total),
        "(3) shuffle": _shuffle(modules["covers"], crops, total),
        "(4) warp": _warp(modules["warp"], crops, total),
        "(5) paste": paste,
        "(6) pixelate": _cells(modules["covers"], crops, total),
        "(7) thumbnail": _thumbnail(modules["maps"], known, count, size),
    }
    return {name: clock(call) / count for name, call in calls.items()}


def _noise(module: MemoryModule, rows: int, dimension: int = 128) -> Callable[[], None]:
    rng = np.random.default_rng(0)
    table = gaussian_table(100.0)
    codes = module.put(rng.standard_normal((rows, dimension)).astype(np.float32))
    # Keys of a benchmark: whatever they make is thrown away.
    keys = module.put(rng.integers(0, 1 << 32, (rows, 8)).astype(np.uint32))
    owners = module.put(np.arange(rows, dtype=np.int32))
    nonce, thresholds = module.put(np.zeros(3, np.uint32)), module.put(table.thresholds)
    noisy, squares = module.zeros((rows, dimension), np.int32), module.zeros((rows,), np.uint64)
    out = module.zeros((rows, dimension), np.float32)

    def call() -> None:
        module.launch(
            "noise_add", rows * -(-dimension // EACH), codes, np.int64(rows), np.int32(dimension),
            np.int32(10), owners, keys, nonce, thresholds, np.int32(len(table.thresholds)),
            np.int32(table.low), noisy, squares,
        )  # fmt: skip
        module.launch(
            "noise_normalise", rows * dimension, noisy, np.int64(rows), np.int32(dimension),
            squares, out,
        )  # fmt: skip

    return call


def _warp(module: MemoryModule, crops: Any, faces: int, side: int = 192) -> Callable[[], None]:
    rng = np.random.default_rng(0)
    joined = topology().triangles.astype(np.int32)
    # A sphere seen from the front: as many pixels as a face's mesh covers.
    angle, away = rng.uniform(0, 2 * np.pi, 468), np.sqrt(rng.uniform(0, 1, 468))
    flat = np.stack([64 + 44 * away * np.cos(angle), 70 + 56 * away * np.sin(angle)], axis=1)
    points = module.put(fixed_points(np.tile(flat, (faces, 1, 1))))
    triangles, texels = module.put(joined), module.put(fixed_points(flat * (side / ALIGNED_SIDE)))
    textures = module.put(rng.integers(0, 256, (faces, side, side, 4)).astype(np.uint8))
    amounts = module.put(np.full(faces, 256, np.int32))
    owners = module.zeros((faces, CROP, CROP), np.int32)
    common = points, np.int32(faces), np.int32(468), triangles

    def call() -> None:
        module.launch(
            "warp_owners", faces * len(joined), *common, np.int32(len(joined)), np.int32(CROP),
            owners,
        )  # fmt: skip
        module.launch(
            "warp_paint", faces * CROP * CROP, *common, owners, np.int32(CROP), texels, textures,
            np.int32(side), amounts, crops,
        )  # fmt: skip

    return call


def _cells(module: MemoryModule, crops: Any, faces: int) -> Callable[[], None]:
    cells = module.put(np.full(faces, 8, np.int32))
    out = module.zeros((faces, 64, 64, 3), np.uint8)

    def call() -> None:
        module.launch(
            "cover_cells", faces * 64 * 64, crops, np.int32(faces), np.int32(CROP), cells,
            np.int32(64), out,
        )  # fmt: skip

    return call


def _shuffle(module: MemoryModule, crops: Any, faces: int) -> Callable[[], None]:
    rng = np.random.default_rng(0)
    values = 3 * CROP * CROP
    cells = module.put(np.full(faces, CROP // 2, np.int32))
    indexes = [module.put(rng.permutation(values).astype(np.int32)) for _ in range(FACES_TOLD)]
    named = [module.address(indexes[n % FACES_TOLD]) for n in range(faces)]
    addresses = module.put(np.array(named, np.uint64))
    coarse, out = (module.zeros((faces, CROP, CROP, 3), np.uint8) for _ in range(2))

    def call(held: Any = indexes) -> None:
        module.launch(
            "cover_cells", faces * CROP * CROP, crops, np.int32(faces), np.int32(CROP), cells,
            np.int32(CROP), coarse,
        )  # fmt: skip
        module.launch(
            "cover_gather", faces * values, coarse, np.int32(faces), np.int32(values), addresses,
            out,
        )  # fmt: skip

    return call


def _thumbnail(
    module: MemoryModule, known: tuple[Any, ...], count: int, size: tuple[int, int]
) -> Callable[[], None]:
    wide, high = min(THUMBNAIL[0], size[0]), min(THUMBNAIL[1], size[1])
    axes = thumbnail_axes(*size, wide, high)
    tables = (
        module.put(np.concatenate([one.first for one in axes])),
        module.put(np.concatenate([one.weights.ravel() for one in axes])),
        module.put(np.array([one.taps for one in axes], np.int32)),
    )
    out = module.zeros((count, high, wide, 3), np.uint8)

    def call() -> None:
        module.launch(
            "map_thumbnail", count * wide * high, *known, np.int32(count), np.int32(wide),
            np.int32(high), *tables, out,
        )  # fmt: skip

    return call


def noise_bandwidth(module: MemoryModule, clock: Clock, rows: int) -> list[str]:
    """What the noise kernels read and write a second, beside a plain copy of as many bytes."""
    seconds = clock(_noise(module, rows, 512))
    # Codes are read once, the noisy grid is written and read, codes are written.
    moved = rows * 512 * 4 * 4
    block = module.zeros((rows, 512), np.float32)
    every = np.arange(rows)
    # Read once and written once; half as much as above.
    copied = 2 * clock(lambda: _dropped(module.take(block, every)))
    return [
        f"{rows} codes of 512 numbers: {moved / seconds / 1e9:.1f} GB/s, {moved / 1e9:.2f} GB.",
        f"A plain copy: {moved / copied / 1e9:.1f} GB/s; the noise reaches "
        f"{100.0 * copied / seconds:.0f} % of it.",
    ]


def _dropped(array: Any) -> None:
    """Whatever it was, it is not needed."""
