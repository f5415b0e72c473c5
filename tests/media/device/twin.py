"""Whole runs on the CPU and on its twin of a GPU, and what left each of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stream_anon.media.device.kernels import DeviceKernels
from stream_anon.media.device.source import DeviceSource
from stream_anon.media.pixel_formats import LAYOUTS, plane_view
from stream_anon.pipeline.report import Report
from stream_anon.pipeline.run import Pipeline
from stream_anon.regions import FrameKey, Regions


@dataclass
class Run:
    """What came out.

    Attributes:
        planes: of each frame as it was handed to the encoder.
        written: stream and time of each of them.
        regions: of each frame.
        report: the manifest.
        frames: classes of the frames that were painted.
        formats: that they were encoded from.
        together: the most that were painted in one go.
    """

    planes: list[list[np.ndarray]] = field(default_factory=list)
    written: list[tuple[int, int]] = field(default_factory=list)
    regions: dict[FrameKey, Regions] = field(default_factory=dict)
    report: Report | None = None
    frames: set[str] = field(default_factory=set)
    formats: set[str] = field(default_factory=set)
    together: int = 1


def samples(av_frame: Any) -> list[np.ndarray]:
    """The planes of an ``av.VideoFrame``, those of NV12 and P010 taken apart."""
    name = av_frame.format.name
    if name not in ("nv12", "p010le"):
        return [plane_view(av_frame, LAYOUTS[name], n).copy() for n in range(LAYOUTS[name].planes)]
    luma, chroma = (np.from_dlpack(plane) for plane in av_frame.planes)
    shift = 6 if name == "p010le" else 0
    return [plane >> shift for plane in (luma, chroma[..., 0], chroma[..., 1])]


def run(pipeline: Pipeline, kernels: DeviceKernels | None, *, keep: bool = True) -> Run:
    """Run a pipeline; with ``kernels`` its frames are repacked on that device first.

    Args:
        keep: remember planes; where a clip is long, they fill the memory.
    """
    if kernels is not None:
        pipeline._source = DeviceSource(pipeline._source, kernels)
    done = Run()
    compositor = pipeline._compositor
    encode, paint, paint_all = pipeline._sink._muxer.encode, compositor.paint, compositor.paint_all

    def recorded_encode(stream: int, av_frame: Any, pts: int) -> None:
        done.formats.add(av_frame.format.name)
        done.written.append((stream, pts))
        if keep:
            done.planes.append(samples(av_frame))
        encode(stream, av_frame, pts)

    def recorded_paint(frame: Any, regions: Regions) -> Any:
        note(frame, regions)
        return paint(frame, regions)

    def recorded_paint_all(items: Any) -> Any:
        for item in items:
            note(*item)
        done.together = max(done.together, len(items))
        return paint_all(items)

    def note(frame: Any, regions: Regions) -> None:
        done.frames.add(type(frame).__name__)
        done.regions[regions.key] = regions

    pipeline._sink._muxer.encode = recorded_encode
    compositor.paint, compositor.paint_all = recorded_paint, recorded_paint_all
    done.report = pipeline.run()
    return done


def overlap(one: Any, other: Any) -> float:
    """Intersection over union of two boxes."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = float(np.prod(np.maximum(np.subtract(high, low), 0.0)))
    areas = [float((b[2] - b[0]) * (b[3] - b[1])) for b in (one, other)]
    return shared / (sum(areas) - shared)


def region_pairs(one: Regions, other: Regions) -> list[float]:
    """For each region of either frame its best overlap with one of the other's."""
    found = []
    for here, there in ((one, other), (other, one)):
        for region in here.items:
            best = [overlap(np.array(region.box), np.array(r.box)) for r in there.items]
            found.append(max(best, default=0.0))
    return found


def differences(one: Run, other: Run) -> np.ndarray:
    """Absolute differences of all samples, in levels of 8 bits."""
    assert len(one.planes) == len(other.planes) > 0
    parts = []
    assert sorted(one.written) == sorted(other.written)
    # Which stream's frame comes next is the muxer's to decide, not which frame it is.
    orders = (sorted(range(len(run.written)), key=run.written.__getitem__) for run in (one, other))
    for n, m in zip(*orders, strict=True):
        a, b = one.planes[n], other.planes[m]
        for x, y in zip(a, b, strict=True):
            assert x.dtype == y.dtype
            unit = 1 if x.dtype == np.uint8 else 4
            parts.append((np.abs(x.astype(np.int32) - y) / unit).astype(np.float32).ravel())
    return np.concatenate(parts)
