"""The four records of a bank debit file (全銀協規定形式, 預金口座振替): 120 bytes each, one byte a character.

Field lists as banks publish them (for example 北國銀行 and 宮崎銀行, «口座振替 全銀形式»): N is digits, right-aligned
behind zeros; C is half-width text, left-aligned before spaces. Nothing else is known about a field here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.domain.collecting import FileRejected

LENGTH = 120
CRLF = b"\r\n"
_END_OF_FILE = b"\x1a"


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    length: int
    numeric: bool = False


def _n(name: str, length: int) -> Field:
    return Field(name, length, True)


def _c(name: str, length: int) -> Field:
    return Field(name, length)


HEADER = (
    _n("kind", 1), _n("type", 2), _n("charset", 1), _n("client_code", 10), _c("client_name", 40), _n("day", 4),
    _n("bank_code", 4), _c("bank_name", 15), _n("branch_code", 3), _c("branch_name", 15), _n("account_kind", 1),
    _n("account_number", 7), _c("spare", 17),
)  # fmt: skip
DATA = (
    _n("kind", 1), _n("bank_code", 4), _c("bank_name", 15), _n("branch_code", 3), _c("branch_name", 15),
    _c("spare", 4), _n("account_kind", 1), _n("account_number", 7), _c("holder", 30), _n("amount", 10),
    _n("new_code", 1), _c("customer_number", 20), _n("result", 1), _c("spare2", 8),
)  # fmt: skip
TRAILER = (
    _n("kind", 1), _n("count", 6), _n("amount", 12), _n("paid_count", 6), _n("paid_amount", 12),
    _n("failed_count", 6), _n("failed_amount", 12), _c("spare", 65),
)  # fmt: skip
END = (_n("kind", 1), _c("spare", 119))
LAYOUTS = {"1": HEADER, "2": DATA, "8": TRAILER, "9": END}


def build(layout: tuple[Field, ...], values: Mapping[str, str | int]) -> bytes:
    """A record of 120 bytes; a field without value is zeros or spaces. ValueError names what does not fit."""
    parts = []
    for field in layout:
        text = str(values.get(field.name, ""))
        if len(text) > field.length:
            raise ValueError(f"{field.name}: {text!r} is longer than {field.length} characters")
        if field.numeric:
            if text and not (text.isascii() and text.isdecimal()):
                raise ValueError(f"{field.name}: {text!r} is not only digits")
            parts.append(text.rjust(field.length, "0"))
        else:
            parts.append(text.ljust(field.length))
    return "".join(parts).encode("shift_jis")


def split(content: bytes) -> list[bytes]:
    """The records of a file, with CRLF after each or with nothing between them, as banks write them; an end-of-file
    sign after the last one is let pass. FileRejected."""
    if content.endswith(_END_OF_FILE):
        content = content[: -len(_END_OF_FILE)]
    if not content:
        raise FileRejected(0, "the file is empty")
    step = LENGTH + len(CRLF) if CRLF in content else LENGTH
    if step == LENGTH and (b"\n" in content or b"\r" in content):
        raise FileRejected(1, "the record does not end with CRLF or with the next record")
    if step != LENGTH and not content.endswith(CRLF):
        content += CRLF
    records = []
    for line, start in enumerate(range(0, len(content), step), 1):
        record = content[start : start + step]
        if step != LENGTH:
            if not record.endswith(CRLF):
                raise FileRejected(line, f"the record is not {LENGTH} bytes and CRLF")
            record = record[:LENGTH]
        if len(record) != LENGTH:
            raise FileRejected(line, f"a record of {len(record)} bytes instead of {LENGTH}")
        records.append(record)
    return records


def parse(record: bytes, line: int) -> dict[str, str]:
    """The fields of a record, without their filling spaces, by the layout of its first byte. FileRejected."""
    for place, byte in enumerate(record, 1):
        if not (0x20 <= byte <= 0x7E or 0xA1 <= byte <= 0xDF):
            raise FileRejected(line, f"byte {byte:#04x} at place {place} is no character of JIS X 0201")
    text = record.decode("shift_jis")
    layout = LAYOUTS.get(text[0])
    if layout is None:
        raise FileRejected(line, f"there is no record of kind {text[0]!r}; there are 1, 2, 8, 9")
    values, place = {}, 0
    for field in layout:
        values[field.name] = text[place : place + field.length].rstrip(" ")
        place += field.length
    return values


def number(values: Mapping[str, str], name: str, line: int) -> int:
    """A field of digits as number. FileRejected."""
    text = values[name]
    if not (text.isascii() and text.isdecimal()):
        raise FileRejected(line, f"{name}: {text!r} is not only digits")
    return int(text)
