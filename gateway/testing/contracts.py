"""Contracts to try money with: from application to start in one call, at any time of a test's clock."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from gateway.domain.acts import Act
from gateway.domain.calendar import jst_midnight
from gateway.service.contracts import Actor, Paper
from gateway.service.contracts.intake import Application
from gateway.testing.space import Space

ANN = Actor("ann")
CUSTOMER = {
    "name": "株式会社アトリエ髙橋",
    "address": "京都府京都市中京区上本能寺前町488",
    "postal_code": "604-8001",
    "contact": "髙橋 美咲",
    "email": "takahashi@example.jp",
    "phone": "075-000-0000",
}
ISSUER = """
series: KRD
name: {ja: 株式会社蔵戸ストレージ, en: "Kurado Storage Co., Ltd."}
registration: T1234567890123
postal_code: 101-0041
address: {ja: 東京都千代田区神田須田町1-2-3, en: "1-2-3 Kanda-Sudacho, Chiyoda-ku, Tokyo"}
bank: {ja: "みほん銀行 神田支店 普通 1234567", en: "Mihon Bank, Kanda Branch, ordinary account 1234567"}
"""


def on(space: Space, day: date, hour: int = 9) -> None:
    """Moves the clock to an hour of a JST day."""
    space.clock.now = jst_midnight(day) + hour * 3_600_000


def begin(
    space: Space,
    name: str,
    start: date,
    *,
    plan: str = "standard",
    months: int = 12,
    method: str = "invoice",
    route: str = "direct",
    start_day: int | None = None,
    customer: Mapping[str, str] = CUSTOMER,
) -> None:
    """A contract in use from ``start`` on; the clock stands at 9:00 JST of that day afterwards."""
    on(space, start)
    now, intake = space.clock.now, space.services.contracts.intake
    application = Application(customer, plan, method, route, start, "2017-06-01", "privacy-3", now - 60_000)
    intake.apply(name, application, ANN)
    intake.review(name, ANN)
    intake.accept(name, ANN, minimum_months=months, reason="complete", start_day=start_day)
    intake.register(name, ANN, login="owner", password="correct horse")  # noqa: S106 a test's
    intake.notify_start(name, ANN, start_date=start, sent_at=now, arrived_at=now)


def paper(space: Space) -> Paper:
    """A letter that came now."""
    return Paper(space.clock.now, "post", "0" * 64, "a letter")


def grant(space: Space, contract: str, claim: str, amount: int) -> None:
    """A claim that is granted now (CMP-07), as the service level records it."""
    tenant = space.services.standings.now().contracts[contract].tenant_id
    data = {"contract": contract, "amount": amount}
    act = Act(f"claim:{claim}", "claim.granted", space.clock.now, "ann", "operator", "CMP-07", tenant, data=data)
    space.services.db.write(lambda tx: tx.acts.append(act)).result()
    space.services.standings.forget()
