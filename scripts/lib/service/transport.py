"""A transport of requests that calls a WSGI application in process, without a socket."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import BaseAdapter

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class WsgiAdapter(BaseAdapter):
    """Answer every request of a session from a WSGI application.

    Parameters
    ----------
    application
        Called in the thread of the request.
    """

    def __init__(self, application: Application) -> None:
        super().__init__()
        self.application = application

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,  # noqa: ANN401 - requests' own signature
        verify: Any = True,  # noqa: ANN401
        cert: Any = None,  # noqa: ANN401
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Call the application and wrap its answer.

        Parameters
        ----------
        request
            What to ask.
        stream, timeout, verify, cert, proxies
            Of no effect: there is no connection.

        Returns
        -------
        requests.Response
            The whole answer.
        """
        response = requests.Response()
        response.request = request
        response.url = request.url or ""

        def _start_response(
            status: str, headers: list[tuple[str, str]], exc_info: object = None
        ) -> None:
            code, _, response.reason = status.partition(" ")
            response.status_code = int(code)
            response.headers.update(dict(headers))

        answer = self.application(_environ(request), _start_response)
        try:
            response.raw = io.BytesIO(b"".join(answer))
        finally:
            close = getattr(answer, "close", None)
            if close is not None:
                close()
        return response

    def close(self) -> None:
        """Release nothing: there is no connection."""


def _environ(request: requests.PreparedRequest) -> dict[str, Any]:
    parts = urlsplit(request.url or "")
    body = request.body or b""
    data = body.encode() if isinstance(body, str) else bytes(body)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        # WSGI wants the decoded path as latin-1 text
        "PATH_INFO": unquote(parts.path, encoding="latin-1"),
        "QUERY_STRING": parts.query,
        "SERVER_NAME": parts.hostname or "embedded",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(data)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(data),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in request.headers.items():
        key = name.upper().replace("-", "_")
        if key == "CONTENT_TYPE":
            environ[key] = value
        elif key != "CONTENT_LENGTH":
            environ[f"HTTP_{key}"] = value
    return environ
