"""Images are opened in a process of their own: bombs, broken files and dying decoders are facts, not failures."""

from __future__ import annotations

import io
import os
import signal
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from plugins._images import IMAGE_TYPES, ImageLimits, Images
from plugins._magic import sniff


@pytest.fixture(scope="module")
def images() -> Iterator[Images]:
    pool = Images(ImageLimits())
    yield pool
    pool.close()


def encoded(form: str, size: tuple[int, int] = (64, 48), **options: object) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(data, form, **options)  # type: ignore[arg-type]
    return data.getvalue()


def png(width: int, height: int, rows: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def put(tmp_path: Path, content: bytes) -> Path:
    file = tmp_path / "image"
    file.write_bytes(content)
    return file


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "AVIF"])
def test_every_allowed_format_is_recognized_and_decoded(images: Images, tmp_path: Path, form: str) -> None:
    content = encoded(form)
    assert sniff(content) in IMAGE_TYPES
    facts = images.facts(put(tmp_path, content))
    assert (facts["format"], facts["width"], facts["height"], facts["pixels"]) == (form, 64, 48, 64 * 48)
    assert (facts["decoded"], facts["malformed"], facts["frames"], facts["gps"]) == (True, False, 1, False)


def test_a_place_in_the_metadata_is_told(images: Images, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"
    assert images.facts(put(tmp_path, encoded("JPEG", exif=exif)))["gps"] is True


def test_frames_are_counted_no_further_than_the_limit(tmp_path: Path) -> None:
    data = io.BytesIO()
    frames = [Image.new("L", (8, 8), shade) for shade in range(40)]
    frames[0].save(data, "GIF", save_all=True, append_images=frames[1:])
    pool = Images(ImageLimits(frames=10))
    try:
        assert pool.facts(put(tmp_path, data.getvalue()))["frames"] == 11
    finally:
        pool.close()


def test_a_bomb_is_not_decoded(images: Images, tmp_path: Path) -> None:
    facts = images.facts(put(tmp_path, png(12_000, 12_000, bytes(1000))))
    assert facts["pixels"] == 144_000_000
    assert (facts["decoded"], facts["malformed"]) == (False, False)
    assert "more than 50000000 pixels" in facts["problem"]


@pytest.mark.parametrize("cut", [30, 200, 500])
def test_a_malformed_image_is_told(images: Images, tmp_path: Path, cut: int) -> None:
    noisy = io.BytesIO()
    Image.effect_noise((100, 100), 60).save(noisy, "PNG")
    facts = images.facts(put(tmp_path, noisy.getvalue()[:cut]))
    assert (facts["malformed"], facts["decoded"]) == (True, False)


def test_other_formats_are_not_opened(images: Images, tmp_path: Path) -> None:
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n"
    assert sniff(script) not in IMAGE_TYPES
    assert images.facts(put(tmp_path, script))["malformed"] is True
    assert sniff(b"<svg xmlns='http://www.w3.org/2000/svg'/>") not in IMAGE_TYPES


def test_too_little_memory_is_a_fact(tmp_path: Path) -> None:
    pool = Images(ImageLimits(memory=400 * 1024**2, pixels=10**9))
    try:
        wide = png(20_000, 20_000, bytes(1_000_000))
        facts = pool.facts(put(tmp_path, wide))
        assert (facts["malformed"], facts["decoded"]) == (True, False)
        assert pool.facts(put(tmp_path, encoded("PNG")))["decoded"] is True
    finally:
        pool.close()


def test_a_worker_that_hangs_is_ended_and_the_next_image_gets_a_new_one(tmp_path: Path) -> None:
    pool = Images(ImageLimits(seconds=5, workers=1))
    try:
        slow = tmp_path / "slow"
        os.mkfifo(slow)  # opening it never returns
        facts = pool.facts(slow)
        assert (facts["malformed"], "takes more than" in facts["problem"]) == (True, True)
        assert pool.facts(put(tmp_path, encoded("PNG")))["decoded"] is True
    finally:
        pool.close()


def test_a_worker_that_was_killed_is_replaced_and_a_living_one_used_again(tmp_path: Path) -> None:
    pool = Images(ImageLimits(workers=1))
    try:
        pool.facts(put(tmp_path, encoded("PNG", (10, 10))))
        first = pool._idle.queue[0]
        assert first is not None
        pool.facts(put(tmp_path, encoded("PNG", (11, 11))))
        assert pool._idle.queue[0] is first
        os.kill(first._process.pid, signal.SIGKILL)
        first._process.wait()
        assert pool.facts(put(tmp_path, encoded("PNG", (12, 12))))["width"] == 12
    finally:
        pool.close()


def test_a_worker_sees_nothing_of_our_environment(images: Images, tmp_path: Path) -> None:
    images.facts(put(tmp_path, encoded("PNG", (9, 9))))
    worker = images._idle.queue[-1]
    assert worker is not None
    environment = Path(f"/proc/{worker._process.pid}/environ").read_bytes().split(b"\0")
    assert {one.split(b"=")[0] for one in environment if one} <= {b"PATH", b"LANG", b"LD_LIBRARY_PATH"}


def test_many_threads_share_few_workers(images: Images, tmp_path: Path) -> None:
    files = []
    for number in range(12):
        file = tmp_path / f"{number}"
        file.write_bytes(encoded("PNG", (10 + number, 5)))
        files.append(file)
    with ThreadPoolExecutor(6) as threads:
        widths = list(threads.map(lambda file: images.facts(file)["width"], files))
    assert widths == [10 + number for number in range(12)]


def test_an_image_that_was_just_seen_is_not_opened_again(images: Images, tmp_path: Path) -> None:
    file = put(tmp_path, encoded("PNG", (77, 5)))
    assert images.facts(file) is images.facts(file)
