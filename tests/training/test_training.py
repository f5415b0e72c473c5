"""A tiny run of everything: losses fall into place, resuming changes nothing."""

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

torch = pytest.importorskip("torch", reason="needs the [train] extra")
pytest.importorskip("onnx", reason="needs the [train] extra")
pytestmark = [
    pytest.mark.train,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*NumPy.*writable.*:UserWarning"),
]

from stream_anon.errors import ConfigError  # noqa: E402
from stream_anon.methods.generative import bottleneck  # noqa: E402
from stream_anon.training.arch.conceal import Conceal, heatmaps, hints, place  # noqa: E402
from stream_anon.training.arch.encoder import Encoder, EncoderSpec  # noqa: E402
from stream_anon.training.arch.generator import FaceGenerator, FirstGuess  # noqa: E402
from stream_anon.training.arch.landmarks import LandmarkNet  # noqa: E402
from stream_anon.training.data import augment  # noqa: E402
from stream_anon.training.data.batches import Faces, balance  # noqa: E402
from stream_anon.training.data.codes import Prior  # noqa: E402
from stream_anon.training.generators import losses  # noqa: E402
from stream_anon.training.generators.identity import IdentityTrainer, IdentityWeights, LossNetworks  # noqa: E402
from stream_anon.training.generators.trainer import Glance, train  # noqa: E402
from stream_anon.training.plan import TrainConfig, load, parse  # noqa: E402
from stream_anon.training.runtime import load_checkpoint, step_generator  # noqa: E402
from tests.training.faces import make_pack  # noqa: E402

CPU = torch.device("cpu")
# Two threads that wait for each other are slower than one beside other work.
torch.set_num_threads(1)


class TinyTeacher(torch.nn.Module):
    """Stands in for a recogniser: three convolutions, frozen."""

    def __init__(self):
        super().__init__()
        spec = EncoderSpec((4, 4, 4, 4), (0, 0, 0, 0), code=128)
        self.net = Encoder(spec).eval().requires_grad_(False)

    def run(self, images, sides=()):
        found = self.net.features(images)
        return self.net.code(found), found[: len(sides)]

    def channels(self, sides):
        return (4,) * len(sides)

    def forward(self, images):
        return self.run(images)[0]


@pytest.fixture(scope="module")
def faces():
    return Faces(make_pack(), CPU)


def make_trainer(faces, **options):
    torch.manual_seed(0)
    teacher = TinyTeacher()
    codes = teacher(faces.rows(torch.arange(len(faces))).images).detach()
    landmarker = LandmarkNet().eval().requires_grad_(False)
    loss_networks = LossNetworks(teacher, landmarker, codes, Prior.fit(codes))
    return IdentityTrainer(faces, loss_networks, IdentityWeights(), **options)


def test_the_bottleneck_is_the_same_in_training_and_at_run_time(faces):
    rows = faces.rows(torch.arange(6, 18))
    bytes_ = faces.images[6:18].numpy()
    valid = rows.valid[:, 0].numpy() > 0
    for keep in (True, False):
        context, colours = Conceal(keep_colour=keep)(rows.images, rows.valid)
        ours, cells = bottleneck.conceal(bytes_, valid, keep_colour=keep)
        shown = np.concatenate([ours[..., :3] / 127.5 - 1.0, ours[..., 3:] / 255.0], axis=3)
        # The fill is rounded to bytes at run time.
        np.testing.assert_allclose(context.permute(0, 2, 3, 1), shown, atol=0.5 / 127.5 + 2e-5)
        np.testing.assert_allclose(colours.numpy(), cells, atol=2e-5)
        told = hints(colours, rows.landmarks).numpy()
        np.testing.assert_allclose(told, bottleneck.hints(cells, rows.landmarks.numpy()), atol=2e-5)
    np.testing.assert_allclose(
        heatmaps(rows.landmarks).numpy(), bottleneck.heatmaps(rows.landmarks.numpy()), atol=1e-5
    )
    np.testing.assert_allclose(
        place(rows.landmarks).numpy(), bottleneck.place(rows.landmarks.numpy()), atol=1e-5
    )


def test_the_first_guess_is_put_where_the_face_is():
    guess = FirstGuess(8)
    turned = bottleneck.WIDE_TEMPLATE @ np.array([[0.8, 0.1], [-0.1, 0.8]], np.float32).T + 10
    y, x = np.mgrid[:32, :32] * 4 + 1.5
    for number in range(5):
        at = bottleneck.WIDE_TEMPLATE[number]
        bump = np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 60).astype(np.float32)
        faces = torch.from_numpy(np.tile(bump, (1, 3, 1, 1)))
        put = guess.put(faces, torch.from_numpy(bottleneck.place(turned[None])))[0, 0].numpy() ** 4
        yy, xx = np.mgrid[:128, :128]
        found = np.array([(put * xx).sum(), (put * yy).sum()]) / put.sum()
        np.testing.assert_allclose(found, turned[number], atol=0.3)


def test_judges_see_aligned_faces(faces):
    rng = torch.Generator().manual_seed(1)
    batch = faces.batch(8, rng, turn=0.3, zoom=0.2, shift=6.0, crop_scale=1.3)
    glance = Glance(batch.landmarks, rng)
    # The template itself, but for the little by which a glance is off.
    off = (glance.landmarks - torch.from_numpy(bottleneck.TEMPLATE)).norm(dim=2).mean()
    assert off < 6.0
    assert glance(batch.images).shape == batch.images.shape


def test_a_wider_glance_shows_more(faces):
    batch = faces.batch(8, torch.Generator().manual_seed(1), turn=0.1, crop_scale=1.3)
    plain, wide = (Glance(batch.landmarks, torch.Generator().manual_seed(2), r) for r in (1, 1.2))

    def span(glance):
        return (glance.landmarks[:, 1] - glance.landmarks[:, 0]).norm(dim=1)

    torch.testing.assert_close(span(plain), 1.2 * span(wide), rtol=1e-4, atol=1e-4)


def test_landmarks_move_with_the_pixels():
    image = torch.zeros(1, 1, 128, 128)
    image[0, 0, 40:43, 80:83] = 1
    point = torch.tensor([[[81.0, 41.0]]])
    rng = torch.Generator().manual_seed(3)
    matrix = augment.random_affine(1, rng, turn=0.4, zoom=0.2, shift=6.0)
    moved = augment.warp(image, matrix)[0, 0]
    y, x = np.meshgrid(np.arange(128), np.arange(128), indexing="ij")
    weight = moved.numpy() / moved.sum().item()
    found = np.array([(weight * x).sum(), (weight * y).sum()])
    np.testing.assert_allclose(found, augment.warp_points(point, matrix)[0, 0], atol=0.3)


def test_scenery_keeps_the_image_and_its_range():
    rng = torch.Generator().manual_seed(2)
    images = torch.rand(64, 3, 128, 128, generator=rng) * 2 - 1
    smooth = torch.nn.functional.avg_pool2d(images, 17, 1, 8) * 4
    seen = augment.scenery(smooth.clamp(-1, 1), rng)
    assert seen.shape == smooth.shape
    assert seen.min() >= -1
    assert seen.max() <= 1
    kept = (seen == smooth.clamp(-1, 1)).flatten(1).all(1).float().mean()
    assert 0.1 < kept < 0.5
    flat = seen.flatten(1).std(1) / smooth.clamp(-1, 1).flatten(1).std(1)
    assert flat.min() < 0.5
    assert flat.max() < 1.3


def test_rare_faces_are_drawn_more_often():
    pack = make_pack(40)
    pack.images[:38] = 200
    pack.images[38:] = 20
    weight = balance(pack)
    assert weight.sum() == pytest.approx(1)
    assert weight[39] > 2 * weight[25]


def test_the_first_guess_is_better_than_a_mean_face(faces):
    trainer = make_trainer(faces)
    still = {"turn": 0.0, "zoom": 0.0, "shift": 0.0, "crop_scale": bottleneck.CROP_SCALE}
    rng = torch.Generator().manual_seed(0)
    rows = faces.moved(faces.rows(torch.arange(12)), rng, **still)
    _, colours = trainer.conceal(rows.images, rows.valid)
    told = hints(colours, rows.landmarks)
    guess = trainer.generator().guess(trainer.loss_networks.codes[:12], told)
    small = torch.nn.functional.avg_pool2d(rows.images, 4)
    assert (guess - small).abs().mean() < 0.7 * (small.mean(0) - small).abs().mean()


def test_away_is_asked_only_of_others():
    code = torch.nn.functional.normalize(torch.ones(2, 4), dim=1)
    assert losses.away(code, code, torch.tensor([0.0, 0.0]), 0.1) == 0
    assert losses.away(code, code, torch.tensor([0.0, 1.0]), 0.1).item() == pytest.approx(0.9)


def test_prior_has_the_mean_and_spread_of_the_codes():
    rng = torch.Generator().manual_seed(0)
    codes = torch.randn(4000, 8, generator=rng) * torch.linspace(0.2, 2, 8) + 1.5
    codes = torch.nn.functional.normalize(codes, dim=1)
    drawn = Prior.fit(codes).draw(4000, rng)
    torch.testing.assert_close(drawn.norm(dim=1), torch.ones(4000))
    assert (drawn.mean(0) - codes.mean(0)).abs().max() < 0.05


def test_a_prior_keeps_the_widest_directions():
    rng = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=rng)).Q
    codes = torch.randn(4000, 6, generator=rng) * torch.tensor([0.3, 0.2, 0.1, 2.0, 1.0, 3.0])
    prior = Prior.fit(codes @ turn.T, directions=3)
    away = (prior.draw(500, rng) - prior.mean) @ turn
    # What is left of the narrow ones is the mean's, which is divided by each draw's length.
    assert away[:, :3].abs().max() < 0.05
    assert away[:, 3:].std(0).min() > 0.1


def test_a_resumed_run_is_the_same_run(faces, tmp_path):
    options = {"batch": 4, "seed": 1, "checkpoint_seconds": 1e9}
    whole = make_trainer(faces, first_guess=False)
    train(whole, tmp_path / "whole", images=8, **options)
    first = make_trainer(faces, first_guess=False)
    # The schedule belongs to the whole run, so the first half is cut off, not shortened.
    with pytest.raises(InterruptedError):
        train(first, tmp_path / "parts", images=8, on_checkpoint=_interrupt, batch=4, seed=1,
              checkpoint_seconds=0.0)  # fmt: skip
    second = make_trainer(faces, first_guess=False)
    train(second, tmp_path / "parts", images=8, **options)
    one = load_checkpoint(tmp_path / "whole/identity.pt", CPU)
    two = load_checkpoint(tmp_path / "parts/identity.pt", CPU)
    assert one["step"] == two["step"] == 2
    for net in ("generator", "critic", "average"):
        for key, value in one[net].items():
            torch.testing.assert_close(value, two[net][key], rtol=0, atol=0, msg=key)


def _interrupt(trainer):
    if trainer.adversary.step == 1:
        raise InterruptedError


def test_steps_do_not_share_their_randomness():
    draws = {
        torch.rand(1, generator=step_generator(seed, stage, step, CPU)).item()
        for seed in range(3) for stage in range(3) for step in range(5)
    }  # fmt: skip
    assert len(draws) == 45


def test_the_generator_uses_the_code():
    torch.manual_seed(0)
    net = FaceGenerator().eval()
    context, maps, told = torch.zeros(2, 4, 128, 128), torch.zeros(2, 5, 64, 64), torch.zeros(2, 58)
    context[:, 3] = 1
    code = torch.nn.functional.normalize(torch.randn(2, 128), dim=1)
    out = net(context, maps, told, torch.eye(2, 3).repeat(2, 1, 1), code)
    assert out.shape == (2, 3, 128, 128)
    assert (out[0] - out[1]).abs().mean() > 1e-3


def test_the_file_of_options_stands_at_its_defaults(pytestconfig):
    path = pytestconfig.rootpath / "configs/training/identity.yaml"
    assert load(path) == TrainConfig()
    assert load(path.with_name("mesh.yaml")).identity.painted
    written = yaml.safe_load(path.read_text())
    assert written.keys() == TrainConfig.model_fields.keys()
    for section in ("distil", "landmarks", "identity", "appearance"):
        assert written[section].keys() == type(getattr(TrainConfig(), section)).model_fields.keys()


@pytest.mark.parametrize("data", [{"stages": ["cook"]}, {"nonesuch": 1}, {"seed": "x"}])
def test_wrong_options_are_refused(data):
    with pytest.raises(ConfigError):
        parse(data, "here")


def test_the_command_says_what_it_needs(tmp_path):
    from stream_anon.cli.commands.train import train as command

    result = CliRunner().invoke(command, ["--out", str(tmp_path / "run"), "--stages", "distil"])
    assert "--data" in str(result.exception)
