"""Photos in buckets; those on the web are in tests/generation/test_fetch.py."""

from pathlib import Path

import pytest

from beam_pipelines.generate.photos import Found, PhotoSource
from contracts import Product
from generation import PhotoError, PhotoFetcher
from stores import FileObjectStore
from tests.generation.studio import encoded, photo_pixels
from tests.stores.fake_bucket import FakeBucketServer


def test_a_photo_in_a_bucket_is_kept_once(tmp_path: Path, bucket: FakeBucketServer) -> None:
    photo = encoded(photo_pixels(64, 64))
    bucket.objects["shop", "photos/a.png"] = (photo, "image/png")
    objects = FileObjectStore(tmp_path)
    source = PhotoSource(objects, PhotoFetcher())
    found = source.find("gs://shop/photos/a.png", tmp_path)
    assert objects.get(found.kept) == photo
    assert source.find("gs://shop/photos/a.png", tmp_path) == found
    assert PhotoSource(None, PhotoFetcher()).find("gs://shop/photos/a.png", tmp_path) == found


@pytest.mark.parametrize(
    "uri", ["gs://shop/none.png", "gs://shop/", "gs:///a.png", "gs://[x/a.png", "gs://shop/../a.png"]
)
def test_a_photo_that_no_bucket_has(uri: str, tmp_path: Path, bucket: FakeBucketServer) -> None:
    with pytest.raises(PhotoError, match="image") as caught:
        PhotoSource(None, PhotoFetcher()).find(uri, tmp_path)
    assert caught.value.reason == "no_image"


def test_products_keep_their_order_and_each_has_an_answer(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    uris = ["a.png", "none.png", "ftp://x/y", "a.png"]
    products = [Product(f"p{n}", "c", "t", "", 1.0, "", uri) for n, uri in enumerate(uris)]
    found = list(PhotoSource(None, PhotoFetcher()).find_all(products, tmp_path))
    assert [product for product, _ in found] == products
    assert [photo.reason if isinstance(photo, PhotoError) else photo.kept for _, photo in found] == [
        "", "no_image", "no_image", "",
    ]  # fmt: skip
    assert isinstance(found[0][1], Found)
