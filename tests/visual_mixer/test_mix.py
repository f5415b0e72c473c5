from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_anon.kernels.chacha import keystream
from stream_anon.visual_mixer import mix, permutation, search
from stream_anon.visual_mixer.layout import layout, region_side, slots
from tests.visual_mixer.scenes import scene

KEY = bytes(range(32))
OTHER = bytes(range(1, 33))


def key(number: int) -> bytes:
    return number.to_bytes(4, "big") * 8


# -- VFE --------------------------------------------------------------------------------------


def test_vfe_of_a_flat_image_is_zero():
    assert mix.vfe(np.full((9, 7, 3), 90, np.uint8)) == 0.0


def test_vfe_of_a_ramp_by_hand():
    ramp = np.broadcast_to((np.arange(10) * 3)[None, :, None], (10, 10, 3)).astype(np.uint8)
    # dx = 3 in three channels, dy = 0: sqrt(27), rounded down to a sixteenth.
    assert mix.vfe(ramp) == np.floor(np.sqrt(27) * 16) / 16


def test_vfe_agrees_with_its_definition_in_double_precision():
    image = scene(41, 53, 3)
    values = image.astype(np.float64)
    dx = values[:-1, 1:] - values[:-1, :-1]
    dy = values[1:, :-1] - values[:-1, :-1]
    exact = np.sqrt((dx**2 + dy**2).sum(axis=-1)).mean()
    assert exact - 1 / 16 < mix.vfe(image) <= exact


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)],
)
def test_what_is_no_image_is_refused(image: np.ndarray):
    with pytest.raises(ValueError, match=r"\(h, w, 3\) uint8"):
        mix.mix(image, KEY, 50.0)


# -- the target -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(32, 32), (112, 112), (224, 224), (135, 240)])
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("smallest", [None, 2])
def test_the_target_is_met_within_two_per_cent_wherever_it_can_be(size, grey, smallest):
    missed = 0
    for seed in range(6):
        image = scene(*size, seed, grey=grey)
        weakest = mix.mix(image, key(seed), 0.01, smallest=smallest)
        strongest = mix.mix(image, key(seed), None)
        assert weakest.outcome == "above"
        for share in (0.1, 0.5, 0.9):
            target = weakest.vfe + share * (strongest.vfe - weakest.vfe)
            mixed = mix.mix(image, key(seed), target, smallest=smallest)
            assert mixed.vfe == mix.vfe(mixed.image)
            missed += abs(mixed.vfe / target - 1) > 0.02
    # A grey image's channels change nothing, and so small a one has but 16 regions.
    assert missed <= (4 if grey and size == (32, 32) else 0)


def test_a_target_out_of_reach_gives_the_full_shuffle_and_says_so():
    image = scene(112, 112, 0)
    mixed = mix.mix(image, KEY, 600.0)
    assert mixed.outcome == "below"
    assert (mixed.windows == 16).all()
    assert np.array_equal(mixed.image, mix.mix(image, KEY, None).image)


def test_a_low_target_still_shuffles_everything():
    mixed = mix.mix(scene(112, 112, 0), KEY, 0.5)
    assert mixed.outcome == "above"
    assert (mixed.windows >= 8).all()
    assert mixed.channels == 0.0


def test_windows_grow_with_the_target():
    image = scene(224, 224, 1)
    ends = [mix.mix(image, KEY, t, smallest=2, channels=0.0).vfe for t in (0.01, 600.0)]
    targets = np.linspace(*ends, 5)
    mixed = [mix.mix(image, KEY, t, smallest=2, channels=0.0) for t in targets]
    means = [m.windows.mean() for m in mixed]
    assert means == sorted(means)
    assert means[0] < means[-1]


def test_channels_are_drawn_less_often_before_windows_go_below_their_smallest():
    image = scene(112, 112, 3)
    weak, strong = (mix.mix(image, KEY, t) for t in (0.01, 600.0))
    between = mix.mix(image, KEY, (weak.vfe + strong.vfe) / 2)
    assert weak.channels == 0.0
    assert strong.channels == 1.0
    assert 0.0 < between.channels < 1.0


@pytest.mark.parametrize("target", [0.0, -1.0, float("nan"), float("inf")])
def test_a_target_that_makes_no_sense_is_refused(target: float):
    with pytest.raises(ValueError, match="positive and finite"):
        mix.mix(scene(16, 16, 0), KEY, target)


def bisected(table: np.ndarray, weights: np.ndarray, wanted: int) -> np.ndarray:
    """The search as ``visual_mixer.cu`` has it."""
    top = len(table) - 1

    def at(threshold: int) -> tuple[np.ndarray, int]:
        levels = np.minimum((table < threshold).sum(axis=0), top)
        return levels, int((table * weights)[levels, np.arange(table.shape[1])].sum())

    low, high = 0, int(table.max()) + 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if at(middle)[1] >= wanted else (middle + 1, high)
    (over, more), (under, less) = at(low), at(max(low - 1, 0))
    return over if abs(more - wanted) <= abs(wanted - less) else under


@given(
    levels=st.integers(1, 4),
    regions=st.integers(1, 12),
    most=st.sampled_from([1, 5, 10**6]),
    share=st.floats(0, 1.2),
    seed=st.integers(0, 10**6),
)
def test_the_direct_search_ends_where_the_bisection_does(levels, regions, most, share, seed):
    draw = np.random.default_rng(seed)
    table = np.sort(draw.integers(0, most + 1, (levels, regions)), axis=0)
    weights = draw.integers(0, 200, regions).astype(np.int32)
    wanted = int(share * (table[-1] @ weights))
    assert np.array_equal(search.choose(table, weights, wanted), bisected(table, weights, wanted))


def test_the_first_guess_of_a_share_will_do():
    tried = 0
    for seed in range(20):
        image = scene(112, 112, seed)
        orders, plan = permutation.six_orders(image), layout(112, 112)
        weights = plan.weights.astype(np.int64)
        none, full = (int(search.expected(orders, plan, s, 0) @ weights) for s in (0, 252))
        for part in (0.2, 0.5, 0.8):
            wanted = none + int(part * (full - none))
            bracket = search.Bracket(0, none, 252, full)
            guess = bracket.guess(wanted)
            total = int(search.expected(orders, plan, guess, 0) @ weights)
            bracket = bracket.narrowed(guess, total, wanted)
            tried += bracket.guess(wanted) != bracket.low
    assert tried <= 2


def test_windows_that_stay_as_they_were_are_not_drawn_again():
    plan, words = layout(50, 61, 16, 4), keystream(KEY, 50 * 61)
    draw = np.random.default_rng(0)
    first, second = (draw.integers(0, 3, plan.regions).astype(np.uint8) for _ in range(2))
    before = permutation.sources(plan, first, words)
    changed = permutation.sources(plan, second, words, (first, before))
    assert np.array_equal(changed, permutation.sources(plan, second, words))
    assert np.array_equal(before, permutation.sources(plan, first, words))


# -- the permutation --------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(2, 70),
    width=st.integers(2, 70),
    target=st.one_of(st.none(), st.floats(1, 300)),
    seed=st.integers(0, 1000),
)
def test_every_window_and_so_every_region_keeps_its_colours_exactly(height, width, target, seed):
    image = scene(height, width, seed)
    mixed = mix.mix(image, key(seed), target, channels=0.0)
    plan = layout(height, width)
    grid = mixed.windows.reshape(plan.rows, plan.columns)
    packed = [p.astype(np.int32) @ np.array([1, 256, 65536]) for p in (image, mixed.image)]
    for row in range(plan.rows):
        for column in range(plan.columns):
            side = int(grid[row, column])
            rows = slice(row * plan.region, (row + 1) * plan.region)
            columns = slice(column * plan.region, (column + 1) * plan.region)
            before, after = (p[rows, columns] for p in packed)
            for y in range(0, before.shape[0], side):
                for x in range(0, before.shape[1], side):
                    window = slice(y, y + side), slice(x, x + side)
                    assert sorted(before[window].ravel()) == sorted(after[window].ravel())


def test_channels_keep_the_values_of_every_pixel():
    image = scene(64, 64, 5)
    spatial = mix.mix(image, KEY, None, channels=0.0).image
    both = mix.mix(image, KEY, None, channels=1.0).image
    assert np.array_equal(np.sort(spatial, axis=2), np.sort(both, axis=2))
    assert not np.array_equal(spatial, both)


def test_the_index_is_what_was_done():
    image = scene(50, 61, 2)
    mixed = mix.mix(image, KEY, 90.0)
    assert np.array_equal(np.take(image.ravel(), mixed.index).reshape(image.shape), mixed.image)


def test_the_key_decides_everything_and_another_key_something_else():
    image = scene(112, 112, 4)
    first = mix.mix(image, KEY, 100.0)
    assert np.array_equal(first.image, mix.mix(image, KEY, 100.0).image)
    other = mix.mix(image, OTHER, 100.0)
    same = (first.index == other.index).mean()
    assert same < 0.02


def test_every_order_of_a_small_window_is_equally_likely():
    """Chi-square over the 24 orders of 2 x 2 windows."""
    count = 120_000
    plan = layout(2, 2 * count, 2, 2)
    levels = np.zeros(plan.regions, np.uint8)
    source = permutation.sources(plan, levels, keystream(KEY, 4 * count)).reshape(2, 2 * count)
    table = slots(2, 2 * count, 2)
    place = np.full(4 * count, -1)
    place[table.ravel()] = np.tile(np.arange(4), count)
    order = place[np.take(source.ravel(), table)]
    seen = np.bincount(order @ np.array([64, 16, 4, 1]), minlength=256)
    seen = seen[seen > 0]
    assert len(seen) == 24
    chi = ((seen - count / 24) ** 2 / (count / 24)).sum()
    # 23 degrees of freedom: 99.99 % lie below 55.
    assert chi < 55


def test_where_a_pixel_goes_is_uniform_in_a_cut_window():
    """A window of 3 x 5 at the corner of an image, over many keys: chi-square per place."""
    plan = layout(3, 5, 8, 8)
    counts = np.zeros((15, 15))
    for number in range(1500):
        source = permutation.sources(plan, np.zeros(1, np.uint8), keystream(key(number), 15))
        counts[np.arange(15), source] += 1
    chi = ((counts - 100) ** 2 / 100).sum()
    # 14 * 14 degrees of freedom, mean 196, standard deviation 19.8.
    assert chi < 196 + 4 * 19.8


def test_the_full_share_draws_every_channel_order():
    orders = permutation.channel_orders(permutation.FULL_SHARE)
    seen = np.bincount(orders @ np.array([9, 3, 1]), minlength=27)
    assert sorted(seen[seen > 0]) == [42] * 5 + [46]
    assert (permutation.channel_orders(0) == np.arange(3)).all()


# -- the layout -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("longer", "side"), [(8, 4), (32, 8), (64, 8), (112, 16), (224, 16), (512, 32), (1920, 32)]
)
def test_region_side(longer: int, side: int):
    assert region_side(longer, 2) == side


def test_weights_cover_the_domain_of_vfe():
    for size in ((112, 112), (17, 33), (16, 49), (2, 2)):
        plan = layout(*size)
        assert plan.weights.sum() == plan.domain


@pytest.mark.parametrize(
    "options", [{"region": 3}, {"region": 64}, {"smallest": 0}, {"smallest": 6}]
)
def test_a_layout_that_makes_no_sense_is_refused(options: dict[str, int]):
    with pytest.raises(ValueError, match="power of two"):
        layout(64, 64, **options)


def test_an_image_of_one_row_is_refused():
    with pytest.raises(ValueError, match="too small"):
        mix.mix(np.zeros((1, 5, 3), np.uint8), KEY, 10.0)
