from __future__ import annotations

import numpy as np
import pytest

from stream_anon.alignment.masks import minimum_interior, minimum_mask
from stream_anon.errors import ConfigError, MethodFault
from stream_anon.evaluation.data import condition, stills
from stream_anon.evaluation.measures import leak
from stream_anon.geometry import MASK_SEMI_AXES
from stream_anon.methods import Fill, Method, Pixelate, Rendered
from tests.fakes import detail


class Fake(Method):
    """Answers as it is told."""

    name = "fake"
    crop_size = 128

    def __init__(self, value: int = 255, declined: bool = False, wrong: bool = False) -> None:
        self.value, self.declined, self.wrong = value, declined, wrong
        self.tracks: list[int] = []
        self.states = []

    def render(self, crops, subjects):
        self.tracks += [s.track for s in subjects]
        self.states += [s.state for s in subjects]
        if self.wrong:
            return Rendered(crops.astype(np.float32))
        new = crops if self.value < 0 else np.full_like(crops, self.value)
        return Rendered(new, np.zeros((len(crops), 128, 128), np.uint8), np.array([self.declined]))


@pytest.fixture
def images() -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (3, 128, 128, 3), dtype=np.uint8)


def test_inside_the_minimum_mask_nothing_of_the_image_is_left(images):
    made = stills.anonymise(Fake(255), images)
    inside, outside = minimum_interior(128), minimum_mask(128) == 0
    assert (made.images[:, inside] == 255).all()
    assert np.array_equal(made.images[:, outside], images[:, outside])
    assert not made.filled.any()


def test_every_image_is_a_track_of_its_own_and_forgotten(images):
    fake = Fake()
    stills.anonymise(fake, images, first_track=5)
    assert fake.tracks == [5, 6, 7]
    assert all(state.closed for state in fake.states)


@pytest.mark.parametrize("fake", [Fake(declined=True), Fake(value=-1)])
def test_what_is_declined_or_unchanged_gets_the_cover(images, fake):
    made = stills.anonymise(fake, images)
    assert made.filled.all()
    inside = minimum_interior(128)
    for old, new in zip(images, made.images, strict=True):
        # Of what is declined coarse colours are left, of what is unchanged a slope of colour.
        assert detail(new, inside) < (5.0 if fake.declined else 1.0)
        assert detail(old, inside) > 50.0
        assert np.abs(new[inside].mean(0) - old[inside].mean(0)).max() < 3.0


def test_a_broken_answer_is_a_fault_and_no_figure(images):
    with pytest.raises(MethodFault):
        stills.anonymise(Fake(wrong=True), images)


def test_a_method_at_another_size_is_pasted_over_the_same_place(images):
    halves = images // 2
    halves[:, :, 72:] += 120
    made = stills.anonymise(Pixelate(8), halves).images
    assert np.abs(made[:, 60:80, 40:60].astype(int) - 64).max() < 20
    assert np.abs(made[:, 60:80, 82:94].astype(int) - 184).max() < 20
    assert len(np.unique(made[0, 66:78, 50:62, 0])) == 1


@pytest.mark.parametrize("cells", [1, 4, 8])
def test_a_leak_probe_hides_the_ellipse_and_nothing_else(images, cells):
    hidden = leak.concealed(images[0], (36.0, 46.0), cells)
    assert np.array_equal(hidden[:, :20], images[0][:, :20])
    core = hidden[60:80, 50:78].astype(float)
    assert core.std(axis=(0, 1)).max() < (1.0 if cells == 1 else 30.0)
    assert min(probe[1] for probe in leak.PROBES if "44x58" in probe[0]) == MASK_SEMI_AXES


def test_conditions_are_read_and_written_alike():
    texts = ("fill", "identity:mechanism=vmf,epsilon=8", "pixelate:cells=4", "fill:colour=[1,2,3]")
    for text in texts:
        assert str(condition.parse(text)) == text
    assert condition.parse("fill:colour=null").options == {"colour": None}
    assert isinstance(condition.parse("fill").build(), Fill)


@pytest.mark.parametrize(
    "text", ["", ":x=1", "fill:colour", "fill:=1", "fill:colour=[", "fill:color=1", "smear"]
)
def test_conditions_that_mean_nothing_are_refused(text):
    with pytest.raises(ConfigError):
        condition.parse(text).build()


def test_fingerprints_follow_the_options():
    one, other = condition.parse("pixelate:cells=4"), condition.parse("pixelate:cells=8")
    assert one.fingerprint() != other.fingerprint()
    assert one.fingerprint() == condition.parse("pixelate:cells=4").fingerprint()


def test_the_dial_has_one_control_and_every_step():
    steps = condition.dial("identity", ("vmf", "krr"), (1.0, 8.0))
    assert [str(s) for s in steps] == [
        "identity:mechanism=independent",
        "identity:mechanism=vmf,epsilon=1",
        "identity:mechanism=vmf,epsilon=8",
        "identity:mechanism=krr,epsilon=1",
        "identity:mechanism=krr,epsilon=8",
    ]
