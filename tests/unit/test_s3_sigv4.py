"""What botocore signs, we verify; what it did not sign, we refuse."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.s3.errors import S3Fault
from gateway.s3.sigv4 import (
    MAX_SKEW,
    ChunkSigner,
    Claim,
    Unsigned,
    check_claim,
    is_signed,
    parse_query,
    read_claim,
)

KEY, SECRET, REGION = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1"
HOST = "s3.example.com:8082"


def now() -> int:
    return int(datetime.datetime.now(datetime.UTC).timestamp() * 1000)


def unsigned_of(request: AWSRequest) -> Unsigned:
    prepared = request.prepare()
    parts = urlsplit(str(prepared.url))
    headers: CIMultiDict[str] = CIMultiDict({"Host": HOST})
    for name, value in prepared.headers.items():
        headers[name] = value.decode() if isinstance(value, bytes) else str(value)
    return Unsigned(str(prepared.method), parts.path, parts.query, headers)


def signed(
    method: str = "GET",
    path: str = "/bucket/key",
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    region: str = REGION,
) -> Unsigned:
    request = AWSRequest(method, f"http://{HOST}{path}", dict(headers or {}), b"", dict(query or {}))
    S3SigV4Auth(Credentials(KEY, SECRET), "s3", region).add_auth(request)
    return unsigned_of(request)


def presigned(path: str = "/bucket/key", expires: int = 60, headers: Mapping[str, str] | None = None) -> Unsigned:
    request = AWSRequest("PUT", f"http://{HOST}{path}", dict(headers or {}))
    S3SigV4QueryAuth(Credentials(KEY, SECRET), "s3", REGION, expires).add_auth(request)
    return unsigned_of(request)


def code_of(request: Unsigned, at: int | None = None, region: str = REGION) -> str:
    with pytest.raises(S3Fault) as refused:
        check_claim(read_claim(request), request, now() if at is None else at, region)
    return refused.value.s3_code


KEYS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30)


@given(KEYS, st.dictionaries(KEYS, KEYS, max_size=4), st.dictionaries(st.sampled_from("abcdef"), VALUES, max_size=3))
def test_a_request_that_botocore_signed_is_verified(key: str, query: dict[str, str], metadata: dict[str, str]) -> None:
    headers = {f"x-amz-meta-{name}": value for name, value in metadata.items()}
    request = signed("PUT", "/bucket/" + quote(key, safe="/-_.~"), query, headers)
    claim = read_claim(request)
    check_claim(claim, request, now(), REGION)
    assert claim.key_id == KEY
    assert is_signed(claim, request, SECRET)
    assert not is_signed(claim, request, SECRET + "x")


@given(KEYS)
def test_a_presigned_url_of_botocore_is_verified(key: str) -> None:
    request = presigned("/bucket/" + quote(key, safe="/-_.~"))
    claim = read_claim(request)
    check_claim(claim, request, now(), REGION)
    assert is_signed(claim, request, SECRET)


@given(st.sampled_from(["method", "path", "query", "x-amz-date", "x-amz-content-sha256", "x-amz-meta-a", "Host"]))
def test_whatever_is_changed_afterwards_ends_the_signature(part: str) -> None:
    request = signed("PUT", "/bucket/key", {"a": "b"}, {"x-amz-meta-a": "1"})
    headers = CIMultiDict(request.headers)  # type: ignore[arg-type]
    if part in headers:
        value = headers[part]
        headers[part] = value[:-2] + ("1Z" if value.endswith("0Z") else "0Z") if part == "x-amz-date" else value + "1"
    changed = Unsigned(
        "POST" if part == "method" else request.method,
        request.path + "x" if part == "path" else request.path,
        request.query + "&c=d" if part == "query" else request.query,
        headers,
    )
    assert not is_signed(read_claim(changed), changed, SECRET)


def test_other_spellings_of_the_same_path_and_query_have_the_same_signature() -> None:
    request = signed("GET", "/bucket/a%2Bb%C3%A9~", {"prefix": "x y/"})
    spelt = Unsigned(
        "GET", "/bucket/a+b%c3%a9%7E", request.query.replace("%2F", "/").replace("%20", "+"), request.headers
    )
    assert is_signed(read_claim(spelt), spelt, SECRET)


@pytest.mark.parametrize("skew", [-MAX_SKEW - 2000, MAX_SKEW + 2000])
def test_a_request_of_another_time_is_refused_both_ways(skew: int) -> None:
    assert code_of(signed(), now() + skew) == "RequestTimeTooSkewed"


def test_a_presigned_url_ends_with_its_time_and_does_not_begin_early() -> None:
    request = presigned(expires=60)
    check_claim(read_claim(request), request, now() + 59_000, REGION)
    assert code_of(request, now() + 61_000) == "AccessDenied"
    assert code_of(request, now() - MAX_SKEW - 2000) == "AccessDenied"
    assert code_of(presigned(expires=7 * 24 * 3600 + 1)) == "AuthorizationQueryParametersError"


def test_a_signature_for_another_region_is_refused_and_told_which() -> None:
    request = signed(region="eu-west-1")
    with pytest.raises(S3Fault) as refused:
        check_claim(read_claim(request), request, now(), REGION)
    assert refused.value.s3_code == "AuthorizationHeaderMalformed"
    assert refused.value.details == {"Region": REGION}


@pytest.mark.parametrize("header", ["x-amz-acl", "x-amz-meta-late", "x-amz-copy-source"])
def test_an_amz_header_outside_the_signature_is_refused(header: str) -> None:
    for request in (signed(), presigned()):
        headers = CIMultiDict(request.headers)  # type: ignore[arg-type]
        headers[header] = "x"
        assert code_of(Unsigned(request.method, request.path, request.query, headers)) == "AccessDenied"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "AccessDenied"),
        ("AWS key:signature", "InvalidRequest"),
        ("AWS4-ECDSA-P256-SHA256 Credential=x", "InvalidRequest"),
        ("Basic Zm9vOmJhcg==", "InvalidRequest"),
        ("AWS4-HMAC-SHA256 nothing", "AuthorizationHeaderMalformed"),
        ("AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=0", "AuthorizationHeaderMalformed"),
        (
            "AWS4-HMAC-SHA256 Credential=a/20000101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0",
            "AuthorizationHeaderMalformed",
        ),
    ],
)
def test_a_malformed_authorization_is_named(value: str | None, code: str) -> None:
    headers = CIMultiDict(signed().headers)  # type: ignore[arg-type]
    del headers["Authorization"]
    if value is not None:
        headers["Authorization"] = value
    assert code_of(Unsigned("GET", "/bucket/key", "", headers)) == code


def test_chunk_signatures_are_those_of_the_published_example() -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html"""
    seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
    stamp = "20130524T000000Z"
    claim = Claim("AKIAIOSFODNN7EXAMPLE", "20130524", "us-east-1", "s3", (), seed, stamp, 0, "")
    signer = ChunkSigner(claim, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    for size, signature in (
        (65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
        (1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
        (0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
    ):
        assert signer.check_chunk(signature, hashlib.sha256(b"a" * size).hexdigest())


def test_a_query_of_any_bytes_is_read() -> None:
    assert parse_query("a=\udcff&b=%ff") == [("a", "\udcff"), ("b", "\udcff")]
