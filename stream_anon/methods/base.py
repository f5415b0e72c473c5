"""The one shape that every way to anonymize a face has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stream_anon.kernels.cuda import Modules
from stream_anon.track_state import TrackState

Pixels = NDArray[np.uint8]

MeshJudge = Callable[[Pixels], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""The mesh network: faces (n, s, s, 3) to meshes (n, 468, 3) in their pixels and presence (n,)."""


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What a method may know of the face it is given.

    Attributes:
        state: of its track. Whatever must be remembered from frame to frame is kept there
            (``track_state.Part``); whatever is random is drawn once for the track and kept.
        landmarks: (5, 2) float64 in aligned units, or None where they are not known.
        size: geometric mean of the face box's sides in the frame, in pixels.
        score: confidence, 0 to 1.
        seconds: presentation time of the frame, for the ledger; None where there is none.
        motion: (16, 16, 2) float32, how far from each cell of the crop its surface lay in the
            crop of the frame before (`alignment.non_rigid_flow`); None where that is not known.
        mesh: (468, 3) float32, the points of its dense mesh in aligned units
            (`alignment.mesh`); None where it was not asked for or none was found.
        presence: how sure the mesh network is, along the track, that there is a face, 0 to 1;
            None where it was not asked.
    """

    state: TrackState
    landmarks: NDArray[np.float64] | None
    size: float
    score: float
    seconds: float | None = None
    motion: NDArray[np.float32] | None = None
    mesh: NDArray[np.float32] | None = None
    presence: float | None = None

    @property
    def track(self) -> int:
        """Number of the track."""
        return self.state.track


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """New faces.

    Attributes:
        crops: (n, s, s, 3) uint8 RGB over the whole aligned face space; ``s`` is free.
        masks: (n, m, m) uint8 over the aligned face space, 255 where the crop replaces the frame.
            The compositor takes the maximum with the minimum mask. None: the minimum mask.
        declined: (n,) bool; True hands the face to the next step of the ladder (too small, too
            far in profile). None: no face is declined.
    """

    crops: Pixels
    masks: Pixels | None = None
    declined: NDArray[np.bool_] | None = None


class Method(ABC):
    """(aligned crops, subjects) -> (new crops, masks)."""

    name: ClassVar[str]
    crop_size: int
    """Side in pixels of the crops that ``render`` is given."""
    crop_scale: ClassVar[float | None] = None
    """A method that wants every face at the same place of its crop gives a number here: by how
    much the crop is wider than the plain alignment. Of an ``opaque`` method it is always as wide,
    and what the tracker asks for beyond its minimum mask is covered beside it; of others it is so
    much wider that its minimum mask covers that as well. None: the tracker's own crops."""

    meshed: bool = False
    """Whether it wants to be told each face's mesh."""

    needs_mesh: bool = False
    """Whether it is wrong to go on where the mesh network is missing."""

    opaque: ClassVar[bool] = False
    """Whether nothing of the frame passes into its new faces inside the minimum mask but what
    its own privacy notes say: then one face's inside may stand over its neighbours' covers."""

    faces_only: ClassVar[bool] = True
    """Whether its crops must show aligned faces. A method that is not made for faces alone can
    paint heads, drawn regions and whatever else there is a target for."""

    kernels: Modules | None = None
    """By what it works, if not on the host: the crops that it is given lie in these kernels' memory
    where the frame does, and so may those that it answers with, in their queue ``paint``."""

    batches: ClassVar[bool] = False
    """Whether the faces of several frames may come in one call, in the order of the frames: it
    makes of each what it would make of it in a call of its own."""

    @abstractmethod
    def render(self, crops: Pixels, subjects: Sequence[Subject]) -> Rendered:
        """Rebuild faces of one frame, or of several (``batches``).

        Args:
            crops: (n, crop_size, crop_size, 3) uint8 RGB in the aligned face space, n >= 1;
                read-only.
            subjects: n of them.
        """

    def judge_with(self, judge: MeshJudge) -> None:  # noqa: B027 - most methods draw no meshes
        """A ``meshed`` method may look at its own drawings with the mesh network."""

    def privacy(self) -> Mapping[str, Any]:
        """The ledger of randomised releases, for the report; never a code or a key."""
        return {}

    def networks(self) -> Sequence[str]:
        """Names in the model registry of the networks that run."""
        return ()

    def warning(self) -> str | None:
        """What a user should be told before the run, in one line."""
        return None

    def close(self) -> None:  # noqa: B027 - most methods hold nothing
        """The run has ended, and every track with it: drop keys and networks."""
