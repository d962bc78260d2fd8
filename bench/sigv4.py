"""A light AWS Signature V4 signer (header form) for ready-made requests."""

import datetime
import functools
import hashlib
import hmac
from urllib.parse import quote

EMPTY = hashlib.sha256(b"").hexdigest()


@functools.lru_cache(maxsize=8)
def _key(secret, day, region):
    k = ("AWS4" + secret).encode()
    for part in (day, region, "s3", "aws4_request"):
        k = hmac.new(k, part.encode(), hashlib.sha256).digest()
    return k


def sign(method, host, path, access, secret, query=(), payload_sha256=EMPTY, extra=(), region="us-east-1", now=None):
    """Returns (target, headers): the quoted request target and the (name, value) pairs to send."""
    now = now or datetime.datetime.now(datetime.UTC)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    target = quote(path, safe="/-_.~")
    canonical_query = "&".join(sorted("{}={}".format(quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in query))
    headers = {"host": host, "x-amz-content-sha256": payload_sha256, "x-amz-date": stamp}
    headers.update({k.lower(): v for k, v in extra})
    names = sorted(headers)
    signed = ";".join(names)
    canonical = "\n".join(
        [method, target, canonical_query, "".join(f"{n}:{headers[n]}\n" for n in names), signed, payload_sha256]
    )
    scope = f"{day}/{region}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    signature = hmac.new(_key(secret, day, region), text.encode(), hashlib.sha256).hexdigest()
    send = [(n, headers[n]) for n in names if n != "host"]
    send.append(
        (
            "Authorization",
            f"AWS4-HMAC-SHA256 Credential={access}/{scope}, SignedHeaders={signed}, Signature={signature}",
        )
    )
    return target + ("?" + canonical_query if canonical_query else ""), send
