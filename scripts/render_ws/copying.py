"""Copies of stacks and match collections from one render-ws to another, whichever they are.

One span of layers, or one group of pairs, is in memory at a time. What the target has already is
compared and not sent again, so that a copy that was interrupted goes on where it was. In the end
all is read back from the target and compared by a digest; only then does a stack get the state and
the notes of the source, which the receipts of a working directory are compared with. Nothing that
is in the target and differs is written over: it is reported.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import requests
from requests.adapters import HTTPAdapter

from scripts.lib.job import UserError
from scripts.lib.service.patience import Patience
from scripts.lib.service.transport import WsgiAdapter
from scripts.render_ws.model import Json

log = logging.getLogger(__name__)
_EMBEDDED = "sqlite:///"
_BASE = "http+embedded://render-ws/render-ws/v1"
_TIMEOUT_S = (10.0, 300.0)
_TILES_AT_ONCE = 5000  # the reference's batch
_PAIRS_AT_ONCE = 2000
_COPYING = "being copied, source digest of metadata "
_KINDS = {"transformIdToSpecMap": "transform", "tileIdToSpecMap": "tile"}
_DONE = ("COMPLETE", "READ_ONLY")


class Service:
    """Requests to a service for one owner: a base URL, or the file of an embedded one."""

    def __init__(
        self, place: str, owner: str, *, token: str | None = None, writable: bool = True
    ) -> None:
        self.place, self.owner = place, owner
        self.database: Path | None = None
        self._session = requests.Session()
        if place.startswith(("http://", "https://")):
            for scheme in ("http://", "https://"):
                self._session.mount(scheme, HTTPAdapter(max_retries=Patience()))
            self.base = place.rstrip("/")
        else:
            from scripts.render_ws.app import create_app

            self.database = Path(place.removeprefix(_EMBEDDED))
            self._session.mount(
                "http+embedded://", WsgiAdapter(create_app(self.database, writable=writable))
            )
            self._session.trust_env = False
            self.base = _BASE
        if token is not None:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def send(self, method: str, path: str, body: object = None, **query: object) -> bytes | None:
        """Return the bytes of an answer; None of what is not there.

        Raises
        ------
        UserError
            When the service does not answer, or refuses.
        """
        data = None if body is None else orjson.dumps(body)
        headers = {"Content-Type": "application/json"} if method in ("PUT", "POST") else {}
        how: Mapping[str, Any] = {"data": data, "params": query, "headers": headers}
        url = f"{self.base}/owner/{quote(self.owner, safe='')}/{path}"
        try:
            answer = self._session.request(method, url, timeout=_TIMEOUT_S, **how)
        except requests.RequestException as error:
            raise UserError(f"{self.place}: no answer ({error})") from error
        if answer.status_code == 404:
            return None
        if not answer.ok:
            said = (answer.text.strip().splitlines() or ["(no body)"])[0]
            raise Refused(f"{self.place}: {method} {url} -> {answer.status_code}: {said}")
        return answer.content

    def get(self, path: str, **query: object) -> Any:  # noqa: ANN401 - any JSON value
        """Return the JSON of a GET; None of what is not there.

        Raises
        ------
        UserError
            As `send`, and when the answer is no JSON.
        """
        found = self.send("GET", path, **query)
        try:
            return None if found is None else orjson.loads(found)
        except orjson.JSONDecodeError as error:
            raise UserError(
                f"{self.place} is no render-ws: {path} is answered with no JSON"
            ) from error


class Refused(UserError):
    """A service that answers, but not with what was asked."""


@dataclass(frozen=True)
class Copied:
    """What both services hold now: how many items, and their digest."""

    name: str
    count: int
    digest: str
    sent: int  # items that the target did not have before


# ---------------------------------------------------------------------------------------------
# what is compared
# ---------------------------------------------------------------------------------------------


def canonical(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a value in which 1 and 1.0 are one, and what is null is absent: services differ."""
    if isinstance(value, dict):
        return {key: canonical(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [canonical(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _text(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    return orjson.dumps(canonical(value), option=orjson.OPT_SORT_KEYS)


def _short(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return hashlib.sha256(_text(value)).hexdigest()[:16]


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Say of each item what is other in the target."""
    for name, item in before.items():
        found = after.get(name)
        if found is None:
            yield f"{name} is not there"
        elif _text(item) != _text(found):
            fields = [key for key in item if _text(item[key]) != _text(found.get(key))]
            yield f"{name} has another {', '.join(fields) or 'form'}"
    yield from (f"{name} is not in the source" for name in after.keys() - before.keys())


# ---------------------------------------------------------------------------------------------
# stacks
# ---------------------------------------------------------------------------------------------


def copy_stack(source: Service, target: Service, project: str, stack: str) -> Copied:
    """Copy a stack that is COMPLETE.

    Raises
    ------
    UserError
        When the source has no such stack or one that may change, when the target has another one,
        or holds something else than what was sent.
    """
    path = f"project/{quote(project, safe='')}/stack/{quote(stack, safe='')}"
    metadata = source.get(path)
    if metadata is None:
        raise UserError(f"{source.place} has no stack {source.owner}/{project}/{stack}")
    if metadata["state"] not in _DONE:
        raise UserError(f"stack {stack} of {source.place} is {metadata['state']}: it may change")
    version = metadata["currentVersion"]
    begun = _begin(target, path, stack, version)
    spans = list(_spans(source, path, metadata.get("stats", {})))
    sent = 0
    if begun:
        sent = _send_tiles(source, target, path, spans)
        _remove_others(source, target, path)
    digest, count = _compare_tiles(source, target, path, stack, spans)
    if begun:
        target.send("POST", path, version)
        target.send("PUT", f"{path}/state/COMPLETE")
        if metadata["state"] == "READ_ONLY":
            target.send("PUT", f"{path}/state/READ_ONLY")
    return Copied(f"stack {stack}", count, digest, sent)


def _begin(target: Service, path: str, stack: str, version: Json) -> bool:
    """Make the target's stack ready to be written; False when it says that it is a copy already."""
    notes = _COPYING + _short(version)
    found = target.get(path)
    if found is None:
        target.send("POST", path, {**version, "versionNotes": notes})
        return True
    there = found["currentVersion"].get("versionNotes")
    if found["state"] == "LOADING" and there == notes:
        return True
    same = _text(found["currentVersion"]) == _text(version)
    if found["state"] in _DONE and same:
        return False
    raise UserError(
        f"{target.place} has another stack {stack} already ({found['state']}, notes {there!r:.80}):"
        " delete or rename it there first"
    )


def _spans(source: Service, path: str, stats: Json) -> Iterator[Sequence[float]]:
    """Return the z of spans that hold about as many tiles as are sent at once."""
    layers = source.get(f"{path}/zValues") or []
    tiles, sections = stats.get("tileCount", 0), stats.get("sectionCount", 0)
    step = max(1, _TILES_AT_ONCE * (sections or len(layers)) // max(tiles, 1))
    for start in range(0, len(layers), step):
        yield layers[start : start + step]


def _tiles(service: Service, path: str, span: Sequence[float]) -> Json:
    try:
        found = service.get(f"{path}/resolvedTiles", minZ=span[0], maxZ=span[-1])
    except Refused:
        if len(span) == 1:
            raise
        middle = len(span) // 2  # more tiles than it gives at once
        halves = [_tiles(service, path, part) for part in (span[:middle], span[middle:])]
        return {kind: halves[0][kind] | halves[1][kind] for kind in _KINDS}
    return dict.fromkeys(_KINDS, {}) | (found or {})


def _send_tiles(
    source: Service, target: Service, path: str, spans: Sequence[Sequence[float]]
) -> int:
    sent = 0
    for i, span in enumerate(spans):
        wanted = _tiles(source, path, span)
        if _text(_tiles(target, path, span)) == _text(wanted):
            continue  # of an earlier, interrupted copy
        target.send("PUT", f"{path}/resolvedTiles", wanted)
        sent += len(wanted["tileIdToSpecMap"])
        log.info("%s: z %g to %g, %d of %d spans", path, span[0], span[-1], i + 1, len(spans))
    return sent


def _remove_others(source: Service, target: Service, path: str) -> None:
    """Remove tiles of an interrupted copy that the source has lost since."""
    there = set(target.get(f"{path}/tileIds") or ())
    for name in sorted(there - set(source.get(f"{path}/tileIds") or ())):
        target.send("DELETE", f"{path}/tile/{quote(name, safe='')}")


def _compare_tiles(
    source: Service,
    target: Service,
    path: str,
    stack: str,
    spans: Sequence[Sequence[float]],
) -> tuple[str, int]:
    """Return digest and count of all tiles, which must be the same in both."""
    digest, count = hashlib.sha256(), 0
    for span in spans:
        before, after = (_tiles(one, path, span) for one in (source, target))
        for kind, what in _KINDS.items():
            wrong = next(_differences(before[kind], after[kind]), None)
            if wrong is not None:
                raise UserError(f"{target.place}: stack {stack}: {what} {wrong}")
        digest.update(_text(before))
        count += len(before["tileIdToSpecMap"])
    held = len(target.get(f"{path}/tileIds") or ())
    if held != count:
        raise UserError(f"{target.place}: stack {stack} has {held} tiles, expected {count}")
    return digest.hexdigest(), count


# ---------------------------------------------------------------------------------------------
# match collections
# ---------------------------------------------------------------------------------------------


def copy_collection(source: Service, target: Service, name: str) -> Copied:
    """Copy a match collection.

    Raises
    ------
    UserError
        When the source has none of that name, or the target holds other pairs in the end.
    """
    path = f"matchCollection/{quote(name, safe='')}"
    groups = source.get(f"{path}/pGroupIds")
    if groups is None:
        raise UserError(f"{source.place} has no match collection {source.owner}/{name}")
    foreign = set(target.get(f"{path}/pGroupIds") or ()) - set(groups)
    if foreign:
        raise UserError(
            f"{target.place}: collection {name} has pairs of group {min(foreign)}, which the source"
            " has not: delete or rename it there first"
        )
    digest, count, sent = hashlib.sha256(), 0, 0
    for i, group in enumerate(groups):
        wanted, there = (_pairs(one, path, group) for one in (source, target))
        missing = [key for key, pair in wanted.items() if _text(there.get(key)) != _text(pair)]
        _send_pairs(target, path, [wanted[key] for key in missing])
        after = _pairs(target, path, group) if missing else there
        wrong = next(_differences(wanted, after), None)
        if wrong is not None:
            raise UserError(f"{target.place}: collection {name}: pair {wrong}")
        digest.update(_text(wanted))
        count, sent = count + len(wanted), sent + len(missing)
        if missing:
            log.info("%s: group %s, %d of %d", path, group, i + 1, len(groups))
    return Copied(f"collection {name}", count, digest.hexdigest(), sent)


def _pairs(service: Service, path: str, group: str) -> dict[str, Json]:
    """Return the pairs of a p group by name; their count is the service's own."""
    found = service.get(f"{path}/pGroup/{quote(group, safe='')}/matches") or ()
    names = ("pGroupId", "pId", "qGroupId", "qId")
    return {
        " ".join(pair[each] for each in names): {k: v for k, v in pair.items() if k != "matchCount"}
        for pair in found
    }


def _send_pairs(target: Service, path: str, pairs: Sequence[Json]) -> None:
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        target.send("PUT", f"{path}/matches", pairs[start : start + _PAIRS_AT_ONCE])


# ---------------------------------------------------------------------------------------------


def copy(
    source: Service,
    target: Service,
    project: str,
    *,
    stacks: Iterable[str],
    collections: Iterable[str],
) -> Iterator[Copied]:
    """Copy stacks of a project and match collections, one after the other.

    Raises
    ------
    UserError
        As `copy_stack` and `copy_collection`; what was copied before stays.
    """
    for stack in stacks:
        yield copy_stack(source, target, project, stack)
    for name in collections:
        yield copy_collection(source, target, name)


def everything(source: Service, project: str) -> tuple[list[str], list[str]]:
    """Return the names of a project's finished stacks and of its match collections.

    A project's collections are those that are called ``<project>_v…``.
    """
    found = source.get(f"project/{quote(project, safe='')}/stacks") or ()
    stacks = [one["stackId"]["stack"] for one in found if one["state"] in _DONE]
    named = (each["collectionId"]["name"] for each in source.get("matchCollections") or ())
    return sorted(stacks), sorted(name for name in named if name.startswith(f"{project}_v"))
