"""Image files of every format and mode come in as grey or RGB; the broken ones are named."""

from __future__ import annotations

import io
import struct
import zlib

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
    (tmp_path / "a.tif").write_bytes(tiff(pixels, 12, 1, "<"))
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", None).flatten(), values * 255 // 4095)


TURNED = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(np.transpose(stored), 2),
    8: np.rot90,
}  # by the numbers of the EXIF standard


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize(("suffix", "bits"), [(".png", 8), (".png", 16), (".tif", 8), (".webp", 8)])
def test_the_exif_orientation_is_applied(tmp_path, rng, orientation, suffix, bits):
    grey = rng.integers(0, 256, (8, 8), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(grey if bits == 8 else grey.astype(np.uint16) * 257)
    options = {"lossless": True} if suffix == ".webp" else {}
    image.save(tmp_path / f"a{suffix}", exif=exif, **options)
    result = read_image(tmp_path / f"a{suffix}", None)
    np.testing.assert_array_equal(result if result.ndim == 2 else result[:, :, 0], TURNED[orientation](grey))


def test_a_photograph_on_its_side_is_turned_before_the_square_is_cut(tmp_path):
    pixels = np.zeros((40, 120), dtype=np.uint8)
    pixels[:, 40:80] = 200
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=100)
    assert read_image(tmp_path / "a.jpg", 20)[2:-2, 2:-2].min() > 190


def over_white(colour, alpha):
    """Colours and alpha in [0, 1] laid over white, from 0 to 255."""
    return 255 * (colour * alpha + 1 - alpha)


@pytest.mark.parametrize(("mode", "suffix"), [("RGBA", ".png"), ("RGBA", ".webp"), ("RGBA", ".tif"), ("LA", ".png")])
def test_half_transparent_pixels_are_laid_over_white(tmp_path, rng, mode, suffix):
    pixels = rng.integers(0, 256, (8, 8, len(mode)), dtype=np.uint8)
    options = {"lossless": True, "exact": True} if suffix == ".webp" else {}
    Image.fromarray(pixels, mode).save(tmp_path / f"a{suffix}", **options)
    expected = over_white(pixels[:, :, :-1] / 255, pixels[:, :, -1:] / 255).squeeze()
    result = read_image(tmp_path / f"a{suffix}", None)
    assert result.shape == expected.shape
    assert np.abs(result - expected).max() <= 1


def test_a_palette_with_half_transparent_colours(tmp_path, rng):
    numbers = rng.integers(0, 4, (8, 8), dtype=np.uint8)
    colours = np.array([[10, 20, 30], [200, 100, 0], [0, 0, 0], [255, 255, 255]])
    alphas = np.array([0, 128, 255, 255])
    image = Image.fromarray(numbers, "P")
    image.putpalette(colours.flatten().tolist())
    image.save(tmp_path / "a.png", transparency=bytes(alphas.tolist()))
    expected = over_white(colours[numbers] / 255, alphas[numbers][:, :, None] / 255)
    assert np.abs(read_image(tmp_path / "a.png", None) - expected).max() <= 1


def png(pixels, depth, colour_type):
    """A PNG file written by the standard, for what Pillow does not write: rows of packed samples."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    samples = pixels.reshape(*pixels.shape[:2], -1)
    bits = np.unpackbits(samples.astype(">u2").view(np.uint8).reshape(*samples.shape, 2), axis=-1)
    rows = np.packbits(bits[..., 16 - depth :].reshape(len(pixels), -1), axis=1)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], depth, colour_type, 0, 0, 0)
    content = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_grey_of_any_depth_runs_from_black_to_white(tmp_path, rng, depth):
    pixels = rng.integers(0, 2**depth, (8, 8))
    pixels[0, :2] = 0, 2**depth - 1
    (tmp_path / "a.png").write_bytes(png(pixels, depth, 0))
    result = read_image(tmp_path / "a.png", None)
    assert result.shape == (8, 8)
    assert np.abs(result - 255 * pixels / (2**depth - 1)).max() < 1
    assert result[0, :2].tolist() == [0, 255]


@pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (6, 4), (4, 2)])
def test_sixteen_bits_with_colours_or_alpha(tmp_path, rng, colour_type, channels):
    pixels = rng.integers(0, 2**16, (8, 8, channels))
    (tmp_path / "a.png").write_bytes(png(pixels, 16, colour_type))
    shares = pixels / 65535
    colour, alpha = (shares, np.ones((8, 8, 1))) if channels == 3 else (shares[:, :, :-1], shares[:, :, -1:])
    expected = over_white(colour, alpha).squeeze()
    result = read_image(tmp_path / "a.png", None)
    assert result.shape == expected.shape  # grey with alpha is grey
    assert np.abs(result - expected).max() < 2


def test_a_cmyk_photograph(tmp_path):
    inks = np.zeros((16, 16, 4), dtype=np.uint8)
    inks[:8, :, 1:3] = 255  # red
    inks[8:, :, 3] = 255  # black
    Image.fromarray(inks, "CMYK").save(tmp_path / "a.jpg", quality=100)
    result = read_image(tmp_path / "a.jpg", None).astype(int)
    assert np.abs(result[2, 2] - [255, 0, 0]).max() < 12
    assert np.abs(result[13, 2]).max() < 12


def tiff(pixels, bits, photometric, order):
    """A TIFF file written by the standard, one strip, byte ``order`` "<" or ">"."""
    # width, height, bits, compression, photometric, offset, samples, rows, bytes
    tags = {256: 8, 257: 8, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: 8, 279: len(pixels)}
    directory = struct.pack(order + "H", len(tags))
    directory += b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in tags.items())
    start = b"II*\0" if order == "<" else b"MM\0*"
    return start + struct.pack(order + "I", 8 + len(pixels)) + pixels + directory + bytes(4)


@pytest.mark.parametrize(
    ("order", "bits", "white_is_zero"),
    [
        (order, bits, white_is_zero)
        for order in "<>"
        for bits in (1, 8, 16)
        for white_is_zero in (False, True)
        if (order, bits, white_is_zero) != (">", 16, True)  # Pillow cannot open it
    ],
)
def test_a_tiff_says_whether_white_is_zero(tmp_path, rng, order, bits, white_is_zero):
    values = rng.integers(0, 2**bits, (8, 8))
    stored = 2**bits - 1 - values if white_is_zero else values
    pixels = np.packbits(stored.astype(np.uint8)) if bits == 1 else stored.astype(f"{order}u{bits // 8}")
    (tmp_path / "a.tif").write_bytes(tiff(pixels.tobytes(), bits, 0 if white_is_zero else 1, order))
    result = read_image(tmp_path / "a.tif", None)
    assert np.abs(result - 255 * values / (2**bits - 1)).max() < 1


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


@pytest.mark.parametrize(("limit", "is_read"), [(1599, False), (1600, True), (1601, True)])
def test_an_image_beyond_the_limit_of_pixels_is_named(tmp_path, rng, monkeypatch, limit, is_read):
    random_image(rng, size=(40, 40)).save(tmp_path / "a.png")
    monkeypatch.setattr(image_files, "MAX_PIXELS", limit)
    if is_read:
        assert read_image(tmp_path / "a.png", None).shape == (40, 40, 3)
    else:
        with pytest.raises(DataError, match=r"a\.png cannot be read: it has 40x40 pixels, more than .* 1599"):
            read_image(tmp_path / "a.png", None)


def test_many_images_come_in_order_and_the_broken_ones_as_errors(tmp_path, rng):
    paths = []
    for number in range(40):
        paths.append(tmp_path / f"{number}.png")
        Image.new("L", (4, 4), number).save(paths[-1])
    for number in (17, 30):
        paths[number].write_bytes(b"broken")
    outcomes = list(read_images(paths, None))
    assert len(outcomes) == 40
    for number, outcome in enumerate(outcomes):
        if number in (17, 30):
            assert isinstance(outcome, DataError)
            assert f"{number}.png cannot be read" in str(outcome)
        else:
            np.testing.assert_array_equal(outcome, np.full((4, 4), number))


def test_many_images_are_read_only_a_little_ahead(tmp_path, monkeypatch):
    paths = [tmp_path / f"{number}.png" for number in range(1000)]
    read = []
    monkeypatch.setattr(image_files, "read_image", lambda path, size: read.append(path) or np.zeros((1, 1), np.uint8))
    images = read_images(paths, None)
    next(images)
    images.close()
    assert len(read) <= image_files.FILES_AT_ONCE * (2 * image_files.MAX_THREADS + 1)
    assert len(list(read_images(paths, None))) == 1000


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
