"""The notices of a deployment: templates, mail server and services, from the configuration."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.config import Config, ConfigError
from gateway.configmail import MailConfig
from gateway.domain.calendar import jst_date
from gateway.domain.errors import KuradoError, Unavailable
from gateway.domain.invoice import InvoiceDocument
from gateway.domain.notice import Notice
from gateway.domain.notice_sources import PublicIncident, View
from gateway.domain.tenant import Limits, Tenant
from gateway.notices.rendering import TemplateFault, Templates
from gateway.notices.smtp import SmtpMailer, SmtpServer
from gateway.service.contracts import ContractServices
from gateway.service.health import Health
from gateway.service.notices import Deriving, Notices, NoticeServices, Orders, Sending, Timely
from gateway.service.notices.following import Following
from gateway.service.notices.letters import Attachment, Letters
from gateway.service.notices.ports import Mailer, MailSettings
from gateway.service.standing import Standings
from gateway.service.unit_of_work import Database

log = logging.getLogger("kurado.notices")
Incidents = Callable[[], Sequence[Mapping[str, Any]]]


def open_notices(
    config: Config,
    db: Database,
    clock: Callable[[], int],
    contracts: ContractServices,
    standings: Standings,
    incidents: Incidents,
    limits: Callable[[Tenant], Limits],
    health: Health,
    invoice: Callable[[str], tuple[InvoiceDocument, bool]],
) -> NoticeServices:
    """ConfigError for a template of the operator's that cannot be used."""
    mail = config.mail
    templates = Templates(mail.templates)
    if mail.templates is not None:
        _check(templates, config)
    settings = MailSettings(
        sender=mail.sender,
        sender_name=mail.sender_name,
        reply_to=mail.reply_to,
        bounces=mail.bounces,
        operators=mail.operators,
        language=mail.language,
        signature=mail.signature,
        board_url=config.board.url,
    )

    def attached(notice: Notice) -> Sequence[Attachment]:
        return _invoice(notice, invoice) if notice.kind == "invoice_issued" else ()

    book = Notices(db, clock, Letters(db, templates, settings, attached), mail=bool(mail.host))
    following = Following(db, clock, book, contracts)

    def view() -> View:
        return _view(clock, standings, incidents)

    sending = Sending(db, clock, book, _mailer(mail))
    health.add("notices", sending.health)
    return NoticeServices(
        book=book,
        orders=Orders(book, contracts.book),
        deriving=Deriving(db, book, view, following),
        timely=Timely(
            db,
            clock,
            book,
            view,
            lambda: standings.now().windows.regular,
            limits,
            lambda contract: standings.values_of(contract, jst_date(clock())).retention_after_end_days,
        ),
        sending=sending,
    )


def _invoice(notice: Notice, invoice: Callable[[str], tuple[InvoiceDocument, bool]]) -> Sequence[Attachment]:
    """The invoice as PDF. Where it cannot be set (no fonts), the notice goes without: it says number, sum and day."""
    from gateway.documents import invoice_pdf  # a third of a second and 30 MB, for the one process that sends

    number = notice.params["invoice"]
    try:
        content = invoice_pdf(invoice(number)[0], notice.language)
    except Unavailable:
        raise
    except KuradoError as error:
        log.warning("an invoice cannot be attached", extra={"invoice": number, "reason": error.message})
        return ()
    return (Attachment(f"{number}.pdf", "application/pdf", content),)


def _mailer(mail: MailConfig) -> Mailer | None:
    if not mail.host:
        return None
    ca = str(mail.ca) if mail.ca else None
    helo = mail.sender.rpartition("@")[2]
    server = SmtpServer(mail.host, mail.port, mail.security, mail.login, mail.password, mail.timeout, ca, helo)
    return SmtpMailer(server)


def _view(clock: Callable[[], int], standings: Standings, incidents: Incidents) -> View:
    state = standings.now()
    known = [
        PublicIncident(one["id"], one["recognised_at"], one["recovered_at"], frozenset(one["tenants"]))
        for one in incidents()
    ]
    return View(clock(), state.contracts, state.of_tenant, standings.values_of, {one.id: one for one in known})


def _check(templates: Templates, config: Config) -> None:
    try:
        templates.check()
    except TemplateFault as error:
        fix = "docs/notices.md lists the kinds and what each template gets"
        raise ConfigError(str(config.file), "mail.templates", str(error), fix) from error
