"""What is painted, label by label: its shape and its method.

The analysis says *where* (``regions.Region``); a target says what that means for painting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from stream_anon import plugins
from stream_anon.config import Config, MethodConfig, MethodSection
from stream_anon.detection.types import Origin, TrackedFace
from stream_anon.errors import AnalysisFault, ConfigError, MethodFault
from stream_anon.methods import Fill, Method, make_method
from stream_anon.methods.workplace import HOST, Workplace
from stream_anon.pipeline.painting.shapes import SHAPES, Shape
from stream_anon.regions import DRAWN_METHODS, FACE, REGION, Region, Regions

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Target:
    """What a label means for painting.

    Attributes:
        label: as analysis gives it.
        shape: how its boxes are covered.
        method: what becomes of it.

    Raises:
        MethodFault: the method is made for faces, and the shape shows none.
    """

    label: str
    shape: Shape
    method: Method

    def __post_init__(self) -> None:
        if not self.shape.aligned and self.method.faces_only:
            raise MethodFault(f"{self.method.name} paints faces only, a {self.label} is none")


class Targets:
    """What is painted, and by what.

    Args:
        chosen: a target for each label that has one, the run's own first; or a method for faces.
        others: methods by name that single regions ask for.
        place: where the solid cover works that regions take which nobody chose a method for.
    """

    def __init__(
        self,
        chosen: Method | Sequence[Target],
        others: Mapping[str, Method] | None = None,
        place: Workplace = HOST,
    ) -> None:
        if isinstance(chosen, Method):
            chosen = [Target(FACE, SHAPES[FACE], chosen)]
        self.chosen = tuple(chosen)
        self._by_label = {target.label: target for target in self.chosen}
        plain = make_method(MethodConfig(name=Fill.name), place)
        self._named: dict[str, Method] = {Fill.name: plain}
        # What a region asks for by name is what the run has under that name, the first of them.
        for method in (*(others or {}).values(), *(t.method for t in reversed(self.chosen))):
            self._named[method.name] = method
        self.methods = tuple(
            dict.fromkeys([*(t.method for t in self.chosen), *(others or {}).values()])
        )
        self.shapes = {**SHAPES, **{target.label: target.shape for target in self.chosen}}

    def of(self, face: TrackedFace) -> Target:
        """What paints one region: its own method, its label's, or the solid cover.

        Raises:
            MethodFault: it asks for a method that is not here or cannot paint it.
        """
        target = self._by_label.get(face.label)
        if face.method is None:
            # Nobody has chosen anything for it, but somebody has found it: it is not left open.
            return target or Target(face.label, self.shapes[face.label], self._named[Fill.name])
        if target is not None and target.method.name == face.method:
            return target
        method = self._named.get(face.method)
        if method is None:
            raise MethodFault(
                f"a {face.label} asks for the method {face.method}, which is not here"
            )
        return Target(face.label, self.shapes[face.label], method)

    def groups(self, faces: Iterable[TrackedFace]) -> list[tuple[Target, list[TrackedFace]]]:
        """Regions by what paints them, in the order in which they are painted: faces, then what
        else was found, then what was drawn by hand, which lies on top.

        Raises:
            MethodFault: as from ``of``.
        """
        found: dict[tuple[str, int], tuple[Target, list[TrackedFace]]] = {}
        for face in faces:
            target = self.of(face)
            key = face.label, id(target.method)
            found.setdefault(key, (target, []))[1].append(face)
        return sorted(found.values(), key=lambda group: self._rank(group[0]))

    def _rank(self, target: Target) -> tuple[int, int, str, bool, str]:
        """Where in the order of painting a target stands."""
        order = {chosen.label: k for k, chosen in enumerate(self.chosen)}
        place = 0 if target.label == FACE else 2 if target.label == REGION else 1
        own = any(
            (target.label, target.method) == (chosen.label, chosen.method) for chosen in self.chosen
        )
        return place, order.get(target.label, 99), target.label, not own, target.method.name

    def rounds(
        self, frames: Sequence[Iterable[TrackedFace]]
    ) -> list[tuple[Target, list[tuple[int, list[TrackedFace]]]]]:
        """``groups`` of several frames: each target with what it paints, by the frames' numbers.

        Raises:
            MethodFault: as from ``of``.
        """
        found: dict[tuple[str, int], tuple[Target, list[tuple[int, list[TrackedFace]]]]] = {}
        for n, faces in enumerate(frames):
            for target, alike in self.groups(faces):
                key = target.label, id(target.method)
                found.setdefault(key, (target, []))[1].append((n, alike))
        return sorted(found.values(), key=lambda one: self._rank(one[0]))


def place(
    regions: Regions, quarter_turns: int, shapes: Mapping[str, Shape] = SHAPES
) -> tuple[TrackedFace, ...]:
    """What is to be painted in a frame; what was named to be kept visible is not among it.

    Args:
        regions: as analysed and edited.
        quarter_turns: quarter turns, counter-clockwise, that make the frame upright.
        shapes: of every label that can be painted.

    Returns:
        In the order of the shapes, within them in the order of the regions.

    Raises:
        AnalysisFault: a region has a label that nobody can paint, or a place that nobody can.
    """
    found: list[TrackedFace] = []
    painted = [item for item in regions.items if item.kept is None]
    for item in painted:
        if item.label not in shapes:
            raise AnalysisFault(f"nothing here can paint a '{item.label}' (track {item.track})")
    for label, shape in shapes.items():
        items = [item for item in painted if item.label == label]
        if not items:
            continue
        try:
            transforms = shape.transforms(items, quarter_turns)
            inverted = np.linalg.inv(transforms[:, :, :2])
        except (ValueError, np.linalg.LinAlgError) as error:
            raise AnalysisFault(f"a {label} is nowhere: {error}") from error
        if not (np.isfinite(transforms).all() and np.isfinite(inverted).all()):
            raise AnalysisFault(f"a {label} is nowhere: its transform is not finite")
        found += [_face(item, transform) for item, transform in zip(items, transforms, strict=True)]
    return tuple(found)


def make_targets(config: Config, place: Workplace = HOST) -> list[Target]:
    """The targets of a run, faces first, what was drawn by hand last.

    Args:
        config: of the run.
        place: where their methods work.

    Raises:
        ConfigError: there is no such method or target, a plug-in is broken, or a method paints
            faces only and is asked to paint something else.
        ModelError: weights are missing.
    """
    made: dict[str, Method] = {}

    def named(section: MethodSection) -> Method:
        # One method a section, however many labels take it: one ledger, one key.
        key = section.name + section.model_dump_json()
        if key not in made:
            made[key] = make_method(section, place)
        return made[key]

    found = []
    for label, chosen in config.targets.items():
        shape = shape_of(label)
        if chosen is None:
            method = named(config.method)
            if method.faces_only and not shape.aligned:
                method = named(MethodConfig(name=Fill.name))
        else:
            method = named(_section(config.method, chosen))
        if method.faces_only and not shape.aligned:
            raise ConfigError(
                f"{method.name} paints faces only, a {label} is none; it takes "
                f"{', '.join(DRAWN_METHODS)}"
            )
        found.append(Target(label, shape, method))
    return sorted(found, key=lambda target: (target.label == REGION, target.label != FACE))


def other_methods(
    config: Config | MethodSection, names: Iterable[str] = (), place: Workplace = HOST
) -> dict[str, Method]:
    """The methods that single regions ask for beside the run's own.

    Args:
        config: of the run, whose drawn regions are asked too, or of its method alone. The others
            take their options from its method, but no privacy budget.
        names: of the methods; the run's own is left out.
        place: where they work.

    Raises:
        ConfigError: there is no method of a name.
        ModelError: weights are missing.
    """
    method = config if isinstance(config, MethodSection) else config.method
    wanted = dict.fromkeys(names)
    if not isinstance(config, MethodSection):
        wanted |= dict.fromkeys(one.method for one in config.regions if one.method is not None)
    return {
        name: make_method(_section(method, name), place) for name in wanted if name != method.name
    }


def shape_of(label: str) -> Shape:
    """The shape of a label: ours, or that of a plug-in's target.

    Raises:
        ConfigError: there is none, or the plug-in is broken.
    """
    if label in SHAPES:
        return SHAPES[label]
    target = plugins.load("target", label)
    if target is None:
        raise plugins.unknown("target", label, SHAPES)
    shape = getattr(target, "shape", None)
    lacking = [
        name for name in ("transforms", "masks", "cover", "aligned") if not hasattr(shape, name)
    ]
    if lacking:
        raise ConfigError(f"target '{label}' of a plug-in has no shape: it lacks {lacking[0]}")
    made: Shape = shape  # type: ignore[assignment]
    return made


def _section(method: MethodSection, chosen: str | MethodSection) -> MethodSection:
    """The section of a method that is named: its options are those of ``method``, but the budget,
    which is one method's."""
    if isinstance(chosen, MethodSection):
        return chosen
    if chosen == method.name:
        return method
    if not isinstance(method, MethodConfig):
        return MethodConfig(name=chosen)
    changed = {"name": chosen, "mechanism": None, "epsilon": None}
    return method.model_copy(update=changed)


def _face(item: Region, transform: Array) -> TrackedFace:
    return TrackedFace(
        int(item.track),
        transform,
        np.array(item.box, np.float64),
        None if item.keypoints is None else np.array(item.keypoints, np.float64),
        cast(Origin, item.origin),
        item.score,
        item.label,
        item.method,
        None if item.polygon is None else np.array(item.polygon, np.float64),
    )
