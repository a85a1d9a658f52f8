"""Published: the part of a tracking issue that this workflow writes, through the GitHub API.

Only what stands between two marks of the volume is written; all else of the issue is left as it is.
The token comes from the environment, goes to the API alone, and is in no message.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scripts.lib.job import UserError

TOKEN = "GITHUB_TOKEN"  # noqa: S105 - the name of the variable
_LONGEST = 65_536  # characters of an issue, as the API allows
_LOCAL = {"127.0.0.1", "localhost", "::1"}
_HINTS = {
    401: f"the token of {TOKEN} is not valid",
    403: f"the token of {TOKEN} may not write issues there, or its rate is used up",
    404: f"no such repository or issue, or the token of {TOKEN} may not see it",
}


@dataclass(frozen=True)
class Place:
    """An issue: base of the API, repository as owner/name, number, and how long to wait."""

    api: str
    repository: str
    issue: int
    timeout_s: float

    @staticmethod
    def of(section: Mapping[str, Any]) -> Place:
        """Read section ``tracking`` of the config.

        Parameters
        ----------
        section
            With its defaults.

        Returns
        -------
        Place
            Checked.

        Raises
        ------
        UserError
            Where repository or issue are not set, or the API is not encrypted.
        """
        for key in ("repository", "issue"):
            if section[key] is None:
                raise UserError(f"tracking.{key} is not set: expected where the volume is tracked")
        url = urllib.parse.urlsplit(section["api"])
        if url.scheme != "https" and url.hostname not in _LOCAL:
            raise UserError(
                f"tracking.api: expected https, found {section['api']}: a token would be readable"
                " on its way"
            )
        api = str(section["api"]).rstrip("/")
        return Place(api, section["repository"], section["issue"], section["timeout_s"])

    @property
    def url(self) -> str:
        """Return the address of the issue.

        Returns
        -------
        str
            Of the API.
        """
        return f"{self.api}/repos/{self.repository}/issues/{self.issue}"


def marks(volume: str) -> tuple[str, str]:
    """Return the marks around what is written of a volume.

    Parameters
    ----------
    volume
        Its name.

    Returns
    -------
    tuple of str
        Comments, which no page shows.
    """
    return f"<!-- volume {volume}: begin -->", f"<!-- volume {volume}: end -->"


def merged(body: str, text: str, volume: str) -> str:
    """Return the text of an issue with the part of a volume renewed.

    Parameters
    ----------
    body
        The issue as it is.
    text
        The new part.
    volume
        Its name.

    Returns
    -------
    str
        All else as it was; a part that is not there yet is put at the end.

    Raises
    ------
    UserError
        Where one mark lacks its other, or a part stands there twice.
    """
    begin, end = marks(volume)
    part = f"{begin}\n{text.strip()}\n{end}"
    counts = body.count(begin), body.count(end)
    if counts == (0, 0):
        return f"{body.rstrip()}\n\n{part}\n" if body.strip() else f"{part}\n"
    if counts != (1, 1) or body.index(begin) > body.index(end):
        raise UserError(
            f"the issue has {counts[0]} marks {begin} and {counts[1]} {end}: expected one of each,"
            " in this order; mend them by hand"
        )
    return re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: part, body, flags=re.DOTALL)


def difference(old: str, new: str) -> str:
    """Return what would change.

    Parameters
    ----------
    old, new
        Texts of the issue.

    Returns
    -------
    str
        A unified diff; nothing where they are equal.
    """
    rows = difflib.unified_diff(old.splitlines(), new.splitlines(), "issue", "new", lineterm="")
    return "\n".join(rows)


def state(diff: str, *, publish: bool) -> str:
    """Say what was done.

    Parameters
    ----------
    diff
        Of `difference`.
    publish
        Whether the issue was to be written.

    Returns
    -------
    str
        For a person.
    """
    if not diff:
        return "nothing to change"
    return "written" if publish else "not written; to write it set tracking.publish: true"


def fetch(place: Place) -> str:
    """Read the text of an issue.

    Parameters
    ----------
    place
        The issue.

    Returns
    -------
    str
        With line ends of this system.
    """
    found = _asked("GET", place, None)
    return str(found.get("body") or "").replace("\r\n", "\n")


def write(place: Place, body: str) -> None:
    """Write the text of an issue.

    Parameters
    ----------
    place
        The issue.
    body
        All of its text.

    Raises
    ------
    UserError
        Where there is no token, or the text is longer than the API takes.
    """
    if not os.environ.get(TOKEN):
        raise UserError(
            f"the environment variable {TOKEN} is not set: expected a token that may write issues"
            f" of {place.repository}"
        )
    if len(body) > _LONGEST:
        raise UserError(
            f"the issue would have {len(body):,} characters, expected at most {_LONGEST:,}"
        )
    _asked("PATCH", place, {"body": body})


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An answer that leads elsewhere is a failure: no token goes there."""

    def redirect_request(self, *_: Any) -> None:  # noqa: ANN401 - as the base class
        """Follow nothing."""
        return


def _asked(method: str, place: Place, content: Mapping[str, str] | None) -> dict[str, Any]:
    """Ask the API."""
    headers = {"Accept": "application/vnd.github+json", "User-Agent": "fibsem-render-pipeline"}
    headers |= {"Content-Type": "application/json"} if content else {}
    token = os.environ.get(TOKEN)
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    data = json.dumps(content).encode() if content else None
    # https, or this computer: see `Place.of`
    request = urllib.request.Request(place.url, data, headers, method=method)  # noqa: S310
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(request, timeout=place.timeout_s) as answer:
            return dict(json.loads(answer.read()))
    except urllib.error.HTTPError as error:
        error.close()
        hint = _HINTS.get(error.code, "see tracking.repository and tracking.issue")
        raise UserError(f"{method} {place.url}: {error.code} {error.reason}: {hint}") from None
    except OSError as error:
        raise UserError(f"{place.url}: no answer ({type(error).__name__})") from None
    except ValueError:
        raise UserError(f"{place.url}: expected JSON, as the GitHub API answers") from None
