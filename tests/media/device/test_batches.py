"""Frames that are painted together: the same pixels, counts and steps as one after the other."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_anon.config import Config, FaultConfig, override
from stream_anon.errors import Fault, MethodFault
from stream_anon.kernels.memory import Meter, Metered
from stream_anon.media.cleared import FallbackLevel
from stream_anon.media.device.frame import from_av
from stream_anon.media.device.kernels import DeviceKernels
from stream_anon.media.pixel_formats import plane_view
from stream_anon.methods import Blur, Fill, Pixelate, make_method
from stream_anon.methods.base import Rendered
from stream_anon.methods.device.covers import DeviceBlur, DeviceFill, DevicePixelate
from stream_anon.methods.device.mixer import DeviceVisualMixer
from stream_anon.methods.visual_mixer import VisualMixer
from stream_anon.methods.workplace import Workplace
from stream_anon.pipeline.flow import Channel
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.pipeline.painting.targets import make_targets
from stream_anon.regions import Region, Regions
from tests.media.clips import noise_frame
from tests.privacy.tools import fixed

STEP, STOP = FaultConfig(policy="step-down"), FaultConfig(policy="stop")

WIDTH, HEIGHT = 96, 80

DEVICE = {
    "pixelate": DevicePixelate,
    "fill": DeviceFill,
    "blur": DeviceBlur,
    "visual-mixer": lambda kernels: DeviceVisualMixer(kernels, 90.0, random=fixed(3)),
}
HOST = {
    "pixelate": lambda _: Pixelate(),
    "fill": lambda _: Fill(),
    "blur": lambda _: Blur(),
    "visual-mixer": lambda _: VisualMixer(90.0, random=fixed(3)),
}


class Flaw:
    """Before a method: fails for one track, or shows one as it is, or declines one."""

    def __init__(self, method, kind: str | None, track: int) -> None:
        render = method.render

        def wrong(crops, subjects):
            rendered = render(crops, subjects)
            hit = np.array([subject.track == track for subject in subjects])
            if kind == "raises" and hit.any():
                raise RuntimeError("it failed")
            if kind == "shows":
                kernels = method.kernels
                plain = crops if kernels is None else kernels["covers"].get(crops)
                side = rendered.crops.shape[1]
                at = np.arange(side) * plain.shape[1] // side
                shown = np.array(rendered.crops)
                shown[hit] = plain[:, at[:, None], at][hit]
                return Rendered(shown, rendered.masks)
            return Rendered(rendered.crops, rendered.masks, hit if kind == "declines" else None)

        method.render = wrong
        self.method = method


def scene(kernels, seed: int, count: int) -> list:
    """Frames with 0 to 3 faces of four tracks; some frames are damaged, or nobody knows."""
    rng, items = np.random.default_rng(seed), []
    for n in range(count):
        damaged = bool(rng.random() < 0.1)
        frame = from_av(
            noise_frame(WIDTH, HEIGHT, "yuv420p", n), kernels, index=n, pts=n, corrupt=damaged
        )
        found = []
        for track in rng.permutation(4)[: rng.integers(0, 4)] + 1:
            x, y, side = *rng.uniform(-10, 70, 2), rng.uniform(12, 60)
            box = (float(x), float(y), float(x + side), float(y + side))
            found.append(Region(str(track), "face", box, None, 0.9, "detected"))
        unknown = "nobody looked" if rng.random() < 0.1 else None
        items.append((frame, Regions(frame.key, tuple(found), (), unknown)))
    return items


def planes(frame) -> list[np.ndarray]:
    shown = frame.to_av()
    return [plane_view(shown, frame.layout, n).copy() for n in range(3)]


def painted(compositor, items, batch: int | None):
    if batch is None:
        cleared = [compositor.paint(*item) for item in items]
    else:
        cleared = []
        for start in range(0, len(items), batch):
            cleared += compositor.paint_all(items[start : start + batch])
    assert [one.index for one in cleared] == [frame.index for frame, _ in items]
    return [(one.level, one.painted, planes(one.take())) for one in cleared]


def same(one, two) -> None:
    for (level, tracks, shown), (other, others, found) in zip(one, two, strict=True):
        assert (level, tracks) == (other, others)
        for a, b in zip(shown, found, strict=True):
            np.testing.assert_array_equal(a, b)


@settings(max_examples=14, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(sorted(DEVICE)),
    on_device=st.booleans(),
    flaw=st.sampled_from([None, "raises", "shows", "declines"]),
    seed=st.integers(0, 999),
    batch=st.integers(2, 8),
)
def test_the_same_as_one_after_the_other(shim, name, on_device, flaw, seed, batch):
    results = []
    for size in (None, batch):
        method = Flaw((DEVICE if on_device else HOST)[name](shim), flaw, 2).method
        compositor = Compositor(method, STEP, place=Workplace(kernels=shim, batch=batch))
        found = painted(compositor, scene(shim, seed, 7), size)
        results.append((found, compositor.fallbacks))
        compositor.close()
    (one, counted), (two, recounted) = results
    same(one, two)
    assert (counted.frames, counted.faces, counted.reasons, counted.labels) == (
        recounted.frames, recounted.faces, recounted.reasons, recounted.labels
    )  # fmt: skip


def test_one_launch_for_all_faces_of_a_batch(shim):
    launched: list[str] = []

    class Counted:
        def __init__(self, module) -> None:
            self._module = module

        def __getattr__(self, name):
            return getattr(self._module, name)

        def launch(self, kernel, *args):
            launched.append(kernel)
            self._module.launch(kernel, *args)

    made: dict[str, Counted] = {}
    kernels = DeviceKernels("cpu", lambda name: made.setdefault(name, Counted(shim[name])))
    items = [
        (frame, regions)
        for frame, regions in scene(kernels, 5, 9)
        if not frame.corrupt and regions.unknown is None
    ]
    compositor = Compositor(DevicePixelate(kernels), STEP, place=Workplace(kernels=kernels))
    launched.clear()
    compositor.paint_all(items)
    assert len(items) >= 4
    assert launched == ["face_crop", "cover_cells", "face_paste"]


def test_several_targets_are_painted_in_their_order(shim):
    targets = {"face": None, "head": "blur"}
    config = override(Config(), **{"method.name": "fill", "targets": targets})
    results = []
    for batch in (None, 5):
        place = Workplace(kernels=shim, batch=5)
        compositor = Compositor(make_targets(config, place), STEP, place=place)
        items = []
        for frame, regions in scene(shim, 8, 5):
            heads = [
                Region(str(int(r.track) + 10), "head", r.box, None, 0.9, "detected")
                for r in regions.items
            ]
            items.append((frame, Regions(regions.key, (*regions.items, *heads), ())))
        results.append(painted(compositor, items, batch))
    same(*results)


@pytest.mark.parametrize("policy", [STOP, STEP], ids=["stop", "step-down"])
@pytest.mark.parametrize("half", [False, True])
def test_a_paste_that_fails_half_way_takes_the_next_step(shim, policy, half, monkeypatch):
    """Of the whole batch nobody knows what was painted: all of its frames are covered."""
    compositor = Compositor(
        DevicePixelate(shim), policy, place=Workplace(kernels=shim, batch=4)
    )
    items = [
        (frame, Regions(frame.key, (Region("1", "face", (20, 20, 60, 60), None, 0.9, "detected"),)))
        for frame, _ in scene(shim, 1, 4)
        if not frame.corrupt
    ]
    kind, launch, failed = type(shim["faces"]), type(shim["faces"]).launch, []

    def lost(self, kernel, threads, *args):
        if kernel == "face_paste" and not failed:
            failed.append(kernel)
            if half:
                launch(self, kernel, threads // 2, *args)
            raise RuntimeError("the device is lost")
        launch(self, kernel, threads, *args)

    monkeypatch.setattr(kind, "launch", lost)
    if policy is STOP:
        with pytest.raises(Fault, match="the device is lost"):
            compositor.paint_all(items)
        return
    cleared = compositor.paint_all(items)
    assert {one.level for one in cleared} == {FallbackLevel.FILL}
    assert compositor.fallbacks.frames == {FallbackLevel.FILL: len(items)}


def test_a_target_that_cannot_be_found_is_no_frame_without_targets(shim):
    """A region that asks for a method that is not here is never passed over."""
    compositor = Compositor(DevicePixelate(shim), STEP, place=Workplace(kernels=shim, batch=3))
    items = []
    for frame, _ in scene(shim, 1, 3):
        asked = Region("1", "face", (20, 20, 60, 60), None, 0.9, "edited", method="smear")
        items.append((frame, Regions(frame.key, (asked,))))
    assert all(one.level > FallbackLevel.METHOD for one in compositor.paint_all(items))


class TestMemory:
    """A device that has less of it than a batch needs."""

    def metered(self, shim) -> tuple[Meter, DeviceKernels]:
        meter, made = Meter(), {}

        def load(name: str):
            return made.setdefault(name, Metered(shim[name], meter))

        return meter, DeviceKernels("cpu", load)

    @pytest.mark.parametrize("policy", [STOP, STEP], ids=["stop", "step-down"])
    @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
    @given(spare=st.integers(1 << 13, 1 << 20), seed=st.integers(0, 99))
    def test_first_smaller_batches_then_the_ladder_never_an_open_face(
        self, shim, policy, spare, seed
    ):
        wanted = painted(
            Compositor(DevicePixelate(shim), STEP, place=Workplace(kernels=shim)),
            scene(shim, seed, 6), None,
        )  # fmt: skip
        meter, kernels = self.metered(shim)
        compositor = Compositor(
            DevicePixelate(kernels), policy, place=Workplace(kernels=kernels, batch=6)
        )
        items = scene(kernels, seed, 6)
        if policy is STOP:
            items = [i for i in items if not i[0].corrupt and i[1].unknown is None]
        meter.limit = meter.held + spare
        try:
            found = painted(compositor, items, 6)
        except Fault:
            # Under either policy: not even black could be painted, or one frame had no memory.
            return
        known = {frame.index: n for n, (frame, _) in enumerate(items)}
        shown = {index: found[n] for index, n in known.items()}
        for index, (level, tracks, parts) in shown.items():
            if level is FallbackLevel.METHOD:
                same([(level, tracks, parts)], [wanted[index]])
        assert sum(compositor.fallbacks.frames.values()) == sum(
            level is not FallbackLevel.METHOD for level, _, _ in found
        )

    def test_the_batch_is_halved_until_it_fits_and_stays_so(self, shim, caplog):
        caplog.set_level("WARNING", "stream_anon")  # another test may have asked for less
        meter, kernels = self.metered(shim)
        method = DevicePixelate(kernels)
        compositor = Compositor(method, STOP, place=Workplace(kernels=kernels, batch=8))

        def items():
            found = []
            for n in range(8):
                frame = from_av(noise_frame(WIDTH, HEIGHT, "yuv420p", n), kernels, index=n, pts=n)
                face = Region("1", "face", (20, 20, 60, 60), None, 0.9, "detected")
                found.append((frame, Regions(frame.key, (face,))))
            return found

        wanted = painted(Compositor(method, STOP), items(), None)
        # As much as three frames take at once.
        some = items()
        held = meter.peak = meter.held
        compositor.paint_all(some[:3])
        more = meter.peak - held
        del some
        first = items()
        meter.limit = meter.held + more
        same(painted(compositor, first, 8), wanted)
        assert [record.args for record in caplog.records] == [(8, 4), (4, 2)]
        assert meter.refused == 2
        meter.refused = 0
        meter.limit = None
        second = items()
        same(painted(compositor, second, 8), wanted)
        assert compositor.fallbacks.frames == {}

    def test_no_memory_for_a_frame_leaves_it_on_the_cpu(self, shim):
        from stream_anon.media.cpu_frame import CpuFrame
        from stream_anon.media.device.source import moved

        meter, kernels = self.metered(shim)
        frame = CpuFrame(noise_frame(64, 48, "yuv420p"))
        meter.limit = 1000
        assert moved(frame, kernels) is frame
        meter.limit = None
        assert type(moved(frame, kernels)).__name__ == "DeviceFrame"
        del frame
        held = meter.held
        # What is kept for the next frames is all that is left.
        kernels.pool.trim()
        assert meter.held < held


class TestTrust:
    """A method on the device is trusted as little as one on the host."""

    def paint(self, shim, method, policy=STEP):
        compositor = Compositor(method, policy, place=Workplace(kernels=shim, batch=2))
        items = []
        for n in range(2):
            frame = from_av(noise_frame(WIDTH, HEIGHT, "yuv420p", n), shim, index=n, pts=n)
            face = Region("1", "face", (10, 10, 80, 70), None, 0.9, "detected")
            items.append((frame, Regions(frame.key, (face,))))
        cleared = compositor.paint_all(items)
        return compositor, [(one.level, planes(one.take())) for one in cleared]

    def test_what_it_does_to_its_crops_changes_nothing_that_is_compared(self, shim):
        """It shows the face, and hides it in the crops that it was given."""

        class Sly(DevicePixelate):
            def render(self, crops, subjects):
                kept = crops.copy()
                crops[...] = 0
                return Rendered(kept)

        compositor, _ = self.paint(shim, Sly(shim))
        assert compositor.fallbacks.reasons == {"the new face was too like the old one": 2}

    def test_what_is_painted_is_what_was_compared(self, shim, monkeypatch):
        """It changes its answer behind the comparison: nobody looks there any more."""
        answers = []

        class Later(DevicePixelate):
            def render(self, crops, subjects):
                rendered = super().render(crops, subjects)
                answers.append((rendered.crops, crops.copy()))
                return rendered

        honest, shown = self.paint(shim, DevicePixelate(shim))
        from stream_anon.pipeline.painting import painter

        old = painter.OldFaces.shown_in

        def changed(self, crops):
            found = old(self, crops)
            for answer, _ in answers:
                answer[...] = 255
            return found

        monkeypatch.setattr(painter.OldFaces, "shown_in", changed)
        _, found = self.paint(shim, Later(shim))
        assert answers
        for (_, one), (_, two) in zip(shown, found, strict=True):
            for a, b in zip(one, two, strict=True):
                np.testing.assert_array_equal(a, b)
        assert honest.fallbacks.reasons == {}

    @pytest.mark.parametrize(
        "answer", [[1, 2], np.zeros((3, 8, 8, 3), np.uint8), np.zeros((2, 8, 8, 3), np.float32)]
    )
    def test_an_answer_that_is_none_is_a_fault(self, shim, answer):
        class Wrong(DevicePixelate):
            def render(self, crops, subjects):
                return Rendered(answer)

        compositor, found = self.paint(shim, Wrong(shim))
        assert {level for level, _ in found} == {FallbackLevel.FILL}
        with pytest.raises(Fault):
            self.paint(shim, Wrong(shim), STOP)
        assert compositor.fallbacks.faces == 0

    def test_crops_of_another_memory_are_a_fault(self, shim):
        from stream_anon.pipeline.painting.transfer import CropTransfer

        class Strange:
            dtype, ndim, shape = np.dtype(np.uint8), 4, (1, 8, 8, 3)

        for method in (DevicePixelate(shim), Pixelate()):
            frame = from_av(noise_frame(64, 48, "yuv420p"), shim)
            with pytest.raises(MethodFault, match="crops came as Strange"):
                CropTransfer(method, [frame]).own(Strange())


def test_methods_of_a_run_on_a_device_work_there(shim):
    place = Workplace(kernels=shim)
    for name in ("pixelate", "blur", "fill", "visual-mixer"):
        method = make_method(override(Config(), **{"method.name": name}).method, place)
        assert method.kernels is shim
        assert method.batches
        assert make_method(override(Config(), **{"method.name": name}).method).kernels is None


def test_a_channel_hands_over_what_waits():
    channel: Channel[int] = Channel(8)
    for n in range(6):
        channel.put(n)
    assert channel.waiting(2, lambda n: False) == [0, 1]
    assert channel.waiting(9, lambda n: n == 3) == [2, 3]
    assert channel.waiting(9, lambda n: False) == [4, 5]
    assert channel.waiting(9, lambda n: False) == []
    full: Channel[int] = Channel(1)
    full.put(0)
    writer = threading.Thread(target=full.put, args=(1,))
    writer.start()
    assert full.waiting(1, lambda n: False) == [0]
    writer.join(30.0)
    assert not writer.is_alive()
