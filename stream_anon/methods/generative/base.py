"""What `identity` and `dp-image` share: a code per track, released once, and a network that
draws a face from it."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment.masks import at_least_minimum, minimum_mask
from stream_anon.config import MethodConfig
from stream_anon.errors import MethodFault
from stream_anon.geometry import ALIGNED_SIDE, FACE_BOX
from stream_anon.methods.base import MeshJudge, Method, Pixels, Rendered, Subject
from stream_anon.methods.generative import far_side
from stream_anon.methods.generative.blending import (
    add_grain,
    calm_strokes,
    clamp_chroma,
    match_light,
    match_tone,
    missing_grain,
    sharpen,
    tone_of,
)
from stream_anon.methods.generative.eligibility import EligibilityFilter, is_face
from stream_anon.methods.generative.temporal_blending import TemporalBlender
from stream_anon.methods.morph import Morph
from stream_anon.privacy import (
    Mechanism,
    Prior,
    Releases,
    SecureRandom,
    UnsafeSeedWarning,
    mechanism,
)
from stream_anon.track_state import Part

Codes = NDArray[np.float32]

HEAD_SCALE = 1.3
"""By how much crops are wider than the ArcFace alignment: about the mean of what generators are
trained on. Heads are drawn as wide as crops are."""

TONE_BLEND = 0.1
"""Share of a new look in a track's tone."""

GRAIN_TILES = 8

OVERLAY = 0.45
"""Share of a painting over what the generator drew from it: the generator's skin and mouth are
alive where the painting's are clay; the painting does away with what the generator makes up."""

BANK = 256
"""Codewords of the public bank for `krr`."""


def mechanism_of(config: MethodConfig, default: str, epsilon: float, prior: Prior) -> Mechanism:
    """The mechanism that a configuration asks for.

    Args:
        config: mechanism, epsilon, delta; none of them takes the method's own.
        default: the method's own mechanism.
        epsilon: its budget; 0 where it has none.
        prior: of the codes, public.

    Raises:
        ConfigError: a number is missing, superfluous or out of range.
    """
    name, budget = config.mechanism, config.epsilon
    if name is None and budget is None:
        name, budget = default, epsilon
    elif name is None:
        # The best mechanism at a given budget (Asi, Feldman, Talwar, ICML 2022).
        name = "privunit" if budget else "independent"
    elif budget == 0:
        name = "independent"
    return mechanism(
        name,
        dimension=prior.dimension,
        epsilon=budget or None,
        delta=config.delta if name == "gaussian" else None,
        prior=prior if name == "independent" else None,
        bank=_bank(prior) if name == "krr" else None,
    )


def _bank(prior: Prior) -> NDArray[np.float64]:
    """Codes of nobody, the same for everybody: a bank must be public, so it may be fixed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnsafeSeedWarning)
        return prior.draw(BANK, SecureRandom(unsafe_seed=0))


class CodedMethod(Method):
    """Encode once, release once, draw every frame.

    Args:
        chosen: the mechanism by which the code of a track is released.
        smallest: faces smaller than this many pixels are declined.
        random: where the randomness comes from; None makes one from the operating system.
        mesh: the inside of a face is a texture that the video's mesh moves (``Morph``): always
            (True), where there are meshes (None), never (False).
    """

    crop_size = ALIGNED_SIDE
    crop_scale = HEAD_SCALE
    opaque = True

    def __init__(
        self,
        chosen: Mechanism,
        smallest: float,
        random: SecureRandom | None = None,
        mesh: bool | None = False,
    ) -> None:
        self.meshed = mesh is not False
        self.needs_mesh = mesh is True
        self._morph = Morph() if self.meshed else None
        self._random = random if random is not None else SecureRandom()
        self._releases = Releases(chosen, rng=self._random.spawn("releases"))
        self._eligibility = EligibilityFilter(smallest)
        self._blender = TemporalBlender()
        self._levels: Part[float] = Part()
        self._tones: Part[NDArray[np.float32]] = Part()
        self._judge: MeshJudge | None = None
        with self._random.spawn("grain") as random:
            grain = random.normal(GRAIN_TILES * ALIGNED_SIDE * ALIGNED_SIDE)
        self._grain = grain.reshape(GRAIN_TILES, ALIGNED_SIDE, ALIGNED_SIDE).astype(np.float32)
        self._generated = 0

    def judge_with(self, judge: MeshJudge) -> None:
        """See ``Method.judge_with``."""
        self._judge = judge

    @abstractmethod
    def encode(self, crops: Pixels, landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
        """The code that is to be protected: crops and landmarks as for ``draw`` to (n, d)."""

    @abstractmethod
    def draw(
        self,
        crops: Pixels,
        landmarks: NDArray[np.float32],
        codes: Codes,
        drawings: Pixels | None = None,
    ) -> Pixels:
        """New faces.

        Args:
            crops: (n, 128, 128, 3) uint8; of the inside of the minimum ellipse no more than
                the network's bottleneck lets through may shape the result.
            landmarks: (n, 5, 2) float32, aligned units.
            codes: (n, d) float32 of unit norm.
            drawings: (n, 128, 128, 4) uint8, faces that are painted already, RGB and how far;
                None where a method has none (``mesh`` is False).

        Returns:
            (n, 128, 128, 3) uint8.
        """

    @property
    def mask(self) -> Pixels:
        """The mask (128, 128) that new faces are meant to be pasted with, at least."""
        return minimum_mask(ALIGNED_SIDE)

    def render(self, crops: Pixels, subjects: Sequence[Subject]) -> Rendered:
        """See ``Method.render``."""
        declined = self._eligibility.declined(list(subjects))
        masks = at_least_minimum(None, len(crops), ALIGNED_SIDE).copy()
        fit = [i for i, out in enumerate(declined) if not out]
        if not fit:
            return Rendered(np.zeros_like(crops), masks, declined)
        chosen = [subjects[i] for i in fit]
        masks[fit] = np.maximum(masks[fit], self.mask)
        faces, valid = self._faces(crops[fit], masks[fit], chosen)
        declined[fit] |= ~valid
        tile = self._grain[self._generated % GRAIN_TILES]
        self._generated += 1
        levels = np.array([self._levels.get(s.state) or 0.0 for s in chosen], np.float32)
        side = faces.shape[1]
        if side != len(tile):
            tile = np.tile(tile, (side // len(tile),) * 2)
        result = np.zeros((len(crops), side, side, 3), np.uint8)
        result[fit] = add_grain(faces, levels, tile)
        return Rendered(result, masks, declined)

    def _faces(
        self, crops: Pixels, masks: Pixels, subjects: Sequence[Subject]
    ) -> tuple[Pixels, NDArray[np.bool_]]:
        """New faces (n, s, s, 3), and which of them are faces at all (n,).

        Those that are due are drawn and fitted to their surroundings, others are shown again.
        """
        places = np.stack([s.landmarks for s in subjects if s.landmarks is not None])
        landmarks = places.astype(np.float32)
        codes = self._codes(crops, landmarks, subjects)
        needs_redraw = self._blender.needs_redraw(subjects)
        valid = np.ones(len(crops), np.bool_)
        generated = crops[:0]
        if needs_redraw.any():
            waiting = [s for s, now in zip(subjects, needs_redraw, strict=True) if now]
            around, points = crops[needs_redraw], landmarks[needs_redraw]
            drawings = self._drawings(
                around, points, codes[needs_redraw], masks[needs_redraw], waiting
            )
            known = () if drawings is None else (drawings,)
            generated = self.draw(around, points, codes[needs_redraw], *known)
            valid[needs_redraw] = is_face(generated)
            generated = self._fitted(generated, around, masks[needs_redraw], waiting)
            lacking = missing_grain(generated, around)
            for subject, level in zip(waiting, lacking, strict=True):
                self._levels.put(subject.state, float(level))
        shown = self._blender(generated, valid[needs_redraw], needs_redraw, subjects)
        if self._morph is not None:
            largest = max(HEAD_SCALE * s.size / FACE_BOX for s in subjects)
            shown = self._morph(shown, subjects, largest, OVERLAY)
            for face, crop, subject in zip(shown, crops, subjects, strict=True):
                found = self._morph.outline(subject, far_side.TURNED[0])
                if found is not None:
                    face[:] = far_side.clear(face, crop, *found)
        return shown, valid

    def _drawings(
        self,
        crops: Pixels,
        landmarks: NDArray[np.float32],
        codes: Codes,
        masks: Pixels,
        subjects: Sequence[Subject],
    ) -> Pixels | None:
        """What the network starts from: (n, 128, 128, 4) uint8, or None without meshes.

        The light of a painting is read off what the network draws without one, now and then.
        """
        if self._morph is None:
            return None
        unread = self._morph.unread(subjects)
        if unread.any():
            due = [s for s, now in zip(subjects, unread, strict=True) if now]
            plain = self.draw(crops[unread], landmarks[unread], codes[unread])
            plain = self._fitted(plain, crops[unread], masks[unread], due)
            self._morph.read(plain, codes[unread], due)
            if self._judge is not None:
                shown = self._morph(plain, due, 1.0)
                self._morph.correct(*self._judge(shown), due)
        return self._morph.drawings(subjects)

    def _fitted(
        self, faces: Pixels, crops: Pixels, masks: Pixels, subjects: Sequence[Subject]
    ) -> Pixels:
        """Drawings fitted to their surroundings; arguments as for ``match_light``."""
        scales = [HEAD_SCALE * s.size / FACE_BOX for s in subjects]
        faces = sharpen(calm_strokes(clamp_chroma(faces, crops), crops), scales)
        tones = []
        for subject, seen in zip(subjects, tone_of(crops), strict=True):
            known = self._tones.get(subject.state)
            # A track's own: a hand that passes, or a shadow, is not a face's colour.
            tone = seen if known is None else known + TONE_BLEND * (seen - known)
            tones.append(self._tones.put(subject.state, tone))
        return match_tone(match_light(faces, crops, masks), np.stack(tones))

    def privacy(self) -> Mapping[str, Any]:
        """See ``Method.privacy``."""
        return self._releases.ledger.to_json()

    def close(self) -> None:
        """See ``Method.close``."""
        self._releases.close()
        self._random.close()

    def _codes(
        self, crops: Pixels, landmarks: NDArray[np.float32], subjects: Sequence[Subject]
    ) -> Codes:
        new = [i for i, s in enumerate(subjects) if self._releases.get(s.state) is None]
        true: dict[int, NDArray[np.float64]] = {}
        if new and self._releases.mechanism.reads_code:
            encoded = np.require(self.encode(crops[new], landmarks[new]), requirements="W")
            if encoded.shape[0] != len(new) or not np.isfinite(encoded).all():
                raise MethodFault(f"the encoder of {self.name} answered with no codes")
            true = dict(zip(new, encoded, strict=True))
        try:
            rows = [
                self._releases.of(s.state, true.get(i), time=s.seconds).code
                for i, s in enumerate(subjects)
            ]
        finally:
            for code in true.values():
                # A clear code has served when its release is drawn.
                code.fill(0.0)
        return np.stack(rows).astype(np.float32)
