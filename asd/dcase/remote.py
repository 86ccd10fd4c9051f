"""One file over a bad line: resumed, tried again, and only there once its bytes are the right ones."""

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from asd.system.files import make_folder, open_own, sync_file, sync_folder
from asd.system.progress import Bar, progress

CHUNK = 1 << 20
SMALL = 16 << 20  # bytes, of a file that is read whole
PASSING = {408, 425, 429, 500, 502, 503, 504}
AGENT = "asd-data (Python urllib)"


@dataclass(frozen=True)
class Line:
    """How patient we are.

    Attributes:
        attempts: Failures in a row, without a byte of progress, until we give up.
        wait: Seconds before the second attempt; doubled after each, at most a minute.
        timeout: Seconds without an answer that count as a failure.
    """

    attempts: int = 6
    wait: float = 1.0
    timeout: float = 60.0

    def pause(self, failures: int, asked: str | None = None) -> None:
        """Waits after a failure; a server that says for how long (Retry-After) is believed up to a minute."""
        seconds = float(asked) if asked and asked.isdigit() else self.wait * 2 ** (failures - 1)
        time.sleep(min(seconds, 60.0))


class PassingError(Exception):
    """A failure that may pass; `asked` is the server's Retry-After."""

    def __init__(self, reason: str, asked: str | None = None) -> None:
        """Keeps the reason for the last message."""
        super().__init__(reason)
        self.asked = asked


def read_small(url: str, line: Line) -> bytes:
    """Reads a small file whole.

    Raises:
        OSError: The server does not give it.
    """
    for failures in range(1, line.attempts + 1):
        try:
            with answer(url, 0, line) as response:
                return response.read(SMALL)
        except FileNotFoundError:
            raise
        except (PassingError, OSError, http.client.HTTPException) as error:
            last = reason_of(error)
            if failures < line.attempts:
                line.pause(failures, getattr(error, "asked", None))
    raise OSError(f"{url}: no answer after {line.attempts} attempts ({last})")


def fetch(url: str, path: Path, *, size: int, md5: str, line: Line) -> None:
    """Downloads a file to `path`; what a broken attempt left in `<path>.part` is gone on with.

    Raises:
        OSError: The server does not give it, the disk is full, or the bytes are twice not those of the record.
    """
    part = path.with_name(f"{path.name}.part")
    make_folder(path.parent)
    for _ in range(2):
        fill(url, part, size, line)
        found = md5_of(part)
        if found == md5:
            sync_file(part)
            os.replace(part, path)
            sync_folder(path.parent)
            return
        part.unlink()
    raise OSError(
        f"{url}: wrong bytes twice (md5 {found}, the record says {md5}); nothing was kept. "
        "Try again later, or check the mirror"
    )


def fill(url: str, part: Path, size: int, line: Line) -> None:
    """Appends to `part` until it has `size` bytes.

    Raises:
        OSError: No progress after several attempts, or the server refuses.
    """
    failures, most = 0, bytes_of(part, size)
    with progress(f"downloading {part.stem}", size, unit="B", done=bytes_of(part, size)) as bar:
        while (there := bytes_of(part, size)) < size:
            try:
                append(url, part, there, size, line, bar)
                problem = PassingError("connection ended early")
            except (
                PassingError,
                TimeoutError,
                ConnectionError,
                urllib.error.URLError,
                http.client.HTTPException,
            ) as error:
                problem = error if isinstance(error, PassingError) else PassingError(reason_of(error))
            now = bytes_of(part, size)
            failures, most = (1, now) if now > most else (failures + 1, most)  # beyond what was ever there
            if failures >= line.attempts:
                raise OSError(
                    f"{url}: no progress in {failures} attempts ({problem}); {now} of {size} bytes are kept in {part}, "
                    "the same command goes on from there"
                )
            if now < size:
                line.pause(failures, problem.asked)


def append(url: str, part: Path, there: int, size: int, line: Line, bar: Bar) -> None:
    """One attempt: writes what the server gives from byte `there` on; from 0 where it ignores ranges."""
    with answer(url, there, line) as response:
        if "html" in (response.headers.get("Content-Type") or "").lower():
            raise OSError(f"{url}: a web page instead of the archive; open it in a browser to see why")
        resumed = response.status == 206 and content_start(response) == there
        if there and not resumed:
            bar.update(-there)
        with open_own(part, os.O_APPEND) as file:
            if not resumed:
                file.seek(0)
                file.truncate()
            while block := response.read(CHUNK):
                if file.tell() == 0 and part.stem.endswith(".zip") and block.lstrip().startswith(b"<"):
                    raise OSError(f"{url}: a web page instead of the archive; open it in a browser to see why")
                if file.tell() + len(block) > size:
                    file.seek(0)
                    file.truncate()
                    raise OSError(f"{url}: more than the {size} bytes of the record; not the file that was published")
                file.write(block)
                bar.update(len(block))


def answer(url: str, start: int, line: Line) -> http.client.HTTPResponse:
    """Opens a URL from a byte on.

    Raises:
        PassingError: Worth another attempt.
        OSError: Not worth one.
    """
    headers = {"User-Agent": AGENT} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=line.timeout
        )
        return response
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and start:
            return answer(url, 0, line)
        if error.code in PASSING:
            raise PassingError(f"HTTP {error.code}", error.headers.get("Retry-After")) from None
        raise FileNotFoundError(f"{url}: the server refuses (HTTP {error.code} {error.reason})") from None
    except urllib.error.URLError as error:
        if url.startswith("file:"):
            raise FileNotFoundError(f"{url}: no such file in the mirror ({error.reason})") from None
        raise


def content_start(response: http.client.HTTPResponse) -> int:
    """First byte of a partial answer; -1 where the header is missing or strange."""
    words = (response.headers.get("Content-Range") or "").removeprefix("bytes ").partition("-")
    return int(words[0]) if words[0].isdigit() else -1


def bytes_of(part: Path, size: int) -> int:
    """Bytes there already; a part that is longer than the whole is thrown away."""
    there = part.stat().st_size if part.exists() else 0
    if there > size:
        part.unlink()
        return 0
    return there


def reason_of(error: Exception) -> str:
    """One word of what went wrong on the line."""
    return str(getattr(error, "reason", "") or error) or type(error).__name__


def md5_of(path: Path) -> str:
    """MD5 of a file in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
