"""What the board shows when, and what never gets to it."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from defusedxml.ElementTree import fromstring
from hypothesis import given
from hypothesis import strategies as st

from gateway.board.model import NEWS, Board, PublicActs, build
from gateway.board.rendering import PAGES, Pages, Site
from gateway.board.serving import File, is_board, read
from gateway.board.words import KINDS, PAGE, PHASES, STATES, STEPS
from gateway.domain.acts import Act
from gateway.domain.contract.windows import Windows

HOUR = 3_600_000
NOON = 1_806_894_000_000  # 2027-04-05T12:20+09:00
SITE = Site("https://status.example.com/", "システムインフォメーション", "System Information", "t0ken")
ATOM = "{http://www.w3.org/2005/Atom}"
SECRET = "host db3 of acme"


def act(subject: str, kind: str, at: int = NOON - HOUR, ground: str = "", **data: Any) -> Act:
    return Act(subject, kind, at, "aoki", "operator", "X", ground=ground, data=data)


def board_of(*acts: Act, now: int = NOON, incidents: list[dict[str, Any]] | None = None) -> Board:
    public, windows = PublicActs(), Windows()
    for one in acts:
        public, windows = public.after(one), windows.after(one)
    return build(now, public, windows, incidents or [])


def announced(number: str = "M1", start: int = NOON + HOUR, hours: int = 2, tenants: tuple[int, ...] = ()) -> Act:
    data = {"start": start, "end": start + hours * HOUR, "reason": "new disks", "tenants": list(tenants)}
    return act(f"maintenance:{number}", "maintenance.announced", **data)


def interrupted(tenants: tuple[int, ...] = ()) -> Act:
    data = {"from": NOON - 1, "to": None, "reason": SECRET, "tenants": list(tenants)}
    return act("interruption:I1", "interruption.opened", ground="DISORDER", **data)


def incident(**more: Any) -> dict[str, Any]:
    return {
        "id": "INC-1", "recognised_at": NOON - HOUR, "recovered_at": None, "full_stop": True, "components": [],
        "tenants": [], "cause_text": None, "updated_at": NOON,
    } | more  # fmt: skip


RECOGNISED = act("incident:INC-1", "incident.recognised", summary=SECRET)


# -- what it says -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("now", "phase", "state"), [
    (NOON, "planned", "ok"),
    (NOON + HOUR, "now", "maintenance"),
    (NOON + 3 * HOUR - 1, "now", "maintenance"),
    (NOON + 3 * HOUR, "over", "ok"),
])  # fmt: skip
def test_maintenance_is_ahead_under_way_and_over_by_the_clock(now: int, phase: str, state: str) -> None:
    board = board_of(announced(), now=now)
    assert (board.entries[0].phase, board.state) == (phase, state)


def test_an_extension_moves_the_end_and_an_early_close_ends_it() -> None:
    extended = act("maintenance:M1", "maintenance.extended", start=NOON - 1, end=NOON + 9 * HOUR, reason="x")
    board = board_of(announced(start=NOON - 1), extended, now=NOON + 5 * HOUR)
    assert board.state == "maintenance" and len(board.entries[0].course) == 2
    closed = Act("maintenance:M1", "maintenance.closed", NOON, "aoki", "operator", "X", data={"at": NOON})
    assert board_of(announced(start=NOON - 1), closed).state == "ok"


def _fields(one: Act) -> dict[str, Any]:
    return {name: getattr(one, name) for name in Act.__slots__}


@pytest.mark.parametrize(
    ("acts", "incidents", "state"),
    [
        ([], [], "ok"),
        ([announced()], [], "ok"),
        ([announced(start=NOON - 1)], [], "maintenance"),
        ([announced(start=NOON - 1, tenants=(5,))], [], "some"),
        ([interrupted()], [], "interrupted"),
        ([interrupted((5,))], [], "some"),
        ([interrupted(), RECOGNISED], [incident()], "outage"),
        ([RECOGNISED], [incident(full_stop=False)], "partial"),
        ([RECOGNISED], [incident(recovered_at=NOON - 1)], "ok"),
        ([RECOGNISED], [incident(tenants=[5])], "some"),
        ([RECOGNISED], [], "ok"),
    ],
)
def test_the_state_is_that_of_the_gravest_that_is_under_way(
    acts: list[Act], incidents: list[dict[str, Any]], state: str
) -> None:
    assert board_of(*acts, incidents=incidents).state == state


def test_the_gravest_stands_first() -> None:
    board = board_of(interrupted((5,)), announced(start=NOON - 1), RECOGNISED, incidents=[incident()])
    assert [one.kind for one in board.standing] == ["incident", "maintenance", "interruption"]


def test_what_concerns_some_customers_names_no_one_and_no_reason() -> None:
    acts = [interrupted((5,)), announced(tenants=(5,)), RECOGNISED]
    board = board_of(*acts, incidents=[incident(tenants=[5], components=["acme"])])
    for content in Pages().render(board, SITE, NOON).values():
        text = content.decode()
        assert "acme" not in text and "new disks" not in text and "db3" not in text


def test_words_that_were_written_for_operators_stay_inside() -> None:
    board = board_of(interrupted(), RECOGNISED, incidents=[incident()])
    pages = Pages().render(board, SITE, NOON)
    assert not any(SECRET.encode() in content for content in pages.values())
    assert "システムの障害" in pages["index.html"].decode()


def test_an_announcement_is_shown_until_it_is_retracted() -> None:
    made = act("announcement:A1", "announcement.made", params={"title_ja": "休業", "title_en": "Closed"}, by_mail=False)
    assert board_of(made).of_phase("news")[0].title == ("休業", "Closed")
    assert not board_of(made, act("announcement:A1", "announcement.retracted")).entries


def test_a_revision_for_named_customers_is_not_public() -> None:
    params = {"title_ja": "改定", "effective_on": "2027-06-01"}
    told = act("revision:R1", "revision.terms_announced", params=params, contracts=["acme"], to_all=False)
    assert not board_of(told).entries
    assert board_of(Act(**{**_fields(told), "data": {**told.data, "to_all": True}})).entries


# -- as files ---------------------------------------------------------------------------------------------------------


def full_board() -> Board:
    made = act("announcement:A1", "announcement.made", params={"title_ja": "休業", "title_en": "Closed"}, by_mail=False)
    over = announced("M2", NOON - 48 * HOUR)
    return board_of(announced(), over, interrupted(), made, RECOGNISED, incidents=[incident()])


def test_every_word_is_there_in_both_languages() -> None:
    for table in (STATES, PHASES, KINDS, STEPS, PAGE):
        assert all(len(pair) == 2 and all(pair) for pair in table.values())
    assert {NEWS[kind] for kind in NEWS} <= set(KINDS) and set(NEWS) <= set(STEPS)


@pytest.mark.parametrize("language", PAGES)
def test_pages_have_no_script_and_link_only_to_each_other(language: str) -> None:
    files = Pages().render(full_board(), SITE, NOON)
    for name in PAGES[language][:2]:
        text = files[name].decode()
        assert f'<html lang="{language}">' in text and "<script" not in text
        links = {link.partition("#")[0] for link in re.findall(r'(?:href|src)="([^"]*)"', text)}
        assert links <= {*files}
        assert re.findall(r"<h([1-6])", text)[0] == "1"
        identifiers = re.findall(r' id="([^"]*)"', text)
        assert len(identifiers) == len(set(identifiers))


def test_feeds_have_ids_that_stay_and_times_that_move() -> None:
    def entries(now: int) -> dict[str, str]:
        feed = fromstring(Pages().render(board_of(announced(), now=now), SITE, now)["feed.xml"])
        assert feed.findtext(f"{ATOM}id") == "urn:kurado:t0ken:ja"
        return {_text(one, "id"): _text(one, "updated") for one in feed.findall(f"{ATOM}entry")}

    planned, begun = entries(NOON), entries(NOON + HOUR)
    assert planned.keys() == begun.keys() == {"urn:kurado:t0ken:maintenance/M1:ja"}
    assert planned != begun


def _text(element: ET.Element, name: str) -> str:
    found = element.findtext(f"{ATOM}{name}")
    assert found
    return found


def test_the_feed_has_what_rfc_4287_asks_for() -> None:
    for name in ("feed.xml", "feed.en.xml"):
        feed = fromstring(Pages().render(full_board(), SITE, NOON)[name])
        for element in (feed, *feed.findall(f"{ATOM}entry")):
            assert all(element.findtext(f"{ATOM}{child}") for child in ("id", "title", "updated"))
        assert feed.find(f"{ATOM}author/{ATOM}name") is not None
        links = [link.get("href", "") for link in feed.iter(f"{ATOM}link")]
        assert all(link.startswith("https://status.example.com/") for link in links)


def test_the_json_tells_programs_the_same() -> None:
    content = json.loads(Pages().render(full_board(), SITE, NOON)["status.json"])
    assert content["state"] == "outage" and content["state_text"]["en"] == "There is an outage"
    assert {one["id"] for one in content["entries"]} == {
        "maintenance/M1", "maintenance/M2", "interruption/I1", "announcement/A1", "incident/INC-1",
    }  # fmt: skip


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=80))
def test_no_text_becomes_markup(text: str) -> None:
    params = {"title_ja": text, "title_en": text, "text_ja": f"{text}<script>", "text_en": text}
    files = Pages().render(board_of(act("announcement:A1", "announcement.made", params=params)), SITE, NOON)
    assert b"<script" not in files["index.html"] and b"<script" not in files["feed.xml"]
    fromstring(files["feed.xml"])


def test_only_the_boards_own_files_are_read(tmp_path: Any) -> None:
    (tmp_path / "index.html").write_text("here")
    (tmp_path / "secret").write_text("no")
    assert read(tmp_path, "/status/") == read(tmp_path, "/status/index.html")
    assert read(tmp_path, "/status").status == 308
    assert read(tmp_path, "/status/en.html").status == 503
    for path in ("/status/secret", "/status/../secret", "/status/%2e%2e/secret", "/status//etc/passwd", "/status/a/b"):
        assert is_board(path) and read(tmp_path, path) == File(404, body=b"no such page\n")
    assert not is_board("/statusx") and not is_board("/dav/status/")
