"""Errors of a store in words: which setting is wrong, and how to fix it."""

from __future__ import annotations

from fasray.errors import StorageError
from fasray.storage import retry
from fasray.storage.paths import bucket_of, is_s3

_CREDENTIALS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile that AWS_PROFILE names"
_ENDPOINT = "check AWS_ENDPOINT_URL, or the network"
_CODES = {
    "NoSuchBucket": ("the bucket {bucket!r} does not exist", "check its name, or create it"),
    "InvalidBucketName": ("{bucket!r} cannot be the name of a bucket", "check the address"),
    "InvalidAccessKeyId": ("the store does not know this access key", _CREDENTIALS),
    "SignatureDoesNotMatch": ("the secret key is not the one of this access key", _CREDENTIALS),
    "ExpiredToken": ("the credentials have expired", "get fresh ones and run the same command again"),
    "InvalidToken": ("the session token is not valid", "check AWS_SESSION_TOKEN"),
    "AccessDenied": ("these credentials do not allow this", "ask for permission to list, read, write and delete there"),
    "403": ("these credentials do not allow this", _CREDENTIALS + ", and the permissions on the bucket"),
    "AuthorizationHeaderMalformed": ("the bucket is in another region", "set AWS_DEFAULT_REGION to its region"),
    "PermanentRedirect": ("the bucket is in another region", "set AWS_DEFAULT_REGION to its region"),
    "301": ("the bucket is in another region", "set AWS_DEFAULT_REGION to its region"),
    "RequestTimeTooSkewed": ("this machine's clock is wrong by minutes", "set the clock"),
}


def explained(error: BaseException, uri: str) -> StorageError:
    """Return an error of fsspec or botocore as our own; ``uri`` is the file or folder that it concerns."""
    if isinstance(error, StorageError):
        return error
    what, remedy = _s3_words(error, uri) if is_s3(uri) else (str(error) or type(error).__name__, "")
    return StorageError(what, where=uri, remedy=remedy or "check the address and the permissions on it")


def code_of(error: BaseException) -> str:
    """Return the code of an S3 error, such as ``NoSuchBucket``; empty if it has none."""
    for cause in retry.chain(error):
        response = getattr(cause, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    return ""


def is_condition(error: BaseException) -> bool:
    """Return whether a conditional write was refused because its condition does not hold."""
    return isinstance(error, FileExistsError) or code_of(error) in ("PreconditionFailed", "412")


def _s3_words(error: BaseException, uri: str) -> tuple[str, str]:
    from botocore import exceptions as boto

    from fasray.storage.s3 import endpoint

    code = code_of(error)
    if code in _CODES:
        what, remedy = _CODES[code]
        return what.format(bucket=bucket_of(uri)), remedy
    kinds = [type(cause) for cause in retry.chain(error)]
    if any(issubclass(kind, boto.NoCredentialsError | boto.PartialCredentialsError) for kind in kinds):
        return "there are no credentials for this store", _CREDENTIALS.replace("check", "set", 1)
    if any(issubclass(kind, boto.ProfileNotFound) for kind in kinds):
        return "the profile that AWS_PROFILE names does not exist", "check ~/.aws/config, or unset AWS_PROFILE"
    if any(issubclass(kind, boto.SSLError) for kind in kinds):
        return (
            f"no secure connection to {endpoint() or 'Amazon S3'}",
            _ENDPOINT + "; AWS_CA_BUNDLE names your own root certificates",
        )
    if any(
        issubclass(kind, boto.HTTPClientError | boto.ConnectionError | TimeoutError | ConnectionError) for kind in kinds
    ):
        return f"nothing answers at {endpoint() or 'Amazon S3'}", _ENDPOINT
    if any(issubclass(kind, ValueError) for kind in kinds):
        return "the address of the store is not valid", "check AWS_ENDPOINT_URL and the bucket's name"
    if code == "404":
        return f"what answers at {endpoint() or 'Amazon S3'} is not an object store", _ENDPOINT
    if retry.is_transient(error):
        return f"{endpoint() or 'Amazon S3'} is not working ({code or kinds[0].__name__})", "try again later"
    return f"the store refused the request: {code or kinds[0].__name__}", ""
