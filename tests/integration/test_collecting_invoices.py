"""Invoices collected by bank debit and through the payment agency: files out, results back, whole or not at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.acts import Act
from gateway.domain.collecting import AccountKind, BankAccount, CannotExport, FileRejected
from gateway.domain.errors import ActRefused, NotFound
from gateway.service.billing.collecting import Sent
from gateway.testing.contracts import ANN, ISSUER, begin, on, paper
from gateway.testing.space import Clock, Space, open_space

START = date(2027, 4, 5)
JUNE = date(2027, 5, 21)
DEBIT_DAY = date(2027, 5, 27)
ZENGIN = {
    "name": "zengin",
    "client_code": "12345",
    "client_name": "カ)クラドストレージ",
    "bank_code": "0184",
    "branch_code": "001",
    "account_number": "7654321",
}
ACCOUNT = BankAccount("0184", "ミヤザキ", "002", "ホンテン", AccountKind.ORDINARY, "1234567")


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    plugins: list[Any] = ["quota", "contract_state", "payment_agency", ZENGIN]
    with open_space(tmp_path, plugins=plugins, clock=Clock()) as opened:
        opened.services.policies.apply("issuer", ISSUER, "ann")
        yield opened


def debtors(space: Space, *names: str, method: str = "bank_debit") -> None:
    """Contracts with two invoices of 33,000 each, on 21 May."""
    for name in names:
        begin(space, name, START, method=method)
        if method == "bank_debit":
            space.services.billing.accounts.set(name, ANN, paper(space), ACCOUNT, "アトリエタカハシ")
    on(space, JUNE)
    list(space.services.billing.closing.close(date(2027, 4, 21), ANN))


def order(space: Space, day: date = DEBIT_DAY) -> Sent:
    return space.services.billing.collecting.collect("zengin", ANN, on=day)


def states(space: Space) -> list[str]:
    today = space.services.billing.invoices.today()
    return [one.state(today) for one in space.services.billing.invoices.all()]


# -- an independent reading of 全銀 口座振替, by byte places --------------------------------------------------------


def records(content: bytes) -> list[bytes]:
    found = content.split(b"\r\n")
    assert found.pop() == b""
    assert all(len(one) == 120 for one in found)
    return found


def answered(content: bytes, failed: dict[bytes, bytes] | None = None) -> bytes:
    """What a bank sends back: the same records with result codes, and its sums in the trailer."""
    failed = failed or {}
    header, *debits, trailer, end = records(content)
    done, sums = [], {True: [0, 0], False: [0, 0]}
    for debit in debits:
        code = failed.get(debit[91:111].strip(), b"0")
        done.append(debit[:111] + code + debit[112:])
        sums[code == b"0"][0] += 1
        sums[code == b"0"][1] += int(debit[80:90])
    figures = b"".join(b"%06d%012d" % tuple(sums[paid]) for paid in (True, False))
    lines = [header, *done, trailer[:19] + figures + trailer[55:], end]
    return b"".join(one + b"\r\n" for one in lines)


# -- bank debit -------------------------------------------------------------------------------------------------------


def test_a_debit_order_has_one_debit_a_customer_for_all_that_is_open_and_due(space: Space) -> None:
    debtors(space, "acme", "beta")
    sent = order(space)
    header, acme, beta, trailer, end = records(sent.content)
    assert header[:4] == b"1910"
    assert header[54:58] == b"0527"
    assert (acme[:1], acme[1:5], acme[42:43], acme[43:50]) == (b"2", b"0184", b"1", b"1234567")
    assert [int(one[80:90]) for one in (acme, beta)] == [66_000, 66_000]
    assert acme[90:91] == b"1"  # the first debit of this customer
    assert acme[91:111].strip() == b"C" + b"%06d" % int(acme[92:98])
    assert (trailer[:1], int(trailer[1:7]), int(trailer[7:19]), end[:1]) == (b"8", 2, 132_000, b"9")
    with pytest.raises(CannotExport, match="nothing to collect"):
        order(space)
    assert space.services.billing.collecting.again(sent.order.id).content == sent.content


def test_results_mark_invoices_paid_and_failed_and_a_second_reading_changes_nothing(space: Space) -> None:
    debtors(space, "acme", "beta")
    sent = order(space)
    beta = sent.order.parts[1].customer_number.encode()
    result = answered(sent.content, {beta: b"1"})
    collecting = space.services.billing.collecting
    with pytest.raises(FileRejected, match="lies in the future"):
        collecting.import_results("zengin", result, ANN)
    on(space, DEBIT_DAY, hour=18)
    done = collecting.import_results("zengin", result, ANN)
    assert dict(done.results)["KRD-000003"] == "failed, 1 insufficient funds"
    assert states(space) == ["paid", "paid", "issued", "issued"]
    assert [(one.on, one.code) for one in space.services.billing.invoices.get("KRD-000003").failures] == [
        (DEBIT_DAY, "1")
    ]
    before = space.services.audit.verify()[0]
    assert collecting.import_results("zengin", result, ANN).already
    assert space.services.audit.verify()[0] == before
    again = order(space, date(2027, 6, 1))  # what failed is collected again; it is no first debit any more
    assert [int(one[80:90]) for one in records(again.content)[1:-2]] == [66_000]
    assert records(again.content)[1][90:91] == b"0"


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda file: file.replace(b"000000132000", b"000000132001", 1), 4),
        (lambda file: file[:-122], 3),
        (lambda file: file[:122] + file[244:], 3),
        (lambda file: file.replace(b"0000066000", b"0000065999", 1), 2),
        (lambda file: b"nonsense", 1),
    ],
)
def test_a_result_file_with_any_fault_is_rejected_whole(space: Space, spoil: Any, line: int) -> None:
    debtors(space, "acme", "beta")
    sent = order(space)
    on(space, DEBIT_DAY, hour=18)
    before = space.services.audit.verify()[0]
    with pytest.raises(FileRejected, check=lambda error: error.line == line):
        space.services.billing.collecting.import_results("zengin", spoil(answered(sent.content)), ANN)
    assert space.services.audit.verify()[0] == before
    assert states(space) == ["issued"] * 4


def test_a_file_is_read_against_the_order_that_it_answers(space: Space) -> None:
    debtors(space, "acme")
    first = order(space)
    begin(space, "late", date(2027, 5, 22), method="bank_debit")
    space.services.billing.accounts.set("late", ANN, paper(space), ACCOUNT, "ヤマダ")
    list(space.services.billing.closing.issue(None, ANN, "late"))
    second = order(space)
    on(space, DEBIT_DAY, hour=18)
    collecting = space.services.billing.collecting
    assert collecting.import_results("zengin", answered(second.content), ANN).orders == (second.order.id,)
    with pytest.raises(FileRejected):
        collecting.import_results("zengin", answered(first.content), ANN, second.order.id)
    assert collecting.import_results("zengin", answered(first.content), ANN).orders == (first.order.id,)
    with pytest.raises(FileRejected, match="no order waits"):
        collecting.import_results("zengin", answered(first.content) + b"\x1a", ANN)


def test_what_is_in_a_debit_order_is_not_collected_in_another_way(space: Space) -> None:
    debtors(space, "acme")
    order(space)
    invoices = space.services.billing.invoices
    under_way: Any = pytest.raises(ActRefused, check=lambda error: error.clause == "FEE-07")
    with under_way:
        invoices.pay("KRD-000001", ANN, on=JUNE, method="transfer")
    with under_way:
        invoices.assign("KRD-000001", ANN)
    assert invoices.give_back("KRD-000001", ANN, on=JUNE, code="4").failures[0].code == "4"
    assert invoices.pay("KRD-000001", ANN, on=JUNE, method="transfer").state(JUNE) == "paid"


def test_a_debit_that_the_bank_takes_back_is_open_again(space: Space) -> None:
    debtors(space, "acme")
    sent = order(space)
    on(space, DEBIT_DAY, hour=18)
    space.services.billing.collecting.import_results("zengin", answered(sent.content), ANN)
    invoices = space.services.billing.invoices
    with pytest.raises(ActRefused):
        invoices.give_back("KRD-000001", ANN, on=DEBIT_DAY)
    one = invoices.give_back("KRD-000001", ANN, on=DEBIT_DAY, code="3")
    assert (one.open, one.state(DEBIT_DAY), one.is_overdue(DEBIT_DAY)) == (33_000, "issued", True)


def test_nothing_is_debited_before_it_is_due(space: Space) -> None:
    debtors(space, "acme")
    on(space, date(2027, 6, 15))
    list(space.services.billing.closing.issue(date(2027, 6, 21), ANN))
    assert list(order(space, date(2027, 6, 20)).order.parts[0].invoices) == [f"KRD-{n:06d}" for n in (1, 2, 3)]


def test_a_customer_without_an_account_is_left_out_and_named(space: Space) -> None:
    debtors(space, "acme")
    begin(space, "bare", date(2027, 5, 22), method="bank_debit")
    list(space.services.billing.closing.issue(None, ANN, "bare"))
    sent = order(space)
    assert [name for name, _ in sent.left_out] == ["bare"]
    assert [part.contract for part in sent.order.parts] == ["acme"]


def test_an_account_that_was_changed_is_told_to_the_bank_and_one_that_was_removed_is_gone(space: Space) -> None:
    debtors(space, "acme")
    sent = order(space)
    on(space, DEBIT_DAY, hour=18)
    accounts, collecting = space.services.billing.accounts, space.services.billing.collecting
    collecting.import_results("zengin", answered(sent.content), ANN)
    other = BankAccount("0184", "", "003", "", AccountKind.CURRENT, "42")
    accounts.set("acme", ANN, paper(space), other, "アトリエタカハシ")
    on(space, date(2027, 6, 21))
    list(space.services.billing.closing.close(JUNE, ANN))
    assert records(order(space, date(2027, 6, 28)).content)[1][90:91] == b"2"
    accounts.remove("acme", ANN)
    assert accounts.get("acme") is None
    assert "1234567" not in str([act.data for act in space.services.audit.acts() if not _is_invoice(act)])
    document, intact = space.services.billing.invoices.document("KRD-000001")
    assert (intact, document.customer.name) == (True, "株式会社アトリエ髙橋")


def test_an_account_goes_with_the_data_of_an_ended_contract_once_nothing_is_owed(space: Space) -> None:
    debtors(space, "acme", "beta")
    accounts, contracts = space.services.billing.accounts, space.services.contracts
    on(space, date(2027, 5, 25))
    for name in ("acme", "beta"):
        contracts.powers.terminate(
            name, ANN, ground="17(1)5", arrived_at=space.clock.now, found_on=date(2027, 5, 25), reason="insolvent"
        )
    list(space.services.billing.closing.issue(None, ANN))
    invoices = space.services.billing.invoices
    for one in invoices.all("acme"):
        invoices.pay(one.number, ANN, on=date(2027, 5, 25), method="transfer")
    on(space, date(2027, 8, 23))
    while contracts.upkeep.run():
        pass
    assert not accounts.erase_due()  # the retention of the data is not over
    on(space, date(2027, 8, 24))
    while contracts.upkeep.run():
        pass
    assert accounts.erase_due()
    assert (accounts.get("acme"), accounts.get("beta") is None) == (None, False)  # beta still owes
    assert contracts.book.history("acme")[-1].rule == "CUS-02"
    for one in invoices.all("beta"):
        invoices.pay(one.number, ANN, on=date(2027, 8, 24), method="transfer")
    assert accounts.erase_due()
    assert accounts.get("beta") is None
    assert not accounts.erase_due()


def _is_invoice(act: Act) -> bool:
    """The issuer's own sample account stands on invoices."""
    return act.kind == "invoice.issued"


# -- the payment agency -----------------------------------------------------------------------------------------------


def test_assigned_claims_are_handed_over_once_with_what_billing_needs(space: Space) -> None:
    debtors(space, "acme", "beta", method="invoice")
    invoices, collecting = space.services.billing.invoices, space.services.billing.collecting
    with pytest.raises(CannotExport):
        collecting.collect("payment_agency", ANN)
    invoices.assign("KRD-000001", ANN)
    invoices.assign("KRD-000003", ANN)
    sent = collecting.collect("payment_agency", ANN)
    found = list(csv.DictReader(io.StringIO(sent.content.decode())))
    assert [row["invoice"] for row in found] == ["KRD-000001", "KRD-000003"]
    assert (found[0]["customer_name"], found[0]["phone"], found[0]["total"]) == (
        "株式会社アトリエ髙橋",
        "075-000-0000",
        "33000",
    )
    with pytest.raises(CannotExport):
        collecting.collect("payment_agency", ANN)


def test_the_agencys_results_settle_and_return_claims(space: Space) -> None:
    debtors(space, "acme", "beta", method="invoice")
    invoices, collecting = space.services.billing.invoices, space.services.billing.collecting
    for number in ("KRD-000001", "KRD-000002", "KRD-000003"):
        invoices.assign(number, ANN)
    collecting.collect("payment_agency", ANN)
    head = "invoice,result,date,amount,reason\r\n"
    lines = ["KRD-000001,settled,2027-05-21,33000,\r\n", "KRD-000003,returned,2027-05-21,33000,disputed\r\n"]
    before = space.services.audit.verify()[0]
    for bad in (
        head + lines[0] + lines[1].replace("33000", "33001"),
        head + lines[0] + lines[0],
        head + lines[0].replace("05-21", "05-22"),
        head + "KRD-000004,settled,2027-05-21,33000,\r\n",
    ):
        with pytest.raises(FileRejected):
            collecting.import_results("payment_agency", bad.encode(), ANN)
    assert space.services.audit.verify()[0] == before
    good = (head + "".join(lines)).encode()
    collecting.import_results("payment_agency", good, ANN)
    assert states(space) == ["settled", "assigned", "returned", "issued"]
    assert collecting.import_results("payment_agency", good, ANN).already
    more = (head + lines[0].replace("000001", "000002")).encode()
    collecting.import_results("payment_agency", more, ANN)
    assert states(space)[1] == "settled"


def test_an_exporter_that_collects_nothing_says_what_does(space: Space) -> None:
    with pytest.raises(NotFound, match="payment_agency, zengin"):
        space.services.billing.collecting.collect("csv", ANN)
