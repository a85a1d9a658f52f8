"""A session with render-ws: where requests go, what is tried again, which error a fault raises.

One session, two transports: a base URL speaks HTTP; nothing, or ``sqlite:///path``, calls the
embedded service in process over a SQLite file. No caller knows which it is.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import orjson
import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from scripts.lib.job import UserError
from scripts.lib.service.errors import (
    NotFound,
    RenderError,
    RequestRefused,
    ServiceFailed,
    ServiceUnreachable,
)
from scripts.lib.service.patience import Patience, patience_of_environment_s
from scripts.lib.service.transport import WsgiAdapter

_ENVIRONMENT = "RENDER_WS_URL"
TAKEOVER_URL = "RENDER_WS_TAKEOVER_URL"  # another service, that is only read
_TOKEN_FILE = "RENDER_WS_TOKEN_FILE"
_EMBEDDED = "sqlite:///"
_DEFAULT_DATABASE = "render-ws.db"
_EMBEDDED_BASE = "http+embedded://render-ws/render-ws/v1"


def is_embedded(url: str | None) -> bool:
    """Tell whether a render URL names the embedded service.

    Parameters
    ----------
    url
        Base URL as in the config; None or empty: not given.

    Returns
    -------
    bool
        True for nothing and for ``sqlite:///path``.
    """
    return not url or url.startswith(_EMBEDDED)


def is_loopback(url: str) -> bool:
    """Tell whether a render URL is answered on this host alone.

    Parameters
    ----------
    url
        Base URL as in the config.

    Returns
    -------
    bool
        True for ``localhost`` and addresses of the loopback network.
    """
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Token(AuthBase):
    """Sends a bearer token; not to another host that a service leads to.

    Attributes
    ----------
    text
        The token.
    """

    text: str

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the token.

        Parameters
        ----------
        request
            To be sent.

        Returns
        -------
        requests.PreparedRequest
            The same.
        """
        request.headers["Authorization"] = f"Bearer {self.text}"
        return request


def token_of_environment() -> Token | None:
    """Return the token that ``render.token_file`` of the config names.

    Returns
    -------
    Token or None
        By the environment variable ``RENDER_WS_TOKEN_FILE``, which the Snakefile sets; None when
        it is empty.

    Raises
    ------
    UserError
        When the file cannot be read, or holds no token.
    """
    path = os.environ.get(_TOKEN_FILE)
    if not path:
        return None
    try:
        token = Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"render.token_file {path}: {error}") from error
    if not token.isascii() or token.split() != [token]:
        raise UserError(f"render.token_file {path}: expected one word, the token of the service")
    return Token(token)


class Session:
    """Requests to render-ws for one owner and project.

    Parameters
    ----------
    owner, project
        Identity; the match collections belong to `owner`.
    base_url
        ``http://host:port/render-ws/v1``, ``sqlite:///path`` or empty; None reads the environment
        variable ``RENDER_WS_URL``.
    timeout_s
        Seconds to wait for a connection and for an answer.
    patience_s
        Seconds for which a service that does not answer is tried again; None reads the environment
        variable ``RENDER_WS_PATIENCE_S``.
    foreign
        Whether the service is not that of the volume: it gets no token, and its file, if it is an
        embedded one, is opened to be read only.
    """

    def __init__(
        self,
        owner: str,
        project: str,
        *,
        base_url: str | None = None,
        timeout_s: tuple[float, float] = (10.0, 300.0),
        patience_s: float | None = None,
        foreign: bool = False,
    ) -> None:
        self.owner = owner
        self.project = project
        self._timeout = timeout_s
        self._patience_s = patience_of_environment_s() if patience_s is None else patience_s
        self._session = requests.Session()
        self._foreign = foreign
        self._known = False  # whether a render-ws has answered under the base URL
        self._base = self._connect(
            os.environ.get(_ENVIRONMENT, "") if base_url is None else base_url
        )

    def _connect(self, url: str) -> str:
        if not is_embedded(url):
            patience = Patience(patience_s=self._patience_s)
            for scheme in ("http://", "https://"):
                self._session.mount(scheme, HTTPAdapter(max_retries=patience))
            self._session.auth = None if self._foreign else token_of_environment()
            return url.rstrip("/")
        # the embedded service is imported only where it is used
        from scripts.render_ws.app import create_app

        database = url.removeprefix(_EMBEDDED) or _DEFAULT_DATABASE
        application = create_app(database, writable=not self._foreign)
        self._session.mount("http+embedded://", WsgiAdapter(application))
        self._known = True
        self._session.trust_env = False  # no network: to look for proxies takes 2 ms a request
        return _EMBEDDED_BASE

    def close(self) -> None:
        """Close the connections of the session."""
        self._session.close()

    def _request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,  # noqa: ANN401 - any JSON value
        params: Mapping[str, Any] | None = None,
        missing: type[NotFound] = NotFound,
    ) -> requests.Response:
        """Send a request, `body` as JSON; `missing` is what a 404 raises."""
        url = f"{self._base}/{path}"
        data = None if body is None else orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
        headers = {"Content-Type": "application/json"} if method in ("PUT", "POST") else {}
        how: dict[str, Any] = {"data": data, "params": params, "headers": headers}
        send = partial(self._session.request, method, url, timeout=self._timeout, **how)
        return self._answered(send, method, url, missing)

    def _answered(
        self,
        send: Callable[[], requests.Response],
        method: str,
        url: str,
        missing: type[NotFound] = NotFound,
    ) -> requests.Response:
        try:
            response = _answer(send, method, url, missing)
        except NotFound:
            self._require_service()
            raise
        self._known = True
        return response

    def _require_service(self) -> None:
        """Tell a wrong base URL from something that is not there: both are answered with 404."""
        if self._known:
            return
        url = f"{self._base}/likelyUniqueId"  # every render-ws has it, whatever it holds
        try:
            _answer(partial(self._session.get, url, timeout=self._timeout), "GET", url, NotFound)
        except (NotFound, RequestRefused) as error:
            raise ServiceUnreachable(_no_service(self._base, str(error))) from error
        self._known = True

    def _json(self, response: requests.Response) -> Any:  # noqa: ANN401 - any JSON value
        try:
            return orjson.loads(response.content)
        except orjson.JSONDecodeError as error:
            found = f"{response.url} is answered with {response.text.strip()[:60]!r}"
            raise ServiceUnreachable(_no_service(self._base, found)) from error

    def _get(self, path: str, *, missing: type[NotFound] = NotFound, **params: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Return the JSON of a GET; query parameters that are None are left out."""
        query = {k: v for k, v in params.items() if v is not None}
        return self._json(self._request("GET", path, params=query, missing=missing))

    def _list(self, path: str) -> list[Any]:
        """Return the list of a GET; what does not exist has no items."""
        try:
            return list(self._get(path))
        except NotFound:
            return []

    def _each(self, start: str, rests: Iterable[str]) -> Iterator[Any]:
        """Return the JSON of a GET of each ``start/rest``; what the requests share is made once."""
        url = f"{self._base}/{start}"
        common = self._session.prepare_request(requests.Request("GET", url))
        how: Any = self._session.merge_environment_settings(url, {}, None, None, None)
        send = partial(self._session.get_adapter(url).send, timeout=self._timeout, **how)
        for rest in rests:
            one = common.copy()
            one.url = f"{url}/{rest}"
            yield self._json(self._answered(partial(send, one), "GET", one.url))

    def _stack(self, stack: str, *rest: str) -> str:
        return path_of("owner", self.owner, "project", self.project, "stack", stack, *rest)

    def _collection(self, collection: str, *rest: str) -> str:
        return path_of("owner", self.owner, "matchCollection", collection, *rest)


def path_of(*parts: str) -> str:
    """Join the parts of a URL's path.

    Parameters
    ----------
    *parts
        Names as they are; whatever has a meaning in a URL is quoted.

    Returns
    -------
    str
        Path without a slash at its ends.
    """
    return "/".join(quote(part, safe="") for part in parts)


def _answer(
    send: Callable[[], requests.Response], method: str, url: str, missing: type[NotFound]
) -> requests.Response:
    try:
        response = send()
    except requests.RequestException as error:
        raise ServiceUnreachable(_unreachable(url, error)) from error
    if response.ok:
        return response
    raise _error(response, method, missing)


def _setting(base: str) -> tuple[str, str]:
    """Return the key of the config that names a service, and what else may name it."""
    theirs = base == os.environ.get(TAKEOVER_URL, "").rstrip("/")
    key = "takeover.render.url" if theirs else "render.url"
    return key, f"{key} (or {TAKEOVER_URL if theirs else _ENVIRONMENT}, which rules over it)"


def _unreachable(url: str, error: requests.RequestException) -> str:
    """One line: who does not answer, why, and what to do."""
    base = url.partition("/owner/")[0]
    causes = re.findall(r"\[Errno -?\d+\] ([^'\")]+)|(timed out|Connection aborted)", str(error))
    cause = next(("".join(each) for each in causes), str(error))
    key, settings = _setting(base)
    return (
        f"{key}: no answer from {base} ({cause}), though waited for. Start the service, or set"
        f" {settings} to one that this host reaches; then start the same command again."
    )


def _no_service(base: str, found: str) -> str:
    key, settings = _setting(base)
    return (
        f"{key}: {base} is no render-ws: {' '.join(found.split())}. Set {settings} to its base,"
        " http://host:port/render-ws/v1."
    )


def _error(response: requests.Response, method: str, missing: type[NotFound]) -> RenderError:
    line = (response.text.strip().splitlines() or ["(no body)"])[0]
    message = f"{method} {response.url} -> {response.status_code}: {line}"
    if response.status_code == 404:
        return missing(message)
    return RequestRefused(message) if response.status_code < 500 else ServiceFailed(message)
