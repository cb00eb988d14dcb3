"""Writes the files of a multipart form to a folder while the form arrives: one file open, one piece of it in memory.

Decisions
1. The stream feeds python-multipart's parser. `request.form()` would keep every file open, and up to 1 MB of each in
   memory, until the last has arrived.
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


async def write_files(content_type: str, chunks: AsyncIterator[bytes], folder: Path, max_files: int) -> str:
    """Write each part `files` to the path under `folder` that is its filename. Returns a digest of all files.

    Raises InvalidInputError (another part, a path outside the folder, too many files, a body that ends too early).
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise _broken("its Content-Type names no boundary")
    files = _Files(folder, max_files)
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
    """The callbacks of the parser: they write the files and digest paths and contents."""

    def __init__(self, folder: Path, max_files: int) -> None:
        self._folder, self._max_files = folder, max_files
        self._headers: dict[bytes, bytes] = {}
        self._name, self._value, self._header_bytes = b"", b"", 0
        self._file: IO[bytes] | None = None
        self._content = hashlib.sha256()
        self.digest = hashlib.sha256()  # of paths and contents
        self.count = 0
        self.complete = False

    def callbacks(self) -> MultipartCallbacks:
        """The methods below by the parser's names."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._open_file,
            "on_part_data": self._data,
            "on_part_end": self.close,
            "on_end": self._end,
        }

    def close(self) -> None:
        """Close the current file and add it to the digest."""
        if self._file:
            self._file.close()
            self._file = None
            self.digest.update(self._content.hexdigest().encode() + b"\n")

    def _begin(self) -> None:
        self._headers, self._header_bytes = {}, 0

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]
        self._count_header(end - start)

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._count_header(end - start)

    def _count_header(self, count: int) -> None:
        self._header_bytes += count
        if self._header_bytes > _HEADER_BYTES or len(self._headers) > _HEADERS:
            raise _broken("the headers of a part are too large")

    def _end_header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name, self._value = b"", b""

    def _open_file(self) -> None:
        options = parse_options_header(self._headers.get(b"content-disposition", b""))[1]
        if options.get(b"name") != b"files" or b"filename" not in options:
            raise invalid("the form holds something else than files", 'send every document as a part "files"')
        self.count += 1
        if self.count > self._max_files:
            raise invalid(
                f"there are more than {self._max_files} files", "send several uploads, each under its own label"
            )
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


def _broken(reason: str) -> Exception:
    return invalid(
        f"the form cannot be read: {reason}", "send multipart/form-data as curl -F and HTTP libraries make it"
    )
