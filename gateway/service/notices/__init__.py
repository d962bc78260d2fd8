"""Notices (RULES NTC): derived from acts, sent for ever until accepted, with what became of them on record.

``book`` records and shows, ``orders`` are what operators decide, ``deriving`` queues what follows from acts,
``following`` does what a notice brings about, ``timely`` queues what no act makes,
``sending`` brings the mails to the mail server, ``letters`` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.service.notices.book import Notices
from gateway.service.notices.deriving import Deriving
from gateway.service.notices.orders import Orders
from gateway.service.notices.sending import Sending
from gateway.service.notices.timely import Timely

__all__ = ["Deriving", "NoticeServices", "Notices", "Orders", "Sending", "Timely"]


@dataclass(frozen=True)
class NoticeServices:
    book: Notices
    orders: Orders
    deriving: Deriving
    timely: Timely
    sending: Sending
