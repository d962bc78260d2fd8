"""Types by content: a short table of signatures, enough to tell what a file is from what its name says.

Taken from the formats' own specifications; order matters only where one signature contains another. A file that no
line knows is ``text/plain`` when its head is UTF-8 text without control characters, and otherwise
``application/octet-stream``: unknown, not wrong.
"""

from __future__ import annotations

import re

HEAD = 4096

# (offset, bytes, type)
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (0, b"II+\x00", "image/tiff"),
    (0, b"MM\x00+", "image/tiff"),
    (0, b"BM", "image/bmp"),
    (0, b"8BPS", "image/vnd.adobe.photoshop"),
    (0, b"\x00\x00\x01\x00", "image/x-icon"),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", "image/jp2"),
    (0, b"\xff\x0a", "image/jxl"),
    (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n", "image/jxl"),
    (0, b"v/1\x01", "image/x-exr"),
    (0, b"%!PS", "application/postscript"),
    (0, b"\xc5\xd0\xd3\xc6", "application/postscript"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"PK\x05\x06", "application/zip"),
    (0, b"PK\x07\x08", "application/zip"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\x00", "application/x-xz"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (0, b"MSCF", "application/vnd.ms-cab-compressed"),
    (257, b"ustar", "application/x-tar"),
    (0, b"\x7fELF", "application/x-elf"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (0, b"\xca\xfe\xba\xbe", "application/x-mach-binary"),
    (0, b"\xcf\xfa\xed\xfe", "application/x-mach-binary"),
    (0, b"OggS", "application/ogg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"MThd", "audio/midi"),
    (0, b"\x1aE\xdf\xa3", "video/x-matroska"),
    (0, b"wOFF", "font/woff"),
    (0, b"wOF2", "font/woff2"),
    (0, b"OTTO", "font/otf"),
    (0, b"SQLite format 3\x00", "application/vnd.sqlite3"),
    (0, b"{\\rtf", "application/rtf"),
    (0, b"L\x00\x00\x00\x01\x14\x02\x00", "application/x-ms-shortcut"),
)
_BY_FIRST: dict[int, list[tuple[bytes, str]]] = {}
"""Those at the very beginning, by their first byte: most files have none of them."""
for _offset, _signature, _type in _SIGNATURES:
    if not _offset:
        _BY_FIRST.setdefault(_signature[0], []).append((_signature, _type))
_LATER = [one for one in _SIGNATURES if one[0]]
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_FTYP = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"msf1": "image/heif",
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
}
_SVG = re.compile(rb"<svg[\s>]", re.IGNORECASE)
_HTML = re.compile(
    rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body|script|iframe)\b", re.IGNORECASE | re.DOTALL
)
_OFFICE = (
    (b"word/", "wordprocessingml.document"),
    (b"xl/", "spreadsheetml.sheet"),
    (b"ppt/", "presentationml.presentation"),
)
OCTETS = "application/octet-stream"
_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
"""What no text holds: all below the blank but tab, line ends, form feed and escape."""


def sniff(head: bytes) -> str:
    """The media type that the first ``HEAD`` bytes (fewer if the file is shorter) speak of."""
    if head[:2] == b"MZ" and b"\x00" in head[:64]:  # a DOS head of 64 bytes is never without zeros, a text always
        return "application/vnd.microsoft.portable-executable"
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], OCTETS)
    if head[4:8] == b"ftyp":
        return _FTYP.get(head[8:12], "video/mp4")
    for signature, media_type in _BY_FIRST.get(head[0], ()) if head else ():
        if head.startswith(signature):
            return _inside_zip(head) if media_type == "application/zip" else media_type
    for offset, signature, media_type in _LATER:
        if head.startswith(signature, offset):
            return media_type
    return _text_type(head)


def _inside_zip(head: bytes) -> str:
    """Formats that are zips: OpenDocument and EPUB name their type in the first member, OOXML by its folders."""
    if head[26:28] == b"\x08\x00" and head[30:38] == b"mimetype":
        stored = re.match(rb"[\w.+/-]+", head[38:138])
        if stored:
            return re.split(r"PK|META", stored[0].decode())[0]
    if b"[Content_Types].xml" in head:
        for folder, name in _OFFICE:
            if folder in head:
                return f"application/vnd.openxmlformats-officedocument.{name}"
    return "application/zip"


def _text_type(head: bytes) -> str:
    if _CONTROLS.search(head):
        return OCTETS
    try:
        text = head.decode("utf-8-sig", errors="strict" if len(head) < HEAD else "ignore")
    except UnicodeDecodeError:
        return OCTETS
    if _HTML.match(head.removeprefix(b"\xef\xbb\xbf")):
        return "text/html"
    if _SVG.search(head):
        return "image/svg+xml"
    if text.lstrip().startswith("<?xml"):
        return "application/xml"
    if text.startswith("#!"):
        return "text/x-script"
    return "text/plain"
