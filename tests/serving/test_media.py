import asyncio
from pathlib import Path
from typing import Any

import pytest

from serving.http import Request, RequestError
from serving.media import MediaRoute


async def nothing() -> dict[str, Any]:
    return {"type": "http.request", "body": b""}


def fetch(root: Path, tail: str) -> tuple[int, bytes, bytes]:
    request = Request(f"/media/{tail}", tail, b"", (), nothing)
    answer = asyncio.run(MediaRoute(root).get(request))
    return answer.status, answer.body, answer.content_type


@pytest.mark.parametrize(("suffix", "kind"), [("jpg", b"image/jpeg"), ("webp", b"image/webp"), ("avif", b"image/avif")])
def test_every_format_of_creatives_is_served_by_its_type(tmp_path: Path, suffix: str, kind: bytes) -> None:
    (tmp_path / "creatives").mkdir()
    (tmp_path / "creatives" / f"a.{suffix}").write_bytes(b"pixels")
    assert fetch(tmp_path, f"creatives/a.{suffix}") == (200, b"pixels", kind)


def test_what_is_no_picture_is_not_served(tmp_path: Path) -> None:
    (tmp_path / "creatives").mkdir()
    (tmp_path / "creatives" / "a.html").write_bytes(b"<script>")
    with pytest.raises(RequestError, match="there is no picture"):
        fetch(tmp_path, "creatives/a.html")
