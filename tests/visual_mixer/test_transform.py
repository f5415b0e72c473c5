from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train

from stream_anon.visual_mixer import VisualMixer  # noqa: E402
from stream_anon.visual_mixer.mix import mix, vfe  # noqa: E402
from tests.visual_mixer.scenes import scene  # noqa: E402


def images(count: int, height: int = 64, width: int = 48):
    return torch.from_numpy(
        np.stack([scene(height, width, seed) for seed in range(count)])
    ).permute(0, 3, 1, 2)


def as_array(image) -> np.ndarray:
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())


def test_an_image_and_a_batch_keep_shape_and_type():
    transform = VisualMixer(80.0)
    batch = images(3)
    before = batch.clone()
    for given in (batch, batch[0], batch[None]):
        mixed = transform(given)
        assert mixed.shape == given.shape
        assert mixed.dtype == torch.uint8
        assert not torch.equal(mixed, given)
    assert torch.equal(batch, before)


def test_the_target_is_met():
    for image in VisualMixer(80.0)(images(3, 112, 112)):
        assert abs(vfe(as_array(image)) / 80.0 - 1) < 0.02


@pytest.mark.parametrize("target", [None, 30.0, 90.0, 500.0])
@pytest.mark.parametrize("options", [{}, {"smallest": 2}, {"channels": 0.3}])
def test_torch_gives_the_bits_of_the_twin(target, options):
    batch = np.stack([scene(50, 67, seed, grey=seed == 1) for seed in range(2)])
    keys = [bytes([seed]) * 32 for seed in range(2)]
    mixed = VisualMixer(target, **options).on_device_with(torch.from_numpy(batch), keys).numpy()
    for image, key, result in zip(batch, keys, mixed, strict=True):
        assert np.array_equal(mix(image, key, target, **options).image, result)


def test_roots_of_whole_numbers_are_rounded_as_numpy_rounds_them():
    from stream_anon.visual_mixer import torch_kernels

    # All there are: six squares of at most 255.
    squares = np.arange(6 * 255**2 + 1)
    wanted = (np.sqrt(squares.astype(np.float32)) * np.float32(16)).astype(np.int64)
    assert np.array_equal(torch_kernels._sixteenths(torch.from_numpy(squares)).numpy(), wanted)


@pytest.mark.gpu
def test_a_batch_on_the_gpu_stays_there_and_keeps_the_bits():
    batch = np.stack([scene(64, 64, seed) for seed in range(2)])
    keys = [bytes([seed]) * 32 for seed in range(2)]
    on_gpu = torch.from_numpy(batch).cuda()
    mixed = VisualMixer(80.0).on_device_with(on_gpu, keys)
    assert mixed.is_cuda
    for image, key, result in zip(batch, keys, mixed.cpu().numpy(), strict=True):
        assert np.array_equal(mix(image, key, 80.0).image, result)


def test_a_seed_has_no_influence():
    image = images(1)[0]
    results = []
    for _ in range(2):
        torch.manual_seed(7)
        results.append(VisualMixer(80.0)(image))
    assert not torch.equal(*results)


class Same(torch.utils.data.Dataset):
    """The same image again and again."""

    def __init__(self, transform) -> None:
        self.transform, self.image = transform, images(1)[0]

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int):
        return self.transform(self.image)


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_workers_of_a_loader_share_no_key():
    loader = torch.utils.data.DataLoader(Same(VisualMixer(80.0)), batch_size=1, num_workers=2)
    seen = {batch.numpy().tobytes() for batch in loader}
    assert len(seen) == 4


def test_it_is_pickled_and_copied_without_a_key():
    transform = pickle.loads(pickle.dumps(copy.deepcopy(VisualMixer(80.0))))
    assert transform.vfe == 80.0
    assert "80.0" in repr(transform)


@pytest.mark.parametrize(
    "wrong",
    [torch.zeros(3, 8, 8), torch.zeros(1, 8, 8, dtype=torch.uint8), "an image"],
)
def test_what_is_no_uint8_image_is_refused(wrong):
    with pytest.raises(TypeError, match="VisualMixer takes"):
        VisualMixer(80.0).mix(wrong)


@pytest.mark.parametrize("options", [{"vfe": -1.0}, {"channels": 2.0}])
def test_parameters_out_of_range_are_refused(options):
    with pytest.raises(ValueError):
        VisualMixer(**options)


def test_with_torchvision_it_is_a_v2_transform():
    pytest.importorskip("torchvision", exc_type=Exception)
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    image = images(1)[0]
    boxes = tv_tensors.BoundingBoxes([[0, 0, 5, 5]], format="XYXY", canvas_size=(64, 48))
    mask = tv_tensors.Mask(torch.ones(64, 48))
    sample = (tv_tensors.Image(image), boxes, mask, {"label": 3})
    mixed, same_boxes, same_mask, rest = v2.Compose([VisualMixer(80.0)])(*sample)
    assert isinstance(mixed, tv_tensors.Image)
    assert not torch.equal(mixed, image)
    assert torch.equal(same_boxes, boxes)
    assert torch.equal(same_mask, mask)
    assert rest == {"label": 3}
    film = VisualMixer(80.0)(tv_tensors.Video(image.repeat(3, 1, 1, 1)))
    assert torch.equal(film[0], film[2])
