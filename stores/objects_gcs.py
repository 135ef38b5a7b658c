"""Object store in a Google Cloud Storage bucket."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import quote

import requests
from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError
from google.cloud.storage import Blob, Client
from google.cloud.storage.retry import DEFAULT_RETRY

from contracts import InvalidInputError, MissingObjectError, SetupError, StoreError, UnavailableError
from stores.objects import BINARY, check_object, check_path

PUBLIC_URL = "https://storage.googleapis.com"
DEFAULT_TIMEOUT_S = 60.0
DEFAULT_RETRY_S = 120.0
_ONLY_IF_ABSENT = 0


class GcsObjectStore:
    """``ObjectStore`` in a bucket, below ``prefix``."""

    def __init__(
        self,
        bucket: str,
        prefix: str,
        client: Client,
        *,
        base_url: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retry_s: float = DEFAULT_RETRY_S,
    ) -> None:
        """Use ``client``; ``base_url`` is where browsers find the objects ("": Google's public address).

        One request waits ``timeout_s`` for its answer; requests are repeated for ``retry_s`` in all.
        """
        self._bucket = client.bucket(bucket)
        self._client = client
        self._prefix = f"{check_path(prefix)}/" if prefix else ""
        self._base_url = base_url.rstrip("/") or f"{PUBLIC_URL}/{bucket}/{self._prefix}".rstrip("/")
        self._timeout_s = timeout_s
        # Every write here may be repeated: it has the same bytes or asks that there be none.
        self._retry = DEFAULT_RETRY.with_timeout(retry_s)

    def put_if_absent(self, path: str, data: bytes, content_type: str = BINARY) -> bool:
        """Write an object unless there is one; tells whether this call wrote it.

        A retry inside the client that finds its own first try answers False.

        Raises:
            InvalidInputError: if the path or the length is not allowed.
            UnavailableError: if the bucket did not answer.
        """
        blob = self._blob(check_object(path, data))
        with _bucket_errors("write", path):
            try:
                blob.upload_from_string(
                    data, content_type, if_generation_match=_ONLY_IF_ABSENT, timeout=self._timeout_s, retry=self._retry
                )
            except exceptions.PreconditionFailed:
                return False
        return True

    def put(self, path: str, data: bytes, content_type: str = BINARY) -> None:
        """Write an object, in place of what was there.

        Raises:
            InvalidInputError: if the path or the length is not allowed.
            UnavailableError: if the bucket did not answer.
        """
        blob = self._blob(check_object(path, data))
        with _bucket_errors("write", path):
            blob.upload_from_string(data, content_type, timeout=self._timeout_s, retry=self._retry)

    def get(self, path: str) -> bytes:
        """Read an object.

        Raises:
            InvalidInputError: if the path is not allowed.
            MissingObjectError: if there is no such object.
            UnavailableError: if the bucket did not answer.
        """
        blob = self._blob(check_path(path))
        with _bucket_errors("read", path):
            data: bytes = blob.download_as_bytes(timeout=self._timeout_s, retry=self._retry)
        return data

    def exists(self, path: str) -> bool:
        """Tell whether there is such an object.

        Raises:
            InvalidInputError: if the path is not allowed.
            UnavailableError: if the bucket did not answer.
        """
        blob = self._blob(check_path(path))
        with _bucket_errors("look for", path):
            return bool(blob.exists(timeout=self._timeout_s, retry=self._retry))

    def remove(self, path: str) -> None:
        """Remove an object; if there is none, nothing happens.

        Raises:
            InvalidInputError: if the path is not allowed.
            UnavailableError: if the bucket did not answer.
        """
        blob = self._blob(check_path(path))
        with _bucket_errors("remove", path), suppress(exceptions.NotFound):
            blob.delete(timeout=self._timeout_s, retry=self._retry)

    def list(self, prefix: str = "") -> Iterator[str]:
        """Paths that begin with ``prefix``, ascending by character.

        Raises:
            InvalidInputError: if the prefix is not the beginning of an allowed path.
            UnavailableError: if the bucket did not answer.
        """
        folder = prefix.rpartition("/")[0]
        if folder:
            check_path(folder)
        with _bucket_errors("list", prefix):
            for blob in self._client.list_blobs(
                self._bucket,
                prefix=self._prefix + prefix,
                fields="items(name),nextPageToken",
                timeout=self._timeout_s,
                retry=self._retry,
            ):
                yield blob.name.removeprefix(self._prefix)

    def url(self, path: str) -> str:
        """Where a browser finds the object."""
        return f"{self._base_url}/{quote(check_path(path))}"

    def _blob(self, path: str) -> Blob:
        return self._bucket.blob(self._prefix + path)


def open_bucket(bucket: str, prefix: str, base_url: str = "") -> GcsObjectStore:
    """Open a bucket with the machine's default credentials.

    Raises:
        SetupError: if there are none.
    """
    try:
        client = Client()
    except (GoogleAuthError, OSError) as error:
        message = f"cannot open gs://{bucket}: {error}: run `gcloud auth application-default login`"
        raise SetupError(message) from error
    return GcsObjectStore(bucket, prefix, client, base_url=base_url)


@contextmanager
def _bucket_errors(doing: str, path: str) -> Iterator[None]:
    try:
        yield
    except exceptions.NotFound as error:
        message = f"could not {doing} object {path!r}: there is no such object or bucket"
        raise MissingObjectError(message) from error
    except exceptions.BadRequest as error:
        message = f"could not {doing} object {path!r}: the bucket calls it invalid: {error}"
        raise InvalidInputError(message) from error
    except (
        exceptions.ServerError,
        exceptions.TooManyRequests,
        exceptions.RetryError,
        requests.RequestException,
        GoogleAuthError,
        OSError,
    ) as error:
        message = f"could not {doing} object {path!r}: the bucket did not answer: {error}"
        raise UnavailableError(message) from error
    except exceptions.GoogleAPIError as error:
        message = f"could not {doing} object {path!r}: {error}"
        raise StoreError(message) from error
