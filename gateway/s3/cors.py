"""CORS: which web pages may read a bucket's answers (https://docs.aws.amazon.com/AmazonS3/latest/userguide/cors.html).

A preflight carries no signature, and bucket names are each tenant's own: without a signed query nobody can tell whose
rules count. Such a preflight is let pass; it gives nothing away, the request after it must be signed, and its answer
may be read by the page only where the bucket's rules say so. With a presigned query the rules decide at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase

from gateway.domain.node import Node
from gateway.exchange import Exchange, Reply
from gateway.s3 import metadata
from gateway.s3.answers import document, element, local, read_xml
from gateway.s3.errors import S3Fault, malformed_xml
from gateway.s3.request import S3Request
from gateway.wire.markup import Element

MAX_RULES = 100
_NAME = f"{{{metadata.STORED}}}cors"
_METHODS = frozenset(("GET", "PUT", "POST", "DELETE", "HEAD"))


@dataclass(frozen=True, slots=True)
class Rule:
    origins: list[str]
    methods: list[str]
    headers: list[str]
    exposed: list[str]
    max_age: int | None = None
    id: str = ""

    def allows(self, origin: str, method: str, headers: list[str]) -> bool:
        return (
            method in self.methods
            and any(_matches(origin, pattern) for pattern in self.origins)
            and all(any(_matches(one.lower(), pattern.lower()) for pattern in self.headers) for one in headers)
        )


def _matches(text: str, pattern: str) -> bool:
    """One ``*`` stands for anything; every other character for itself."""
    return fnmatchcase(text, pattern.replace("[", "[[]").replace("?", "[?]"))


def rules_of(bucket: Node) -> list[Rule]:
    text = metadata.text_of(bucket.props[_NAME]) if _NAME in bucket.props else "[]"
    return [Rule(**one) for one in json.loads(text)]


# -- the configuration ------------------------------------------------------------------------------------------------


async def get_cors(request: S3Request) -> Reply:
    bucket = await request.in_thread(lambda: request.services.buckets.get(request.caller, request.bucket))
    rules = rules_of(bucket)
    if not rules:
        message = "The CORS configuration does not exist"
        raise S3Fault(404, "NoSuchCORSConfiguration", message, {"BucketName": request.bucket})
    return document("CORSConfiguration", "".join(_element(rule) for rule in rules))


async def put_cors(request: S3Request) -> Reply:
    root = await read_xml(request, "CORSConfiguration")
    rules = [_rule(one) for one in root.children if local(one) == "CORSRule"]
    if not 0 < len(rules) <= MAX_RULES:
        raise malformed_xml(f"a CORS configuration has from 1 to {MAX_RULES} rules")
    await _store(request, json.dumps([asdict(rule) for rule in rules]))
    return Reply(200)


async def delete_cors(request: S3Request) -> Reply:
    await _store(request, "")
    return Reply(204)


async def _store(request: S3Request, text: str) -> None:
    def changed(props: Mapping[str, str]) -> Mapping[str, str]:
        rest = {name: value for name, value in props.items() if name != _NAME}
        return {**rest, _NAME: metadata.property_of(_NAME, text)} if text else rest

    await request.in_thread(lambda: request.services.buckets.change(request.caller, request.bucket, changed))


def _rule(one: Element) -> Rule:
    def texts(name: str) -> list[str]:
        return [child.text.strip() for child in one.children if local(child) == name]

    ages, ids = texts("MaxAgeSeconds"), texts("ID")
    rule = Rule(
        origins=texts("AllowedOrigin"),
        methods=texts("AllowedMethod"),
        headers=texts("AllowedHeader"),
        exposed=texts("ExposeHeader"),
        max_age=int(ages[0]) if ages and ages[0].isascii() and ages[0].isdigit() and len(ages[0]) < 10 else None,
        id=ids[0] if ids else "",
    )
    if not rule.origins or not rule.methods:
        raise malformed_xml("a CORS rule names at least one origin and one method")
    if set(rule.methods) - _METHODS:
        unsupported = ", ".join(sorted(set(rule.methods) - _METHODS))
        raise S3Fault(400, "InvalidRequest", f"Found unsupported HTTP method in CORS config: {unsupported}")
    if any(pattern.count("*") > 1 for pattern in (*rule.origins, *rule.headers)):
        raise S3Fault(400, "InvalidRequest", "An origin or header of a CORS rule can have at most one wildcard")
    return rule


def _element(rule: Rule) -> str:
    inner = element("ID", rule.id) if rule.id else ""
    for name, values in (
        ("AllowedOrigin", rule.origins),
        ("AllowedMethod", rule.methods),
        ("AllowedHeader", rule.headers),
        ("ExposeHeader", rule.exposed),
    ):
        inner += "".join(element(name, value) for value in values)
    if rule.max_age is not None:
        inner += element("MaxAgeSeconds", str(rule.max_age))
    return f"<CORSRule>{inner}</CORSRule>"


# -- requests of pages ------------------------------------------------------------------------------------------------


def answer_headers(exchange: Exchange, bucket: Node) -> dict[str, str]:
    """What makes an answer readable for the page that asked; nothing where no rule allows it."""
    origin = exchange.headers.get("Origin") or ""
    method = exchange.headers.get("Access-Control-Request-Method") or exchange.method
    for rule in rules_of(bucket):
        if rule.allows(origin, method, []):
            return _allowing(rule, origin)
    return {}


def _allowing(rule: Rule, origin: str) -> dict[str, str]:
    to_all = "*" in rule.origins
    headers = {
        "Access-Control-Allow-Origin": "*" if to_all else origin,
        "Access-Control-Allow-Methods": ", ".join(rule.methods),
        "Vary": "Origin, Access-Control-Request-Headers, Access-Control-Request-Method",
    }
    if not to_all:
        headers["Access-Control-Allow-Credentials"] = "true"
    if rule.exposed:
        headers["Access-Control-Expose-Headers"] = ", ".join(rule.exposed)
    if rule.max_age is not None:
        headers["Access-Control-Max-Age"] = str(rule.max_age)
    return headers


def preflight(exchange: Exchange, bucket: Node | None) -> Reply:
    """The answer to OPTIONS. ``bucket`` None: nobody can tell whose it is. Raises S3Fault."""
    origin, method = exchange.headers.get("Origin"), exchange.headers.get("Access-Control-Request-Method")
    if not origin:
        raise S3Fault(400, "BadRequest", "Insufficient information. Origin request header needed.")
    if method is None:
        raise S3Fault(400, "BadRequest", "Invalid Access-Control-Request-Method: null")
    asked = exchange.headers.get("Access-Control-Request-Headers") or ""
    wanted = [one.strip() for one in asked.split(",") if one.strip()]
    if bucket is None:
        rule = Rule([origin], [method] if method in _METHODS else [], wanted, [])
    else:
        rule = next((one for one in rules_of(bucket) if one.allows(origin, method, wanted)), Rule([], [], [], []))
    if not rule.allows(origin, method, wanted):
        raise S3Fault(403, "AccessForbidden", "CORSResponse: This CORS request is not allowed.")
    headers = _allowing(rule, origin)
    if wanted:
        headers["Access-Control-Allow-Headers"] = ", ".join(one.lower() for one in wanted)
    return Reply(200, headers)
