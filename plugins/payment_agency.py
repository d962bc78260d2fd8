"""Claims handed over to the payment agency, and its results (RULES PAY-01, CUS-03; §6③, §20(2)④, §27(5)).

The file has what the agency needs to bill a customer and nothing else of the application or the tenant: the columns
are fixed here, not by a setting. Setting: ``encoding``, ``utf-8`` (default) or ``cp932``, for both files.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Any, TypeVar

from gateway.domain.collecting import CannotExport, Claim, ClaimResult, ClaimState, Collects, FileRejected
from gateway.domain.contract.privacy import may_disclose
from gateway.domain.fields import Fields, one_of
from gateway.hooks import Exporter, PluginContext, hookimpl
from plugins._collecting import CollectionExporter, wanted

FORMAT = "payment_agency"
GROUND = "payment_agency_billing"
COLUMNS = (
    "invoice", "customer_number", "customer_name", "contact", "postal_code", "address", "phone", "email", "dated",
    "due", "net", "tax", "total",
)  # fmt: skip
"""All that §20(2)④ allows: what billing needs."""

RESULT_COLUMNS = ("invoice", "result", "date", "amount", "reason")
ENCODINGS = ("utf-8", "cp932")
T = TypeVar("T")


def create(context: PluginContext) -> object:
    """The entry point."""
    fields = Fields(context.settings)
    encoding = fields.take("encoding", one_of(*ENCODINGS), "utf-8")
    fields.done()
    return PaymentAgency(encoding)


class PaymentAgency:
    def __init__(self, encoding: str) -> None:
        self._encoding = encoding

    @hookimpl
    def register_exporters(self) -> Iterable[Exporter]:
        return [
            CollectionExporter(
                FORMAT,
                lambda claims: render(wanted(claims, tuple, FORMAT), self._encoding),
                lambda content, claims: read_results(content, claims, self._encoding),
                Collects.CLAIMS,
            )
        ]


def render(claims: Sequence[Claim], encoding: str = "utf-8") -> bytes:
    """The hand-over file: a header and one claim a line, CRLF (RFC 4180). CannotExport; then there is no file."""
    if not may_disclose("customer_info", GROUND):
        raise CannotExport("customer data may not go to the payment agency", clause="§20(2)④")
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    seen: set[str] = set()
    for claim in claims:
        if not isinstance(claim, Claim):
            raise CannotExport(f"{FORMAT} is no format for usage: it hands over claims")
        if claim.invoice in seen:
            raise CannotExport(f"{claim.invoice} stands twice: a claim is assigned once (PAY-01)")
        seen.add(claim.invoice)
        _check(claim)
        writer.writerow([_cell(claim, name, encoding) for name in COLUMNS])
    return out.getvalue().encode(encoding)


def _check(claim: Claim) -> None:
    if claim.net + claim.tax != claim.total:
        raise CannotExport(f"{claim.invoice}: {claim.net} and {claim.tax} do not make {claim.total}")
    if claim.total <= 0:
        raise CannotExport(f"{claim.invoice}: {claim.total} yen is no claim")


def _cell(claim: Claim, name: str, encoding: str) -> str:
    """A value as text of one line. An address may have several: they are joined by spaces."""
    text = " ".join(str(getattr(claim, name)).split())
    if not text.isprintable():
        raise CannotExport(f"{claim.invoice}: {name} has control characters")
    try:
        text.encode(encoding)
    except UnicodeEncodeError as error:
        raise CannotExport(f"{claim.invoice}: {name}: {text[error.start]!r} is not in {encoding}") from None
    return text


# -- the result -------------------------------------------------------------------------------------------------------


def read_results(content: bytes, claims: Sequence[Claim], encoding: str = "utf-8") -> Sequence[ClaimResult]:
    """What became of assigned claims; those that are not in the file are still open. FileRejected as a whole.

    Columns ``invoice,result,date,amount,reason``: result ``settled`` or ``returned`` (then with a reason), date the JST
    day, amount the whole claim.
    """
    try:
        text = content.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FileRejected(line, f"the file is not {encoding}") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    open_claims = {claim.invoice: claim for claim in claims}
    results: list[ClaimResult] = []
    try:
        if tuple(next(reader, ())) != RESULT_COLUMNS:
            raise FileRejected(1, f"the first line is not {','.join(RESULT_COLUMNS)}")
        results += [_result(row, reader.line_num, open_claims) for row in reader]
    except csv.Error as error:
        raise FileRejected(reader.line_num, f"no CSV: {error}") from None
    if not results:
        raise FileRejected(0, "the file has no result")
    return results


def _result(row: Sequence[str], line: int, open_claims: dict[str, Claim]) -> ClaimResult:
    if len(row) != len(RESULT_COLUMNS):
        raise FileRejected(line, f"{len(row)} columns instead of {len(RESULT_COLUMNS)}")
    invoice, result, on, amount, reason = row
    claim = open_claims.pop(invoice, None)
    if claim is None:
        raise FileRejected(line, f"{invoice!r} is no assigned claim, or has a result already")
    if amount != str(claim.total):
        raise FileRejected(line, f"{invoice}: {amount!r} yen, the claim is {claim.total}")
    state = _parsed(ClaimState, result, line, f"{invoice}: the result is settled or returned, not {result!r}")
    day = _parsed(date.fromisoformat, on, line, f"{invoice}: {on!r} is no day like 2027-05-31")
    if state is ClaimState.RETURNED and not reason.strip():
        raise FileRejected(line, f"{invoice}: it was returned without a reason")
    return ClaimResult(claim, state, day, reason.strip())


def _parsed(parse: Callable[[str], T], value: Any, line: int, problem: str) -> T:
    try:
        return parse(value)
    except ValueError:
        raise FileRejected(line, problem) from None
