import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.landing import is_picture_url, is_web_url, landing_url

OWN = "https://shop.example/sofa"
ALLOWED = {"ads.example"}


@pytest.mark.parametrize(
    "url",
    ["https://shop.example", "http://shop.example:8080/a/b?c=d&e=%20#f", "https://[::1]/x", "https://10.0.0.1/(a)"],
)
def test_web_urls(url: str) -> None:
    assert is_web_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shop.example",
        "//shop.example/",
        "/path",
        "ftp://shop.example/",
        "javascript:alert(1)",
        "data:text/html,hi",
        "https://",
        "https:///path",
        "https://user@shop.example/",
        "https://shop.example@evil.example/",
        "https://shop.example\\@evil.example/",
        "https://shop.example/a b",
        "https://shop.example/a\r\nSet-Cookie: x=1",
        "https://shop.example/\u00e4",
        "https://shop.example:99999/",
        "https://shop.example/" + "x" * 2048,
        " https://shop.example/",
        "https://shop.example/<script>",
    ],
)
def test_what_is_no_web_url(url: str) -> None:
    assert not is_web_url(url)


@given(st.text(string.printable + "ä\u2028", max_size=80))
def test_a_web_url_can_never_break_a_header(text: str) -> None:
    url = "https://shop.example/" + text
    if is_web_url(url):
        assert url.isascii()
        assert url.isprintable()
        assert " " not in url


def test_pictures_may_be_paths_of_the_page() -> None:
    assert is_picture_url("/photos/sofa.jpg")
    assert not is_picture_url("//evil.example/sofa.jpg")
    assert not is_picture_url("photos/sofa.jpg")


@pytest.mark.parametrize(
    ("requested", "own", "expected"),
    [
        (None, OWN, (OWN, False)),
        (OWN, OWN, (OWN, False)),
        ("https://ads.example/x", OWN, ("https://ads.example/x", False)),
        ("https://ADS.example/x", OWN, ("https://ADS.example/x", False)),
        ("https://evil.example/x", OWN, (OWN, True)),
        ("https://shop.example/other", OWN, (OWN, True)),
        ("https://evil.example/x", "", ("", True)),
        ("https://ads.example.evil.example/", OWN, (OWN, True)),
        (None, "javascript:alert(1)", ("", False)),
        (None, "", ("", False)),
        (None, "https://shop.example/Stühle?a=%20", ("https://shop.example/St%C3%BChle?a=%20", False)),
        (None, "https://shöp.example/", ("", False)),
    ],
)
def test_where_a_click_leads(requested: str | None, own: str, expected: tuple[str, bool]) -> None:
    assert landing_url(requested, own, ALLOWED) == expected
