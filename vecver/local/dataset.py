"""The handle on one dataset, put together from one module for each subject. Each call makes one call below."""

from __future__ import annotations

from vecver.local.editing import Editing
from vecver.local.history import History
from vecver.local.merging import Merging
from vecver.local.reading import Reading
from vecver.local.searching import Searching


class Dataset(Editing, Merging, Searching, Reading, History):
    """A named body of documents with its own history.

    A revision is a string; what `ingest` and `show` return names its commit too.
    """

    def __repr__(self) -> str:
        return f"<vecver dataset {self.name} in {self.repository.url}>"
