"""Who may change what: reading is open to all pages, writing is not.

Any page that a browser shows can send requests to this machine. What it may read is harmless, and
viewers at other addresses need it; what it might change or delete is not. A request that is more
than reading (GET, HEAD, OPTIONS) is therefore refused unless

* it comes from no page, or from one of this very service (``Origin``, ``Sec-Fetch-Site``), and
* it calls the service by a known name (``Host``): a page whose own name was made to mean this
  machine (DNS rebinding) passes for one of the service.

A service that other machines reach has a token instead: whoever sends it may do all, others
nothing but look at the page at the root and the description, which hold no data. No page of another
origin has it. A browser that follows a link sends no token: whoever asks with it for the list of
volumes gets a cookie that is good for reading their pages and for nothing else, and from which the
token cannot be found (cookies go to every port of a machine).

Apart from this, the service is read-only unless it was started to be written to (`store.Store`).
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import urlsplit

from scripts.lib.job import UserError
from scripts.render_ws.errors import Forbidden, Unauthorized

IN_ENVIRONMENT = "render_ws.access"  # key in the WSGI environment
READING = ("GET", "HEAD", "OPTIONS")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_PAGES = ("/", "/render-ws", "/render-ws/")
# what needs no token: it holds no data
_OPEN = {*_PAGES, *(f"{p.rstrip('/')}/{n}.json" for p in _PAGES for n in ("openapi", "swagger"))}
PAGES = "/pages/"  # what the cookie is good for
_SHORTEST_TOKEN = 20  # characters; one that is made here has 43
_OWN_PAGES = ("same-origin", "none")  # values of Sec-Fetch-Site; none: typed by the user


@dataclass(frozen=True)
class Access:
    """The names by which the service may be written to; None: no server, no name to check.

    With a `token` it counts alone.
    """

    hosts: frozenset[str] | None = None
    token: str | None = None

    def check(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        """Refuse a request without the token, or one that is more than reading unless it may be.

        Raises
        ------
        Unauthorized
            Without the token that is needed.
        Forbidden
            With what was found, and which names are known.
        """
        if self.token is not None:
            self._check_token(method, path, headers)
            return
        if self.hosts is None or method in READING:
            return
        host = headers.get("Host", "")
        if _name(host) not in self.hosts:
            known = ", ".join(sorted(self.hosts))
            raise Forbidden(
                f"{method} by the name {host!r} is refused: known names are {known};"
                " --host-name adds one"
            )
        origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site", "none")
        if site not in _OWN_PAGES or (origin is not None and not _same(origin, host)):
            raise Forbidden(
                f"{method} from a page of {origin or 'another site'} is refused:"
                " pages of other origins may only read"
            )

    def _check_token(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        # browsers ask without it what they may send
        if method == "OPTIONS" or (method in READING and path in _OPEN):
            return
        if method in READING and path.startswith(PAGES) and self._has_cookie(headers):
            return
        kind, _, sent = headers.get("Authorization", "").partition(" ")
        known = (self.token or "").encode()
        if kind.lower() != "bearer" or not hmac.compare_digest(sent.strip().encode(), known):
            raise Unauthorized(
                f"{method} needs the token of this service (Authorization: Bearer …): set"
                " render.token_file to a file that holds it"
            )

    def cookie(self) -> str:
        """Return the value of the cookie that lets a browser read pages; empty without a token."""
        return self._digest(PAGES)

    def cookie_name(self) -> str:
        """Return the name of the cookie: services at two ports do not overwrite each other's."""
        return f"pages-{self._digest('name')[:12]}"

    def _digest(self, use: str) -> str:
        if self.token is None:
            return ""
        return hmac.new(self.token.encode(), use.encode(), "sha256").hexdigest()

    def _has_cookie(self, headers: Mapping[str, str]) -> bool:
        sent: SimpleCookie = SimpleCookie()
        with suppress(CookieError):
            sent.load(headers.get("Cookie", ""))
        name = self.cookie_name()
        value = sent[name].value if name in sent else ""
        return hmac.compare_digest(value.encode(), self.cookie().encode())


def token_of(path: Path) -> str:
    """Return the token in a file, which is made when it is not there.

    Raises
    ------
    UserError
        When others may read the file, or it holds no token.
    """
    try:
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(32) + "\n")
        token, mode = path.read_text().strip(), path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--token-file {path}: {error}") from error
    if mode & 0o077:
        raise UserError(f"--token-file {path} may be read by others: chmod 600 {path}")
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or token.split() != [token]:
        raise UserError(
            f"--token-file {path}: expected one word of at least {_SHORTEST_TOKEN} characters;"
            " without the file one is made"
        )
    return token


def _name(host: str) -> str:
    """Return the name of ``name:port``, small letters, without the brackets of IPv6."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _same(origin: str, host: str) -> bool:
    scheme, _, place = origin.partition("://")
    return scheme in ("http", "https") and place.lower() == host.lower()
