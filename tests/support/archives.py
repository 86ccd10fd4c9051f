"""A small Zenodo on the loopback: records, archives, and every way a line can be bad."""

import contextlib
import hashlib
import io
import json
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


def make_zip(files: Mapping[str, bytes]) -> bytes:
    """A ZIP archive of these files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


class Shelf:
    """What the server holds, how it misbehaves, and what it was asked.

    Attributes:
        cut: Bytes after which the first answers of a file break off, in order.
        busy: How many requests for a file get a 503 first.
        ranges: Whether ranges are heeded.
        wrong: How many answers have a changed byte first.
        html: Answer with a web page.
        asked: Requests per path; `starts` the first byte of each request for a file.
    """

    def __init__(self, records: Mapping[int, Mapping[str, bytes]]) -> None:
        """Takes the files of each record."""
        self.records = records
        self.cut: list[int] = []
        self.busy = self.wrong = 0
        self.ranges, self.html = True, False
        self.asked: Counter[str] = Counter()
        self.starts: list[int] = []

    def record(self, number: int) -> bytes:
        """The record's metadata as Zenodo gives it, as far as it is read."""
        files = [
            {"key": name, "size": len(content), "checksum": f"md5:{hashlib.md5(content).hexdigest()}"}
            for name, content in self.records[number].items()
        ]
        return json.dumps({"id": number, "files": files}).encode()


@contextlib.contextmanager
def serving(shelf: Shelf) -> Iterator[str]:
    """The shelf behind a real HTTP server; gives its base URL."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Keeps the tests' output clean."""

        def do_GET(self) -> None:
            shelf.asked[self.path] += 1
            words = unquote(self.path).strip("/").split("/")
            if words[:2] == ["api", "records"] and int(words[2]) in shelf.records:
                self.give(shelf.record(int(words[2])), "application/json")
            elif words[0] == "records" and words[3] in shelf.records[int(words[1])]:
                self.give_file(shelf.records[int(words[1])][words[3]])
            else:
                self.send_error(404)

        def give(self, content: bytes, kind: str, status: int = 200, promised: int | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content) if promised is None else promised))
            self.end_headers()
            self.wfile.write(content)

        def give_file(self, content: bytes) -> None:
            if shelf.busy:
                shelf.busy -= 1
                self.send_error(503)
                return
            if shelf.html:
                self.give(b"<html>maintenance</html>", "text/html; charset=utf-8")
                return
            if shelf.wrong:
                shelf.wrong -= 1
                content = bytes([content[0] ^ 1]) + content[1:]
            start = 0
            if shelf.ranges and (asked := self.headers.get("Range")):
                start = int(asked.removeprefix("bytes=").rstrip("-"))
            shelf.starts.append(start)
            body = content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # whoever asked may be killed meanwhile
                self.wfile.write(body[: shelf.cut.pop(0)] if shelf.cut else body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
