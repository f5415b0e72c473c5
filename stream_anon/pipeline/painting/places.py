"""Where methods and covers of a run work, from the device that was chosen."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from stream_anon.device import Choice
from stream_anon.errors import StreamAnonError, UsageError
from stream_anon.kernels.cuda import KernelError, Modules
from stream_anon.methods.workplace import HOST, Workplace
from stream_anon.models.backend import backend_of

BATCH = 4
"""Frames, at most, whose faces a GPU paints together; where its memory is short, fewer. With more,
more frames wait between the stages: 3.3 MB each at 1080p."""


def workplace(device: Choice, kernels: Modules | None = None) -> Workplace:
    """What methods are made for.

    Args:
        device: that was chosen.
        kernels: of its frames; None takes the GPU's.

    Raises:
        UsageError: a GPU was chosen, but its kernels cannot be compiled or run here.
    """
    if device.name == "cpu":
        return HOST
    if kernels is None:
        from stream_anon.media.device.kernels import cuda_kernels

        kernels = cuda_kernels()
        try:
            for name in ("faces", "covers"):
                kernels[name]
        except KernelError as error:
            raise UsageError(f"device 'cuda' cannot be used: {error}") from error
    return Workplace(backend_of(device), kernels, BATCH)


def main(decoders: Sequence[str] = ()) -> int:
    """Try the GPU, and say in one line what is wrong; for whoever wants it in no own process.

    Args:
        decoders: that are asked for by name, and must be there as well.
    """
    try:
        place = workplace(Choice("cuda", "asked for"))
        if decoders:
            from stream_anon.media.device.choose import live_decoders
            from stream_anon.media.device.kernels import DeviceKernels

            for name in decoders:
                if isinstance(place.kernels, DeviceKernels):
                    live_decoders(place.kernels, name)
    except StreamAnonError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
