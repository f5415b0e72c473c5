"""Photos: what is not painted stays as it was, what tells goes, what is no photo is said."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from stream_anon.config import FaultConfig, VideoConfig
from stream_anon.errors import InputError
from stream_anon.media import photo
from stream_anon.media.input.files import describe_file, is_photo, open_file
from stream_anon.media.input.photo_source import PhotoSource
from stream_anon.media.input.source import FileSource
from stream_anon.media.output.photo_sink import PhotoSink
from stream_anon.media.output.streams import plan_streams
from stream_anon.media.pixel_formats import layout_of, plane_view
from stream_anon.methods.fill import Fill
from stream_anon.pipeline.painting.gate import Compositor
from tests.media.photos.tools import (
    BOX,
    HEIGHT,
    ICC,
    WIDTH,
    deep,
    exif,
    jpeg,
    outside,
    picture,
    redact,
    samples,
    save,
    save_deep,
    with_thumbnail,
)

COLOUR = np.array([10, 200, 30])


def planes(av_frame) -> list[np.ndarray]:
    layout = layout_of(av_frame.format.name)
    return [plane_view(av_frame, layout, n) for n in range(len(av_frame.planes))]


def centre(array: np.ndarray) -> np.ndarray:
    x, y, side = BOX
    return array[int(y + side / 2), int(x + side / 2)]


# Every sample stays.

ALPHA = np.dstack([picture(), picture()[..., :1]])
EXACT = {
    "png": ("a.png", picture(), {}),
    "png-gray": ("a.png", picture()[..., 0], {}),
    "png-alpha": ("a.png", ALPHA, {}),
    "webp": ("a.webp", picture(), {"lossless": True}),
    "webp-alpha": ("a.webp", ALPHA, {"lossless": True, "exact": True}),
    "tiff": ("a.tif", picture(), {}),
    "tiff-alpha": ("a.tiff", ALPHA, {"compression": "tiff_adobe_deflate"}),
}


@pytest.mark.parametrize("name", EXACT)
def test_what_is_stored_without_loss_keeps_every_sample(tmp_path, name):
    file, array, options = EXACT[name]
    path = save(tmp_path / file, array, **options)
    redact(path, tmp_path / f"out{path.suffix}")
    made = samples(tmp_path / f"out{path.suffix}")
    assert made.shape == array.shape
    away = outside(array.shape)
    np.testing.assert_array_equal(made[away], array[away])
    if array.ndim == 3:
        assert np.abs(centre(made)[:3].astype(int) - COLOUR).max() <= 1
        np.testing.assert_array_equal(made[..., 3:], array[..., 3:])
    else:
        assert centre(made) != centre(array)


@pytest.mark.parametrize(
    ("suffix", "channels"), [(".png", 1), (".png", 3), (".png", 4), (".tif", 3)]
)
def test_sixteen_bits_stay_sixteen(tmp_path, suffix, channels):
    array = deep(channels)
    path = save_deep(tmp_path / f"a{suffix}", array)
    redact(path, tmp_path / f"out{suffix}")
    made = samples(tmp_path / f"out{suffix}")
    assert made.dtype == np.uint16
    assert made.shape == array.shape
    away = outside(array.shape)
    np.testing.assert_array_equal(made[away], array[away])
    if channels > 1:
        assert np.abs(centre(made)[:3] / 257 - COLOUR).max() <= 1
        np.testing.assert_array_equal(made[..., 3:], array[..., 3:])


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("quality", [50, 75, 95])
def test_a_jpeg_keeps_its_planes_but_for_a_level_here_and_there(
    tmp_path, subsampling, progressive, quality
):
    path = tmp_path / "a.jpg"
    path.write_bytes(
        jpeg(picture(), subsampling=subsampling, progressive=progressive, quality=quality)
    )
    redact(path, tmp_path / "out.jpg")
    with Image.open(path) as old, Image.open(tmp_path / "out.jpg") as new:
        assert old.quantization == new.quantization
        assert bool(new.info.get("progressive")) == progressive
        assert np.abs(centre(np.asarray(new)).astype(int) - COLOUR).max() <= 12
    before, after = (photo.read(p, p.read_bytes()).samples for p in (path, tmp_path / "out.jpg"))
    assert before.format.name == after.format.name
    away = outside((HEIGHT, WIDTH))
    # What lies behind the border in the last blocks is not known, and guessed again.
    away[HEIGHT // 16 * 16 :] = away[:, WIDTH // 16 * 16 :] = False
    for one, two in zip(planes(before), planes(after), strict=True):
        step = [-(-a // b) for a, b in zip(away.shape, one.shape, strict=True)]
        off = np.abs(one.astype(int) - two)[away[:: step[0], :: step[1]]]
        assert (off > 2).mean() < 0.02
        assert off.max() <= 16, "where samples were cut off at black or white"


def test_a_gray_jpeg_stays_gray(tmp_path):
    path = save(tmp_path / "a.jpg", picture()[..., 0], quality=90)
    redact(path, tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as new:
        assert new.mode == "L"


def test_what_cannot_stay_is_said(tmp_path):
    Image.fromarray(picture()).convert("P").save(tmp_path / "a.png")
    info = describe_file(tmp_path / "a.png")
    plan = plan_streams(info, tmp_path / "out.png", VideoConfig())
    assert plan.notes == ("a palette is written as RGB",)
    Image.fromarray(picture()).convert("CMYK").save(tmp_path / "b.jpg", icc_profile=ICC)
    redact(tmp_path / "b.jpg", tmp_path / "out.jpg")
    plan = plan_streams(describe_file(tmp_path / "b.jpg"), tmp_path / "out.jpg", VideoConfig())
    assert plan.notes == ("CMYK is written as RGB", "the colour profile of CMYK is left out")
    with Image.open(tmp_path / "out.jpg") as new:
        assert new.mode == "RGB"
        assert "icc_profile" not in new.info


# How it is turned.

TURNED = {1: 0, 2: 0, 3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", TURNED)
def test_it_is_shown_the_way_it_was(tmp_path, suffix, orientation):
    made = Image.Exif()
    made[0x0112] = orientation
    lossless = {"lossless": True} if suffix == ".webp" else {}
    path = save(tmp_path / f"a{suffix}", exif=made, **lossless)
    reader = redact(path, tmp_path / f"out{suffix}")
    with Image.open(path) as old, Image.open(tmp_path / f"out{suffix}") as new:
        if suffix == ".tif":
            # Turned the right way when it is read, and stored so.
            assert new.getexif().get(0x0112, 1) == 1
            assert reader.info.video[0].video.quarter_turns == 0
        else:
            assert new.getexif().get(0x0112, 1) == orientation
            assert reader.info.video[0].video.quarter_turns == TURNED[orientation]
            assert new.size == old.size, "stored as it was"
        before, after = (np.asarray(ImageOps.exif_transpose(image)) for image in (old, new))
    assert before.shape == after.shape
    assert np.abs(before[:8].astype(int) - after[:8]).mean() < 3, "far from the face"


@pytest.mark.parametrize("orientation", TURNED)
def test_a_face_stands_upright_for_whoever_looks(tmp_path, orientation):
    """Turned by as many quarters as the frame says, a letter's top is at the top."""
    upright = np.zeros((40, 60, 3), np.uint8)
    upright[:12] = 255
    for turn in (None, *Image.Transpose):
        image = Image.fromarray(upright)
        stored = image if turn is None else image.transpose(turn)
        made = Image.Exif()
        made[0x0112] = orientation
        stored.save(tmp_path / "a.png", exif=made)
        with Image.open(tmp_path / "a.png") as image:
            if np.array_equal(np.asarray(ImageOps.exif_transpose(image))[:12], upright[:12]):
                break
    else:
        pytest.fail("no way to store it")
    with PhotoSource(tmp_path / "a.png") as source:
        (frame,) = source
    luma = np.rot90(frame.luma(1), frame.quarter_turns)
    assert luma[:6].mean() > 200
    assert luma[-20:].mean() < 50


# What tells who, where and when.

SECRETS = (b"SecretMaker", b"SecretModel", b"2026:05:04", b"SecretMakerNote", b"SecretWords")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_what_tells_is_left_out_and_named(tmp_path, suffix):
    more = {}
    if suffix == ".jpg":
        more = {"comment": b"SecretWords"}
    elif suffix == ".png":
        from PIL.PngImagePlugin import PngInfo

        more = {"pnginfo": PngInfo()}
        more["pnginfo"].add_text("Author", "SecretWords")
    elif suffix == ".webp":
        more = {"xmp": b"SecretWords", "lossless": True}
    path = save(tmp_path / f"a{suffix}", exif=exif(6), icc_profile=ICC, dpi=(300, 300), **more)
    assert b"SecretMaker" in path.read_bytes()
    out = tmp_path / f"out{suffix}"
    redact(path, out)
    raw = out.read_bytes()
    assert not [secret for secret in SECRETS if secret in raw]
    with Image.open(out) as new:
        assert new.info["icc_profile"] == ICC
        assert not dict(new.getexif().get_ifd(0x8825))
        if suffix != ".webp":
            assert round(float(new.info["dpi"][0])) == 300
    plan = plan_streams(describe_file(path), out, VideoConfig())
    # The test's own TIFF is written without the parts of EXIF.
    parts = ["EXIF"]
    if suffix != ".tif":
        parts += ["EXIF position (GPS)", "EXIF notes of the maker"]
    assert {f"file: {part}" for part in parts} <= set(plan.dropped)
    if more and suffix != ".tif":
        assert any(word in " ".join(plan.dropped) for word in ("comment", "Author", "xmp"))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_what_tells_is_kept_when_asked_but_for_what_may_show_a_face(tmp_path, suffix):
    lossless = {"lossless": True} if suffix == ".webp" else {}
    path = save(tmp_path / f"a{suffix}", exif=exif(6), **lossless)
    out = tmp_path / f"out{suffix}"
    redact(path, out, keep_metadata=True)
    with Image.open(out) as new:
        made = new.getexif()
        assert made[0x010F] == "SecretMaker"
        assert made[0x0112] == 6
        assert made.get_ifd(0x8825)[1] == "N"
        assert 0x927C not in made.get_ifd(0x8769)
    plan = plan_streams(describe_file(path), out, VideoConfig(keep_metadata=True))
    assert plan.dropped == ("file: EXIF notes of the maker",)


@pytest.mark.parametrize("keep", [False, True])
def test_a_thumbnail_never_goes_along(tmp_path, keep):
    small = jpeg(picture(64, 48), quality=70)
    path = tmp_path / "a.jpg"
    path.write_bytes(with_thumbnail(jpeg(picture()), small))
    with Image.open(path) as old:
        assert old.getexif().get_ifd(ExifTags.IFD.IFD1), "the test's own photo has one"
    redact(path, tmp_path / "out.jpg", keep_metadata=keep)
    raw = (tmp_path / "out.jpg").read_bytes()
    assert raw.count(b"\xff\xd8\xff") == 1
    assert small[200:300] not in raw
    plan = plan_streams(describe_file(path), path, VideoConfig(keep_metadata=keep))
    assert "file: EXIF thumbnail" in plan.dropped


def test_further_pictures_of_a_file_are_dropped_and_named(tmp_path):
    first, second = (Image.fromarray(np.roll(picture(), n, 1)) for n in (0, 50))
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])
    redact(tmp_path / "a.jpg", tmp_path / "out.jpg")
    plan = plan_streams(describe_file(tmp_path / "a.jpg"), tmp_path / "out.jpg", VideoConfig())
    assert "file: further pictures in the file" in plan.dropped
    raw = (tmp_path / "out.jpg").read_bytes()
    assert raw.count(b"\xff\xd8\xff") == 1
    with Image.open(tmp_path / "a.jpg") as old, Image.open(tmp_path / "out.jpg") as new:
        assert getattr(new, "n_frames", 1) == 1
        away = outside((HEIGHT, WIDTH))
        off = np.abs(np.asarray(old).astype(int) - np.asarray(new))[away]
        assert np.median(off) <= 2, "the first one is the photo"


def test_what_hangs_behind_a_jpeg_is_dropped(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(picture()) + b"SecretWords" * 50)
    redact(tmp_path / "a.jpg", tmp_path / "out.jpg")
    assert b"SecretWords" not in (tmp_path / "out.jpg").read_bytes()


# What is none.


def test_what_moves_is_a_video(tmp_path):
    frames = [Image.fromarray(np.roll(picture(96, 64), 5 * n, 1)) for n in range(4)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=100)
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], duration=100)
    for name in ("a.gif", "a.png"):
        assert not is_photo(tmp_path / name)
        with open_file(tmp_path / name) as source:
            assert isinstance(source, FileSource)
            assert len(list(source.frames())) == 4


@pytest.mark.parametrize("name", ["moves.webp", "pages.tif", "a.heic", "float.tif"])
def test_what_is_not_read_says_so(tmp_path, name):
    path = tmp_path / name
    frames = [Image.fromarray(np.roll(picture(96, 64), 5 * n, 1)) for n in range(3)]
    if name == "a.heic":
        path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(50))
    elif name == "float.tif":
        Image.fromarray(picture()[..., 0].astype(np.float32)).save(path)
    else:
        frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="not read|pages") as caught:
        describe_file(path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_motion_jpeg_is_no_photo(tmp_path):
    (tmp_path / "a.mjpeg").write_bytes(jpeg(picture()) * 3)
    assert not is_photo(tmp_path / "a.mjpeg")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_a_photo_that_breaks_off_is_refused(tmp_path, suffix, share):
    options = {"lossless": True} if suffix == ".webp" else {}
    whole = save(tmp_path / f"whole{suffix}", **options).read_bytes()
    path = tmp_path / f"a{suffix}"
    path.write_bytes(whole[: max(20, int(share * len(whole)))])
    with pytest.raises(InputError, match=f"a{suffix}"), open_file(path) as source:
        list(source)


def test_a_damaged_jpeg_is_covered_whole_where_the_run_goes_on(tmp_path):
    whole = jpeg(picture(), quality=90)
    path = tmp_path / "a.jpg"
    path.write_bytes(whole[: len(whole) // 2] + b"\xff\xd9")
    with PhotoSource(path, tolerant=True) as source:
        (frame,) = source
    assert frame.corrupt
    gate = Compositor(Fill(), FaultConfig(policy="step-down"))
    with PhotoSink(tmp_path / "out.jpg", source.info, VideoConfig()) as sink:
        sink.write(gate.clear(frame, ()))
    made = samples(tmp_path / "out.jpg").astype(int)
    assert np.abs(np.diff(made[:30, :40], axis=1)).mean() < 2, "blocks, as of a video's frame"


def test_a_photo_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png")
    monkeypatch.setattr(photo, "MOST_PIXELS", 100)
    with pytest.raises(InputError, match="203x151 is too large"):
        PhotoSource(path)
