"""What every frame asks of the crops, masks and transforms it is given."""

from __future__ import annotations

import numpy as np

from stream_anon.media.frame import Pixels, Transforms


def check_transforms(transforms: Transforms) -> Transforms:
    """(n, 2, 3) float64.

    Raises:
        ValueError: they are not, or are not finite.
    """
    transforms = np.asarray(transforms, np.float64)
    if transforms.ndim != 3 or transforms.shape[1:] != (2, 3):
        raise ValueError(f"transforms must be (n, 2, 3), are {transforms.shape}")
    if not np.isfinite(transforms).all():
        raise ValueError("a transform is not finite")
    return transforms


def check_patches(crops: Pixels, masks: Pixels, count: int) -> None:
    """Whether crops and masks fit ``Frame.paste``.

    Raises:
        ValueError: they do not.
    """
    if crops.dtype != np.uint8 or masks.dtype != np.uint8:
        raise ValueError(f"crops and masks must be uint8, are {crops.dtype} and {masks.dtype}")
    if crops.ndim != 4 or crops.shape[1] != crops.shape[2] or crops.shape[3] != 3:
        raise ValueError(f"crops must be (n, s, s, 3), are {crops.shape}")
    if masks.ndim != 3 or masks.shape[1] != masks.shape[2]:
        raise ValueError(f"masks must be (n, m, m), are {masks.shape}")
    if not len(crops) == len(masks) == count:
        raise ValueError(f"{count} transforms, {len(crops)} crops and {len(masks)} masks")
