"""The shipped networks at run time: contract, bottleneck, export."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_anon.errors import ModelError
from stream_anon.methods.generative import bottleneck
from stream_anon.methods.generative import networks as identity
from stream_anon.models import WEIGHTS

PAIRS = ["identity_encoder", "identity_generator", "appearance_encoder", "appearance_generator"]


def crops(count: int = 2, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 215, (count, 8, 8, 3))
    return np.repeat(np.repeat(coarse, 16, 1), 16, 2).astype(np.uint8)


def template(count: int) -> np.ndarray:
    return np.repeat(bottleneck.TEMPLATE[None], count, 0)


def other_inside(images: np.ndarray, seed: int) -> np.ndarray:
    """Images whose inside differs everywhere, but not in any sum over a grid cell."""
    rng = np.random.default_rng(seed)
    gather, _ = bottleneck.grid_matrices()
    flat = images.reshape(len(images), -1, 3).copy()
    for cell in gather > 0:
        where = np.flatnonzero(cell)
        for image in flat:
            for channel in range(3):
                image[where, channel] = rng.permutation(image[where, channel])
    return flat.reshape(images.shape)


@pytest.fixture(scope="module")
def generator() -> identity.IdentityGenerator:
    return identity.IdentityGenerator()


@pytest.fixture(scope="module")
def encoder() -> identity.IdentityEncoder:
    return identity.IdentityEncoder()


@pytest.fixture(scope="module")
def autoencoder() -> identity.AppearanceAutoencoder:
    return identity.AppearanceAutoencoder()


class TestBottleneck:
    def test_the_paint_mask_covers_the_minimum_mask(self):
        paint, inside = bottleneck.paint_mask(), bottleneck.minimum_mask()
        assert (paint[inside] == 255).all()
        assert paint[0].max() == paint[:, 0].max() == paint[:, -1].max() == 0
        assert 0.45 < inside.mean() < 0.55

    def test_the_grid_partitions_the_inside(self):
        gather, spread = bottleneck.grid_matrices()
        assert (gather.sum(0) == bottleneck.minimum_mask().reshape(-1)).all()
        assert gather.sum(1).min() >= 100, "an average over few pixels would be a clear pixel"
        np.testing.assert_allclose(spread.sum(1), 1, atol=1e-6)

    def test_heatmaps_peak_at_the_landmarks(self):
        maps = bottleneck.heatmaps(template(1))[0]
        for bump, (x, y) in zip(maps, bottleneck.TEMPLATE, strict=True):
            row, column = np.unravel_index(bump.argmax(), bump.shape)
            assert abs(2 * column + 0.5 - x) <= 1
            assert abs(2 * row + 0.5 - y) <= 1

    @settings(max_examples=10, deadline=None)
    @given(st.integers(0, 2**32 - 1))
    def test_only_the_cells_sums_pass(self, seed):
        noise = np.random.default_rng(seed).integers(0, 256, (1, 128, 128, 3), np.uint8)
        changed = other_inside(noise, seed)
        assert (noise != changed).any()
        for keep in (True, False):
            for one, two in zip(
                bottleneck.conceal(noise, keep_colour=keep),
                bottleneck.conceal(changed, keep_colour=keep),
                strict=True,
            ):
                assert one.tobytes() == two.tobytes()

    def test_without_colour_nothing_of_the_inside_passes(self):
        one, two = crops(2, 1), crops(2, 2)
        two[:, ~bottleneck.minimum_mask()] = one[:, ~bottleneck.minimum_mask()]
        for a, b in zip(
            bottleneck.conceal(one, keep_colour=False),
            bottleneck.conceal(two, keep_colour=False),
            strict=True,
        ):
            assert a.tobytes() == b.tobytes()

    def test_what_lies_beyond_the_image_has_no_influence(self):
        one, two = crops(1, 1), crops(1, 1)
        valid = np.ones((1, 128, 128), bool)
        valid[:, 100:] = False
        two[~valid] = 7
        for a, b in zip(
            bottleneck.conceal(one, valid), bottleneck.conceal(two, valid), strict=True
        ):
            assert a.tobytes() == b.tobytes()


@pytest.mark.skipif(
    not (WEIGHTS / "identity_generator.onnx").exists(), reason="the weights are not there yet"
)
class TestIdentity:
    def test_faces_have_the_crops_shape(self, generator):
        codes = identity.prior_codes(3, np.random.default_rng(0))
        faces = generator(crops(3), template(3), codes)
        assert faces.shape == (3, 128, 128, 3)
        assert faces.dtype == np.uint8
        assert faces.std() > 10

    def test_the_inside_does_not_reach_the_face(self, generator):
        images = crops(1, 5)
        codes = identity.prior_codes(1, np.random.default_rng(0))
        faces = generator(images, template(1), codes)
        again = generator(other_inside(images, 5), template(1), codes)
        assert faces.tobytes() == again.tobytes()

    def test_the_code_decides(self, generator):
        codes = identity.prior_codes(2, np.random.default_rng(0))
        images = np.repeat(crops(1), 2, 0)
        one, two = generator(images, template(2), codes).astype(int)
        assert np.abs(one - two)[bottleneck.minimum_mask()].mean() > 2

    def test_codes_are_unit_vectors(self, encoder):
        codes = encoder(crops(3))
        assert codes.shape == (3, 128)
        assert codes.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(codes, axis=1), 1, atol=1e-5)

    def test_a_batch_is_its_faces_one_by_one(self, encoder):
        images = crops(3, 4)
        together = encoder(images)
        for i in range(3):
            assert together[i] @ encoder(images[i : i + 1])[0] > 0.99

    def test_no_faces(self, generator, encoder):
        nothing = np.zeros((0, 128, 128, 3), np.uint8)
        points, codes = np.zeros((0, 5, 2), np.float32), np.zeros((0, 128), np.float32)
        assert encoder(nothing).shape == (0, 128)
        assert generator(nothing, points, codes).shape == nothing.shape

    @pytest.mark.parametrize("wrong", ["dtype", "size", "landmarks", "codes", "nan"])
    def test_what_does_not_fit_is_refused(self, generator, wrong):
        images, points = crops(1), template(1).copy()
        codes = identity.prior_codes(1, np.random.default_rng(0))
        if wrong == "dtype":
            images = images.astype(np.float32)
        elif wrong == "size":
            images = images[:, :112]
        elif wrong == "landmarks":
            points = points[:, :4]
        elif wrong == "codes":
            codes = codes[:, :64]
        else:
            codes[0, 0] = np.nan
        with pytest.raises(ValueError, match="must be"):
            generator(images, points, codes)

    def test_prior_draws_are_unit_and_differ(self):
        codes = identity.prior_codes(64, np.random.default_rng(0))
        np.testing.assert_allclose(np.linalg.norm(codes, axis=1), 1, atol=1e-5)
        cosines = codes @ codes.T
        assert np.abs(cosines[~np.eye(64, dtype=bool)]).mean() < 0.25


@pytest.mark.skipif(
    not (WEIGHTS / "appearance_generator.onnx").exists(), reason="the weights are not there yet"
)
class TestAppearance:
    def test_encode_and_decode(self, autoencoder):
        images = crops(2)
        codes = autoencoder.encode(images)
        assert codes.shape == (2, 64)
        np.testing.assert_allclose(np.linalg.norm(codes, axis=1), 1, atol=1e-5)
        assert autoencoder.decode(codes, template(2), images).shape == images.shape

    def test_the_inside_reaches_the_face_by_the_code_only(self, autoencoder):
        one, two = crops(1, 1), crops(1, 2)
        two[:, ~bottleneck.minimum_mask()] = one[:, ~bottleneck.minimum_mask()]
        codes = identity.appearance_prior_codes(1, np.random.default_rng(0))
        faces = autoencoder.decode(codes, template(1), one)
        assert faces.tobytes() == autoencoder.decode(codes, template(1), two).tobytes()


def test_missing_weights_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(identity, "WEIGHTS", tmp_path)
    with pytest.raises(ModelError, match="identity_generator"):
        identity.IdentityGenerator()
    identity.prior.cache_clear()
    with pytest.raises(ModelError, match="identity_prior"):
        identity.prior("identity_prior")


def test_all_weights_are_small():
    total = sum(path.stat().st_size for path in WEIGHTS.glob("*") if path.is_file())
    assert total <= 24e6


EXPORT = """
import sys, numpy as np, torch
from pathlib import Path
from stream_anon.training.arch.generator import FaceGenerator
from stream_anon.training.export import export
torch.manual_seed(0)
torch.set_num_threads(1)
net = FaceGenerator().eval()
for p in net.leave.parameters():
    torch.nn.init.normal_(p, std=0.05)
for p in net.parameters():  # equal tensors would be exported once
    p.data += 1e-4 * torch.randn_like(p)
given = {"context": torch.rand(2, 4, 128, 128) * 2 - 1, "maps": torch.rand(2, 5, 64, 64),
         "hints": torch.randn(2, 58),
         "place": torch.tensor([[0.9, -0.1, 0.05], [0.1, 0.9, -0.1]]).repeat(2, 1, 1),
         "code": torch.nn.functional.normalize(torch.randn(2, 128))}
folder = Path(sys.argv[1])
for bits in (8, 16):
    export(net, folder / f"net{bits}.onnx", given, output="face", metadata={"a": "b"},
           eight_bit=bits == 8)
from stream_anon.training.export import load_weights
again = FaceGenerator().eval()
load_weights(again, folder / "net8.safetensors")
with torch.no_grad():
    reached = (again(*given.values()) - net(*given.values())).abs().mean()
    assert reached < 0.05 * net(*given.values()).std(), reached
    np.savez(folder / "given.npz", face=net(*given.values()).numpy(),
             **{k: v.numpy() for k, v in given.items()})
"""


@pytest.mark.train
def test_what_is_exported_draws_what_torch_draws(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="needs the [train] extra")
    # In a process of its own: torch and OpenVINO in one process have crashed each other.
    subprocess.run([sys.executable, "-c", EXPORT, str(tmp_path)], check=True, timeout=100)
    monkeypatch.setattr(identity, "WEIGHTS", tmp_path)
    with np.load(tmp_path / "given.npz") as stored:
        given = {key: stored[key] for key in stored.files}
    face = given.pop("face")
    for bits, worst in ((16, 0.01), (8, 0.05)):
        out = identity._Net(f"net{bits}", 1, "f32")(**given)
        assert np.abs(out - face).mean() < worst * face.std(), bits
    assert (tmp_path / "net8.safetensors").stat().st_size < 4.2e6


@pytest.mark.train
def test_images_go_in_and_come_out_as_bytes(tmp_path, monkeypatch):
    """The graph's own conversion is what NumPy would do around it."""
    subprocess.run([sys.executable, "-c", EXPORT, str(tmp_path)], check=True, timeout=100)
    monkeypatch.setattr(identity, "WEIGHTS", tmp_path)
    with np.load(tmp_path / "given.npz") as stored:
        given = {key: stored[key] for key in stored.files if key != "face"}
    pixels = np.random.default_rng(0).integers(0, 256, given["context"].shape, np.uint8)
    pixels[:, 3] = np.where(pixels[:, 3] > 127, 255, 0)
    rgb = pixels[:, :3].astype(np.float32) / 127.5 - 1.0
    floats = np.concatenate([rgb, pixels[:, 3:] / np.float32(255.0)], axis=1)
    plain = identity._Net("net16", 1, "f32")(**(given | {"context": floats}))
    fast = identity._Net("net16", 1, "f32", {"context": identity.CONTEXT}, bytes_out=True)
    shown = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
    got = fast(**(given | {"context": shown})).transpose(0, 3, 1, 2)
    assert got.dtype == np.uint8
    assert np.abs(got - (plain + 1.0) * 127.5).max() <= 0.51
