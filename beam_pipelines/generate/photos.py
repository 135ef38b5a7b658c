"""Where the photos of a catalogue come from: files, http, https and buckets; remote ones are kept for the workers."""

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from beam_pipelines.generate.elements import Item
from contracts import InvalidInputError, Product, StoreError, UnavailableError
from generation import MAX_PHOTO_BYTES, PhotoError, PhotoFetcher, read_photo_bytes
from stores import ObjectStore, open_objects

_KEPT = "photos/"
_THREADS = 16


@dataclass(frozen=True, slots=True)
class Found:
    """A product's photo: the SHA-256 (hex) of its bytes, and its object ("" for a file, read where it lies)."""

    sha256: str
    kept: str


@dataclass(slots=True)
class PhotoSource:
    """Finds photos; what had to be fetched is kept in ``objects`` (if any) by its hash, so that all see the same.

    With ``keep_files`` those that are files are kept, too.
    """

    objects: ObjectStore | None
    fetcher: PhotoFetcher
    keep_files: bool = False
    _buckets: dict[str, ObjectStore] = field(default_factory=dict)

    def find_all(self, products: Iterable[Product], folder: Path) -> Iterator[tuple[Product, Found | PhotoError]]:
        """Each product, in order, with its photo or why there is none; many are fetched at once.

        Raises:
            StoreError: if the object store fails.
        """
        each = tuple(products)
        with ThreadPoolExecutor(_THREADS) as threads:
            yield from zip(each, threads.map(lambda product: self._find(product, folder), each), strict=True)

    def find_items(self, items: Iterable[Item], folder: Path) -> Iterator[tuple[Item, Found | PhotoError]]:
        """As ``find_all`` for items; one whose photo is kept already is not looked for.

        Raises:
            StoreError: if the object store fails.
        """
        each = tuple(items)
        looked_for = self.find_all((item.product for item in each if not item.kept), folder)
        for item in each:
            yield item, Found(item.kept.rpartition("/")[2], item.kept) if item.kept else next(looked_for)[1]

    def read(self, uri: str, found: Found, folder: Path) -> bytes:
        """The bytes of a photo that was found.

        Raises:
            PhotoError: if its file is gone.
            StoreError: if the object store fails.
        """
        if found.kept and self.objects is not None:
            return self.objects.get(found.kept)
        return read_photo_bytes(uri, folder)

    def _find(self, product: Product, folder: Path) -> Found | PhotoError:
        try:
            return self.find(product.image_uri, folder)
        except PhotoError as error:
            return error

    def find(self, uri: str, folder: Path) -> Found:
        """The photo at ``uri``; paths are relative to ``folder``.

        Raises:
            PhotoError: ``no_image``, ``bad_image`` or ``image_unavailable``.
            StoreError: if the object store fails.
        """
        scheme = uri.partition(":")[0].lower()
        if scheme in {"http", "https"}:
            data = self.fetcher.fetch(uri)
        else:
            data = self._bucket_object(uri) if scheme == "gs" else read_photo_bytes(uri, folder)
        sha256 = hashlib.sha256(data).hexdigest()
        if scheme not in {"http", "https", "gs"} and not self.keep_files:
            return Found(sha256, "")
        path = f"{_KEPT}{sha256[:2]}/{sha256}"
        if self.objects is not None:
            self.objects.put_if_absent(path, data)
        return Found(sha256, path)

    def _bucket_object(self, uri: str) -> bytes:
        try:
            parts = urlsplit(uri)
            bucket = f"gs://{parts.netloc}"
            if bucket not in self._buckets:
                self._buckets[bucket] = open_objects(bucket)
            data = self._buckets[bucket].get(parts.path.lstrip("/"))
        except (ValueError, InvalidInputError) as error:
            message = f"image {uri!r}: {error}"
            raise PhotoError(message, "no_image") from error
        except UnavailableError as error:
            message = f"image {uri!r}: {error}"
            raise PhotoError(message, "image_unavailable") from error
        except StoreError as error:
            message = f"image {uri!r}: {error}"
            raise PhotoError(message, "no_image") from error
        if len(data) > MAX_PHOTO_BYTES:
            message = f"image {uri!r} has {len(data)} bytes, the limit is {MAX_PHOTO_BYTES}"
            raise PhotoError(message, "bad_image")
        return data
