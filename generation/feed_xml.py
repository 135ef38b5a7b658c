"""Google Merchant product feeds in XML: RSS 2.0 ``item`` or Atom ``entry`` elements, one product each."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from contracts import InvalidInputError

_CHUNK = 1 << 16
_SEPARATOR = " "
_PRODUCTS = ("item", "entry")
# Depth of an element that is a product's own.
_FIELD = 2


@dataclass(slots=True)
class _Products:
    """Handlers of the parser: ``done`` are the products whose elements have ended, ``depth`` is within one."""

    limit: int
    done: list[dict[str, str]] = field(default_factory=list)
    depth: int = 0
    size: int = 0
    name: str = ""
    text: list[str] = field(default_factory=list)
    row: dict[str, str] = field(default_factory=dict)

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        local = tag.rpartition(_SEPARATOR)[2]
        if self.depth:
            self.depth += 1
            if self.depth == _FIELD:
                self.name, self.text = local, []
                if local == "link" and "href" in attributes:
                    self.text = [attributes["href"]]
        elif local in _PRODUCTS:
            self.depth, self.size, self.row = 1, 0, {}

    def characters(self, text: str) -> None:
        if not self.depth:
            return
        self.size += len(text)
        if self.size > self.limit:
            message = f"a product has more than {self.limit} characters"
            raise InvalidInputError(message)
        # Deeper elements, such as the price of a shipping method, are not the product's own.
        if self.depth == _FIELD:
            self.text.append(text)

    def end(self, _tag: str) -> None:
        if not self.depth:
            return
        if self.depth == _FIELD:
            # Of repeated elements, such as product_type, the first counts.
            self.row.setdefault(self.name, "".join(self.text).strip())
        self.depth -= 1
        if not self.depth:
            self.done.append(self.row)


def xml_rows(path: Path, limit: int) -> Iterator[dict[str, str]]:
    """Products of a feed in order, as element name (without its namespace) -> text; streamed.

    Raises:
        InvalidInputError: where the file stops being XML, declares a document type (no feed needs one, and
            entities can expand without end), or holds a product of more than ``limit`` characters.
    """
    products = _Products(limit)
    parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
    parser.buffer_text = True
    parser.StartElementHandler = products.start
    parser.EndElementHandler = products.end
    parser.CharacterDataHandler = products.characters
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                parser.Parse(chunk, False)
                yield from products.done
                products.done.clear()
            parser.Parse(b"", True)
    except expat.ExpatError as error:
        message = f"catalogue {path} is no well-formed XML: {error}"
        raise InvalidInputError(message) from error
    except InvalidInputError as error:
        message = f"catalogue {path}, line {parser.CurrentLineNumber}: {error}"
        raise InvalidInputError(message) from error


def _refuse_doctype(*_: object) -> None:
    message = "it declares a document type: take the DOCTYPE out"
    raise InvalidInputError(message)
