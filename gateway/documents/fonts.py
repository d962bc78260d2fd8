"""The fonts that documents are set in: Noto Sans CJK JP, embedded and cut down to the glyphs used.

They come as the packages noto-cjk-sans-jp-regular and -bold, so that a clone needs nothing of the system; where an
operator leaves these out, Debian's fonts-noto-cjk is the same design. Characters outside a font are an error, never
empty boxes on an invoice (see ``pdf.py``).
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

from gateway.domain.errors import KuradoError

_DEBIAN = Path("/usr/share/fonts/opentype/noto")
_DEBIAN_FACE = 0
"""The Japanese face in Debian's collections."""


class FontsMissing(KuradoError):
    """No font for Japanese is there; the message says what to install."""

    code = "fonts-missing"


@dataclass(frozen=True, slots=True)
class Fonts:
    """Two files of one family; ``face`` is the number of the face inside collections."""

    regular: Path
    bold: Path
    face: int = 0


def find_fonts(system: Path = _DEBIAN, packages: str = "noto_cjk_sans_jp_") -> Fonts:
    """The packages' fonts, else the system's. FontsMissing."""
    found = [_packaged(f"{packages}{weight}") for weight in ("regular", "bold")]
    if found[0] and found[1]:
        return Fonts(found[0], found[1])
    regular, bold = (system / f"NotoSansCJK-{weight}.ttc" for weight in ("Regular", "Bold"))
    if regular.is_file() and bold.is_file():
        return Fonts(regular, bold, _DEBIAN_FACE)
    raise FontsMissing(
        "there is no font for Japanese invoices: install the Python packages noto-cjk-sans-jp-regular and "
        "noto-cjk-sans-jp-bold, or the Debian package fonts-noto-cjk"
    )


def _packaged(module: str) -> Path | None:
    try:
        path = Path(str(importlib.import_module(module).FONT_PATH))
    except (ImportError, AttributeError):
        return None
    return path if path.is_file() else None
