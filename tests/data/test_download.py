from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import platformdirs
import pytest

from hwnas_surrogate.data import download as module
from hwnas_surrogate.data.download import (
    OFFICIAL_BLOB_ID,
    OFFICIAL_NAME,
    OFFICIAL_URL,
    data_dir,
    download,
    git_blob_id,
)
from hwnas_surrogate.data.request import _Redirects
from hwnas_surrogate.errors import DownloadError, HWNASError

BODY = bytes(range(256)) * 2000
ROOT = Path(__file__).parents[2]


def blob_id(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `body`, in the way that a test asks for, and remembers what was asked and sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = BODY
        self.status: int | None = None
        self.ignores_range = False
        self.wrong_range = False
        self.has_length = True
        self.cut_after: int | None = None
        self.resets = False
        self.instead: bytes | None = None
        self.headers: dict[str, str] = {}
        self.redirect: str | None = None
        self.pause = 0.0
        self.silent = threading.Event()
        self.silent.set()
        self.ranges: list[str | None] = []
        self.sent: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{OFFICIAL_NAME}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, asked = self.server, self.headers.get("Range")
        server.ranges.append(asked)
        server.silent.wait(10)
        if server.redirect is not None and self.path == f"/{OFFICIAL_NAME}":
            self.send_response(302)
            self.send_header("Location", server.redirect)
            self.end_headers()
            self.send_slowly(b"x" * len(BODY), server.pause)
            return
        if server.instead is not None:
            asked = None
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and not server.ignores_range else 0
        if server.status or start >= len(server.body) > 0:
            self.send_error(server.status or 416)
            return
        rest = server.body[start:] if server.instead is None else server.instead
        self.send_response(206 if start else 200)
        if start:
            first = start + server.wrong_range
            self.send_header("Content-Range", f"bytes {first}-{len(server.body) - 1}/{len(server.body)}")
        headers = {"Content-Length": str(len(rest))} if server.has_length else {}
        for name, value in {**headers, **server.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        rest = rest[: server.cut_after]
        self.send_slowly(rest, server.pause)
        server.sent.append(len(rest))
        if server.resets:
            self.wfile.flush()
            server.silent.clear()
            server.silent.wait(0.2)  # what was sent shall arrive before the reset
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        self.close_connection = True

    def send_slowly(self, body: bytes, pause: float) -> None:
        with contextlib.suppress(OSError):  # a client that gave up
            for start in range(0, len(body), 1000 if pause else len(body)):
                self.wfile.write(body[start : start + 1000] if pause else body)
                time.sleep(pause)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # a client that gave up
            super().finish()


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.silent.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "new folder" / OFFICIAL_NAME


def part_of(target: Path, body: bytes = BODY) -> Path:
    return target.with_name(f"{target.name}.{blob_id(body)[:12]}.part")


def leave_part(target: Path, part: bytes, body: bytes = BODY) -> Path:
    path = part_of(target, body)
    path.parent.mkdir()
    path.write_bytes(part)
    return path


def files(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


class TestGitBlobId:
    def test_known_ids(self, tmp_path):
        path = tmp_path / "file"
        # git hash-object of an empty file and of "hello\n"
        for content, expected in [
            (b"", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
            (b"hello\n", "ce013625030ba8dba906f756967f9e9ca394464a"),
        ]:
            path.write_bytes(content)
            assert git_blob_id(path) == expected
            assert git_blob_id(str(path)) == expected

    def test_file_longer_than_a_piece(self, tmp_path):
        path = tmp_path / "file"
        path.write_bytes(BODY)
        assert git_blob_id(path) == blob_id(BODY)

    def test_missing_file(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            git_blob_id(tmp_path / "none")


class TestDataDir:
    def test_environment_names_it(self, monkeypatch, tmp_path):
        monkeypatch.setenv("HWNAS_DATA", str(tmp_path))
        assert data_dir() == tmp_path

    def test_home_is_expanded(self, monkeypatch):
        monkeypatch.setenv("HWNAS_DATA", "~/hwnas")
        assert data_dir() == Path.home() / "hwnas"

    @pytest.mark.parametrize("value", [None, ""])
    def test_default_is_the_users_data_folder(self, monkeypatch, value):
        monkeypatch.delenv("HWNAS_DATA", raising=False)
        if value is not None:
            monkeypatch.setenv("HWNAS_DATA", value)
        assert data_dir() == platformdirs.user_data_path("hwnas-surrogate")


def test_official_file():
    assert OFFICIAL_URL.endswith(f"/main/{OFFICIAL_NAME}")
    assert OFFICIAL_URL.startswith("https://")
    assert len(OFFICIAL_BLOB_ID) == 40


class TestFetching:
    def test_right_file(self, server, target):
        assert download(server.url, target, blob_id(BODY)) == target
        assert target.read_bytes() == BODY
        assert files(target) == [OFFICIAL_NAME]
        assert server.ranges == [None]

    def test_destination_may_be_text(self, server, target):
        assert download(server.url, str(target), blob_id(BODY)) == target

    def test_empty_file(self, server, target):
        server.body = b""
        download(server.url, target, blob_id(b""))
        assert target.read_bytes() == b""

    def test_server_that_tells_no_length(self, server, target):
        server.has_length = False
        seen = []
        download(server.url, target, blob_id(BODY), progress=lambda done, total: seen.append((done, total)))
        assert target.read_bytes() == BODY
        assert {total for _, total in seen} == {None}

    def test_progress_grows_up_to_the_whole(self, server, target):
        seen = []
        download(server.url, target, blob_id(BODY), progress=lambda done, total: seen.append((done, total)))
        done = [count for count, _ in seen]
        assert done == sorted(done)
        assert seen[0] == (0, len(BODY))
        assert seen[-1] == (len(BODY), len(BODY))
        assert len(seen) > 3

    def test_right_file_is_there_already(self, server, target):
        target.parent.mkdir()
        target.write_bytes(BODY)
        assert download(server.url, target, blob_id(BODY)) == target
        assert server.ranges == []

    def test_other_file_is_there(self, server, target):
        target.parent.mkdir()
        target.write_bytes(b"mine")
        with pytest.raises(DownloadError) as caught:
            download(server.url, target, blob_id(BODY))
        for part in [str(target), blob_id(b"mine"), blob_id(BODY), "left as it is", "move it away"]:
            assert part in str(caught.value)
        assert target.read_bytes() == b"mine"
        assert server.ranges == []

    def test_folder_is_there(self, server, target):
        target.mkdir(parents=True)
        with pytest.raises(DownloadError, match="it is a folder"):
            download(server.url, target, blob_id(BODY))
        assert target.is_dir()

    def test_wrong_file(self, server, target):
        server.body = b"<html>log in first</html>"
        with pytest.raises(DownloadError) as caught:
            download(server.url, target, blob_id(BODY))
        for part in [
            server.url,
            blob_id(server.body),
            blob_id(BODY),
            "It was deleted",
            "Likely causes",
            "by hand",
        ]:
            assert part in str(caught.value)
        assert files(target) == []

    def test_errors_are_the_packages_and_os_errors(self, target):
        with pytest.raises(DownloadError) as caught:
            download("ftp://127.0.0.1/file", target, blob_id(BODY))
        assert isinstance(caught.value, HWNASError)
        assert isinstance(caught.value, OSError)


class TestResuming:
    def test_cut_transfer_is_resumed(self, server, target):
        server.cut_after = 300_000
        with pytest.raises(DownloadError, match=r"300,000 of 512,000 bytes .*call again to resume"):
            download(server.url, target, blob_id(BODY))
        assert files(target) == [part_of(target).name]
        assert part_of(target).read_bytes() == BODY[:300_000]

        server.cut_after = None
        seen = []
        download(server.url, target, blob_id(BODY), progress=lambda done, total: seen.append((done, total)))
        assert target.read_bytes() == BODY
        assert files(target) == [OFFICIAL_NAME]
        assert server.ranges == [None, "bytes=300000-"]
        assert server.sent == [300_000, 212_000]
        assert seen[0] == (300_000, len(BODY))
        assert seen[-1] == (len(BODY), len(BODY))

    def test_cut_again_and_again(self, server, target):
        server.cut_after = 200_000
        for _ in range(2):
            with pytest.raises(DownloadError, match="was cut"):
                download(server.url, target, blob_id(BODY))
        download(server.url, target, blob_id(BODY))
        assert target.read_bytes() == BODY
        assert server.sent == [200_000, 200_000, 112_000]

    def test_reset_connection_keeps_what_has_arrived(self, server, target):
        server.cut_after, server.resets = 100_000, True
        with pytest.raises(DownloadError, match=r"100,000 of 512,000 bytes have arrived \(.*reset"):
            download(server.url, target, blob_id(BODY))
        assert part_of(target).read_bytes() == BODY[:100_000]

    def test_interrupt_keeps_what_has_arrived(self, server, target):
        def stop(done: int, total: int | None) -> None:
            if done > 100_000:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            download(server.url, target, blob_id(BODY), progress=stop)
        kept = part_of(target).read_bytes()
        assert len(kept) > 100_000
        assert BODY.startswith(kept)
        assert not target.exists()

    def test_server_that_ignores_ranges(self, server, target):
        leave_part(target, BODY[:1000])
        server.ignores_range = True
        download(server.url, target, blob_id(BODY))
        assert target.read_bytes() == BODY
        assert server.ranges == ["bytes=1000-"]

    def test_server_that_answers_another_range(self, server, target):
        leave_part(target, BODY[:1000])
        server.wrong_range = True
        download(server.url, target, blob_id(BODY))
        assert target.read_bytes() == BODY
        assert server.ranges == ["bytes=1000-", None]

    def test_part_longer_than_the_file(self, server, target):
        leave_part(target, BODY + b"more")
        download(server.url, target, blob_id(BODY))
        assert target.read_bytes() == BODY
        assert server.ranges == [f"bytes={len(BODY) + 4}-", None]

    def test_complete_part_needs_no_request(self, server, target):
        leave_part(target, BODY)
        download(server.url, target, blob_id(BODY))
        assert target.read_bytes() == BODY
        assert server.ranges == []
        assert files(target) == [OFFICIAL_NAME]

    def test_part_of_another_file_is_not_continued(self, server, target):
        stale = leave_part(target, BODY[:1000], body=b"another version")
        download(server.url, target, blob_id(BODY))
        assert target.read_bytes() == BODY
        assert server.ranges == [None]
        assert stale.read_bytes() == BODY[:1000]

    def test_damaged_part_is_found_out(self, server, target):
        leave_part(target, b"x" * 1000)
        download(server.url, target, blob_id(BODY))
        assert target.read_bytes() == BODY
        assert files(target) == [OFFICIAL_NAME]
        assert server.ranges == ["bytes=1000-", None]

    def test_killed_at_any_point(self, server, target):
        server.pause = 1e-3
        script = (
            "from hwnas_surrogate.data.download import download\n"
            "print('ready', flush=True)\n"
            f"download({server.url!r}, {str(target)!r}, {blob_id(BODY)!r})\n"
        )
        for wait in (0.01, 0.3, 0.1):
            with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT) as process:
                process.stdout.readline()
                time.sleep(wait)
                process.send_signal(signal.SIGKILL)
            assert not target.exists()
        arrived = part_of(target).read_bytes()
        assert len(arrived) > 1000
        assert BODY.startswith(arrived)
        server.pause = 0.0
        download(server.url, target, blob_id(BODY))
        assert target.read_bytes() == BODY
        assert files(target) == [OFFICIAL_NAME]
        assert len(BODY) - len(arrived) in server.sent  # the server may notice later that a killed one is gone

    def test_two_at_once_fetch_it_once(self, server, target):
        server.pause = 1e-4
        threads = [threading.Thread(target=download, args=(server.url, target, blob_id(BODY))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert target.read_bytes() == BODY
        assert files(target) == [OFFICIAL_NAME]
        assert server.ranges == [None]


class TestWrongAnswers:
    """A server, or who answers in its place, that sends something else: what had arrived is kept."""

    @pytest.fixture
    def part(self, target):
        return leave_part(target, BODY[:300_000])

    def refused(self, server, target, match, **limits):
        with pytest.raises(DownloadError, match=match) as caught:
            download(server.url, target, blob_id(BODY), **limits)
        assert files(target) == [part_of(target).name]
        assert part_of(target).read_bytes() == BODY[:300_000]
        assert server.url in str(caught.value)

    def works_again(self, server, target):
        server.instead, server.headers, server.cut_after = None, {}, None
        download(server.url, target, blob_id(BODY))
        assert files(target) == [OFFICIAL_NAME]
        assert server.ranges[-1] == "bytes=300000-"

    @pytest.mark.parametrize("kind", ["text/html", "text/html; charset=utf-8", "TEXT/HTML"])
    def test_login_page(self, server, target, part, kind):
        server.instead, server.headers = b"<html>log in first</html>", {"Content-Type": kind}
        self.refused(server, target, "sent a web page instead of the file; .*by hand")
        self.works_again(server, target)

    @pytest.mark.parametrize("page", [b"log in first", b"", b"x" * 400_000])
    def test_login_page_of_another_type(self, server, target, part, page):
        server.instead = page
        self.refused(server, target, rf"another file: .* the 300,000 bytes that had arrived before are kept in {part}")
        self.works_again(server, target)

    def test_login_page_that_is_cut(self, server, target, part):
        server.instead, server.cut_after = b"x" * 600_000, 500_000
        self.refused(server, target, rf"500,000 of 600,000 bytes .*deleted; the 300,000 .* are kept in {part}")
        self.works_again(server, target)

    def test_interrupted_login_page(self, server, target, part):
        def stop(done: int, total: int | None) -> None:
            raise KeyboardInterrupt

        server.instead = b"x" * 400_000
        with pytest.raises(KeyboardInterrupt):
            download(server.url, target, blob_id(BODY), progress=stop)
        assert files(target) == [part.name]
        assert part.read_bytes() == BODY[:300_000]

    def test_other_bytes_than_the_missing_ones(self, server, target, part):
        server.body = BODY[:300_000] + b"x" * 212_000
        self.refused(server, target, "another file")
        assert server.ranges == ["bytes=300000-", None]
        server.body = BODY
        self.works_again(server, target)

    def test_a_page_left_by_a_killed_process_does_not_stay(self, server, target, part):
        part.with_suffix(".new").write_bytes(b"log in")
        self.works_again(server, target)

    @pytest.mark.parametrize("coding", ["gzip", "br"])
    def test_another_encoding(self, server, target, part, coding):
        server.headers = {"Content-Encoding": coding}
        self.refused(server, target, f"in the encoding '{coding}', which was not requested")

    @pytest.mark.parametrize("length", ["4500000000", "9" * 18])
    def test_longer_than_the_file_can_be(self, server, target, part, length):
        server.headers = {"Content-Length": length}
        self.refused(server, target, f"sent {int(length):,} bytes, and the expected file has 268,435,456 at most")

    @pytest.mark.parametrize("length", ["-5", "9" * 5000, "many", "1e3", "\xb2"])
    def test_lengths_that_are_none(self, server, target, part, length):
        server.headers = {"Content-Length": length}
        download(server.url, target, blob_id(BODY))
        assert target.read_bytes() == BODY

    def test_a_length_too_small(self, server, target, part):
        server.headers = {"Content-Length": "1000"}
        with pytest.raises(DownloadError, match=r"301,000 of 512,000 bytes .*kept"):
            download(server.url, target, blob_id(BODY))
        self.works_again_from(server, target, 301_000)

    def works_again_from(self, server, target, start):
        server.headers = {}
        download(server.url, target, blob_id(BODY))
        assert target.read_bytes() == BODY
        assert server.ranges[-1] == f"bytes={start}-"

    def test_endless_without_a_length(self, server, target, part):
        server.has_length, server.instead = False, b"x" * 10**6
        self.refused(server, target, r"another file: .*\(more than 600,000 bytes\)", max_bytes=600_000)

    def test_endless_after_the_part(self, server, target, part):
        server.has_length, server.body = False, BODY + b"x" * 10**6
        self.refused(server, target, r"another file: .*\(more than 600,000 bytes\)", max_bytes=600_000)

    def test_endless_without_a_part(self, server, target):
        server.has_length, server.body = False, b"x" * 10**6
        with pytest.raises(DownloadError, match=r"\(more than 600,000 bytes\)"):
            download(server.url, target, blob_id(BODY), max_bytes=600_000)
        assert files(target) == []


class TestTime:
    def test_a_trickle_ends_and_is_kept(self, server, target):
        server.pause = 0.02
        start = time.monotonic()
        with pytest.raises(DownloadError, match=r"of 512,000 bytes have arrived \(it took too long\).*call again"):
            download(server.url, target, blob_id(BODY), time_limit=0.3)
        assert time.monotonic() - start < 2
        arrived = part_of(target).read_bytes()
        assert len(arrived) > 1000
        assert BODY.startswith(arrived)

    def test_headers_that_trickle(self, server, target, monkeypatch):
        def slowly(handler: Handler) -> None:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
            handler.send_slowly(b"x" * 10**6, 0.02)

        monkeypatch.setattr(Handler, "do_GET", slowly)
        start = time.monotonic()
        with pytest.raises(DownloadError, match=r"no answer from .*: it took too long"):
            download(server.url, target, blob_id(BODY), time_limit=0.3)
        assert time.monotonic() - start < 2

    def test_no_time_left(self, server, target):
        with pytest.raises(DownloadError, match="it took too long"):
            download(server.url, target, blob_id(BODY), time_limit=0.0)


class TestRedirects:
    def test_within_http(self, server, target):
        server.redirect = "/elsewhere"
        leave_part(target, BODY[:1000])
        download(server.url, target, blob_id(BODY))
        assert target.read_bytes() == BODY
        assert server.ranges == ["bytes=1000-"] * 2

    def test_the_body_of_a_redirect_is_not_read(self, server, target):
        server.redirect, server.pause = "/elsewhere", 0.02  # ten seconds
        part = leave_part(target, BODY[:-1000])
        start = time.monotonic()
        download(server.url, target, blob_id(BODY))
        assert time.monotonic() - start < 2
        assert not part.exists()

    @pytest.mark.parametrize("to", ["ftp://127.0.0.1/a", "file:///etc/hostname", "data:,x"])
    def test_to_another_scheme(self, server, target, to):
        server.redirect = to
        with pytest.raises(DownloadError, match=r"leads to ftp|is not allowed"):
            download(server.url, target, blob_id(BODY))
        assert files(target) == []

    def test_from_https_to_http(self):
        def redirected(start: str, to: str) -> urllib.request.Request:
            asked = urllib.request.Request(start)
            return _Redirects().redirect_request(asked, io.BytesIO(), 302, "Found", {}, to)

        assert redirected("http://a/b", "https://a/b").full_url == "https://a/b"
        with pytest.raises(DownloadError, match="https://a/b leads to http://a/b: only https is followed"):
            redirected("https://a/b", "http://a/b")

    def test_in_a_circle(self, server, target):
        server.redirect = f"/{OFFICIAL_NAME}"
        with pytest.raises(DownloadError, match="infinite loop"):
            download(server.url, target, blob_id(BODY))


class TestFailing:
    @pytest.mark.parametrize("status", [403, 404, 500, 503])
    def test_status(self, server, target, status):
        server.status = status
        with pytest.raises(DownloadError, match=f"answered {status} .*by hand") as caught:
            download(server.url, target, blob_id(BODY))
        assert server.url in str(caught.value)
        assert files(target) == []

    def test_part_survives_a_failing_server(self, server, target):
        part = leave_part(target, BODY[:1000])
        server.status = 503
        with pytest.raises(DownloadError):
            download(server.url, target, blob_id(BODY))
        assert part.read_bytes() == BODY[:1000]

    def test_416_without_a_part(self, server, target):
        server.status = 416
        with pytest.raises(DownloadError, match="416"):
            download(server.url, target, blob_id(BODY))

    def test_refused_connection(self, target, monkeypatch):
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        url = f"http://127.0.0.1:{port}/file"
        with pytest.raises(DownloadError, match=rf"no answer from {url}: .*network.*by hand"):
            download(url, target, blob_id(BODY))
        assert files(target) == []

    def test_silent_server(self, server, target):
        server.silent.clear()
        with pytest.raises(DownloadError, match=r"no answer from .*: it took too long"):
            download(server.url, target, blob_id(BODY), timeout=0.1)

    @pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/a", "no address", ""])
    def test_addresses_that_are_not_http(self, target, url):
        with pytest.raises(DownloadError, match="https://"):
            download(url, target, blob_id(BODY))

    @pytest.mark.parametrize("url", ["http://", "http://127.0.0.1:port/", "http://127.0.0.1/a b"])
    def test_malformed_addresses(self, target, url):
        with pytest.raises(DownloadError, match="no answer from"):
            download(url, target, blob_id(BODY))

    def test_full_disk(self, server, target, monkeypatch):
        class Full(io.FileIO):
            def write(self, chunk):
                raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(module, "open", Full, raising=False)
        with pytest.raises(DownloadError, match=r"cannot write .*No space left on device.*call again"):
            download(server.url, target, blob_id(BODY))
        assert not target.exists()

    def test_folder_that_cannot_be_made(self, server, tmp_path):
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(DownloadError, match="cannot write"):
            download(server.url, tmp_path / "file" / "folder" / "name", blob_id(BODY))
        assert server.ranges == []
