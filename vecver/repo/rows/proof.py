"""Proof: computes the roots of a layout from its rows.

Each layout is proved from the one before it: its roots are the other's plus the rows by which the two differ. So a
hundred versions cost one pass over the rows ever written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vecver.repo.rows.layout import Layout, Live, rows_of
from vecver.repo.rows.roots import Roots

if TYPE_CHECKING:
    from vecver.repo.rows.segment import Segment


class Proof:
    """Proves layouts one after the other; `segment` opens a segment by its id."""

    def __init__(self, segment: Callable[[str], Segment]) -> None:
        self._segment = segment
        self._last = Layout.empty(), Roots.empty()

    def roots(self, layout: Layout) -> Roots:
        """The roots of the rows that are live in a layout. Raises what reading them raises."""
        base, base_roots = self._last
        roots = base_roots + self._change(base, layout)
        self._last = layout, roots
        return roots

    def _change(self, base: Layout, layout: Layout) -> Roots:
        """What the roots gain from `base` to `layout`."""
        old = {live.segment: live for live in base.segments}
        new = {live.segment: live for live in layout.segments}
        gained = Roots.empty()
        for id in old.keys() | new.keys():
            if old.get(id) != new.get(id):
                gained = gained + self._rows(new.get(id), old.get(id)) - self._rows(old.get(id), new.get(id))
        return gained

    def _rows(self, live: Live | None, without: Live | None) -> Roots:
        """The roots of the rows that are live in `live` and not in `without`, of the same segment."""
        if live is None:
            return Roots.empty()
        chunks = live.chunks - without.chunks if without else live.chunks
        documents = live.documents - without.documents if without else live.documents
        return self._segment(live.segment).roots(rows_of(chunks), rows_of(documents))
