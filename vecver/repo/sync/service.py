"""A service as the source of a transfer: the objects of the datasets that a key may read, through the calls of a store.

The service hands out objects by dataset (`handing_out.py`). Which dataset an object belongs to is learned from the
objects that name it: a transfer reads refs first, then moves and commits, then layouts, then segments.

Decisions
1. It is a store that cannot be written, not a protocol of its own: fetch, pull, clone and the rest are the same code
   for a folder, a bucket and a service.
2. Nothing can be pushed to a service: its checks, jobs and approvals stand before what changes there.
3. The names of datasets that were renamed are put together from the entry of each; those that the key may not read are
   not told.
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote

from vecver.errors import AccessError, BackendError, InvalidInputError, NotFoundError, say
from vecver.model import Json
from vecver.repo import entries, objects, policies, question_sets
from vecver.repo.refs import names
from vecver.repo.root import ROOT, encoded
from vecver.repo.sync.parallel import each
from vecver.store import Store, get_or_none, open_store
from vecver.store.api import LAPSE, Still, absent
from vecver.wire import Wire, path_of, read

_ID = re.compile(r"[0-9a-f]{64}")
_IDS = re.compile(rb"[0-9a-f]{64}")
_OF_DATASET = ("refs", question_sets.FOLDER, policies.FOLDER)
_NAMING = ("refs", "moves", "commits", "layouts", question_sets.FOLDER)  # folders whose objects name others
_OF_IDS = ("commits", "layouts", "forgotten", "measures", "moves", "gatings", question_sets.CONTENT, "segments")
_KEY = say(
    "give a key that may read it as remote_key; the operator of the service makes one with `vecver key add`",
    cli="give a key that may read it as VECVER_KEY; the operator of the service makes one with `vecver key add`",
)
_BATCH = 100  # small objects that are read by one request: a layout may have some 200 kB
_PAGE = 10_000  # names that are listed by one request


def is_service(url: str) -> bool:
    """Is this the address of a service?"""
    return url.startswith(("http://", "https://"))


def open_remote(url: str, key: str = "") -> Store:
    """The store at the address of a remote; of a service, what `key` may read. Raises InvalidInputError."""
    return ServiceStore(Wire(url, key)) if is_service(url) else open_store(url)


def check_takes_push(url: str) -> None:
    """Raises InvalidInputError for the address of a service."""
    if is_service(url):
        raise _read_only(url)


def _read_only(url: str) -> InvalidInputError:
    return InvalidInputError(
        f"{url} is a service, which takes no push",
        code="service_takes_no_push",
        hint=say(
            "vecver.connect(URL, KEY) ingests, promotes and merges there; or push to the folder or bucket that the "
            "service serves: repo.add_remote(NAME, URL)",
            cli="push to the folder or bucket that the service serves: `vecver remote add NAME URL`, then "
            "`vecver push --remote NAME`; or let the service ingest: vecver.connect(URL, KEY) in Python",
        ),
        url=url,
    )


class ServiceStore:
    """See `Store`: its reading half. Every method raises AccessError (the key may not), BackendError (no answer)."""

    def __init__(self, wire: Wire) -> None:
        self.url = wire.url
        self._wire = wire
        self._names: dict[str, str] = {}  # key -> present name, of the datasets that may be read
        self._entries: dict[str, Json] = {}  # of `names`
        self._asked_names = False
        self._owners: dict[str, tuple[str, str | None]] = {}  # id -> (key of its dataset, commit whose layout names it)

    # -- reading --------------------------------------------------------------------------------

    def get(self, name: str, *, fixed: bool = False) -> bytes:
        if name == ROOT:
            with self._asking():
                return read(self._wire.get(path_of()), lambda body: encoded(str(body["repository"])))
        if name == names.NAME:
            self._known_names()
            if not self._entries:
                raise absent(name)
            return objects.sealed({"datasets": self._entries})
        for key, commit in self._owners_of(name):
            with self._unless_missing():
                body = self._wire.body(self._path(key, "object"), name=name, commit=commit)
                self._learn(name, key, body)
                return body
        raise absent(name)

    def get_all(self, names: Iterable[str]) -> Sequence[bytes | None]:
        wanted = list(names)
        found = self._at_once(wanted, content=True)
        bodies: dict[str, bytes | None] = dict.fromkeys(name for name in found if "code" not in found[name])
        for name, line in found.items():
            if "data" in line:
                bodies[name] = body = base64.b64decode(line["data"])
                self._learn(name, self._owners_of(name)[0][0], body)
        others = [name for name in dict.fromkeys(wanted) if name not in bodies]
        bodies |= zip(others, each(partial(get_or_none, self), others), strict=True)
        return [bodies[name] for name in wanted]

    def _at_once(self, wanted: Iterable[str], *, content: bool) -> dict[str, Json]:
        """name -> what the service tells of it, of the small objects whose dataset is known."""
        of_dataset = defaultdict[str, list[str]](list)
        for name in dict.fromkeys(wanted):
            owners = self._owners_of(name)
            if len(owners) == 1 and not name.startswith("segments/"):
                of_dataset[owners[0][0]].append(name)
        batches = [(key, own[i : i + _BATCH]) for key, own in of_dataset.items() for i in range(0, len(own), _BATCH)]
        found = each(lambda batch: self._read_batch(*batch, content=content), batches)
        return {name: line for lines in found for name, line in lines.items()}

    def _read_batch(self, key: str, batch: Sequence[str], *, content: bool) -> dict[str, Json]:
        """name -> what the service tells of an object of this dataset."""
        with self._unless_missing():
            path = f"{self._path(key, 'objects')}/read"
            lines = self._wire.lines(path, {"names": list(batch), "content": content})
            return read({"lines": lines}, lambda body: {str(line["name"]): line for line in body["lines"]})
        return {}

    def map(self, name: str, *, fixed: bool = False) -> memoryview:
        return memoryview(self.get(name))

    def stream(self, name: str, start: int = 0) -> Iterator[bytes]:
        for key, commit in self._owners_of(name):
            with self._unless_missing():
                yield from self._wire.pieces(self._path(key, "object"), start, name=name, commit=commit)
                return
        raise absent(name)

    def bring(self, names: Iterable[str]) -> None:
        pass

    def path(self, name: str) -> Path | None:
        return None

    def size(self, name: str) -> int | None:
        if name in (ROOT, names.NAME):
            body = get_or_none(self, name)
            return None if body is None else len(body)
        if name.startswith("segments/"):
            with contextlib.suppress(NotFoundError):
                return sum(map(len, self.stream(name)))
            return None
        for key, _ in self._owners_of(name):
            line = self._read_batch(key, [name], content=False).get(name, {})
            if line.get("code"):
                return len(self.get(name))  # which raises what is wrong with it
            if line.get("bytes") is not None:
                return int(line["bytes"])
        return None

    def holds(self, name: str, content: memoryview) -> bool:
        return False

    def has_all(self, names: Iterable[str]) -> Sequence[bool]:
        wanted = list(names)
        told = self._at_once(wanted, content=False)
        found = {name: line["bytes"] is not None for name, line in told.items() if "code" not in line}
        others = [name for name in dict.fromkeys(wanted) if name not in found]
        found |= zip(others, [size is not None for size in each(self.size, others)], strict=True)
        return [found[name] for name in wanted]

    def list(self, prefix: str) -> Iterator[str]:
        self._asked_names = self._asked_names and prefix != "refs/"  # a listing of all refs begins an exchange
        listed = each(lambda owner: self._listed(prefix, *owner), self._owners_of(prefix))
        yield from sorted(name for of_dataset in listed for name in of_dataset)

    def list_all(self, prefixes: Iterable[str]) -> Sequence[Sequence[str]]:
        return each(lambda prefix: list(self.list(prefix)), prefixes)

    def _listed(self, prefix: str, key: str, commit: str | None) -> Sequence[str]:
        found, after, path = [], None, self._path(key, "objects")
        prefix = entries.folder_of(prefix[:-1], key) if prefix[:-1] in _OF_DATASET else prefix
        while True:
            with self._unless_missing():
                page = self._wire.get(path, prefix=prefix, commit=commit, after=after, limit=_PAGE)
                found += read(page, lambda body: [str(name) for name in body["objects"]])
                if after := page.get("next"):
                    continue
            return found

    # -- whose an object is ---------------------------------------------------------------------

    def _path(self, key: str, what: str) -> str:
        return path_of("datasets", self._known_names()[key], what)

    def _known_names(self) -> Mapping[str, str]:
        """key -> present name of every dataset that may be read."""
        if not self._asked_names:
            with self._asking():
                answer = self._wire.get(path_of("datasets"))
                found = each(self._entry_of, read(answer, lambda body: [listed["name"] for listed in body["datasets"]]))
            self._entries = {key: entry for _, told in found for key, entry in told.items()}
            self._names = {next(iter(told), name): name for name, told in found}
            self._asked_names = True
        return self._names

    def _entry_of(self, dataset: str) -> tuple[str, Json]:
        """(name of a dataset, what of `names` tells of it: its key and what became of it, or nothing)."""
        path = path_of("datasets", dataset, "object")
        return dataset, objects.parse_sealed(names.NAME, self._wire.body(path, name=names.NAME))["datasets"]

    def _owners_of(self, name: str) -> Sequence[tuple[str, str | None]]:
        """The datasets to ask for an object or a folder, each with the commit to name: one, or all where none is known.

        None where a service hands out nothing of that kind.
        """
        folder, _, rest = name.partition("/")
        if folder in _OF_DATASET and rest:
            key = unquote(rest.partition("/")[0])
            return [(key, None)] if key in self._known_names() else []
        if folder not in (*_OF_DATASET, *_OF_IDS):
            return []
        id = _ID.search(rest)
        if id and id[0] in self._owners:
            return [self._owners[id[0]]]
        return [(key, None) for key in self._known_names()]

    def _learn(self, name: str, key: str, body: bytes) -> None:
        """Whatever id an object names is asked for as its dataset's, and a segment as that of its layout's commit."""
        folder = name.partition("/")[0]
        if folder in _NAMING:
            commit = name.partition("/")[2] if folder == "layouts" else None
            for id in _IDS.findall(body):
                self._owners[id.decode()] = key, commit

    @contextlib.contextmanager
    def _unless_missing(self) -> Iterator[None]:
        """Goes on where the service does not have it."""
        with contextlib.suppress(NotFoundError), self._asking():
            yield

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """Says of what a service refuses how to go on here."""
        try:
            yield
        except NotFoundError as error:
            if error.code == "route_not_found":
                raise _too_old(self.url) from None
            raise
        except AccessError as error:
            raise AccessError(f"{self.url}: {error.message}", code=error.code, hint=_KEY, **error.context) from None

    # -- what only stores that are written have ------------------------------------------------------

    def put(self, name: str, data: bytes | Path) -> NoReturn:
        raise _read_only(self.url)

    def put_all(self, files: Mapping[str, Path]) -> NoReturn:
        raise _read_only(self.url)

    def delete(self, *names: str) -> NoReturn:
        raise _read_only(self.url)

    def swap(self, name: str, expected: bytes | None, new: bytes) -> NoReturn:
        raise _read_only(self.url)

    def lock(self, name: str, seconds: float, lapse: float = LAPSE) -> AbstractContextManager[Still]:
        raise _read_only(self.url)

    def scratch(self) -> Path:
        raise _read_only(self.url)

    @property
    def folder(self) -> Path | None:
        return None

    @property
    def local(self) -> Path | None:
        return None

    def moment(
        self,
        bodies: Iterable[str] = (),
        sizes: Iterable[str] = (),
        *,
        locks: Iterable[str] = (),
        anew: bool = False,
        age_s: float = 0.0,
    ) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def knows(self, bodies: Iterable[str], age_s: float) -> bool:
        return False

    def aside(self, work: Callable[[], None]) -> NoReturn:
        raise _read_only(self.url)

    def uncached(self) -> Store:
        return self


def _too_old(url: str) -> BackendError:
    return BackendError(
        f"{url} is a service of an older vecver, which hands out no versions",
        code="service_too_old",
        hint="upgrade the service; or clone the folder or bucket that it serves",
        url=url,
    )
