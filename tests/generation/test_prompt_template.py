import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import InvalidInputError
from generation.prompt_template import Field, Template, attribute_name, parse_template


def test_parts_are_told_apart() -> None:
    read = parse_template("a {colour} {g|x y } {{really}} 100%")
    assert read.fields == (Field("colour"), Field("g", "x y"))
    assert read.filled(lambda field: f"<{field.name}>") == "a <colour> <g> {really} 100%"
    assert read.plain == "a  x y {really} 100%"


def test_spellings_of_a_name_are_one() -> None:
    assert {attribute_name(raw) for raw in ("color", "Colour", "g:color", " COLOR ")} == {"colour"}
    assert parse_template("{color} {Colour}").fields == (Field("colour"), Field("colour"))
    assert attribute_name("Age  Group") == "age_group"


@given(st.text(alphabet="{}ab|_ é🪑", max_size=30))
def test_what_is_read_is_written_again_the_same(text: str) -> None:
    try:
        read = parse_template(text)
    except InvalidInputError:
        return
    assert parse_template(str(read)).filled(str) == read.filled(str)
    assert parse_template(str(read)).fields == read.fields


@given(st.text(max_size=40))
def test_a_doubled_brace_means_itself(text: str) -> None:
    read = parse_template(text.replace("{", "{{").replace("}", "}}"))
    assert read.fields == ()
    assert read.plain == text


@pytest.mark.parametrize(
    "text", ["{", "}", "a {b", "b} c", "{}", "{|x}", "{1a}", "{a.b}", "{a b}", "{a[0]}", "{{{a", "{a{b}}", "{a!r}"]
)
def test_other_braces_are_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"brace|no valid name"):
        parse_template(text)


def test_levels_are_put_in_whole() -> None:
    text = parse_template("on {surface}, {{x}} {colour|red}")
    level = parse_template("{material|wood} {{floor}}")
    read = text.expanded({"surface": level})
    assert read.fields == (Field("material", "wood"), Field("colour", "red"))
    assert str(read) == "on {material|wood} {{floor}}, {{x}} {colour|red}"
    assert Template(()).plain == ""
