"""Who decodes a stream whose frames are wanted on a GPU: what is there and fits the stream."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from stream_anon.errors import UsageError
from stream_anon.media.device import dali, nvdec
from stream_anon.media.device.dali import DaliContext
from stream_anon.media.device.decoder import DeviceDecoder, GopDecoder
from stream_anon.media.device.kernels import DeviceKernels
from stream_anon.media.device.nvdec import NvdecContext
from stream_anon.media.input.decoder import StreamDecoder, software
from stream_anon.media.input.info import StreamInfo

log = logging.getLogger(__name__)

Decoder = Literal["auto", "cpu", "nvdec", "dali"]

_ORDER: dict[str, tuple[str, ...]] = {
    # NVDEC's samples are those of the CPU; DALI's come through RGB.
    "auto": ("nvdec", "dali"), "nvdec": ("nvdec",), "dali": ("dali",), "cpu": (),
}  # fmt: skip


_LOW_DELAY = 1 << 19


class HostContext:
    """FFmpeg's decoder on the CPU, whose frames are copied to the GPU.

    Args:
        stream: ``av.VideoStream``.
        info: what was found of it.
        motion: export motion vectors.
        why: it does not decode on the GPU, in words.
    """

    def __init__(self, stream: Any, info: StreamInfo, motion: bool, why: str) -> None:
        if info.video is None:
            raise ValueError(f"stream {info.index} is no video")
        self._context = software(stream, info.video, motion)
        self.described = f"{self._context.codec.name} on the CPU{why and f': {why}'}"

    on_cpu, conceals = True, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


def device_decoders(
    kernels: DeviceKernels, wanted: Decoder = "auto", backend: str = "mixed",
    open_: Callable[[Any], Any] = nvdec.open_nvdec, why: str = "",
    live: bool = False,
) -> Callable[..., StreamDecoder]:  # fmt: skip
    """What makes a decoder of a stream, called like ``StreamDecoder``.

    Args:
        kernels: of the device that frames are to lie on.
        wanted: ``video.decoder``.
        backend: of DALI.
        open_: makes a decoder on NVDEC.
        why: the CPU is wanted, in words.
        live: DALI gives each group of pictures as soon as it is whole.

    Raises:
        UsageError: a decoder is wanted by name that is missing here.
    """
    missing: dict[str, str | None] = {
        name: nvdec.missing() if name == "nvdec" else dali.missing(backend)
        for name in _ORDER[wanted]
    }
    if wanted in ("nvdec", "dali") and (words := missing[wanted]):
        raise UsageError(f"video.decoder '{wanted}' cannot be used: {words}")
    there = [name for name, words in missing.items() if words is None]
    if missing and not there:
        log.warning("frames are decoded on the CPU: %s", "; ".join(filter(None, missing.values())))
    if why:
        missing["cpu"] = why
    return partial(_make, kernels, tuple(there), missing, backend, open_, live)


def live_decoders(
    kernels: DeviceKernels, wanted: str, low_delay: bool = False, backend: str = "mixed",
    open_: Callable[[Any], Any] = nvdec.open_nvdec,
) -> Callable[..., StreamDecoder]:  # fmt: skip
    """As ``device_decoders``, for packets that come as they are sent.

    Args:
        kernels: of the device that frames are to lie on.
        wanted: "nvdec" or "dali".
        low_delay: NVDEC gives every frame at once; frames stored out of order then come late.
        backend: of DALI.
        open_: makes a decoder on NVDEC.

    Raises:
        UsageError: what is wanted is missing here.
    """

    def opened(stream: Any) -> Any:
        context = open_(stream)
        if low_delay:
            context.flags |= _LOW_DELAY
        return context

    if wanted not in ("nvdec", "dali"):
        raise UsageError(f"there is no decoder '{wanted}' on a card")
    known: Decoder = "nvdec" if wanted == "nvdec" else "dali"
    return device_decoders(kernels, known, backend, opened, live=True)


def _make(
    kernels: DeviceKernels, there: tuple[str, ...], missing: dict[str, str | None], backend: str,
    open_: Callable[[Any], Any], live: bool, stream: Any, info: StreamInfo, name: str, *,
    counted: bool, motion: bool,
) -> StreamDecoder:  # fmt: skip
    given: dict[str, Any] = {"counted": counted, "motion": motion, "kernels": kernels}
    reasons = [words for words in missing.values() if words]
    if motion:
        there, reasons = (), ["motion vectors are exported on the CPU alone"]
    for kind in there:
        unfit = nvdec.unfit(info) if kind == "nvdec" else dali.unfit(info, backend)
        if info.video is None or unfit:
            reasons.append(unfit or "it is no video")
        elif kind == "nvdec":
            context = NvdecContext(stream, info.video, open_)
            return DeviceDecoder(stream, info, name, context=context, **given)
        else:
            groups = DaliContext(stream, info.video, kernels, backend, live=live)
            return GopDecoder(stream, info, name, context=groups, **given)
    host = HostContext(stream, info, motion, "; ".join(reasons))
    return DeviceDecoder(stream, info, name, context=host, **given)
