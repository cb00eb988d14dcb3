"""Source code is cut at its definitions, and each chunk names the classes and functions around it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecver.errors import InvalidInputError
from vecver.model import Chunk, Failure, Parsed
from vecver.pipeline.chunkers import code
from vecver.pipeline.chunkers.chunk import chunk, chunker_recipe
from vecver.pipeline.parsers.parse import parse
from vecver.pipeline.workers.reading import Item, Reading, read

pytest.importorskip("tree_sitter", reason="vecver[documents] is not installed")

RECIPE = chunker_recipe(tokens=75, max_tokens=1000)  # 45 in text with definitions

PYTHON = '''\
"""Pumps and what they do."""
import os

# Makes a pump, as the catalogue
# has it.
@cached
def make(name):
    """One pump.

    Never two.
    """
    return Pump(name, os.environ["PUMP_SIZE"])

class Pump(Base):
    # Sizes are in litres, as everywhere else.
    size = 1

    @property
    def start(self):
        return self.size + self.other + self.third

    class Valve:
        def turn(self, by): return self.at + by * 2 + by

    limit = [1, 2, 3, 4, 5, 6, 7, 8]

if __name__ == "__main__":
    main()
'''

TYPESCRIPT = """\
import a from "b";
/** A pump. */
export class Pump<T> extends Base {
  @Input() size = 1;
  // starts it
  @logged() start(): void { this.on = true; }
  stop = () => { this.on = false; }
}
export const turn = (by: number) => { return by; };
namespace Tools { export function mend() {} }
exports.open = function () {};
"""

JAVA = """\
package pumps;
/** A pump. */
@Part
public class Pump extends Base {
  int size; // in litres

  /** Starts it. */
  @Override public void start() { on = true; }
  enum State { ON, OFF; int code() { return 1; } }
}
"""

GO = """\
package pumps
// Pump moves water.
type Pump struct { size int }

// Start begins.
func (p *Pump[T]) Start() error {
  return nil
}
"""

RUST = """\
use water;
/// A pump.
#[derive(Debug)]
pub struct Pump<T> { size: T }

impl<T> Machine for Pump<T> {
    /// Starts it.
    #[inline]
    pub fn start(&self) {}
}
mod tests { #[test] fn holds() {} }
"""

C = """\
#ifndef PUMP_H
#define PUMP_H
/* A pump. */
struct pump { int size; };
typedef struct { int at; } valve;
struct pump *make(int size) { return 0; }
#endif
"""

CPP = """\
#pragma once
namespace water {
// A pump.
template <class T> class Pump : public Base {
 public:
  Pump() {}
  int& size() { return size_; }
};
template <class T> void Pump<T>::start() { }
}  // namespace water
"""

DEFINITIONS = [  # of a text: names, and how the block begins
    ("text/x-python", PYTHON, [
        ("make", "# Makes a pump"), ("Pump", "class Pump"), ("Pump.start", "    @property"),
        ("Pump.Valve", "    class Valve"), ("Pump.Valve.turn", "        def turn"),
    ]),
    ("text/x-typescript", TYPESCRIPT, [
        ("Pump", "/** A pump"), ("Pump.start", "  // starts"), ("Pump.stop", "  stop ="), ("turn", "export const"),
        ("Tools", "namespace"), ("Tools.mend", "export function"), ("exports.open", "exports.open"),
    ]),
    ("text/x-java", JAVA, [
        ("Pump", "/** A pump"), ("Pump.start", "  /** Starts"), ("Pump.State", "  enum"),
        ("Pump.State.code", "int code"),
    ]),
    ("text/x-go", GO, [("Pump", "// Pump moves"), ("Pump.Start", "// Start begins")]),
    ("text/x-rust", RUST, [
        ("Pump", "/// A pump"), ("Pump", "impl<T>"), ("Pump.start", "    /// Starts"), ("tests", "mod"),
        ("tests.holds", "#[test]"),
    ]),
    ("text/x-c", C, [("pump", "/* A pump"), ("valve", "typedef"), ("make", "struct pump *make")]),
    ("text/x-c", CPP, [("water", "namespace"), ("water.Pump", "// A pump"), ("water.Pump.Pump", "  Pump()"),
                       ("water.Pump.size", "  int&"), ("water.Pump.start", "template")]),
    ("text/x-javascript", "const A = () => <b>x</b>;\nfunction* walk() {}\n", [("A", "const"), ("walk", "function*")]),
]  # fmt: skip


def words(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    return np.array([len(re.findall(r"\w+|[^\w\s]", text)) for text in texts], np.int64)


def chunks_of(text: str, media_type: str = "text/x-python") -> list[Chunk]:
    return chunk([Parsed(text, "", media_type, "test 1")], RECIPE, words)[0]


@pytest.mark.parametrize(("media_type", "text", "expected"), DEFINITIONS)
def test_blocks_begin_at_definitions_with_their_comments_and_decorators(
    media_type: str, text: str, expected: list[tuple[str, str]]
) -> None:
    blocks = code.code_blocks(text, media_type, RECIPE["code"]) or []
    found = [(".".join(block.names), text[block.start : block.end]) for block in blocks if block.kind == "definition"]
    assert [name for name, _ in found] == [name for name, _ in expected]
    assert all(part.startswith(begins) for (_, part), (_, begins) in zip(found, expected, strict=True))


def test_chunks_name_their_definitions_and_embed_them_once() -> None:
    assert [(".".join(chunk.headings), chunk.line, chunk.embedded.split("\n")[:2]) for chunk in chunks_of(PYTHON)] == [
        ("", 1, ['"""Pumps and what they do."""', "import os"]),
        ("make", 4, ["# Makes a pump, as the catalogue", "# has it."]),
        ("make", 10, ["make", "Never two."]),
        ("Pump", 14, ["class Pump(Base):", "    # Sizes are in litres, as everywhere else."]),
        ("Pump.start", 18, ["Pump", "@property"]),
        ("Pump.Valve", 22, ["Pump", "class Valve:"]),
        ("Pump", 25, ["Pump", "limit = [1, 2, 3, 4, 5, 6, 7, 8]"]),
        ("", 27, ['if __name__ == "__main__":', "    main()"]),
    ]


def test_closing_brackets_stay_with_their_definition() -> None:
    blocks = code.code_blocks(CPP, "text/x-c++", RECIPE["code"]) or []
    assert CPP[blocks[-1].start :].endswith("start() { }\n}  // namespace water\n") and blocks[-1].kind == "definition"


def test_a_long_function_keeps_its_names() -> None:
    body = "".join(f"        self.step_{n}(by={n})\n" for n in range(40))
    made = chunks_of(
        f"class Pump:\n    def start(self):\n{body}\n    def stop(self):\n        return self.at + self.by * 2\n"
    )
    parts = [chunk for chunk in made if chunk.headings == ("Pump", "start")]
    assert len(parts) > 5 and all(chunk.embedded.startswith("Pump\nstart\n") for chunk in parts[1:])
    assert all(chunk.text.endswith("\n") for chunk in made) and words([chunk.embedded for chunk in made]).max() <= 45


def test_broken_code_is_cut_too() -> None:
    text = f"}}}} = (\n{JAVA}\n((class {{ void\n"
    assert "".join(chunk.text for chunk in chunks_of(text, "text/x-java")) == text
    assert any("Pump" in chunk.headings for chunk in chunks_of(JAVA.replace("int size;", "int = ;"), "text/x-java"))


@pytest.mark.parametrize(
    ("media_type", "text"),
    [
        ("text/x-ruby", "def a\nend\n"),
        ("text/plain", "def a(): pass\n"),
        ("text/x-java", "a=>" * 5000),
        ("text/x-java", "a<" * 5000),
        ("text/x-java", "( &async " * 2000),
        ("text/x-go", "!/*" * 5000),
        ("text/x-python", "a = 1\n" * 200_000),
    ],
)
def test_code_without_a_grammar_is_cut_at_blank_lines(media_type: str, text: str) -> None:
    assert code.code_blocks(text, media_type, RECIPE["code"]) is None


@pytest.mark.parametrize("media_type", ["text/x-python", "text/x-c", "text/x-javascript", "text/x-rust"])
def test_deep_brackets(media_type: str) -> None:
    for unit in ("(", "[", "{", "class A {", "if a:\n"):
        text = unit * (100_000 // len(unit))
        for block, after in pairwise(code.code_blocks(text, media_type, RECIPE["code"]) or []):
            assert block.end == after.start


SNIPPETS = [PYTHON, TYPESCRIPT, JAVA, GO, RUST, C, CPP, "é = '中文😀'\n", "\n\n", "{", "}", "/*", '"""', "    ",
            "def x(", "\r\n", "\ud800", "class A { f() {} };", "function a(){}function b(){}"]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(SNIPPETS), st.integers(0, 400), st.integers(1, 400)), max_size=5),
    st.sampled_from(["python", "typescript", "java", "go", "rust", "c", "c++", "javascript"]),
)
def test_chunks_tile_any_text_and_none_is_too_long(parts: list[tuple[str, int, int]], name: str) -> None:
    text = "".join(part[start : start + length] or part for part, start, length in parts)
    made = chunks_of(text, f"text/x-{name}")
    assert "".join(chunk.text for chunk in made) == (text if made else "") and (made or not text.strip())
    assert all(text[chunk.start : chunk.end] == chunk.text for chunk in made)
    assert not made or words([chunk.embedded for chunk in made]).max() <= 75


class TestRecipe:
    def test_a_recipe_records_the_grammars(self) -> None:
        assert re.fullmatch(r"\d+\.\d+", RECIPE["code"]["tree-sitter"]) and "python" in RECIPE["code"]
        assert "code" not in chunker_recipe(max_tokens=100, grammars={})

    def test_without_it_code_is_cut_at_blank_lines(self) -> None:
        document = Parsed(PYTHON, "", "text/x-python", "test 1")
        made = chunk([document], chunker_recipe(tokens=45, max_tokens=1000, grammars={}), words)[0]
        assert {one.headings for one in made} == {()}

    @pytest.mark.parametrize("other", [{"python": "0.1"}, {"tree-sitter": "0.1"}])
    def test_another_version_is_an_error_of_the_document(self, other: dict[str, str]) -> None:
        recipe = RECIPE | {"code": RECIPE["code"] | other}
        with pytest.raises(InvalidInputError) as caught:
            chunk([Parsed(PYTHON, "", "text/x-python", "test 1")], recipe, words)
        assert caught.value.code == "missing_extra" and "pip install 'vecver[documents]'" in caught.value.hint
        reading = Reading(parse, (), recipe, 60, 60, 1 << 30)
        failure = read(reading, Item("a.py", PYTHON.encode(), None, ""))
        assert isinstance(failure, Failure) and "pip install" in failure.reason
        assert isinstance(read(reading, Item("a.md", b"# a", None, "")), Parsed)

    def test_without_tree_sitter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for cached in (code._installed, code._minor, code._language):
            monkeypatch.setattr(code, cached.__name__, cached.__wrapped__)
        monkeypatch.setattr(code, "_GRAMMARS", {"python": ("no-such-package", "language")})
        assert code.installed() == {} and "code" not in chunker_recipe(max_tokens=100)
        with pytest.raises(InvalidInputError, match="none is installed"):
            code.code_blocks("a", "text/x-python", RECIPE["code"])
