"""A process of its own that opens images: what it does to memory, and what a decoder does to it, stays in there.

Reads one JSON line for each image (``{"path": ...}``) and answers with one; ends when its input does. Started by
``_images.py`` with limits as its only argument.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import warnings
from pathlib import Path
from typing import Any

from PIL import Image

# Formats that are decoded; no EPS and no other that runs programs or is seldom seen (RESILIENCE 23).
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "AVIF")
_GPS = 0x8825


def main(argv: list[str]) -> None:
    """``argv[0]`` is JSON: memory (bytes), pixels, frames."""
    limits = json.loads(argv[0])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    memory = limits["memory"] if hard == resource.RLIM_INFINITY else min(limits["memory"], hard)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    os.nice(10)
    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = None  # our own limit is looked at before anything is decoded
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        facts = look(Path(json.loads(line)["path"]), limits["pixels"], limits["frames"])
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()


def look(file: Path, max_pixels: int, max_frames: int) -> dict[str, Any]:
    """The facts of an image. ``problem`` says why it was not, or could not be, decoded."""
    facts: dict[str, Any] = {"malformed": False, "decoded": False, "problem": ""}
    try:
        with Image.open(file, formats=FORMATS) as image:
            facts |= {
                "format": str(image.format),
                "width": image.width,
                "height": image.height,
                "pixels": image.width * image.height,
                "mode": str(image.mode),
            }
            if facts["pixels"] > max_pixels:
                facts["problem"] = f"more than {max_pixels} pixels: not decoded"
                return facts
            facts["frames"] = _frames(image, max_frames)
            facts["gps"] = _has_gps(image)
            image.seek(0)
            image.load()
            facts["decoded"] = True
    except MemoryError:
        facts |= {"malformed": True, "problem": "needs too much memory"}
    except Exception as error:  # decoders raise whatever they like about what is not theirs
        facts |= {"malformed": True, "problem": f"cannot be decoded: {type(error).__name__}"}
    return facts


def _frames(image: Image.Image, limit: int) -> int:
    """The number of frames, counting no further than one beyond the limit."""
    number = 0
    try:
        while number <= limit:
            image.seek(number)
            number += 1
    except EOFError:
        pass
    return number


def _has_gps(image: Image.Image) -> bool:
    try:
        return bool(image.getexif().get_ifd(_GPS))
    except Exception:  # metadata may be broken where the image is not
        return False
