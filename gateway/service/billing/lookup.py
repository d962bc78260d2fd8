"""Issued invoices as they were issued: the acts keep all but the customer's data, which is erasable (CUS-02)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from gateway.domain.invoice import Customer, InvoiceDocument
from gateway.domain.invoice_json import document_from_json, document_to_json
from gateway.domain.invoice_records import InvoiceRecord
from gateway.service.unit_of_work import Tx

ERASED = "（消去済み / erased）"


def kept(document: InvoiceDocument) -> dict[str, Any]:
    """What an act keeps of a document: of the customer only the number."""
    return {**document_to_json(document), "customer": {"number": document.customer.number}}


def digest_of(document: InvoiceDocument) -> str:
    """SHA-256 over all of it, the customer included: shows that it is still what was issued."""
    text = json.dumps(document_to_json(document), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def document_of(tx: Tx, record: InvoiceRecord) -> InvoiceDocument:
    """The document as it was issued."""
    number = record.document["customer"]["number"]
    data = tx.documents.customer_at(record.contract, record.customer)
    customer = customer_from(number, data or {"name": ERASED})
    values = {"number": number, "name": customer.name}
    values |= {"postal_code": customer.postal_code, "address": customer.address, "contact": customer.contact}
    return document_from_json({**record.document, "customer": values})


def customer_from(number: str, data: Mapping[str, str]) -> Customer:
    """APP-01, CUS-01: as it was registered."""
    return Customer(
        number, data.get("name", ""), data.get("postal_code", ""), data.get("address", ""), data.get("contact", "")
    )
