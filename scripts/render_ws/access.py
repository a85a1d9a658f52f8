"""Who may change what: reading is open to all pages, writing is not.

Any page that a browser shows can send requests to this machine. What it may read is harmless, and
viewers at other addresses need it; what it might change or delete is not. A request that is more
than reading (GET, HEAD, OPTIONS) is therefore refused unless

* it comes from no page, or from one of this very service (``Origin``, ``Sec-Fetch-Site``), and
* it calls the service by a known name (``Host``): a page whose own name was made to mean this
  machine (DNS rebinding) passes for one of the service.

Apart from this, the service is read-only unless it was started to be written to (`store.Store`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from scripts.render_ws.errors import Forbidden

READING = ("GET", "HEAD", "OPTIONS")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_OWN_PAGES = ("same-origin", "none")  # values of Sec-Fetch-Site; none: typed by the user


@dataclass(frozen=True)
class Access:
    """The names by which the service may be written to; None: no server, no name to check."""

    hosts: frozenset[str] | None = None

    def check(self, method: str, headers: Mapping[str, str]) -> None:
        """Refuse a request that is more than reading unless it may be.

        Raises
        ------
        Forbidden
            With what was found, and which names are known.
        """
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


def _name(host: str) -> str:
    """Return the name of ``name:port``, small letters, without the brackets of IPv6."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _same(origin: str, host: str) -> bool:
    scheme, _, place = origin.partition("://")
    return scheme in ("http", "https") and place.lower() == host.lower()
