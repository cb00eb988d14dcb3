"""Cuts source code at its definitions with tree-sitter, and records the class and function of each part.

Blocks tile the text. One begins at each definition, with the decorators and comments above it, one after its end, and
one after each blank line.

Decisions
1. A recipe records major.minor of tree-sitter and of each grammar, and code is cut only with the same versions: another
   grammar may see other definitions, and one recipe has one set of chunks. With other versions the document is an error
   that names the package to install, because falling back to blank lines would silently give other chunks.
2. What is nested in a function is part of it. Definitions inside classes, namespaces and modules are cut separately.
3. For a type with two grammars (`.h` may be C or C++, `.ts` may be TSX), the grammar that parses the text without an
   error is used, otherwise the one that finds more definitions.
4. Text that is no code of its language can cost a parser memory quadratic in its length: 5,000 characters of `a=>` cost
   the C parser 0.9 GB. So a parser may take 2,000 steps and three for each byte read; real code, broken or not, takes
   fewer than 1.5. Unclosed brackets are expensive too (1.4 GB for 2,000 in Java), and so are unclosed comments, each of
   which is searched for to the end. Such texts, and those longer than `LONGEST`, are cut at blank lines. A limit on
   time or memory would make chunks depend on the machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module, metadata
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from vecver.errors import InvalidInputError, say
from vecver.model import Json
from vecver.pipeline.chunkers.blocks import Block, join_empty, paragraphs
from vecver.pipeline.chunkers.normalise import Kind, normalise

if TYPE_CHECKING:
    from tree_sitter import Language, Node, Tree

LONGEST: Final = 1_000_000  # bytes of a text that is parsed at most
MOST_OPEN: Final = 300  # nested brackets at most
MOST_LOOKED_AT: Final = 20_000_000  # bytes searched for the ends of comments at most
_FREE_STEPS, _STEPS_A_BYTE, _STEPS_A_CALL = (
    2000,
    3,
    100,
)  # limits on a parser's steps, and the steps between two callbacks
_READ_AT_ONCE: Final = 1 << 12  # bytes
DEEPEST: Final = 16  # levels of nested definitions and groups that are walked
_LONGEST_NAME: Final = 100  # characters
_INDENT: Final = 200  # characters of white space in front of a line that are looked at

_GRAMMARS: Final = {  # name in the recipe -> package and its function
    "c": ("tree-sitter-c", "language"),
    "cpp": ("tree-sitter-cpp", "language"),
    "go": ("tree-sitter-go", "language"),
    "java": ("tree-sitter-java", "language"),
    "javascript": ("tree-sitter-javascript", "language"),
    "python": ("tree-sitter-python", "language"),
    "rust": ("tree-sitter-rust", "language"),
    "tsx": ("tree-sitter-typescript", "language_tsx"),
    "typescript": ("tree-sitter-typescript", "language_typescript"),
}
_LIBRARY: Final = "tree-sitter"
_OF_TYPE: Final = {
    "text/x-c": ("c", "cpp"),
    "text/x-c++": ("cpp",),
    "text/x-go": ("go",),
    "text/x-java": ("java",),
    "text/x-javascript": ("javascript",),
    "text/x-python": ("python",),
    "text/x-rust": ("rust",),
    "text/x-typescript": ("typescript", "tsx"),
}


def _types(names: str) -> frozenset[str]:
    return frozenset(names.split())


# Node types of all grammars together: grammars that share a name mean the same by it.
_HOLDERS: Final = _types(  # definitions that hold others
    "class_definition class_declaration abstract_class_declaration class interface_declaration enum_declaration "
    "record_declaration annotation_type_declaration internal_module module trait_item impl_item mod_item "
    "class_specifier struct_specifier union_specifier namespace_definition"
)
_LEAVES: Final = _types(  # definitions that are not walked
    "function_definition function_declaration generator_function_declaration method_definition function_signature "
    "type_alias_declaration method_declaration constructor_declaration compact_constructor_declaration function_item "
    "struct_item enum_item union_item macro_definition enum_specifier concept_definition type_declaration"
)
_WRAPPERS: Final = _types(  # each wraps one definition and belongs to it
    "decorated_definition export_statement assignment_expression template_declaration ambient_declaration "
    "lexical_declaration variable_declaration declaration field_declaration type_definition public_field_definition "
    "field_definition expression_statement"
)
_GROUPS: Final = _types(  # containers that are no definitions
    "block class_body interface_body enum_body enum_body_declarations declaration_list field_declaration_list "
    "statement_block preproc_if preproc_ifdef preproc_else preproc_elif linkage_specification foreign_mod_item "
    "if_statement else_clause elif_clause try_statement except_clause finally_clause with_statement ERROR"
)
_FUNCTIONS: Final = frozenset(["arrow_function", "function_expression", "generator_function"])  # values with a name
_PREFIXES: Final = _types("comment line_comment block_comment attribute_item decorator")

_CLOSING: Final = re.compile(
    r"(?:[^\S\n]*+[)}\];,]++)*+[^\S\n]*+(?:(?://|#)[^\n]*+)?(?:\s*+[)}\];,]++(?:[^\S\n]*+//[^\n]*+)?)*+\s*+"
)
_TYPE_ARGUMENTS: Final = re.compile(r"<[^<>]*+>")
_RECEIVER: Final = re.compile(r"(\w+)\s*+(?:\[[^\[\]]*+\])?\s*+\)\s*+$")
_OPENING, _CLOSERS = list(b"([{"), list(b")]}")
_CONTINUATION: Final = bytes(range(0x80, 0xC0))  # UTF-8 bytes that continue a character

Names = tuple[str, ...]
_Waiting = tuple["Node | _Place", Names, int, int]  # with depth, and where the comments over its first child begin


class _Place(NamedTuple):
    """The offset from which text belongs to these definitions."""

    at: int  # bytes; characters once `_in_characters`
    names: Names
    begins: bool  # a definition begins here


def installed() -> Json:
    """The versions of tree-sitter and its grammars for a recipe; {} if they are not installed."""
    return dict(_installed())


@cache
def _installed() -> tuple[tuple[str, str], ...]:
    library = _minor(_LIBRARY)
    versions = {name: _minor(package) for name, (package, _) in _GRAMMARS.items()}
    grammars = tuple((name, version) for name, version in versions.items() if version)
    return ((_LIBRARY, library), *grammars) if library and grammars else ()


def code_blocks(text: str, media_type: str, recorded: Json) -> list[Block] | None:
    """The blocks of source code; None if it must be cut at blank lines: no grammar, too large or too costly.

    `recorded` is the recipe's copy of `installed`. Raises InvalidInputError (another version is installed,
    or none).
    """
    names = [name for name in _OF_TYPE.get(media_type, ()) if name in recorded]
    data = text.encode("utf-8", "surrogatepass") if names and len(text) <= LONGEST else b""
    if not data or len(data) > LONGEST or _is_costly(data, names):
        return None
    languages = [_language(name, recorded[_LIBRARY], recorded[name]) for name in names]
    places = _best(data, languages)
    return join_empty(_blocks(text, _in_characters(places, data))) if places is not None else None


def _is_costly(data: bytes, names: list[str]) -> bool:
    """Whether a parser could need far more time or memory than for real code."""
    marks = np.frombuffer(data, np.uint8)
    depths = np.cumsum(np.isin(marks, _OPENING).astype(np.int8) - np.isin(marks, _CLOSERS), dtype=np.int32)
    deepest = (depths - np.minimum.accumulate(np.minimum(depths, 0))).max()
    return bool(deepest > MOST_OPEN) or (names != ["python"] and data.count(b"/*") * len(data) > MOST_LOOKED_AT)


@cache
def _minor(package: str) -> str:
    """Major and minor version of a package; "" if it is not installed."""
    try:
        return ".".join(metadata.version(package).split(".")[:2])
    except metadata.PackageNotFoundError:
        return ""


@cache
def _language(name: str, library: str, version: str) -> Language:
    package, function = _GRAMMARS[name]
    for needed, recorded in ((_LIBRARY, library), (package, version)):
        if (version_here := _minor(needed)) != recorded:
            raise InvalidInputError(
                f"This dataset cuts source code with {needed} {recorded}, and {version_here or 'none'} is installed.",
                code="missing_extra",
                hint=say(
                    f"pip install 'vecver[documents]' '{needed}=={recorded}.*', or choose its chunker anew: "
                    "chunker='structure'",
                    cli=f"pip install 'vecver[documents]' '{needed}=={recorded}.*', or choose its chunker anew: "
                    "--chunker structure",
                ),
            )
    from tree_sitter import Language

    return Language(getattr(import_module(package.replace("-", "_")), function)())


# -- definitions ----------------------------------------------------------------------------------


def _best(data: bytes, languages: list[Language]) -> list[_Place] | None:
    """The places from the grammar that fits the text best; None if none can parse it."""
    best: list[_Place] | None = None
    for tree in filter(None, (_tree(data, language) for language in languages)):
        places = list(_places(tree.root_node, data))
        if not tree.root_node.has_error:
            return places
        best = places if best is None or len(places) > len(best) else best
    return best


def _tree(data: bytes, language: Language) -> Tree | None:
    """The syntax tree; None if parsing would take too many steps."""
    from tree_sitter import Parser

    steps = 0

    def is_too_much(at: int, _: bool) -> bool:
        nonlocal steps
        steps += _STEPS_A_CALL
        return steps > _FREE_STEPS + _STEPS_A_BYTE * at

    try:
        return Parser(language).parse(lambda at, _: data[at : at + _READ_AT_ONCE], progress_callback=is_too_much)
    except ValueError:  # "Parsing failed": it was stopped
        return None


def _places(root: Node, data: bytes) -> Iterator[_Place]:
    """The offsets at which definitions begin and end, in order."""
    waiting: list[_Waiting] = [(root, (), 0, -1)]
    while waiting:
        item, names, depth, prefix = waiting.pop()
        if isinstance(item, _Place):
            yield item
            continue
        inner_items: list[_Waiting] = []
        row = item.start_point.row - 1  # in which the last node ended
        for node in item.children:
            over, prefix = prefix if node.start_point.row <= row + 1 else -1, -1
            if node.type in _PREFIXES:
                trails = "comment" in node.type and node.start_point.row == row and over < 0
                prefix = -1 if trails else over if over >= 0 else node.start_byte
            elif core := _definition(node):
                inner = (*names, *(_names(core, data) or _names(node, data)))
                inner_items.append((_Place(over if over >= 0 else node.start_byte, inner, True), (), 0, -1))
                if core.type in _HOLDERS and depth < DEEPEST:
                    inner_items.append((core, inner, depth + 1, -1))
                inner_items.append((_Place(node.end_byte, names, False), (), 0, -1))
            elif node.type in _GROUPS and depth < DEEPEST:
                inner_items.append((node, names, depth + 1, over))
            row = node.end_point.row - (node.end_point.column == 0)
        waiting += reversed(inner_items)


def _definition(node: Node) -> Node | None:
    """The definition that `node` is or wraps; None if it is none."""
    for _ in range(4):  # export, declaration, declarator, value
        if node.type in _HOLDERS or node.type in _LEAVES:
            return node if node.is_named and _is_whole(node) else None
        if node.type not in _WRAPPERS and node.type != "variable_declarator":
            return None
        inner = _wrapped(node)
        if inner is None:
            return None
        if inner.type in _FUNCTIONS or (inner.type == "class" and node.type not in _WRAPPERS):
            return node
        node = inner
    return None


def _is_whole(node: Node) -> bool:
    """Whether a type is defined rather than only named, as in `struct pump *p`."""
    return not node.type.endswith("_specifier") or node.child_by_field_name("body") is not None


def _wrapped(node: Node) -> Node | None:
    if node.type == "assignment_expression":
        return node.child_by_field_name("right")
    if node.type == "variable_declarator" or node.type.endswith("field_definition"):
        return node.child_by_field_name("value")
    if node.type in ("declaration", "field_declaration", "type_definition"):
        return node.child_by_field_name("type")
    inner = (
        [child for child in node.named_children if child.type not in _PREFIXES] if node.named_child_count < 9 else []
    )
    if node.type in ("lexical_declaration", "variable_declaration", "expression_statement") and len(inner) != 1:
        return None
    return inner[-1] if inner else None


def _names(node: Node, data: bytes) -> Names:
    """The names of a definition, outermost first: a C++ or Go method names its class."""
    if node.type == "impl_item":
        return _split_name(node.child_by_field_name("type"), data)
    name = next(filter(None, map(node.child_by_field_name, ("name", "property", "left"))), None)
    if name is None and node.type == "type_declaration":
        name = next((child.child_by_field_name("name") for child in node.named_children), None)
    declarator = node.child_by_field_name("declarator")
    for _ in range(8):
        if name or declarator is None:
            break
        bare = declarator.type in ("reference_declarator", "parenthesized_declarator")
        inner = declarator.named_children[-1] if bare else declarator.child_by_field_name("declarator")
        name, declarator = (None, inner) if inner else (declarator, None)
    receiver = node.child_by_field_name("receiver")
    match = _RECEIVER.search(_text(receiver, data)) if receiver else None
    return (*([match[1]] if match else []), *_split_name(name, data))


def _split_name(node: Node | None, data: bytes) -> Names:
    text = _TYPE_ARGUMENTS.sub("", _text(node, data)) if node else ""
    parts = ("".join(part.split("<")[:1]).strip()[:_LONGEST_NAME] for part in text.strip("\"'").split("::"))
    return tuple(part for part in parts if part)


def _text(node: Node, data: bytes) -> str:
    return " ".join(
        data[node.start_byte : min(node.end_byte, node.start_byte + 1000)].decode("utf-8", "replace").split()
    )


# -- blocks ---------------------------------------------------------------------------------------


def _in_characters(places: list[_Place], data: bytes) -> list[_Place]:
    """`places` with offsets in characters, in ascending order."""
    converted: list[_Place] = []
    at = characters = 0
    for place in places:
        stop = max(at, place.at)
        characters += len(data[at:stop].translate(None, _CONTINUATION))
        at = stop
        converted.append(place._replace(at=characters))
    return converted


def _blocks(text: str, places: list[_Place]) -> Iterator[Block]:
    marks: dict[int, _Place] = {}
    at = 0
    for place in places:
        start = place.at if place.begins else _CLOSING.match(text, place.at).end()  # type: ignore[union-attr]
        at = max(at, _line_start(text, start))
        marks[at] = place
    blank = (start for start, _ in paragraphs(text, 0, len(text)))
    names: Names = ()
    for start, end in pairwise(sorted({0, *blank, *marks, len(text)})):
        kind: Kind = "code"
        if start in marks:
            names = marks[start].names
            kind = "definition" if marks[start].begins else "code"
        yield Block(start, end, kind, normalise(text[start:end], kind), names)


def _line_start(text: str, at: int) -> int:
    """The start of the line of `at` if only white space lies between, otherwise `at`."""
    before = text[max(0, at - _INDENT) : at]
    bare = before.rstrip(" \t")
    return at - len(before) + len(bare) if (not bare and at <= _INDENT) or bare.endswith("\n") else at
