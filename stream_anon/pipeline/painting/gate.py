"""The gate: the only place where a frame is cleared for an encoder.

What a frame needs before it may leave is decided here and nowhere else. The compositor is
handed a frame together with the faces that are known to be in it; it paints them, looks at
what it painted, and steps down the ladder where that is not good enough:

    the chosen method -> solid cover of the grown face
        -> whole frame pixelated, what is known solidly covered -> black

Whatever is raised on the way, by a method or by a frame's own crop and paste, is a fault; the
next step covers what the last one may have left half done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from stream_anon.config import FaultConfig
from stream_anon.detection.types import TrackedFace
from stream_anon.errors import (
    AnalysisFault,
    Fault,
    FrameFault,
    GateError,
    MethodFault,
    let_go,
)
from stream_anon.media.cleared import Cleared, FallbackLevel, claim_seal
from stream_anon.media.frame import Frame
from stream_anon.methods.base import Method
from stream_anon.methods.workplace import HOST, Workplace
from stream_anon.pipeline.painting.checks import cause_of, misplaced
from stream_anon.pipeline.painting.ladder import Covers, FallbackStats
from stream_anon.pipeline.painting.painter import Painter, Progress, Work
from stream_anon.pipeline.painting.targets import Target, Targets, place
from stream_anon.regions import Regions
from stream_anon.track_state import TrackStates

log = logging.getLogger(__name__)


PIXELATED_BLOCKS = 4
"""Blocks along the longer side of a frame that is pixelated whole, and so at most across any face
that it could hold: upright, lying, of a portrait or larger than the frame. At 12 blocks across a
recogniser still names a quarter of the people."""

_SEAL = claim_seal()

_Known = tuple[int, Frame, tuple[TrackedFace, ...]]
"""A frame of which all is known: its place among others, itself, its faces."""


class Compositor:
    """Paints what was found and clears frames; owns what is kept for every track.

    Args:
        targets: what is painted and by what, the run's own first; or a method, for faces.
        fault: whether a fault ends the run or steps down.
        draw_boxes: outline what was painted, to see what was tracked.
        others: methods by name that single regions ask for.
        models_dir: where networks are looked for first.
        place: where the covers and the networks that follow faces work.

    Attributes:
        batch: frames, at most, that are worth handing over together.

    Raises:
        ModelError: a network is missing that a method cannot do without.
    """

    def __init__(
        self,
        targets: Method | Sequence[Target],
        fault: FaultConfig,
        draw_boxes: bool = False,
        others: Mapping[str, Method] | None = None,
        models_dir: Path | None = None,
        place: Workplace = HOST,
    ) -> None:
        self.fallbacks = FallbackStats()
        self.states = TrackStates()
        self.batch = place.batch
        self._backend = place.backend
        self._targets = Targets(targets, others, place)
        self._covers = Covers(self._targets.shapes, place)
        self._fault = fault
        self._draw_boxes = draw_boxes
        self._models_dir = models_dir
        self._painters: dict[tuple[str, Method], Painter] = {}
        for target in self._targets.chosen:
            # At once: a network that is missing is told before the work.
            self._painter(target)

    @property
    def method(self) -> Method:
        """The run's own: of its first target."""
        return self._targets.methods[0]

    @property
    def methods(self) -> tuple[Method, ...]:
        """Those of the targets, and those that single regions ask for."""
        return self._targets.methods

    def paint(self, frame: Frame, regions: Regions) -> Cleared:
        """``clear`` from plain data: where analysis hands over to painting.

        Args:
            frame: as for ``clear``.
            regions: of this very frame.

        Raises:
            GateError: the regions are those of another frame.
            Fault: a part failed, or it is not known what is in the frame, and the policy is to
                stop.
        """
        if regions.key != frame.key:
            raise GateError(f"{regions.key} came with {frame.key}")
        analysis_error: Fault | None = None
        if regions.unknown is not None:
            analysis_error = AnalysisFault(regions.unknown)
            if self._fault.policy == "stop":
                where = f"frame {regions.key.index} of stream {regions.key.stream}"
                raise AnalysisFault(f"{where}: {regions.unknown}")
        faces: Sequence[TrackedFace] = ()
        try:
            faces = place(regions, frame.quarter_turns, self._targets.shapes)
        except Fault as fault:
            analysis_error = analysis_error or fault
        return self.clear(frame, faces, analysis_error)

    def paint_all(self, items: Sequence[tuple[Frame, Regions]]) -> list[Cleared]:
        """``paint`` for several frames that wait: the same pixels, the faces of all at once.

        Frames of which anything is in doubt are painted on their own, and all are where a method
        takes them one by one. Where something fails, those that were not touched yet are painted
        on their own as well, and those that are half done take the next step of the ladder.

        Args:
            items: in the order of each stream.

        Raises:
            GateError, Fault: as from ``paint``.
        """
        found: list[Cleared | None] = [None] * len(items)
        run: list[_Known] = []
        for n, (frame, regions) in enumerate(items):
            faces = self._undoubted(frame, regions)
            if faces is None:
                found[n] = self.paint(frame, regions)
                continue
            if run and not run[0][1].goes_with(frame):
                self._paint_run(run, found)
                run = []
            run.append((n, frame, faces))
        self._paint_run(run, found)
        return [one for one in found if one is not None]

    def _paint_run(self, run: Sequence[_Known], found: list[Cleared | None]) -> None:
        """Frames that go with each other."""
        try:
            rounds = self._targets.rounds([faces for _, _, faces in run])
            alone = len(run) < 2 or not all(target.method.batches for target, _ in rounds)
        except Fault:
            alone = True
        if alone:
            for n, frame, faces in run:
                found[n] = self.clear(frame, faces)
            return
        progress, failed = Progress(), None
        try:
            self._paint_together([frame for _, frame, _ in run], rounds, progress)
        except Exception as error:
            if self._fault.policy == "stop":
                raise self._fault_of(run[0][1], error) from error
            failed = error
        for n, frame, faces in run:
            # A frame is as good as painted alone if every one of its targets was painted.
            whole = not progress.left[id(frame)] and bool(faces) == (id(frame) in progress.left)
            if whole and (failed is None or faces):
                found[n] = self._pass(frame, faces, FallbackLevel.METHOD)
            elif failed is not None and id(frame) in progress.changed:
                found[n] = self._after(frame, faces, failed)
            else:
                found[n] = self.clear(frame, faces)

    def _undoubted(self, frame: Frame, regions: Regions) -> tuple[TrackedFace, ...] | None:
        """The faces of a frame of which all is known, or None."""
        if regions.key != frame.key or regions.unknown is not None or frame.corrupt:
            return None
        try:
            faces = place(regions, frame.quarter_turns, self._targets.shapes)
        except Fault:
            return None
        return faces if misplaced(frame, faces) is None else None

    def _paint_together(
        self,
        frames: Sequence[Frame],
        rounds: Sequence[tuple[Target, list[tuple[int, list[TrackedFace]]]]],
        progress: Progress,
    ) -> None:
        """Target by target, as in a single frame, each in all frames."""
        for _, parts in rounds:
            progress.left.update(id(frames[n]) for n, _ in parts)
        for target, parts in rounds:
            works = [
                Work(frames[n], alike, [self.states.of(face.track) for face in alike])
                for n, alike in parts
            ]
            self._painter(target).paint_all(works, progress)

    def clear(
        self, frame: Frame, faces: Sequence[TrackedFace], analysis_error: Fault | None = None
    ) -> Cleared:
        """Make a frame safe to show.

        Args:
            frame: as decoded; it is changed in place and must not be used afterwards.
            faces: every face that is known or feared to be in it. A place that makes no sense is
                a doubt about the whole frame.
            analysis_error: why the faces of this frame are not known, if they are not.

        Raises:
            Fault: a part failed and the policy is to stop.
        """
        if frame.corrupt and analysis_error is None:
            analysis_error = FrameFault(f"the frame at {frame.seconds:.3f} s is damaged")
        if analysis_error is None:
            analysis_error = misplaced(frame, faces)
        if analysis_error is not None:
            self._stop_or_log(analysis_error)
            return self._whole(frame, faces, str(analysis_error))
        try:
            self._paint(frame, faces)
        except Exception as error:  # noqa: BLE001 - raised as a fault, or left by the next step
            return self._after(frame, faces, error)
        return self._pass(frame, faces, FallbackLevel.METHOD)

    def _after(
        self, frame: Frame, faces: Sequence[TrackedFace], error: Exception
    ) -> Cleared:
        """The next step of a frame whose painting failed.

        Raises:
            Fault: the policy is to stop.
        """
        fault = self._fault_of(frame, error)
        self._stop_or_log(fault)
        let_go(error)
        return self._fill_all(frame, faces, str(fault))

    @staticmethod
    def _fault_of(frame: Frame, error: Exception) -> Fault:
        if isinstance(error, Fault):
            return error
        why = cause_of(error)
        fault = FrameFault(f"the frame at {frame.seconds:.3f} s could not be painted: {why}")
        fault.__cause__ = error
        return fault

    def end(self, tracks: Sequence[int]) -> None:
        """Tracks have ended: what was kept for them is dropped as a whole.

        Raises:
            MethodFault: it could not be wiped, under either policy: it may be a key.
        """
        failed: Exception | None = None
        for track in tracks:
            try:
                self.states.end(track)
            except Exception as error:  # noqa: BLE001 - raised below, when all have been dropped
                failed = error
        if failed is not None:
            raise MethodFault(f"a track's state could not be wiped: {cause_of(failed)}") from failed

    def close(self) -> None:
        """The run has ended: drop every state, close every method; safe to call twice.

        Raises:
            MethodFault: a state could not be wiped.
        """
        try:
            self.states.clear()
        except Exception as error:
            raise MethodFault(f"a track's state could not be wiped: {cause_of(error)}") from error
        finally:
            for method in self.methods:
                method.close()

    def _pass(self, frame: Frame, faces: Sequence[TrackedFace], level: FallbackLevel) -> Cleared:
        if self._draw_boxes:
            for face in faces:
                try:
                    frame.outline(face.box)
                except Exception as error:  # noqa: BLE001 - a line that is missing shows nobody
                    log.warning("a box could not be outlined: %s", cause_of(error))
        frame.finish()
        return Cleared(frame, tuple(face.track for face in faces), level, _SEAL)

    def _stop_or_log(self, fault: Fault) -> None:
        if self._fault.policy == "stop":
            raise fault
        log.warning("%s; stepping down", fault)

    def _paint(self, frame: Frame, faces: Sequence[TrackedFace]) -> None:
        # Each painter takes its crops from what those before it painted: never a raw neighbour.
        for target, alike in self._targets.groups(faces):
            states = [self.states.of(face.track) for face in alike]
            self._painter(target).paint(frame, alike, states)

    def _painter(self, target: Target) -> Painter:
        key = target.label, target.method
        if (painter := self._painters.get(key)) is None:
            painter = Painter(
                target, self._covers, self.fallbacks, self._models_dir, self._backend
            )
            self._painters[key] = painter
        return painter

    def _fill_all(self, frame: Frame, faces: Sequence[TrackedFace], reason: str) -> Cleared:
        return self._step(
            frame,
            faces,
            reason,
            FallbackLevel.FILL,
            lambda: self._covers.fill(frame, faces),
            self._whole,
        )

    def _whole(self, frame: Frame, faces: Sequence[TrackedFace], reason: str) -> Cleared:
        for face in faces:
            # Each on its own: one that cannot be painted must not leave the others open.
            try:
                self._covers.fill(frame, [face])
            except Exception as error:  # noqa: BLE001 - the whole frame is pixelated next
                log.warning("a face could not be covered: %s", cause_of(error))
        return self._step(
            frame,
            faces,
            reason,
            FallbackLevel.PIXELATED,
            lambda: frame.pixelate(PIXELATED_BLOCKS),
            self._black,
        )

    def _black(self, frame: Frame, faces: Sequence[TrackedFace], reason: str) -> Cleared:
        try:
            frame.blacken()
        except Exception as error:
            raise FrameFault(
                f"the frame at {frame.seconds:.3f} s could not be blackened: {cause_of(error)}"
            ) from error
        self.fallbacks.count(FallbackLevel.BLACK, reason)
        return self._pass(frame, (), FallbackLevel.BLACK)

    def _step(
        self,
        frame: Frame,
        faces: Sequence[TrackedFace],
        reason: str,
        level: FallbackLevel,
        action: Callable[[], None],
        below: Callable[[Frame, Sequence[TrackedFace], str], Cleared],
    ) -> Cleared:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - a step of the ladder that fails is left by the next
            log.warning("step %s failed: %s", level.name.lower(), cause_of(error))
            return below(frame, faces, reason)
        self.fallbacks.count(level, reason)
        return self._pass(frame, faces, level)
