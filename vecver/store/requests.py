"""Asks a bucket one thing at a time, and turns obstore's errors into ours. Knows neither caches nor repositories.

Decisions
1. obstore repeats a request whose connection broke or that was answered by 5xx. A conditional write whose reply was
   lost is then refused although it succeeded: we saw AlreadyExists and Precondition in 4 of 4 trials. So every
   conditional write carries a stamp, and what a refusal finds on the store is ours if it has that stamp (`put_if`).
2. Of obstore's text only the service's own code and message are shown, and errors are raised `from None`: the text
   holds the whole address of a request, which with Azure's shared access signatures is a credential.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecver.errors import BackendError, NotFoundError
from vecver.store.api import absent
from vecver.store.clouds import credentials_hint

if TYPE_CHECKING:
    from obstore.store import ObjectStore

PIECE_BYTES = 8 << 20  # of a large object, sent or fetched at once
STREAMED_BYTES = 4 << 20  # of a large object that goes on to another place: sixteen may be on their way
_AHEAD = 4
_HASH = re.compile(r"[0-9a-f]{32}(-\d+)?")  # an ETag that may be one of the bytes
_REFUSALS = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed", "ExpiredToken")
_ELSEWHERE = ("incorrectly configured region", "PermanentRedirect", "AuthorizationHeaderMalformed")  # another region
_NO_CREDENTIALS = ("credential", "token", "metadata", "169.254.")  # the last is where machines of clouds ask for some
_OTHER_URL = re.compile(r"https?://(?!169\.254\.|metadata\.)\S+")  # may have such a word in a bucket or a key
_STAMP = "vecverwrite"  # the name of a stamp among an object's attributes; Azure takes no `-` in it


@dataclass(frozen=True)
class Tag:
    """Which bytes lie under a name: the store gives one or both."""

    e_tag: str | None
    version: str | None

    def mode(self) -> Any:
        """As obstore wants it, without what is None."""
        fields = {"e_tag": self.e_tag, "version": self.version}
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True)
class Found:
    """An object as it was read."""

    body: bytes
    tag: Tag
    changed: datetime  # by the store's clock
    stamp: str | None


@dataclass(frozen=True)
class Entry:
    """An object as a bucket lists it."""

    name: str
    size: int  # bytes
    tag: Tag  # lists of most services hold no version


class UnreadableName(Exception):
    """obstore lists nothing at all beside a name that it cannot hold, such as `a//b` or `a/../b`. `name`: that one."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Requests:
    """Requests to one bucket. Every method raises NotFoundError (no such object), BackendError."""

    def __init__(self, objects: ObjectStore, url: str) -> None:
        self._objects = objects
        self._url = url

    def get(self, name: str, unless: str | None = None) -> Found | None:
        """An object; None if it still has the ETag `unless`."""
        from obstore.exceptions import NotModifiedError

        with self._asking(name):
            try:
                result = self._objects.get(name, options={"if_none_match": unless} if unless else None)
            except NotModifiedError:
                return None
            return Found(bytes(result.bytes()), _tag(result.meta), *_facts(result))

    def fetch(self, name: str, path: Path, unless: str | None = None) -> Tag | None:
        """Write an object into a new file, in pieces at once where it is large; None if it has the ETag `unless`."""
        from obstore.exceptions import NotModifiedError

        with self._asking(name):
            try:
                result = self._objects.get(name, options={"if_none_match": unless} if unless else None)
            except NotModifiedError:
                return None
            tag, size = _tag(result.meta), result.meta["size"]
            body = bytes(result.bytes()) if size <= 2 * PIECE_BYTES else None
        if body is not None:
            path.write_bytes(body)
        else:
            self._fetch_pieces(name, path, size, tag)
        return tag

    def _fetch_pieces(self, name: str, path: Path, size: int, tag: Tag) -> None:
        """Fetch a large object in ranges; each is refused if another object has taken the name."""
        from concurrent.futures import ThreadPoolExecutor

        from obstore import exceptions as theirs

        with open(path, "xb") as file:
            file.truncate(size)

        def fetch(start: int) -> None:
            end = min(start + PIECE_BYTES, size)
            options: Any = {"range": (start, end), **({"if_match": tag.e_tag} if tag.e_tag else {})}
            try:
                with self._asking(name, conditional=True):
                    piece = bytes(self._objects.get(name, options=options).bytes())
            except theirs.PreconditionError:
                raise self._changed(name) from None
            with open(path, "r+b") as file:
                file.seek(start)
                file.write(piece)

        with ThreadPoolExecutor(4) as pool:
            for _ in pool.map(fetch, range(0, size, PIECE_BYTES)):
                pass

    def stream(self, name: str, start: int) -> Iterator[bytes]:
        """The bytes of an object from `start` on, some pieces ahead of the reader where it is large."""
        from concurrent.futures import ThreadPoolExecutor

        size = self.size(name)
        if size is None:
            raise absent(name)
        starts = iter(range(start, size, STREAMED_BYTES))
        if size - start <= STREAMED_BYTES:
            yield from (self._piece(name, begin, size) for begin in starts)
            return
        with ThreadPoolExecutor(_AHEAD) as pool:
            waiting = deque(pool.submit(self._piece, name, begin, size) for begin in islice(starts, _AHEAD))
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(self._piece, name, begin, size) for begin in islice(starts, 1))

    def _piece(self, name: str, start: int, size: int) -> bytes:
        with self._asking(name):
            end = min(start + STREAMED_BYTES, size)
            return bytes(self._objects.get(name, options={"range": (start, end)}).bytes())

    def size(self, name: str) -> int | None:
        """Bytes of an object; None if there is none."""
        try:
            with self._asking(name):
                return int(self._objects.head(name)["size"])
        except NotFoundError:
            return None

    def has_hash_of(self, name: str, content: memoryview) -> bool:
        """Is the ETag of an object the one that S3 and Google Cloud give these bytes, written as `put` writes them?

        That is their MD5, or of an object that was sent in parts the MD5 of those of its parts, and their number. An
        ETag of another kind (Azure; encryption with own keys) is never equal to it.
        """
        try:
            with self._asking(name):
                meta = self._objects.head(name)
        except NotFoundError:
            return False
        stated = str(meta.get("e_tag") or "").strip('"')
        if meta["size"] != len(content) or not _HASH.fullmatch(stated):
            return False
        return stated == (_hash_of_parts(content) if "-" in stated else _md5(content).hexdigest())

    def put(self, name: str, data: bytes | Path) -> Tag:
        """Write an object, a large file in parts, whatever is there."""
        with self._asking(name):
            return _tag(self._objects.put(name, data, chunk_size=PIECE_BYTES, max_concurrency=4))

    def put_if(self, name: str, data: bytes, seen: Tag | None) -> Tag | None:
        """Write an object if `seen` lies there now (None: nothing does); None if that is not so.

        After a failure it is read back: if it has our stamp, it was written.
        """
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        stamp = secrets.token_hex(8)
        mode: Any = "create" if seen is None else seen.mode()
        try:
            with self._asking(name, conditional=True):
                return _tag(self._objects.put(name, data, mode=mode, attributes={_STAMP: stamp}, use_multipart=False))
        except (AlreadyExistsError, PreconditionError):
            return self._written(name, stamp)
        except NotFoundError:  # how S3 answers where `seen` was deleted
            return None
        except BackendError as error:
            if error.code != "store_failed":
                raise
            with contextlib.suppress(BackendError):
                if tag := self._written(name, stamp):
                    return tag
            raise

    def _written(self, name: str, stamp: str) -> Tag | None:
        """The tag of an object with this stamp."""
        try:
            found = self.get(name)
        except NotFoundError:
            return None
        return found.tag if found and found.stamp == stamp else None

    def names(self, prefix: str) -> list[str]:
        """Every name below a folder, or all for ""; in no order."""
        with self._asking(prefix):
            return [meta["path"] for page in self._objects.list(prefix or None, chunk_size=1000) for meta in page]

    def entry(self, name: str) -> Entry | None:
        """An object as it is now; None if there is none."""
        try:
            with self._asking(name):
                return _entry(self._objects.head(name))
        except NotFoundError:
            return None

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Every object below a folder, or all for "", in a stream, in no order. Raises UnreadableName."""
        with self._asking(prefix):
            for page in self._objects.list(prefix or None, chunk_size=1000):
                yield from map(_entry, page)

    def folder(self, prefix: str) -> tuple[list[Entry], list[str]]:
        """(the objects in a folder, the folders in it). Raises UnreadableName."""
        with self._asking(prefix):
            found = self._objects.list_with_delimiter(prefix or None)
            return [_entry(meta) for meta in found["objects"]], list(found["common_prefixes"])

    def delete(self, name: str) -> None:
        """Remove an object; a missing one is no error."""
        with contextlib.suppress(NotFoundError), self._asking(name):
            self._objects.delete(name)

    @contextlib.contextmanager
    def _asking(self, name: str, *, conditional: bool = False) -> Iterator[None]:
        """Turns obstore's errors into ours; `conditional`: but for those that say that a condition does not hold."""
        from obstore import exceptions as theirs

        try:
            yield
        except FileNotFoundError as error:  # obstore's NotFoundError
            text = str(error)
            if "NoSuchBucket" in text or "ContainerNotFound" in text or "The specified bucket does not exist" in text:
                raise self._no_bucket() from None
            raise absent(name) from None
        except (theirs.PermissionDeniedError, theirs.UnauthenticatedError) as error:
            raise self._refused(name, str(error)) from None
        except (theirs.AlreadyExistsError, theirs.PreconditionError) as error:
            if conditional:
                raise
            raise self._failure(name, str(error)) from None
        except theirs.InvalidPathError as error:
            raise UnreadableName(_name_in(str(error)) or name) from None
        except (theirs.BaseError, TimeoutError) as error:
            raise self._failure(name, str(error)) from None

    # -- errors ---------------------------------------------------------------------------------

    def _failure(self, name: str, text: str) -> BackendError:
        """The error for an obstore error of no better kind."""
        if "NoSuchBucket" in text or "ContainerNotFound" in text:
            return self._no_bucket()
        told = _OTHER_URL.sub("", text).lower()
        if any(sign in told for sign in _NO_CREDENTIALS) and "<Code>" not in text:
            return BackendError(
                f"no credentials were found for {self._url}",
                code="store_refused",
                hint=credentials_hint(self._url),
                url=self._url,
            )
        status = found[1] if (found := re.search(r"status code: (\d{3})", text)) else ""
        if status in ("401", "403") or any(sign in text for sign in _REFUSALS):
            return self._refused(name, text)
        if any(sign in text for sign in _ELSEWHERE):
            return BackendError(
                f"{self._url} is in another region than the one that was asked{_said(text)}",
                code="store_refused",
                hint="set AWS_REGION to the region of the bucket",
                url=self._url,
            )
        return self._failed(name, text, retryable=not status.startswith("4") or status in ("408", "429"))

    def _no_bucket(self) -> BackendError:
        return BackendError(
            f"there is no bucket for {self._url}",
            code="bucket_missing",
            hint="make the bucket with the cloud's own tools, or correct the address: vecver makes none",
            url=self._url,
        )

    def _refused(self, name: str, text: str) -> BackendError:
        skewed = "RequestTimeTooSkewed" in text
        return BackendError(
            f"{self._url} refused a request for {name or 'its names'}{_said(text)}",
            code="store_refused",
            hint="set this machine's clock" if skewed else f"check the rights; {credentials_hint(self._url)}",
            url=self._url,
            name=name,
        )

    def _changed(self, name: str) -> BackendError:
        return BackendError(
            f"{name} in {self._url} was replaced while it was read",
            code="object_changed",
            hint="try again",
            retryable=True,
            url=self._url,
            name=name,
        )

    def _failed(self, name: str, text: str, *, retryable: bool) -> BackendError:
        return BackendError(
            f"{self._url} did not answer for {name or 'its names'}{_said(text)}",
            code="store_failed",
            hint="try again; nothing is left half done. If it stays so, check the address, the network and the service",
            retryable=retryable,
            url=self._url,
            name=name,
        )


def _md5(content: memoryview) -> Any:
    return hashlib.md5(content, usedforsecurity=False)


def _hash_of_parts(content: memoryview) -> str:
    parts = [_md5(content[start : start + PIECE_BYTES]).digest() for start in range(0, len(content), PIECE_BYTES)]
    return f"{_md5(memoryview(b''.join(parts))).hexdigest()}-{len(parts)}"


def _tag(meta: Any) -> Tag:
    return Tag(meta.get("e_tag"), meta.get("version"))


def _entry(meta: Any) -> Entry:
    return Entry(meta["path"], meta["size"], _tag(meta))


def _name_in(text: str) -> str:
    """The name that an error of obstore quotes."""
    found = re.search(r'Path "(.*?)"(?: contained|:)', text, re.DOTALL)
    return found[1] if found else ""


def _facts(result: Any) -> tuple[datetime, str | None]:
    return result.meta["last_modified"], result.attributes.get(_STAMP)


def _said(text: str) -> str:
    """What the service itself said, as far as it cannot hold a credential."""
    parts = [found[1] for tag in ("Code", "Message") if (found := re.search(rf"<{tag}>([^<]{{1,200}})</{tag}>", text))]
    if not parts and "error sending request" in text:
        return " (no connection)"
    if not parts and (status := re.search(r"status code: (\d{3})", text)):
        return f" (HTTP {status[1]})"
    return f" ({': '.join(parts)})" if parts else ""
