"""HTTP requests that end: at a deadline, however slowly bytes arrive, and without leaving http and https."""

from __future__ import annotations

import http.client
import io
import socket
import time
import urllib.request
from collections.abc import Callable, Mapping
from functools import partial
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from hwnas_surrogate.errors import DownloadError

__all__ = ["request"]


def request(url: str, headers: Mapping[str, str], timeout: float, deadline: float) -> HTTPResponse:
    """Request a file.

    Parameters
    ----------
    url : str
        The address, http or https.
    headers : mapping
        The request's headers.
    timeout : float
        Seconds to wait for the response, and for each part of it.
    deadline : float
        When reading the response, its headers too, raises ``TimeoutError``; on the clock of ``time.monotonic``.

    Returns
    -------
    HTTPResponse
        The response, of which the headers have arrived.

    Raises
    ------
    DownloadError
        If a redirect leads to another scheme, or from https to http.
    OSError, http.client.HTTPException, ValueError
        As ``urllib.request.urlopen``.
    """
    opener = urllib.request.build_opener(_Connections(deadline), _Redirects)
    left = max(deadline - time.monotonic(), 1e-3)
    response: HTTPResponse = opener.open(urllib.request.Request(url, headers=dict(headers)), timeout=min(timeout, left))
    return response


class _Connections(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """Makes connections whose responses end at a deadline."""

    def __init__(self, deadline: float) -> None:
        super().__init__()
        self.deadline = deadline

    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(partial(self._connect, HTTPConnection), req)

    def https_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(partial(self._connect, http.client.HTTPSConnection), req)

    def _connect(self, kind: Callable[..., HTTPConnection], host: str, timeout: float) -> HTTPConnection:
        connection = kind(host, timeout=timeout)
        connection.response_class = partial(_Response, timeout, self.deadline)  # type: ignore[assignment]
        return connection


class _Response(HTTPResponse):
    def __init__(self, timeout: float, deadline: float, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_Timed(self.fp.detach(), sock, timeout, deadline))


class _Timed(io.RawIOBase):
    """The bytes that a socket receives until a deadline: a socket's own timeout starts anew with every byte."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, timeout: float, deadline: float) -> None:
        self._raw, self._sock, self._timeout, self._deadline = raw, sock, timeout, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(min(self._timeout, left))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        fp.close()  # or urllib would read its body, which may be endless
        scheme = urlsplit(newurl).scheme
        if scheme not in ("https", urlsplit(req.full_url).scheme):
            raise DownloadError(
                f"{req.full_url} leads to {newurl}: only https is followed, or http from http. Nothing was fetched; "
                "check the address."
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)
