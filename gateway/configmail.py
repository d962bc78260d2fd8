"""The sections ``mail`` and ``board`` of gateway.yaml: how notices leave, and where the board is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from gateway.domain.fields import FieldError, Fields, one_of, text, texts
from gateway.domain.mailbox import BadAddress, parse_mailbox
from gateway.domain.units import parse_duration

MAIL_KEYS = (
    "server",
    "security",
    "ca",
    "login",
    "password",
    "password_file",
    "from",
    "reply_to",
    "bounces",
    "operators",
    "language",
    "signature",
    "templates",
    "timeout",
)
BOARD_KEYS = ("folder", "url", "title_ja", "title_en")
_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class MailConfig:
    """``host`` empty: no mail is sent, notices wait. ``timeout`` in seconds for each step of the server's."""

    host: str = ""
    port: int = 0
    security: str = "starttls"
    ca: Path | None = None
    login: str = ""
    password: str = field(default="", repr=False)
    sender: str = ""
    sender_name: str = ""
    reply_to: str = ""
    bounces: str = ""
    operators: tuple[str, ...] = ()
    language: str = "ja"
    signature: str = ""
    templates: Path | None = None
    timeout: float = 20.0


@dataclass(frozen=True, slots=True)
class BoardConfig:
    """``url`` is where the folder is served for all, ending in a slash; empty: only by the gateway itself."""

    folder: Path = Path("board")
    url: str = ""
    title_ja: str = "システムインフォメーション"
    title_en: str = "System Information"


def mail_config(fields: Fields, folder: Path) -> MailConfig:
    """FieldError when a password would travel in the clear, or a part of the settings is missing."""
    security = fields.take("security", one_of(*_PORTS), "starttls")
    host, port = fields.take("server", lambda value: _server(value, _PORTS[security]), ("", 0))
    name, sender = fields.take("from", _mailbox, ("", ""))
    config = MailConfig(
        host=host,
        port=port,
        security=security,
        ca=fields.take("ca", lambda value: _existing(value, folder), None),
        login=fields.take("login", text, ""),
        password=_password(fields, folder),
        sender=sender,
        sender_name=name,
        reply_to=fields.take("reply_to", _address, ""),
        bounces=fields.take("bounces", _address, ""),
        operators=fields.take("operators", lambda value: tuple(_address(one) for one in texts(value)), ()),
        language=fields.take("language", one_of("ja", "en"), "ja"),
        signature=fields.take("signature", text, "").strip("\n"),
        templates=fields.take("templates", lambda value: _existing(value, folder), None),
        timeout=fields.take("timeout", _seconds, 20.0),
    )
    fields.done()
    _check(config, fields)
    return config


def _check(config: MailConfig, fields: Fields) -> None:
    if config.host and not config.sender:
        raise FieldError(fields.at("from"), "is missing", "name the address that notices come from")
    if config.login and not config.password:
        raise FieldError(fields.at("password"), "is missing", "set $KURADO_MAIL_PASSWORD, or name a password_file")
    for key, value in (("login", config.login), ("password", config.password)):
        if not value.isascii():
            raise FieldError(fields.at(key), "is not ASCII, which is all that SMTP logins can be", "take another one")
    if config.login and config.security == "none" and config.host not in _LOCAL:
        reason = "the password would travel in the clear"
        raise FieldError(fields.at("security"), reason, "use starttls or tls, or a mail server on this machine")


def _server(value: object, port: int) -> tuple[str, int]:
    host, colon, number = text(value).strip().rpartition(":")
    if not colon or (host.count(":") and not host.startswith("[")):
        host, number = text(value).strip(), str(port)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not number.isdecimal() or not 0 < int(number) < 65536 or any(one.isspace() for one in host):
        raise ValueError(f"{value!r} is no mail server such as smtp.example.com:587")
    return host, int(number)


def _mailbox(value: object) -> tuple[str, str]:
    """``Name <address>`` or a bare address."""
    whole = text(value).strip()
    name, bracket, rest = whole.rpartition("<")
    address = rest.removesuffix(">") if bracket else whole
    return name.strip().strip('"'), _address(address)


def _address(value: object) -> str:
    try:
        address = parse_mailbox(text(value))
    except BadAddress as error:
        raise ValueError(str(error)) from None
    if not address.isascii():
        raise ValueError(f"{address!r}: our own addresses must be ASCII, so that every server takes them")
    return address


def _password(fields: Fields, folder: Path) -> str:
    given = fields.take("password", text, "")
    file = fields.take("password_file", lambda value: _existing(value, folder), None)
    if given and file:
        raise FieldError(fields.at("password_file"), "stands beside password", "remove one of them")
    if file is None:
        return given
    try:
        return file.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise FieldError(fields.at("password_file"), f"{file} cannot be read: {error}", "check it") from error


def _existing(value: object, folder: Path) -> Path:
    path = folder / Path(text(value)).expanduser()
    if not path.exists():
        raise ValueError(f"there is no {path}")
    return path


def _seconds(value: object) -> float:
    seconds = parse_duration(value)
    if seconds <= 0:
        raise ValueError("must be more than 0 seconds")
    return seconds


def board_config(fields: Fields, folder: Path, data_dir: Path) -> BoardConfig:
    """The folder is below data_dir unless named."""
    default = BoardConfig()
    config = BoardConfig(
        folder=fields.take("folder", lambda value: folder / Path(text(value)).expanduser(), data_dir / "board"),
        url=fields.take("url", _url, ""),
        title_ja=fields.take("title_ja", text, default.title_ja),
        title_en=fields.take("title_en", text, default.title_en),
    )
    fields.done()
    return config


def _url(value: object) -> str:
    url = text(value).strip()
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{url!r} is no web address such as https://status.example.com/")
    return url if url.endswith("/") else url + "/"
