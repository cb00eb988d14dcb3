"""Renames and deletes whole datasets; a deletion is shown as a plan first. See `repo.refs.names` for how."""

from __future__ import annotations

from dataclasses import replace

from vecver.errors import ConflictError, say
from vecver.model import DatasetRemoval
from vecver.repo.maintain.fold import layouts_of
from vecver.repo.maintain.gc import named
from vecver.repo.objects import load_commit
from vecver.repo.published import ledger
from vecver.repo.refs import names
from vecver.repo.refs.refs import Refs, check_name, dataset_names
from vecver.repo.rows.segment_files import unit_of
from vecver.repo.versions import Versions
from vecver.store import Store


def rename(versions: Versions, old: str, new: str) -> None:
    """Give a dataset another name; its versions, refs, publications and receipts stay as they are.

    Raises NotFoundError, InvalidInputError (the new name), ConflictError (it is taken). One swap: it is done or not.
    """
    for name in (old, new):
        check_name("dataset", name)
    with names.changing(versions.store):
        versions.check_dataset(old)
        if new in versions.datasets():
            raise ConflictError(
                f"there is a dataset {new!r} already",
                code="dataset_exists",
                hint="choose another name, or rename or delete that one first; nothing was changed",
                dataset=new,
            )
        key = versions.key(old)
        names.change(versions.store, key, new, author=versions.author, time=versions.time())


def delete(versions: Versions, dataset: str, *, apply: bool) -> DatasetRemoval:
    """The plan of a deletion; with `apply` it is carried out by one swap, and gc later frees the bytes.

    Raises NotFoundError, ConflictError (something of it is published).
    """
    check_name("dataset", dataset)
    versions.check_dataset(dataset)
    if not apply:
        return removal(versions.store, versions.refs(dataset))
    with names.changing(versions.store):
        versions.check_dataset(dataset)
        plan = removal(versions.store, versions.refs(dataset))
        if plan.published:
            places = " and ".join(uri or "the embedded Milvus" for uri in plan.published)
            raise ConflictError(
                f"{dataset} is published in {places}: nothing was deleted",
                code="still_published",
                hint=say(
                    "docs.unpublish(at) its versions first; if that Milvus is gone, docs.forget_publications(to=URI)",
                    cli=f"`vecver unpublish {dataset}@REV` first; if that Milvus is gone, "
                    f"`vecver unpublish {dataset} --forget --to URI`",
                    http="ask the service's operator to unpublish it first",
                ),
                dataset=dataset,
            )
        names.change(versions.store, versions.key(dataset), None, author=versions.author, time=versions.time())
        return replace(plan, applied=True)


def removal(store: Store, refs: Refs) -> DatasetRemoval:
    """The plan: its versions and refs, the documents of its newest version, and the bytes that gc will free."""
    units, versions = _units(store, refs)
    others = set[str]()
    for key in dataset_names(store):
        if key != refs.key:
            others |= _units(store, Refs(store, key))[0]
    branches = refs.all("branch")
    head = branches.get("main") or next(iter(branches.values()), None)
    counts = load_commit(store, head).counts if head else {"documents": 0, "chunks": 0}
    ledgers = ledger.ledgers(store, refs.key)
    return DatasetRemoval(
        dataset=refs.dataset,
        versions=versions,
        branches=tuple(branches),
        tags=tuple(refs.all("tag")),
        aliases=tuple(refs.all("alias")),
        documents=counts["documents"],
        chunks=counts["chunks"],
        bytes=sum(store.size(name) or 0 for unit in units - others for name in store.list(f"{unit}/")),
        published=tuple(each.uri for each in ledgers if each.collections or each.pending or each.intent),
    )


def _units(store: Store, refs: Refs) -> tuple[set[str], int]:
    """The segments that the versions of a dataset name, and how many versions have rows."""
    units, count = set[str](), 0
    for _, layout in layouts_of(store, named(refs)):
        units |= {unit_of(live.segment) for live in layout.segments}
        count += 1
    return units, count
