"""A server on loopback that answers POSTs of JSON as a function says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

# (status, or 0: the connection breaks; JSON, or a text that is sent as it is; headers)
Answer = tuple[int, Any, dict[str, str]]


@contextmanager
def answering(answer: Callable[[str, dict[str, Any], str | None], Answer]) -> Iterator[str]:
    """The URL of a server, for as long as the context lasts. `answer`: (path, body, Authorization) -> what to send."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, said, headers = answer(self.path, body, self.headers["authorization"])
            if status == 0:
                self.close_connection = True
                return
            data = said.encode() if isinstance(said, str) else json.dumps(said).encode()
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
