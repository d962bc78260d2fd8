"""Half-width kana as banks take them (JIS X 0201), from any kana.

Banks know capital kana, A-Z, 0-9, space and ``( ) - . , / \\ ｢ ｣`` only: small kana become large ones, ヲ becomes ｵ,
the long vowel sign a hyphen, the middle dot a full stop. A voiced kana is two characters. Kanji cannot be converted: a
name is stored in kana, as the account's holder is known to the bank.
"""

from __future__ import annotations

import unicodedata

_SMALL = str.maketrans("ァィゥェォッャュョヮヵヶヲヰヱ", "アイウエオツヤユヨワカケオイエ")
_SIGNS = {
    "ー": "-", "‐": "-", "‑": "-", "–": "-", "—": "-", "―": "-", "−": "-", "・": ".", "。": ".", "、": ",",
    "「": "｢", "」": "｣", "¥": "\\", "\u3099": "ﾞ", "\u309a": "ﾟ",
}  # fmt: skip
_HALF = {unicodedata.normalize("NFKC", chr(code)): chr(code) for code in range(0xFF71, 0xFF9E)}
PERMITTED = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ ()-.,/\\｢｣ﾞﾟ") | frozenset(_HALF.values())


def to_bank_kana(text: str) -> str:
    """One character a byte. ValueError names the character that no bank takes; the text is never shortened."""
    plain = unicodedata.normalize("NFKC", text.replace("゛", "\u3099").replace("゜", "\u309a"))
    out = []
    for char in unicodedata.normalize("NFD", plain).upper():
        kana = chr(ord(char) + 0x60) if "ぁ" <= char <= "ゖ" else char
        kana = kana.translate(_SMALL)
        half = _HALF.get(kana) or _SIGNS.get(kana, kana)
        if half not in PERMITTED:
            raise ValueError(f"{char!r} (U+{ord(char):04X}) in {text!r} is no kana, capital letter or digit")
        out.append(half)
    return "".join(out)
