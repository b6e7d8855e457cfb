"""S3 through s3fs, with retries: every request that fails for a transient reason is made again.

Endpoint, region and credentials come from where botocore looks (environment, profile files, the machine's role). They
are never given here as arguments, so that a pickled file system, on its way to a Ray worker, holds no secret: a worker
finds its own.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

import s3fs
from fsspec.asyn import sync_wrapper

from fasray.storage.retry import RetryPolicy

_CONFIG = {"connect_timeout": 5, "read_timeout": 30, "retries": {"total_max_attempts": 1, "mode": "standard"}}
_BLOCK_BYTES = 4 * 2**20


class RetryingS3(s3fs.S3FileSystem):  # type: ignore[misc]
    """An S3 file system that retries, and caches no listings, which another process would make stale."""

    retries = 3
    """Attempts at a whole read; a body that breaks off is fetched again. The waiting is done below."""

    @property
    def store(self) -> str:
        """What to call this store in messages: its endpoint, without anything that could be a secret."""
        return endpoint() or "Amazon S3"

    async def _call_s3(self, method: str, *arguments: Any, **options: Any) -> Any:
        policy = RetryPolicy(self.store)
        while True:
            try:
                answer = await super()._call_s3(method, *arguments, **options)
            except Exception as error:
                pause = policy.pause_after(error)
                if pause is None:
                    raise
            else:
                policy.answered()
                return answer
            await asyncio.sleep(pause)

    call_s3 = sync_wrapper(_call_s3)

    async def _call_once(self, method: str, **options: Any) -> Any:
        return await super()._call_s3(method, **options)

    call_once = sync_wrapper(_call_once)
    """A request that is never retried."""


def endpoint() -> str:
    """Return scheme, host and port of the endpoint that the environment names; empty if it names none."""
    url = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}://{rest.split('/')[0].rsplit('@')[-1]}" if separator else ""


_made: dict[tuple[int, int], RetryingS3] = {}
_making = threading.Lock()


def s3() -> RetryingS3:
    """Return the file system of this process and environment; its threads share it, a forked child has its own."""
    settings = hash(tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_"))))
    key = (os.getpid(), settings)
    with _making:
        if key not in _made:
            _made[key] = RetryingS3(
                config_kwargs=_CONFIG,
                use_listings_cache=False,
                default_block_size=_BLOCK_BYTES,
                skip_instance_cache=True,
            )
        return _made[key]
