"""A small Google Cloud Storage: as much of its XML API as obstore calls, with generations as the real one has them.

PUT with conditions, GET and HEAD with ranges and ETags, DELETE, lists, uploads in parts, and an object's own metadata.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "vecver-test"


@dataclass(frozen=True)
class Stored:
    data: bytes
    generation: int
    changed: str
    metadata: dict[str, str]

    @property
    def headers(self) -> dict[str, str]:
        own = {f"x-goog-meta-{name}": value for name, value in self.metadata.items()}
        return {
            "ETag": etag(self.data),
            "x-goog-generation": str(self.generation),
            "Last-Modified": self.changed,
            **own,
        }


def etag(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


class FakeGcs(ThreadingHTTPServer):
    """Serves one bucket on a free port of the loopback until `shutdown`."""

    request_queue_size = 128
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, Stored] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.generations = itertools.count(1000)
        self.lock = threading.Lock()
        self.asked: list[tuple[str, str]] = []  # (method, name; "" for a list)
        self.before: Callable[[str, str], int | None] = lambda method, name: None  # a status to answer instead
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeGcs
    query: ClassVar[dict[str, str]]

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, code: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(code)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def name(self) -> str:
        """The object that is asked for; "" for the bucket. Answers for another bucket."""
        parts = urlsplit(self.path)
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))  # type: ignore[misc]
        return unquote(parts.path.lstrip("/").partition("/")[2])

    def is_lost(self) -> bool:
        """Answers that there is no such bucket, if so."""
        lost = unquote(urlsplit(self.path).path.split("/")[1]) != BUCKET
        if lost:
            self.body()
            self.answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
        return lost

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def store(self, name: str, data: bytes) -> Stored | None:
        wanted = self.headers.get("x-goog-if-generation-match")
        own = {key[12:].lower(): value for key, value in self.headers.items() if key.lower().startswith("x-goog-meta-")}
        with self.server.lock:
            there = self.server.objects.get(name)
            if wanted is not None and int(wanted) != (there.generation if there else 0):
                self.answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
                return None
            stored = Stored(data, next(self.server.generations), formatdate(usegmt=True), own)
            self.server.objects[name] = stored
        return stored

    def do_PUT(self) -> None:
        if self.is_lost():
            return
        name, data = self.name(), self.body()
        if "uploadId" in self.query:
            self.server.uploads[self.query["uploadId"]][int(self.query["partNumber"])] = data
            self.answer(200, ETag=etag(data))
        elif stored := self.store(name, data):
            self.answer(200, b"", **stored.headers)

    def do_POST(self) -> None:
        if self.is_lost():
            return
        name = self.name()
        self.body()
        if "uploads" in self.query:
            id = secrets.token_hex(8)
            self.server.uploads[id] = {}
            self.answer(
                200,
                f"<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>".encode(),
            )
            return
        whole = b"".join(part for _, part in sorted(self.server.uploads.pop(self.query["uploadId"]).items()))
        if stored := self.store(name, whole):
            tag = escape(etag(whole))
            body = f"<CompleteMultipartUploadResult><ETag>{tag}</ETag></CompleteMultipartUploadResult>"
            self.answer(200, body.encode(), **stored.headers)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.is_lost():
            return
        name = self.name()
        self.server.asked.append((self.command, name))
        if status := self.server.before(self.command, name):
            self.answer(status, b"<Error><Code>AccessDenied</Code></Error>" if status in (401, 403) else b"")
            return
        if not name:
            self.answer_list()
            return
        stored = self.server.objects.get(name)
        if stored is None:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        elif self.headers.get("If-None-Match") == etag(stored.data):
            self.answer(304, b"", **stored.headers)
        elif self.headers.get("If-Match", etag(stored.data)) != etag(stored.data):
            self.answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
        elif found := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            start, size = int(found[1]), len(stored.data)
            end = min(int(found[2]) + 1 if found[2] else size, size)
            place = {"Content-Range": f"bytes {start}-{end - 1}/{size}"}
            self.answer(206, stored.data[start:end], **place, **stored.headers)
        else:
            self.answer(200, stored.data, **{"Content-Length": str(len(stored.data))}, **stored.headers)

    def answer_list(self) -> None:
        """One page of names: at most 100, so that a test of some hundred sees several."""
        prefix, after = self.query.get("prefix", ""), self.query.get("continuation-token", "")
        names = sorted(name for name in self.server.objects if name.startswith(prefix) and name > after)
        folders = set[str]()
        if delimiter := self.query.get("delimiter"):
            deeper = {name for name in names if delimiter in name[len(prefix) :]}
            folders = {prefix + name[len(prefix) :].partition(delimiter)[0] + delimiter for name in deeper}
            names = [name for name in names if name not in deeper]
        page, more = names[:100], len(names) > 100
        rows = "".join(
            f"<Contents><Key>{escape(name)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>{escape(etag(self.server.objects[name].data))}</ETag>"
            f"<Size>{len(self.server.objects[name].data)}</Size></Contents>"
            for name in page
        )
        rows += "".join(
            f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>" for folder in sorted(folders)
        )
        rest = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        body = (
            f"<ListBucketResult><Name>{BUCKET}</Name><KeyCount>{len(page)}</KeyCount>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{rest}{rows}</ListBucketResult>"
        )
        self.answer(200, body.encode(), **{"Content-Type": "application/xml"})

    def do_DELETE(self) -> None:
        if self.is_lost():
            return
        name = self.name()
        with self.server.lock:
            self.answer(204 if self.server.objects.pop(name, None) else 404)
