"""Generators that start from a painted face: meshes in batches, paintings, the judge of meshes."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the [train] extra")
pytest.importorskip("onnx", reason="needs the [train] extra")
pytestmark = [
    pytest.mark.train,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*NumPy.*writable.*:UserWarning"),
]

from stream_anon.alignment import mesh_measures  # noqa: E402
from stream_anon.alignment.mesh import NAME, SIDE  # noqa: E402
from stream_anon.alignment.topology import INNER_LIPS, POINTS, RIGHT_EYE  # noqa: E402
from stream_anon.geometry import MASK_CENTRE  # noqa: E402
from stream_anon.methods.generative.networks import prior_codes  # noqa: E402
from stream_anon.models import WEIGHTS, registry  # noqa: E402
from stream_anon.training.arch.encoder import STUDENT_A, Encoder  # noqa: E402
from stream_anon.training.arch.generator import FaceGenerator  # noqa: E402
from stream_anon.training.arch.landmarks import LandmarkNet  # noqa: E402
from stream_anon.training.arch.mesh import crop  # noqa: E402
from stream_anon.training.data import augment, paintings  # noqa: E402
from stream_anon.training.data.batches import Faces  # noqa: E402
from stream_anon.training.data.codes import Prior  # noqa: E402
from stream_anon.training.data.paintings import PaintingMaker  # noqa: E402
from stream_anon.training.export import load_folded  # noqa: E402
from stream_anon.training.generators import losses  # noqa: E402
from stream_anon.training.generators.identity import (  # noqa: E402
    IdentityTrainer,
    IdentityWeights,
    LossNetworks,
)
from tests.detection.conftest import fetched  # noqa: E402
from tests.models.test_mesh_measures import rotation  # noqa: E402
from tests.training.faces import make_pack  # noqa: E402
from tests.training.test_training import TinyTeacher  # noqa: E402

CPU = torch.device("cpu")
torch.set_num_threads(1)


def placed(yaw: float = 0.0, pitch: float = 0.0) -> np.ndarray:
    shape = 0.8 * mesh_measures.mean_mesh() @ rotation(yaw, pitch, 0).T
    return np.add(shape, [*MASK_CENTRE, 0.0]).astype(np.float32)


@pytest.fixture(scope="module")
def faces() -> Faces:
    pack = make_pack(12)
    meshes = np.stack([placed(yaw=6.0 * (i % 5) - 12.0) for i in range(12)])
    meshes[3] = 0.0
    return Faces(pack, CPU, meshes)


@pytest.fixture(scope="module")
def codes():
    return torch.from_numpy(prior_codes(12, np.random.default_rng(0)))


def given(n: int = 2) -> tuple[torch.Tensor, ...]:
    rng = torch.Generator().manual_seed(1)
    context = torch.rand(n, 4, 128, 128, generator=rng) * 2 - 1
    context[:, 3] = (context[:, 3] > 0).float()
    return (
        context,
        torch.rand(n, 5, 64, 64, generator=rng),
        torch.randn(n, 58, generator=rng) * 0.1,
        torch.eye(2, 3).repeat(n, 1, 1),
        torch.nn.functional.normalize(torch.randn(n, 128, generator=rng)),
    )


def test_with_nothing_painted_a_generator_is_what_it_was():
    net = FaceGenerator().eval()
    inputs = given()
    blank = torch.rand(2, 4, 128, 128)
    blank[:, 3] = 0.0
    with torch.no_grad():
        assert torch.equal(net(*inputs), net(*inputs, blank))


def test_what_is_painted_stands_in_place_of_the_guess():
    net = FaceGenerator().eval()
    for parameter in net.leave.parameters():
        torch.nn.init.zeros_(parameter)
    drawing = torch.rand(2, 4, 128, 128)
    drawing[:, 3] = 0.0
    drawing[:, 3, 40:80, 40:80] = 1.0
    inputs = given()
    with torch.no_grad():
        face, plain = net(*inputs, drawing), net(*inputs)
    assert torch.allclose(face[:, :, 40:80, 40:80], drawing[:, :3, 40:80, 40:80])
    assert torch.equal(face[..., :40], plain[..., :40])


def test_every_vertex_has_one_mirror_image():
    partner = np.array(augment.mirrored_vertices())
    assert np.array_equal(partner[partner], np.arange(POINTS))
    mean = mesh_measures.mean_mesh()
    away = np.linalg.norm(mean * [-1, 1, 1] - mean[partner], axis=1)
    assert away.max() < 1.5
    # Lips stay lips of the same side: upper ones upper, or an open mouth would be a closed one.
    for side in INNER_LIPS:
        assert [int(partner[k]) for k in side] == list(side[::-1])
    assert partner[RIGHT_EYE[0][0]] == 263


def test_meshes_go_where_pixels_go(faces):
    rng = torch.Generator().manual_seed(2)
    rows = faces.rows(torch.arange(12))
    batch = faces.moved(rows, rng, turn=0.2, zoom=0.2, shift=4.0, crop_scale=1.2)
    assert batch.meshes is not None
    assert rows.meshes is not None
    assert torch.equal(batch.meshes[3], torch.zeros(POINTS, 3))
    good = [i for i in range(12) if i != 3]
    # The pixels' own landmarks are the reference: a point that lies on one moves with it.
    before = mesh_measures.rigid(rows.meshes[good].numpy())
    after = mesh_measures.rigid(batch.meshes[good].numpy())
    mirrored = np.array([
        np.sign(mesh_measures.direction_of(a).yaw) != np.sign(mesh_measures.direction_of(b).yaw)
        for a, b in zip(before[0], after[0], strict=True)
        if abs(mesh_measures.direction_of(a).yaw) > 3
    ])
    assert mirrored.any()
    assert not mirrored.all()
    # Depth is scaled as the rest is, so a mesh stays one: turned as far as it was.
    turns = [[mesh_measures.direction_of(r).turn for r in part[0]] for part in (before, after)]
    np.testing.assert_allclose(turns[0], turns[1], atol=0.5)
    assert not np.allclose(before[1], after[1], rtol=0.02)


def test_a_mesh_that_is_moved_lies_on_what_it_lay_on():
    """A dot painted at a vertex is found at the moved vertex."""
    mesh = torch.from_numpy(placed(10.0))[None]
    image = torch.zeros(1, 1, 128, 128)
    x, y = mesh[0, 4, :2].round().int().tolist()
    image[0, 0, y, x] = 1.0
    mesh[0, 4, 0], mesh[0, 4, 1] = x, y
    rng = torch.Generator().manual_seed(5)
    matrix = augment.random_affine(1, rng, turn=0.3, zoom=0.1, shift=5.0)
    moved = augment.warp(image, matrix)[0, 0]
    found = divmod(int(moved.argmax()), 128)[::-1]
    there = augment.warp_meshes(mesh, matrix)[0, 4, :2].numpy()
    assert np.abs(there - found).max() < 1.0


def test_paintings_show_the_image_s_own_face_or_another(faces, codes, monkeypatch):
    monkeypatch.setattr(paintings, "ALL", 1.1)
    batch = faces.rows(torch.arange(12))
    # Shadows where eyes and mouth are: something of its own to show.
    maker = PaintingMaker()
    rng = torch.Generator().manual_seed(0)
    own = torch.ones(12)
    mine = maker(batch, codes, own, rng)
    other = maker(batch, codes, 1 - own, rng)
    assert mine.there[3] == 0
    assert mine.drawing[3].abs().max() == 0
    seen = mine.there > 0
    assert seen.sum() >= 5
    assert mine.over.sum() == 0
    assert 0 < other.over.sum() <= other.there.sum()
    share = mine.drawing[:, 3:]
    assert share.max() <= 1.0
    assert share[seen].amax((1, 2, 3)).min() > 0.9

    def apart(found) -> float:
        weight = found.drawing[:, 3:]
        return float(((found.drawing[:, :3] - batch.images).abs() * weight)[seen].mean())

    assert apart(mine) < 0.8 * apart(other)
    put = replace(other, over=other.there).put(torch.zeros(12, 3, 128, 128))
    expected = other.drawing[:, :3] * other.drawing[:, 3:] * other.there.view(-1, 1, 1, 1)
    assert torch.allclose(put, expected)


def test_the_mesh_loss_knows_size_and_openings_and_not_the_place():
    asked = torch.from_numpy(np.stack([placed(), placed(20.0)]))
    one = torch.ones(2)
    points, gaps = losses.mesh(asked + torch.tensor([5.0, -3.0, 2.0]), asked, one)
    assert float(points) < 1e-6
    assert float(gaps) < 1e-6
    opened = asked.clone()
    opened[:, list(INNER_LIPS[1][3:-3]), 1] += 4.0
    assert float(losses.mesh(opened, asked, one)[1]) > 0.01
    assert float(losses.mesh(1.2 * asked, asked, one)[0]) > 0.01
    np.testing.assert_allclose(
        losses.openings(opened)[:, 0], mesh_measures.mouth_opening(opened.numpy()), rtol=1e-4
    )


@pytest.mark.parametrize(("yaw", "pitch"), [(0.0, 0.0), (25.0, 0.0), (-15.0, 12.0)])
def test_directions_in_torch_are_those_of_the_product(yaw, pitch):
    asked = torch.from_numpy(placed()[None])
    found = torch.from_numpy(placed(yaw, pitch)[None]).requires_grad_(True)
    there = mesh_measures.rigid(found.detach().numpy())[0][0]
    np.testing.assert_allclose(losses.looking(found).detach()[0], there[:, 2], atol=2e-3)
    away = losses.astray(found, asked, torch.ones(1))
    degrees = mesh_measures.between(there, mesh_measures.rigid(asked.numpy())[0][0])
    assert np.degrees(2 * np.arcsin(away.item() / 2)) == pytest.approx(degrees, abs=0.2)
    if yaw:
        away.backward()
        assert found.grad is not None
        assert torch.isfinite(found.grad).all()
        assert found.grad.abs().max() > 0


def test_what_the_rim_may_change_is_finer_than_a_cell():
    mask = torch.zeros(1, 1, 128, 128)
    mask[..., :32] = 1.0
    image = torch.rand(1, 3, 128, 128)
    ripple = image + 0.2 * (torch.arange(128) % 2 * 2 - 1).view(1, 1, 1, -1)
    darker = image - 0.2
    assert float(losses.coarse(image, image, mask)) == 0.0
    assert float(losses.coarse(ripple, image, mask)) < 1e-5
    assert float(losses.coarse(darker, image, mask)) == pytest.approx(0.2, rel=1e-4)


class TinyMesher(torch.nn.Module):
    """Stands in for the mesh network: brightness turns the head."""

    def forward(self, images):
        mean = torch.from_numpy(placed()) * (SIDE / 128)
        turned = torch.from_numpy(placed(20.0)) * (SIDE / 128)
        share = images.mean((1, 2, 3)).view(-1, 1, 1)
        return mean + share * (turned - mean), share[:, 0, 0]


@pytest.mark.parametrize("adversarial", [0.0, 4.0])
def test_steps_with_paintings_move_the_generator_and_listen_to_the_mesh(faces, adversarial):
    torch.manual_seed(0)
    teacher = TinyTeacher()
    codes = teacher(faces.rows(torch.arange(len(faces))).images).detach()
    judges = LossNetworks(
        teacher,
        LandmarkNet().eval().requires_grad_(False),
        codes,
        Prior.fit(codes),
        mesher=TinyMesher(),
    )
    weights = IdentityWeights(adversarial=adversarial)
    trainer = IdentityTrainer(faces, judges, weights, judged_share=0.75, mesh_every=1)
    before = trainer.generator().to64.weight.detach().clone()
    for number in range(3):
        rng = torch.Generator().manual_seed(number)
        batch = faces.batch(8, rng, turn=0.1, zoom=0.1, shift=2.0, crop_scale=1.2)
        found = trainer.step(batch, rng)
        assert {"mesh", "gaps", "astray", "rim"} <= found.keys()
        assert ("critic" in found) == bool(adversarial)
        assert all(np.isfinite(value) for value in found.values())
    assert not torch.equal(before, trainer.generator().to64.weight)


def test_a_crop_for_the_mesh_network_is_cut_where_it_is_asked():
    image = torch.zeros(1, 3, 128, 128) - 1.0
    image[:, :, 60:64, 80:84] = 1.0
    shown = crop(image, torch.tensor([[81.5, 61.5]]), torch.tensor([48.0]))
    assert shown.shape == (1, 3, SIDE, SIDE)
    y, x = np.nonzero(shown[0, 0].numpy() > 0.9)
    assert abs(y.mean() - (SIDE - 1) / 2) < 1.0
    assert abs(x.mean() - (SIDE - 1) / 2) < 1.0
    assert shown.min() >= 0.0
    assert shown.max() <= 1.0


PARITY = """
import sys, numpy as np, torch
from pathlib import Path
from stream_anon.models.engine import BatchEngine
from stream_anon.training.arch.mesh import MeshNet
torch.set_num_threads(1)
path = Path(sys.argv[1])
image = np.load(sys.argv[2])
net = MeshNet(path)
rows = torch.from_numpy(image).permute(0, 3, 1, 2).clone().requires_grad_(True)
points, presence = net(rows)
points[:, :, :2].sum().backward()
assert torch.isfinite(rows.grad).all() and rows.grad.abs().max() > 0
assert not any(p.requires_grad for p in net.parameters())
found, logits = BatchEngine(path, (192, 192, 3), "f32")(image)
found = found.reshape(len(image), 468, 3)
found[..., :2] -= 0.5
assert np.abs(points.detach().numpy() - found).max() < 0.02, "points"
assert np.abs(presence.detach().numpy() - logits.ravel()).max() < 0.02, "presence"
"""


def test_the_mesh_network_in_torch_answers_as_the_product_s(tmp_path):
    fetched(NAME)
    rng = np.random.default_rng(0)
    axis = np.linspace(-1, 1, SIDE)
    oval = np.exp(-(((axis[None] / 0.5) ** 2 + (axis[:, None] / 0.65) ** 2) ** 2))
    images = np.clip(oval[None, ..., None] + rng.normal(0, 0.1, (3, SIDE, SIDE, 3)), 0, 1)
    np.save(tmp_path / "images.npy", images.astype(np.float32))
    # In a process of its own: torch and OpenVINO in one process have crashed each other.
    command = [sys.executable, "-c", PARITY, str(registry.path(NAME)), str(tmp_path / "images.npy")]
    subprocess.run(command, check=True, timeout=200)


def test_a_folded_network_is_unfolded_again():
    net = Encoder(STUDENT_A)
    load_folded(net, WEIGHTS / "identity_encoder.onnx")
    assert not net.training
    with torch.no_grad():
        code = net(torch.rand(2, 3, 128, 128) * 2 - 1)
    assert torch.allclose(code.norm(dim=1), torch.ones(2), atol=1e-4)
    with pytest.raises(ValueError, match="layer"):
        load_folded(net, WEIGHTS / "landmarks.onnx")
