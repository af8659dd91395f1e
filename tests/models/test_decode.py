"""Pixels: equal to timm's, whatever the file's kind and the number of workers; what cannot be read is left out."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageFile
import pytest
import torch
from numpy.typing import NDArray

from vitc.errors import NotAvailable, UserError
from vitc.models import decode as decoding
from vitc.models import demo_images
from vitc.models.backbone import CROP_MODES, INTERPOLATIONS, Preprocessing
from vitc.models.data import Classes, Image, ImageSet, find
from vitc.models.decode import Pixels, decode, opened
from vitc.models.timm_ready import timm

SMALL = Preprocessing(input_size=(3, 32, 32), crop_pct=0.9, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
WHOLE = Preprocessing(input_size=(3, 40, 40), crop_pct=1.0, interpolation="nearest")
DEMO = Classes(len(demo_images.CLASSES), demo_images.CLASSES)


def quiet(_: int) -> None: ...


def photo(width: int, height: int, seed: int = 0) -> PIL.Image.Image:
    """Smooth colours with some noise."""
    random = np.random.default_rng(seed)
    coarse = PIL.Image.fromarray(random.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize((width, height))
    noise = random.integers(0, 20, (height, width, 3), dtype=np.uint8)
    return PIL.Image.fromarray((np.asarray(coarse) // 2 + noise).astype(np.uint8))


def files(folder: Path, *names: str) -> ImageSet:
    return ImageSet(str(folder), tuple(Image(name, folder / name, index) for index, name in enumerate(names)))


def demo(count: int) -> ImageSet:
    return find(f"demo:{count}", DEMO, labelled=True)


def one(folder: Path, name: str, preprocessing: Preprocessing = WHOLE) -> NDArray[np.uint8]:
    """The pixels of one file, as [H, W, C]."""
    pixels = decode(files(folder, name), preprocessing, folder / "into", 0, quiet)
    return np.moveaxis(pixels.pixels[0], 0, -1)


@pytest.mark.parametrize("crop_mode", CROP_MODES)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_batches_are_what_timms_own_transform_gives(tmp_path: Path, interpolation: str, crop_mode: str) -> None:
    names = ["wide.png", "tall.png", "small.png"]
    for name, size in zip(names, [(90, 50), (41, 77), (20, 20)], strict=True):
        photo(*size).save(tmp_path / name)
    preprocessing = Preprocessing(
        (3, 32, 24), 0.8, crop_mode, interpolation, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3)
    )
    transform = timm.data.create_transform(**preprocessing.to_json())
    expected = torch.stack([transform(PIL.Image.open(tmp_path / name)) for name in names])
    pixels = decode(files(tmp_path, *names), preprocessing, tmp_path / "into", 0, quiet)
    torch.testing.assert_close(torch.cat(list(pixels.batches(2))), expected, rtol=0, atol=0)


def test_the_demo_is_drawn_and_labelled(tmp_path: Path) -> None:
    same = Preprocessing(input_size=(3, demo_images.SIZE, demo_images.SIZE), crop_pct=1.0)
    pixels = decode(demo(5), same, tmp_path / "into", 0, quiet)
    np.testing.assert_array_equal(pixels.pixels[4].transpose(1, 2, 0), demo_images.draw(2, 4))
    assert pixels.labels is not None
    assert pixels.labels.tolist() == [0, 1, 2, 3, 4]
    assert pixels.kept[4] == "demo/2/4"


def test_workers_change_nothing(tmp_path: Path) -> None:
    photo(50, 40).save(tmp_path / "whole.png")
    broken = Image("broken.png", tmp_path / "broken.png", 0)
    images = ImageSet("mixed", (*demo(60).images, broken, *demo(60).images))
    counts: list[int] = []
    alone = decode(images, SMALL, tmp_path / "alone", 1, quiet)
    together = decode(images, SMALL, tmp_path / "together", 3, counts.append)
    for name in ("pixels.npy", "index.json"):
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "together" / name).read_bytes()
    assert counts == [1] * 121
    assert together.unreadable == alone.unreadable == ("broken.png",)
    assert len(together) == 120


def test_opened_is_what_was_decoded(tmp_path: Path) -> None:
    made = decode(demo(6), SMALL, tmp_path / "deep" / "into", 0, quiet)
    again = opened(tmp_path / "deep" / "into")
    assert isinstance(again.pixels, np.memmap)
    np.testing.assert_array_equal(again.pixels, made.pixels)
    assert again.labels is not None
    assert made.labels is not None
    np.testing.assert_array_equal(again.labels, made.labels)
    assert (again.kept, again.unreadable, again.preprocessing) == (made.kept, (), SMALL)
    assert sorted(file.name for file in (tmp_path / "deep").iterdir()) == ["into"]


def test_batches_can_be_iterated_again_and_cut_short(tmp_path: Path) -> None:
    pixels = decode(demo(7), SMALL, tmp_path / "into", 0, quiet)
    batches = pixels.batches(3)
    assert [len(batch) for batch in batches] == [len(batch) for batch in batches] == [3, 3, 1]
    few = pixels.first(2)
    assert (len(few), few.kept) == (2, pixels.kept[:2])
    assert few.labels is not None
    assert few.labels.tolist() == [0, 1]
    torch.testing.assert_close(next(iter(few.batches(8))), next(iter(batches))[:2])


def test_a_set_without_labels_has_none(tmp_path: Path) -> None:
    pixels = decode(find("demo:2", DEMO, labelled=False), SMALL, tmp_path / "into", 0, quiet)
    assert pixels.labels is None
    assert pixels.first(1).labels is None


def _as_is(image: PIL.Image.Image) -> PIL.Image.Image:
    return image


@pytest.mark.parametrize(
    ("name", "convert"),
    [
        ("grey.png", lambda image: image.convert("L")),
        ("bits.png", lambda image: image.convert("1")),
        ("grey_alpha.png", lambda image: image.convert("LA")),
        ("palette.png", lambda image: image.quantize(16)),
        ("alpha.png", lambda image: image.convert("RGBA")),
        ("cmyk.tif", lambda image: image.convert("CMYK")),
        ("colour.bmp", _as_is),
        ("colour.ppm", _as_is),
    ],
)
def test_kinds_of_images(tmp_path: Path, name: str, convert: Callable[[PIL.Image.Image], PIL.Image.Image]) -> None:
    image = convert(photo(40, 40))
    image.save(tmp_path / name)
    np.testing.assert_array_equal(one(tmp_path, name), np.asarray(image.convert("RGB")))


def test_a_cmyk_jpeg_is_read_in_its_colours(tmp_path: Path) -> None:
    red = PIL.Image.new("RGB", (40, 40), (250, 10, 10))
    red.convert("CMYK").save(tmp_path / "red.jpg", quality=100)
    assert np.abs(one(tmp_path, "red.jpg").astype(int) - [250, 10, 10]).max() <= 4


def test_a_palette_with_transparency_warns_nobody(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    image = photo(40, 40).quantize(16)
    image.save(tmp_path / "clear.png", transparency=bytes(range(16)))
    np.testing.assert_array_equal(one(tmp_path, "clear.png"), np.asarray(image.convert("RGB")))
    assert not recwarn.list


@pytest.mark.parametrize("name", ["deep.png", "deep.tif", "deep.pgm"])
def test_16_bits_are_scaled_to_8(tmp_path: Path, name: str) -> None:
    ramp = np.linspace(0, 65535, 1600).astype(np.uint16).reshape(40, 40)
    PIL.Image.fromarray(ramp).save(tmp_path / name)
    expected = np.round(ramp / 257).astype(np.uint8)
    np.testing.assert_array_equal(one(tmp_path, name), np.stack([expected] * 3, -1))


@pytest.mark.parametrize("name", ["moving.gif", "moving.webp", "moving.png"])
def test_the_first_frame_of_an_animation_counts(tmp_path: Path, name: str) -> None:
    frames = [PIL.Image.new("RGB", (40, 40), colour) for colour in ("red", "blue", "lime")]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
    assert np.abs(one(tmp_path, name).astype(int) - [255, 0, 0]).max() <= 4


def test_a_backbone_of_one_channel_gets_grey(tmp_path: Path) -> None:
    photo(40, 40).save(tmp_path / "colour.png")
    grey = Preprocessing((1, 40, 40), 1.0, interpolation="nearest", mean=(0.5,), std=(0.5,))
    np.testing.assert_array_equal(one(tmp_path, "colour.png", grey)[..., 0], np.asarray(photo(40, 40).convert("L")))


def test_other_channels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="4 channels"):
        decode(demo(1), Preprocessing((4, 32, 32)), tmp_path / "into", 0, quiet)


def _truncated(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def _replaced(path: Path) -> None:
    path.write_bytes(b"this is no image")


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _long(path: Path) -> None:
    PIL.Image.new("RGB", (3000, 2)).save(path)


@pytest.mark.parametrize("spoil", [_truncated, _replaced, _emptied, _long, Path.unlink])
@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.gif", "x.bmp", "x.tif", "x.webp"])
def test_one_in_a_hundred_may_be_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, spoil: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(PIL.ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as some libraries do
    photo(64, 64).save(tmp_path / name)
    spoil(tmp_path / name)
    images = ImageSet("mixed", (Image(name, tmp_path / name, 0), *demo(99).images))
    pixels = decode(images, SMALL, tmp_path / "into", 0, quiet)
    assert pixels.unreadable == (name,)
    assert len(pixels) == len(pixels.pixels) == 99
    assert pixels.labels is not None
    assert pixels.labels.tolist() == [image.label for image in images.images[1:]]


def test_a_decompression_bomb_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo(64, 64).save(tmp_path / "bomb.png")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UserError, match=r"bomb\.png"):
        one(tmp_path, "bomb.png")


def test_more_unreadable_images_are_an_error_that_names_them(tmp_path: Path) -> None:
    missing = files(tmp_path, "a.png", "b.png", "c.png", "d.png").images
    with pytest.raises(UserError, match=r"4 of 103 images of mixed .*\(a\.png, b\.png, c\.png, …\), at most 1%"):
        decode(ImageSet("mixed", (*demo(99).images, *missing)), SMALL, tmp_path / "into", 0, quiet)
    assert not list(tmp_path.iterdir())


def test_an_interrupt_leaves_neither_workers_nor_files(tmp_path: Path) -> None:
    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decode(demo(200), SMALL, tmp_path / "into", 2, interrupt)
    assert not multiprocessing.active_children()
    assert not list(tmp_path.iterdir())


def test_a_killed_worker_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    def kill_one(done: int) -> None:
        for worker in multiprocessing.active_children()[:1]:
            worker.kill()

    with pytest.raises(NotAvailable, match="was killed"):
        decode(demo(2000), SMALL, tmp_path / "into", 2, kill_one)
    assert not multiprocessing.active_children()
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # no file may grow larger, as on a full disk
    try:
        with pytest.raises(OSError, match="File too large"):
            decode(demo(40), SMALL, tmp_path / "into", 0, quiet)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def _decode_and_wait(into: Path, alive: Connection) -> None:
    def wait(done: int) -> None:
        alive.send("decoding")
        time.sleep(60)

    decode(demo(200), SMALL, into, 2, wait)


@pytest.mark.skipif(sys.platform != "linux", reason="workers that are not forked do not inherit the pipe")
def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    listening, alive = multiprocessing.Pipe(duplex=False)
    parent = multiprocessing.get_context("fork").Process(target=_decode_and_wait, args=(tmp_path / "into", alive))
    parent.start()
    alive.close()
    assert listening.recv() == "decoding"
    assert parent.pid is not None
    os.kill(parent.pid, signal.SIGKILL)
    parent.join()
    # The pipe ends when the last process that holds its other side is gone: the workers inherited it.
    assert listening.poll(20)
    with pytest.raises(EOFError):
        listening.recv()
    assert not (tmp_path / "into").exists()


def test_spawned_workers_serve_where_forking_is_forbidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forked = decode(demo(20), SMALL, tmp_path / "forked", 2, quiet)
    monkeypatch.setattr(decoding, "START", "spawn")
    spawned: Pixels = decode(demo(20), SMALL, tmp_path / "spawned", 2, quiet)
    np.testing.assert_array_equal(spawned.pixels, forked.pixels)
