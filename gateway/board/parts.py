"""The board's writer of a deployment, from its configuration and services."""

from __future__ import annotations

from collections.abc import Callable

from gateway.board.rendering import Site
from gateway.board.writing import BoardWriter
from gateway.configmail import BoardConfig
from gateway.service.contracts import ContractServices
from gateway.service.contracts.book import SYSTEM
from gateway.service.incidents import Incidents
from gateway.service.standing import Standings
from gateway.service.unit_of_work import Database


def open_board(
    config: BoardConfig,
    db: Database,
    clock: Callable[[], int],
    standings: Standings,
    incidents: Incidents,
    contracts: ContractServices,
) -> BoardWriter:
    def site(token: str) -> Site:
        return Site(config.url, config.title_ja, config.title_en, token)

    return BoardWriter(
        db,
        clock,
        config.folder,
        site,
        lambda: standings.now().windows,
        incidents.public,
        lambda number, at: contracts.discontinuing.posted(number, SYSTEM, at=at),
    )
