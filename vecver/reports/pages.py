"""Pages: fills templates with values. A page carries its style, its script and its data, and asks for nothing else.

Decisions
1. Every text is escaped by Jinja, which escapes whatever a template does not mark as safe; only the page's own style
   and script, and JSON in which `<` cannot stand, are marked.
2. The page says itself what it may load (Content-Security-Policy in its head): nothing but its own style and script,
   by their digests. So a text that got through as markup could still run nothing and send nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cache
from typing import Any

from vecver.errors import missing_package
from vecver.reports.reasons import REASONS

Json = dict[str, Any]
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def rendered(template: str, data: Json, **values: Any) -> str:
    """A page. `data`: the values that its block of JSON holds. Raises InvalidInputError without jinja2."""
    style, script = _source("report.css"), _source("report.js")
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}"
    block = json.dumps(data, ensure_ascii=False, allow_nan=False).translate(_ESCAPES)
    page = {"style": style, "script": script, "policy": f"{policy}; base-uri 'none'; form-action 'none'", "data": block}
    return _writable(_templates().get_template(template).render(page=page, words=REASONS, **values))


def drawn(template: str, **values: Any) -> str:
    """A drawing as a file of its own. Raises InvalidInputError without jinja2."""
    return _writable(_templates().get_template(template).render(style=_source("drawing.css"), **values))


def is_better(measure: str, delta: float) -> str:
    """ "better", "worse" or "same": what a difference of a measure means."""
    if abs(delta) < 1e-9:
        return "same"
    return "better" if (delta > 0) != measure.startswith("Forbidden") else "worse"


@cache
def _templates() -> Any:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as missing:
        raise missing_package("reports and drawings need", "jinja2", "vecver[eval]") from missing
    loader = PackageLoader("vecver.reports")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"fixed": _fixed, "signed": _signed, "count": "{:,}".format, "p": _p}
    environment.globals |= {"is_better": is_better}
    return environment


@cache
def _source(name: str) -> str:
    from importlib.resources import files

    return (files("vecver.reports") / "templates" / name).read_text("utf-8")


def _writable(text: str) -> str:
    """A text without what UTF-8 and XML cannot hold: half a surrogate pair, control characters."""
    return _UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _fixed(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}".replace("-", "\u2212")


def _signed(value: float, digits: int = 3) -> str:
    text = f"{value:+.{digits}f}".replace("-", "\u2212")
    return text if float(f"{value:.{digits}f}") else text.replace("\u2212", "+")


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p {value:.3f}"
