"""Media types by a fixed table of extensions, and how a browser may treat them.

The type is never sniffed and never the client's word (RESILIENCE 22): a file that calls itself an image is sent as one
only because its name says so, with ``nosniff`` beside it. What could run as a page in our origin is sent as a download
under a sandbox.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from urllib.parse import quote

UNKNOWN = "application/octet-stream"

_BY_TYPE = {
    "image/png": "png",
    "image/jpeg": "jpg jpeg jpe jfif",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/avif": "avif",
    "image/heic": "heic heif",
    "image/bmp": "bmp dib",
    "image/tiff": "tif tiff",
    "image/vnd.adobe.photoshop": "psd psb",
    "image/x-icon": "ico",
    "image/svg+xml": "svg svgz",
    "image/jxl": "jxl",
    "image/x-exr": "exr",
    "image/x-canon-cr2": "cr2",
    "image/x-adobe-dng": "dng",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/ogg": "ogg oga opus",
    "audio/flac": "flac",
    "audio/wav": "wav",
    "audio/aac": "aac",
    "audio/aiff": "aif aiff",
    "video/mp4": "mp4 m4v",
    "video/quicktime": "mov qt",
    "video/webm": "webm",
    "video/x-matroska": "mkv",
    "video/x-msvideo": "avi",
    "video/mpeg": "mpg mpeg",
    "video/ogg": "ogv",
    "video/mp2t": "ts mts m2ts",
    "text/plain": "txt text log",
    "text/markdown": "md markdown",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "text/calendar": "ics",
    "text/vcard": "vcf",
    "text/css": "css",
    "text/html": "html htm",
    "text/javascript": "js mjs",
    "application/xhtml+xml": "xhtml xht",
    "application/xml": "xml xsl xslt",
    "application/json": "json",
    "application/yaml": "yaml yml",
    "application/pdf": "pdf",
    "application/postscript": "ps eps ai",
    "application/rtf": "rtf",
    "application/epub+zip": "epub",
    "application/zip": "zip",
    "application/gzip": "gz tgz",
    "application/x-bzip2": "bz2",
    "application/x-xz": "xz",
    "application/zstd": "zst",
    "application/x-7z-compressed": "7z",
    "application/vnd.rar": "rar",
    "application/x-tar": "tar",
    "application/msword": "doc dot",
    "application/vnd.ms-excel": "xls",
    "application/vnd.ms-powerpoint": "ppt",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/x-indesign": "indd",
    "font/ttf": "ttf",
    "font/otf": "otf",
    "font/woff": "woff",
    "font/woff2": "woff2",
    "application/wasm": "wasm",
}
_TYPES = {extension: kind for kind, extensions in _BY_TYPE.items() for extension in extensions.split()}

_SHOWN = ("image/", "audio/", "video/")
_SHOWN_ALSO = ("text/plain", "text/csv", "text/markdown", "application/json", "application/pdf")
_NEVER_SHOWN = ("image/svg+xml",)

_CHARSET = {"text/plain": "utf-8", "text/csv": "utf-8", "text/markdown": "utf-8"}


def media_type(name: str) -> str:
    """The media type of a file by its name."""
    _, dot, extension = name.rpartition(".")
    return _TYPES.get(extension.lower(), UNKNOWN) if dot else UNKNOWN


@lru_cache(maxsize=4096)
def presentation(name: str) -> Mapping[str, str]:
    """Content-Type and the fields that keep a browser from running what is in the file."""
    kind = media_type(name)
    charset = _CHARSET.get(kind)
    headers = {"Content-Type": f"{kind}; charset={charset}" if charset else kind}
    shown = kind.startswith(_SHOWN) or kind in _SHOWN_ALSO
    if not shown or kind in _NEVER_SHOWN:
        headers["Content-Disposition"] = disposition(name)
        headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return MappingProxyType(headers)


def disposition(name: str) -> str:
    """``attachment`` with the file's name (RFC 6266, RFC 8187)."""
    plain = "".join(one if one.isascii() and one.isprintable() and one not in '"\\%;' else "_" for one in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
