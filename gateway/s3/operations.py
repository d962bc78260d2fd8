"""Which operation a request is: one table by method, what it is about, and the subresource in its query."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.exchange import Reply
from gateway.s3 import (
    attributes,
    buckets,
    completing,
    copying,
    cors,
    deleting,
    listing,
    multipart,
    objects,
    tagging,
    uploadlist,
    versioning,
)
from gateway.s3.errors import S3Fault, not_implemented
from gateway.s3.request import S3Request

Handler = Callable[[S3Request], Awaitable[Reply]]


class About(StrEnum):
    SERVICE = "service"
    BUCKET = "bucket"
    OBJECT = "object"


@dataclass(frozen=True, slots=True)
class Operation:
    """``name`` as S3 has it; ``traffic`` is the class it is metered in; ``writes`` tells the hooks what it is."""

    name: str
    handler: Handler
    traffic: str
    writes: bool


def _read(name: str, handler: Handler) -> Operation:
    return Operation(name, handler, "read", writes=False)


def _list(name: str, handler: Handler) -> Operation:
    return Operation(name, handler, "list", writes=False)


def _write(name: str, handler: Handler) -> Operation:
    return Operation(name, handler, "write", writes=True)


TABLE: Mapping[tuple[About, str, str], Operation] = {
    (About.SERVICE, "GET", ""): _list("ListBuckets", buckets.list_buckets),
    (About.BUCKET, "PUT", ""): _write("CreateBucket", buckets.create_bucket),
    (About.BUCKET, "HEAD", ""): _read("HeadBucket", buckets.head_bucket),
    (About.BUCKET, "DELETE", ""): _write("DeleteBucket", buckets.delete_bucket),
    (About.BUCKET, "GET", ""): _list("ListObjects", listing.list_objects),
    (About.BUCKET, "GET", "list-type"): _list("ListObjectsV2", listing.list_objects_v2),
    (About.BUCKET, "GET", "versions"): _list("ListObjectVersions", versioning.list_object_versions),
    (About.BUCKET, "GET", "versioning"): _read("GetBucketVersioning", versioning.get_bucket_versioning),
    (About.BUCKET, "PUT", "versioning"): _write("PutBucketVersioning", versioning.put_bucket_versioning),
    (About.BUCKET, "GET", "location"): _read("GetBucketLocation", buckets.get_location),
    (About.OBJECT, "PUT", ""): _write("PutObject", objects.put_object),
    (About.OBJECT, "GET", ""): _read("GetObject", objects.get_object),
    (About.OBJECT, "HEAD", ""): _read("HeadObject", objects.get_object),
    (About.OBJECT, "DELETE", ""): _write("DeleteObject", objects.delete_object),
    (About.OBJECT, "GET", "attributes"): _read("GetObjectAttributes", attributes.get_object_attributes),
    (About.OBJECT, "PUT", "copy"): _write("CopyObject", copying.copy_object),
    (About.BUCKET, "GET", "uploads"): _list("ListMultipartUploads", uploadlist.list_multipart_uploads),
    (About.OBJECT, "POST", "uploads"): _write("CreateMultipartUpload", multipart.create_multipart_upload),
    (About.OBJECT, "PUT", "uploadId"): _write("UploadPart", multipart.upload_part),
    (About.OBJECT, "PUT", "uploadId-copy"): _write("UploadPartCopy", multipart.upload_part_copy),
    (About.OBJECT, "GET", "uploadId"): _list("ListParts", multipart.list_parts),
    (About.OBJECT, "DELETE", "uploadId"): _write("AbortMultipartUpload", multipart.abort_multipart_upload),
    (About.OBJECT, "POST", "uploadId"): _write("CompleteMultipartUpload", completing.complete_multipart_upload),
    (About.BUCKET, "POST", "delete"): _write("DeleteObjects", deleting.delete_objects),
    (About.OBJECT, "GET", "tagging"): _read("GetObjectTagging", tagging.get_object_tagging),
    (About.OBJECT, "PUT", "tagging"): _write("PutObjectTagging", tagging.put_object_tagging),
    (About.OBJECT, "DELETE", "tagging"): _write("DeleteObjectTagging", tagging.delete_object_tagging),
    (About.BUCKET, "GET", "tagging"): _read("GetBucketTagging", tagging.get_bucket_tagging),
    (About.BUCKET, "PUT", "tagging"): _write("PutBucketTagging", tagging.put_bucket_tagging),
    (About.BUCKET, "DELETE", "tagging"): _write("DeleteBucketTagging", tagging.delete_bucket_tagging),
    (About.BUCKET, "GET", "cors"): _read("GetBucketCors", cors.get_cors),
    (About.BUCKET, "PUT", "cors"): _write("PutBucketCors", cors.put_cors),
    (About.BUCKET, "DELETE", "cors"): _write("DeleteBucketCors", cors.delete_cors),
}
"""(about, method, subresource) → operation. ``copy`` stands for a PUT that names a source in its head."""

_SUBRESOURCES: Mapping[About, tuple[str, ...]] = {
    About.SERVICE: (),
    About.BUCKET: (
        "accelerate", "acl", "analytics", "cors", "delete", "encryption", "intelligent-tiering", "inventory",
        "lifecycle", "list-type", "location", "logging", "metrics", "notification", "object-lock", "ownershipControls",
        "policy", "policyStatus", "publicAccessBlock", "replication", "requestPayment", "session", "tagging", "uploads",
        "versioning", "versions", "website",
    ),
    About.OBJECT: (
        "acl", "append", "attributes", "legal-hold", "renameObject", "restore", "retention", "select", "tagging",
        "torrent", "uploadId", "uploads", "encryption",
    ),
}  # fmt: skip
"""What S3 knows besides the plain operations: present in a query and absent from the table is NotImplemented."""

_METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")


POST_OBJECT = "PostObject"
"""The name of what :mod:`gateway.s3.posting` does; the request is signed in its body, so it has no entry above."""


def find(request_method: str, bucket: str, key: str, query: Mapping[str, str], is_copy: bool) -> Operation:
    """The operation of a request. Raises S3Fault NotImplemented or MethodNotAllowed."""
    about = About.OBJECT if key else About.BUCKET if bucket else About.SERVICE
    sub = next((name for name in _SUBRESOURCES[about] if name in query), "") if query else ""
    if is_copy and about is About.OBJECT and request_method == "PUT":
        sub = f"{sub}-copy" if sub else "copy"
    operation = TABLE.get((about, request_method, sub))
    if operation is not None:
        return operation
    if request_method in _METHODS and (sub or about is not About.SERVICE):
        raise not_implemented(f"{request_method} of {about}{'?' + sub if sub else ''}")
    raise S3Fault(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
