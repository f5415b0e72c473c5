"""Where the work of a run is done: which engine runs its networks, and which kernels there are."""

from __future__ import annotations

from dataclasses import dataclass

from stream_anon.kernels.cuda import Modules
from stream_anon.models.backend import OPENVINO, Backend


@dataclass(frozen=True, slots=True, eq=False)
class Workplace:
    """What methods and their networks are made for.

    Attributes:
        backend: runs the networks.
        kernels: of the device that the frames lie on; None on the host.
        batch: frames, at most, whose faces are painted together.
    """

    backend: Backend = OPENVINO
    kernels: Modules | None = None
    batch: int = 1


HOST = Workplace()
"""The default: the processor, one frame after the other."""
