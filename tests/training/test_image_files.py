"""Image files of every format and mode come in as grey or RGB; the broken ones are named."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from made_images import random_image
from PIL import Image
from torchvision import transforms

from tuun_da.errors import DataError
from tuun_da.training import image_files
from tuun_da.training.image_files import IMAGE_SUFFIXES, read_image, read_images, with_progress
from tuun_da.training.resizing import fitted, resized_array, stacked

SUFFIXES = (".png", ".BMP", ".ppm", ".tif", ".TIFF", ".webp", ".jpg", ".JPEG", ".pgm", ".jfif", ".jp2", ".tga", ".gif")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format(tmp_path, rng, suffix):
    image = random_image(rng, "L" if suffix == ".pgm" else "RGB")
    path = tmp_path / f"a{suffix}"
    assert suffix.lower() in IMAGE_SUFFIXES
    image.save(path, **({"lossless": True} if suffix == ".webp" else {}))
    result = read_image(path, None)
    lossy = suffix.lower() in (".jpg", ".jpeg", ".jfif", ".gif")
    expected = np.asarray(Image.open(path).convert("RGB") if lossy else image)
    np.testing.assert_array_equal(result, expected)


def test_transparent_parts_are_white(tmp_path):
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 4, 8))
    image.save(tmp_path / "a.png")
    result = read_image(tmp_path / "a.png", None)
    np.testing.assert_array_equal(result[0, 0], [255, 0, 0])
    np.testing.assert_array_equal(result[0, 7], [255, 255, 255])


def test_half_transparent_grey_stays_grey(tmp_path):
    Image.new("LA", (8, 8), (100, 0)).save(tmp_path / "a.png")
    result = read_image(tmp_path / "a.png", None)
    np.testing.assert_array_equal(result, np.full((8, 8), 255))


def test_a_palette_with_a_transparent_colour(tmp_path):
    image = Image.new("P", (8, 8), 0)
    image.putpalette([0, 0, 255, 255, 0, 0])
    image.paste(1, (0, 0, 4, 8))
    image.save(tmp_path / "a.png", transparency=0)
    result = read_image(tmp_path / "a.png", None)
    np.testing.assert_array_equal(result[0, 0], [255, 0, 0])
    np.testing.assert_array_equal(result[0, 7], [255, 255, 255])


@pytest.mark.parametrize(
    ("mode", "colours", "transparent", "expected"),
    [
        ("L", [10, 200], 10, [255, 200]),
        ("1", [0, 255], 0, [255, 255]),
        ("1", [0, 255], 255, [0, 255]),
        ("I;16", [2570, 51400], 2570, [255, 200]),
        ("RGB", [(1, 2, 3), (200, 0, 9)], (1, 2, 3), [(255, 255, 255), (200, 0, 9)]),
    ],
)
def test_a_transparent_colour_without_a_palette_is_white(tmp_path, mode, colours, transparent, expected):
    image = Image.new(mode, (8, 8), colours[1])
    image.paste(colours[0], (0, 0, 4, 8))
    image.save(tmp_path / "a.png", transparency=transparent)
    with Image.open(tmp_path / "a.png") as file:
        assert file.info["transparency"] == transparent
    result = read_image(tmp_path / "a.png", None)
    assert result.ndim == (3 if mode == "RGB" else 2)
    np.testing.assert_array_equal(result[0, [0, 7]], expected)


@pytest.mark.parametrize("mode", ["CMYK", "P", "YCbCr"])
def test_other_colour_modes_are_as_pillow_converts_them(tmp_path, rng, mode):
    image = random_image(rng).convert(mode)
    path = tmp_path / ("a.png" if mode == "P" else "a.tif")
    image.save(path)
    np.testing.assert_array_equal(read_image(path, None), np.asarray(image.convert("RGB")))


def test_black_and_white_is_grey(tmp_path):
    Image.new("1", (8, 8), 1).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", None), np.full((8, 8), 255))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path, suffix):
    wide = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
    Image.fromarray(wide).save(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}", None), wide // 257)


@pytest.mark.parametrize(("high", "divisor"), [(255, 1), (256, 257), (65535, 257)])
def test_whole_numbers_of_32_bits_are_8_or_16_bit_values_by_the_largest(tmp_path, high, divisor):
    wide = np.linspace(0, high, 64).round().astype(np.int32).reshape(8, 8)
    Image.fromarray(wide).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", None), wide // divisor)


def test_a_dark_image_of_16_bits_stays_dark(tmp_path):
    dark = np.arange(64, dtype=np.uint16).reshape(8, 8)
    for suffix in (".png", ".tif"):
        Image.fromarray(dark).save(tmp_path / f"a{suffix}")
        assert read_image(tmp_path / f"a{suffix}", None).max() == 0
    (tmp_path / "a.pgm").write_bytes(b"P5 8 8 65535\n" + dark.astype(">u2").tobytes())  # Pillow calls it 32-bit
    assert read_image(tmp_path / "a.pgm", None).max() == 0


def test_white_of_a_tiff_of_12_bits_is_4095(tmp_path):
    values = np.linspace(0, 4095, 64).round().astype(int)
    pairs = values.reshape(-1, 2)
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], axis=1)
    pixels = packed.astype(np.uint8).tobytes()
    # width, height, bits, compression, black is zero, offset, samples, rows, bytes
    tags = {256: 8, 257: 8, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 8, 279: len(pixels)}
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", t, 4, 1, v) for t, v in tags.items())
    content = b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + directory + bytes(4)
    (tmp_path / "a.tif").write_bytes(content)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", None).flatten(), values * 255 // 4095)


def test_the_exif_orientation_is_applied(tmp_path, rng):
    image = random_image(rng, size=(8, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    image.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", None), np.rot90(np.asarray(image), -1))


def test_of_an_animation_the_first_frame(tmp_path, rng):
    first, second = random_image(rng), random_image(rng)
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", None), np.asarray(first))
    Image.new("RGB", (8, 8), "red").save(
        tmp_path / "a.gif", save_all=True, append_images=[Image.new("RGB", (8, 8), "blue")]
    )
    np.testing.assert_array_equal(read_image(tmp_path / "a.gif", None)[0, 0], [255, 0, 0])


def broken_files(tmp_path, rng):
    buffer = io.BytesIO()
    random_image(rng, size=(64, 64)).save(buffer, "png")
    (tmp_path / "truncated.png").write_bytes(buffer.getvalue()[:-2000])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "head.bmp").write_bytes(b"BM" + bytes(20))
    Image.fromarray(np.zeros((4, 4), dtype=np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(np.full((4, 4), 70_000, dtype=np.int32)).save(tmp_path / "wide.tif")
    (tmp_path / "folder.png").mkdir()
    return sorted(tmp_path.iterdir())


def test_every_broken_image_is_named(tmp_path, rng):
    paths = broken_files(tmp_path, rng)
    assert len(paths) == 7
    for path in paths:
        with pytest.raises(DataError, match=rf"^image {path} cannot be read: ."):
            read_image(path, 32)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_image_beyond_pillows_limit_is_named(tmp_path, rng, monkeypatch):
    random_image(rng, size=(40, 40)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # Pillow itself only warns up to 2000
    with pytest.raises(DataError, match=r"a\.png cannot be read: it has 40x40 pixels, more than .* 1000"):
        read_image(tmp_path / "a.png", None)


def test_many_images_come_in_order_and_the_first_broken_one_stops(tmp_path, rng):
    paths = []
    for number in range(40):
        paths.append(tmp_path / f"{number}.png")
        Image.new("L", (4, 4), number).save(paths[-1])
    for number in (17, 30):
        paths[number].write_bytes(b"broken")
    images, broken = read_images(paths, None, skip_broken=True)
    assert [None if image is None else image[0, 0] for image in images] == [
        None if number in (17, 30) else number for number in range(40)
    ]
    assert len(broken) == 2
    with pytest.raises(DataError, match=r"17\.png cannot be read"):
        read_images(paths, None, skip_broken=False)


def test_long_work_says_how_far_it_is_and_short_work_says_nothing(capsys, monkeypatch):
    items = [np.zeros((1, 1), dtype=np.uint8)] * 5
    list(with_progress(iter(items), 5))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(image_files, "QUIET_SECONDS", 0.0)
    assert len(list(with_progress(iter(items), 5))) == 5
    assert capsys.readouterr().err.splitlines() == ["reading images: 1 of 5", "reading images: 5 of 5"]


@pytest.mark.parametrize("size", [(60, 20), (20, 60), (20, 20), (5, 15), (200, 100)])
def test_resizing_is_that_of_torchvisions_resize_and_center_crop(rng, size):
    image = random_image(rng, size=size)
    pixels = transforms.Compose([transforms.Resize(10), transforms.CenterCrop(10)])(image)
    difference = fitted(image, 10).astype(int) - np.asarray(pixels)
    assert np.abs(difference).max() <= 1


def test_resizing_is_pillows_bilinear_with_antialiasing(rng):
    image = random_image(rng, size=(50, 50))
    np.testing.assert_array_equal(fitted(image, 20), np.asarray(image.resize((20, 20), Image.Resampling.BILINEAR)))


@pytest.mark.parametrize(("size", "side"), [((64, 64), 64), ((8, 8), 8), ((65, 65), 64), ((30, 31), 64)])
def test_small_squares_keep_their_size_and_all_others_get_64(rng, size, side):
    assert fitted(random_image(rng, size=size), None).shape == (side, side, 3)


def test_images_of_different_sizes_all_get_64(rng):
    images = [fitted(random_image(rng, size=(side, side)), None) for side in (32, 48)]
    result = stacked(images)
    assert result.shape == (2, 3, 64, 64)
    np.testing.assert_array_equal(result[0].transpose(1, 2, 0), fitted(Image.fromarray(images[0]), 64))


def test_grey_stays_one_channel_only_among_grey(rng):
    grey, colour = (fitted(random_image(rng, mode), None) for mode in ("L", "RGB"))
    assert stacked([grey, grey]).shape == (2, 1, 16, 16)
    mixed = stacked([grey, colour])
    assert mixed.shape == (2, 3, 16, 16)
    np.testing.assert_array_equal(mixed[0], np.stack([grey] * 3))


def test_arrays_are_resized_as_files_are(rng):
    image = random_image(rng, size=(40, 30))
    array = np.asarray(image).transpose(2, 0, 1)[None]
    difference = resized_array(array, 12)[0].astype(int) - fitted(image, 12).transpose(2, 0, 1)
    assert np.abs(difference).max() == 0
    assert resized_array(array, None).shape == (1, 3, 64, 64)
