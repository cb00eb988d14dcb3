"""Files of a multipart form, laid into a folder as they come: one open file, and a piece of it in memory.

Decisions
- 2026-11-21 python-multipart's parser fed from the stream, not `request.form()`: that keeps every file open, and up to
  1 MB of each in memory, until the last has come.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool

from vecver_service.http.uploads import checked, invalid

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_HEADERS = 32  # of a part
_HEADER_BYTES = 8 << 10  # of a part


async def lay(content_type: str, chunks: AsyncIterator[bytes], folder: Path, most: int) -> str:
    """Lay the parts `files` under `folder`, each at the path that is its filename; a digest of them all.

    Raises InvalidInputError for another part, a path that leads elsewhere, more than `most` files, or a body that ends
    too early.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise _broken("its Content-Type names no boundary")
    files = _Files(folder, most)
    try:
        parser = MultipartParser(boundary, files.callbacks())
        async for chunk in chunks:
            await run_in_threadpool(parser.write, chunk)
    except FormParserError as error:
        raise _broken("it does not follow the form's syntax") from error
    finally:
        files.close()
    if not files.complete:
        raise _broken("it ended too early")
    if not files.count:
        raise invalid("there is no file", 'send every document as a part "files"')
    return files.digest.hexdigest()


class _Files:
    """What the parser calls."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder, self._most = folder, most
        self._headers: dict[bytes, bytes] = {}
        self._name, self._value, self._head = b"", b"", 0
        self._file: IO[bytes] | None = None
        self._content = hashlib.sha256()
        self.digest = hashlib.sha256()  # of paths and contents
        self.count = 0
        self.complete = False

    def callbacks(self) -> MultipartCallbacks:
        """The parser's names for what follows."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._field,
            "on_header_value": self._said,
            "on_header_end": self._header,
            "on_headers_finished": self._open,
            "on_part_data": self._data,
            "on_part_end": self.close,
            "on_end": self._end,
        }

    def close(self) -> None:
        """The end of a file."""
        if self._file:
            self._file.close()
            self._file = None
            self.digest.update(self._content.hexdigest().encode() + b"\n")

    def _begin(self) -> None:
        self._headers, self._head = {}, 0

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]
        self._longer(end - start)

    def _said(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._longer(end - start)

    def _longer(self, count: int) -> None:
        self._head += count
        if self._head > _HEADER_BYTES or len(self._headers) > _HEADERS:
            raise _broken("the headers of a part are too large")

    def _header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name, self._value = b"", b""

    def _open(self) -> None:
        options = parse_options_header(self._headers.get(b"content-disposition", b""))[1]
        if options.get(b"name") != b"files" or b"filename" not in options:
            raise invalid("the form holds something else than files", 'send every document as a part "files"')
        self.count += 1
        if self.count > self._most:
            raise invalid(f"there are more than {self._most} files", "send several uploads, each under its own label")
        try:
            name = checked(options[b"filename"].decode("utf-8"))
        except UnicodeDecodeError as error:
            raise invalid("a filename is no UTF-8", "rename the file") from error
        path = self._folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("xb")
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise invalid(f"two files lie at {name!r}", "give each a path of its own") from error
        self._content = hashlib.sha256()
        self.digest.update(name.encode() + b"\n")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._file:
            self._content.update(data[start:end])
            self._file.write(data[start:end])

    def _end(self) -> None:
        self.complete = True


def _broken(why: str) -> Exception:
    return invalid(f"the form cannot be read: {why}", "send multipart/form-data as curl -F and HTTP libraries make it")
