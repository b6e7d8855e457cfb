"""A store that speaks just enough S3 and ignores every condition, as some do: what fasray must not trust."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape


class _Careless(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.objects[urlsplit(self.path).path] = data
        self._answer(200, b"", data)

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        if "list-type=2" in address.query:
            prefix = parse_qs(address.query).get("prefix", [""])[0]
            start = f"{address.path.rstrip('/')}/"
            keys = sorted(key.removeprefix(start) for key in self.objects if key.startswith(start + prefix))
            found = "".join(
                f"<Contents><Key>{escape(key)}</Key><Size>1</Size><ETag>x</ETag>"
                "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
                for key in keys
            )
            self._answer(200, f"<ListBucketResult><KeyCount>{len(keys)}</KeyCount>{found}</ListBucketResult>".encode())
        elif address.path in self.objects:
            self._answer(200, self.objects[address.path])
        else:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def do_HEAD(self) -> None:
        self.do_GET()

    def _answer(self, status: int, body: bytes, tagged: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.md5(tagged or body, usedforsecurity=False).hexdigest()}"')
        self.send_header("Last-Modified", formatdate(usegmt=True))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Be quiet."""


@contextmanager
def careless_store() -> Iterator[str]:
    """Run one and give its endpoint."""
    handler = type("Handler", (_Careless,), {"objects": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
