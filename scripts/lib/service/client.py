"""RenderClient: the only module that speaks to render-ws.

One client, two transports (DESIGN §7): a base URL speaks HTTP; nothing, or ``sqlite:///path``,
calls the embedded service in process over a SQLite file. No caller knows which it is.

Errors
------
::

    RenderError                     message: METHOD URL -> status: first line of the body
    ├── ServiceUnreachable          (ConnectionError)  no answer after bounded retries
    ├── NotFound                    (LookupError)      404
    │   ├── StackNotFound
    │   └── CollectionNotFound
    ├── RequestRefused              (ValueError)       other 4xx
    ├── ServiceFailed               5xx
    └── ReceiptMismatch             (UserError)        the service does not hold what a receipt says
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from scripts.lib.job import UserError
from scripts.lib.service import receipts
from scripts.lib.service.receipts import CollectionReceipt, StackReceipt
from scripts.lib.service.records import CanvasMatches, Json, TileSet, TileSource
from scripts.lib.service.transport import WsgiAdapter

log = logging.getLogger(__name__)

ENVIRONMENT = "RENDER_WS_URL"
EMBEDDED = "sqlite:///"
DEFAULT_DATABASE = "render-ws.db"
_EMBEDDED_BASE = "http+embedded://render-ws/render-ws/v1"
_RETRIES = Retry(
    total=4,
    backoff_factor=0.5,
    status_forcelist=(502, 503, 504),
    allowed_methods=frozenset({"GET", "PUT", "DELETE"}),  # all of them upserts or look-ups here
    raise_on_status=False,
)
_TILES_PER_PUT = 5000  # the reference's batch (tens of MB of JSON)
_PAIRS_PER_PUT = 2000
_LAYERS_PER_GET = 1000  # the service refuses answers above 50,001 tiles
_STALE_ONE_BY_ONE = 200  # more stale tiles than this: the stack is made anew

Key = tuple[str, str, str, str]


class RenderError(Exception):
    """Any failure of a request to render-ws."""


class ServiceUnreachable(RenderError, ConnectionError):
    """No answer after all retries."""


class NotFound(RenderError, LookupError):
    """The service answered 404."""


class StackNotFound(NotFound):
    """The stack does not exist."""


class CollectionNotFound(NotFound):
    """The match collection does not exist."""


class RequestRefused(RenderError, ValueError):
    """The service refused the request (4xx)."""


class ServiceFailed(RenderError):
    """The service failed (5xx)."""


class ReceiptMismatch(RenderError, UserError):
    """The service does not hold what a receipt says."""


def is_embedded(url: str | None) -> bool:
    """Tell whether a render URL names the embedded service."""
    return not url or url.startswith(EMBEDDED)


class RenderClient:
    """A session with render-ws for one owner and project.

    Parameters
    ----------
    owner, project
        Identity; the match collections belong to `owner`.
    base_url
        ``http://host:port/render-ws/v1``, ``sqlite:///path`` or empty; None reads the environment
        variable ``RENDER_WS_URL``.
    timeout_s
        Seconds to wait for a connection and for an answer.
    """

    def __init__(
        self,
        owner: str,
        project: str,
        *,
        base_url: str | None = None,
        timeout_s: tuple[float, float] = (10.0, 300.0),
    ) -> None:
        self.owner = owner
        self.project = project
        self._timeout = timeout_s
        self._session = requests.Session()
        self._base = self._connect(
            os.environ.get(ENVIRONMENT, "") if base_url is None else base_url
        )

    def _connect(self, url: str) -> str:
        if not is_embedded(url):
            for scheme in ("http://", "https://"):
                self._session.mount(scheme, HTTPAdapter(max_retries=_RETRIES))
            return url.rstrip("/")
        # the embedded service is imported only where it is used
        from scripts.render_ws.app import create_app

        database = url.removeprefix(EMBEDDED) or DEFAULT_DATABASE
        self._session.mount("http+embedded://", WsgiAdapter(create_app(database)))
        self._session.trust_env = False  # no network: to look for proxies takes 2 ms a request
        return _EMBEDDED_BASE

    def close(self) -> None:
        """Close the connections of the session."""
        self._session.close()

    # -- requests ------------------------------------------------------------------------------

    def _request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,  # noqa: ANN401 - any JSON value
        params: Mapping[str, Any] | None = None,
        missing: type[NotFound] = NotFound,
    ) -> requests.Response:
        url = f"{self._base}/{path}"
        data = None if body is None else orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
        headers = {"Content-Type": "application/json"} if method in ("PUT", "POST") else {}
        how: dict[str, Any] = {"data": data, "params": params, "headers": headers}
        send = partial(self._session.request, method, url, timeout=self._timeout, **how)
        return _answer(send, method, url, missing)

    def _get(self, path: str, *, missing: type[NotFound] = NotFound, **params: Any) -> Any:  # noqa: ANN401 - any JSON value
        query = {k: v for k, v in params.items() if v is not None}
        return orjson.loads(self._request("GET", path, params=query, missing=missing).content)

    def _stack(self, stack: str, *rest: str) -> str:
        return _path("owner", self.owner, "project", self.project, "stack", stack, *rest)

    def _collection(self, collection: str, *rest: str) -> str:
        return _path("owner", self.owner, "matchCollection", collection, *rest)

    # -- stacks --------------------------------------------------------------------------------

    def create_stack(
        self, stack: str, resolution_nm: tuple[float, float, float], notes: str = ""
    ) -> None:
        """Create a stack, or a new LOADING version of it; tiles of an existing one stay.

        `resolution_nm` is x, y, z in nm per pixel.
        """
        x, y, z = resolution_nm
        body = {"stackResolutionX": x, "stackResolutionY": y, "stackResolutionZ": z}
        self._request("POST", self._stack(stack), body={**body, "versionNotes": notes})

    def stack_metadata(self, stack: str) -> Json:
        """Return state, version and statistics of a stack; raises `StackNotFound`."""
        return dict(self._get(self._stack(stack), missing=StackNotFound))

    def resolution(self, stack: str) -> tuple[float, float, float]:
        """Return the x, y, z size of a voxel of a stack in nm; raises `StackNotFound`."""
        version = self.stack_metadata(stack)["currentVersion"]
        x, y, z = (float(version[f"stackResolution{axis}"]) for axis in "XYZ")
        return x, y, z

    def stacks(self) -> list[str]:
        """Names of all stacks of the project."""
        ids = self._get(_path("owner", self.owner, "project", self.project, "stackIds"))
        return sorted(item["stack"] for item in ids)

    def set_state(self, stack: str, state: str) -> None:
        """Change the state of a stack (LOADING, COMPLETE, READ_ONLY, OFFLINE)."""
        self._request("PUT", self._stack(stack, "state", state), missing=StackNotFound)

    def set_mipmaps(self, stack: str, builder: Mapping[str, Any]) -> None:
        """Store the rule by which mipmap URLs are derived (MipmapPathBuilder)."""
        self._request(
            "PUT",
            self._stack(stack, "mipmapPathBuilder"),
            body=dict(builder),
            missing=StackNotFound,
        )

    def delete_stack(self, stack: str) -> None:
        """Remove a stack with all its tiles; a missing one is no error."""
        self._request("DELETE", self._stack(stack))

    def z_values(
        self, stack: str, z_min: float | None = None, z_max: float | None = None
    ) -> list[float]:
        """Return the z values that have tiles, ascending; the limits are inclusive."""
        path = self._stack(stack, "zValues")
        return list(self._get(path, missing=StackNotFound, minZ=z_min, maxZ=z_max))

    def tile_ids(self, stack: str) -> list[str]:
        """Return the ids of all tiles of a stack, sorted as text."""
        return list(self._get(self._stack(stack, "tileIds")))

    def tiles(self, stack: str, z_min: float | None = None, z_max: float | None = None) -> TileSet:
        """Return the tiles with z in the inclusive range; none gives an empty set.

        Raises
        ------
        StackNotFound
            When there is no such stack.
        """
        values = self.z_values(stack, z_min, z_max)
        spans = (values[i : i + _LAYERS_PER_GET] for i in range(0, len(values), _LAYERS_PER_GET))
        path = self._stack(stack, "resolvedTiles")
        return TileSet.merged(
            TileSet.from_json(self._get(path, minZ=span[0], maxZ=span[-1])) for span in spans
        )

    def put_tiles(self, stack: str, tiles: TileSet, *, batch: int = _TILES_PER_PUT) -> None:
        """Save tiles (upsert by id) into a LOADING stack; bounds are derived here where absent."""
        for part in tiles.batches(batch):
            self._put(stack, part.with_bounds().to_json())

    def _put(self, stack: str, collection: Json) -> None:
        path = self._stack(stack, "resolvedTiles")
        self._request("PUT", path, body=collection, missing=StackNotFound)

    def publish_stack(
        self,
        stack: str,
        tiles: TileSource,
        *,
        resolution_nm: tuple[float, float, float],
        inputs: Iterable[str | Path] = (),
        params: Mapping[str, Any] | None = None,
        mipmaps: Mapping[str, Any] | None = None,
    ) -> StackReceipt:
        """Make `stack` hold exactly `tiles`, COMPLETE, and give its receipt (DESIGN §6).

        Bounds are derived where a tile has none. The digest of the tiles travels in the version
        notes, so that `require` can tell at any later time whether the stack still is what the
        receipt says. One batch of tiles is in memory at a time.

        Raises
        ------
        ValueError
            When there is no tile.
        RenderError
            When the service refuses, or holds another number of tiles in the end.
        """
        ids = tiles.ids()
        if not ids:
            raise ValueError(f"stack {stack}: there is no tile to publish")
        self._drop_stale(stack, ids)
        self.create_stack(stack, resolution_nm, notes="being written")
        written = receipts.Written()
        for part in tiles.batches(_TILES_PER_PUT):
            self._put(stack, written.add(part.with_bounds(absent_only=True)))
        receipt = self._receipt(stack, inputs, params or {}, written.figures())
        self.create_stack(stack, resolution_nm, notes=_notes(receipt))
        if mipmaps is not None:
            self.set_mipmaps(stack, mipmaps)
        self.set_state(stack, "COMPLETE")
        self.require(receipt)
        log.info("stack %s: %d tiles, z %g to %g", stack, len(ids), receipt.z_min, receipt.z_max)
        return receipt

    def withdraw_stack(
        self, stack: str, *, inputs: Iterable[str | Path], params: Mapping[str, Any]
    ) -> StackReceipt:
        """Remove a stack that has no tile any more; give the receipt of nothing."""
        self.delete_stack(stack)
        return self._receipt(stack, inputs, params, receipts.Written().figures())

    def _receipt(
        self, stack: str, inputs: Iterable[str | Path], params: Mapping[str, Any], figures: Json
    ) -> StackReceipt:
        made_of: Json = {"inputs": receipts.digests(inputs), "params": dict(params)}
        return StackReceipt(self.owner, self.project, stack, **made_of, **figures)

    def published(
        self, stack: str, *, inputs: Iterable[str | Path], params: Mapping[str, Any]
    ) -> StackReceipt | None:
        """Return receipt of a stack if it is COMPLETE and was made of these inputs and params."""
        try:
            found = self.stack_metadata(stack)
        except StackNotFound:
            return None
        notes = found["currentVersion"].get("versionNotes", "").split()
        if found["state"] != "COMPLETE" or len(notes) != 6:
            return None
        box, count = found["stats"]["stackBounds"], found["stats"]["tileCount"]
        bounds = box["minX"], box["minY"], box["maxX"], box["maxY"]
        figures = {"tile_count": count, "bounds": bounds, "digest": notes[3]}
        figures |= {"z_min": box["minZ"], "z_max": box["maxZ"]}
        receipt = self._receipt(stack, inputs, params, figures)
        return receipt if notes == _notes(receipt).split() else None

    def _drop_stale(self, stack: str, wanted: set[str]) -> None:
        """Remove tiles of an earlier run that should not be there."""
        stale = [i for i in self.tile_ids(stack) if i not in wanted]
        if not stale:
            return
        log.info("stack %s: removing %d tiles of an earlier run", stack, len(stale))
        if len(stale) > _STALE_ONE_BY_ONE:
            self.delete_stack(stack)
            return
        if self.stack_metadata(stack)["state"] != "LOADING":
            self.set_state(stack, "LOADING")
        for tile_id in stale:
            self._request("DELETE", self._stack(stack, "tile", tile_id))

    # -- receipts ------------------------------------------------------------------------------

    def require(self, receipt: StackReceipt | CollectionReceipt) -> None:
        """Check that the service holds what `receipt` says.

        Raises
        ------
        ReceiptMismatch
            With each difference in words, and what to run again.
        """
        if isinstance(receipt, StackReceipt):
            name, problems = f"stack {receipt.stack}", self._stack_problems(receipt)
        else:
            name, problems = f"collection {receipt.collection}", self._collection_problems(receipt)
        if problems:
            raise ReceiptMismatch(
                f"{name} in render-ws is not what its receipt says: {'; '.join(problems)}. "
                f"Remove the receipt and run again, so that its writer makes it anew."
            )

    def _stack_problems(self, receipt: StackReceipt) -> list[str]:
        if (self.owner, self.project) != (receipt.owner, receipt.project):
            return [
                f"the receipt is of {receipt.owner}/{receipt.project}, "
                f"the config names {self.owner}/{self.project}"
            ]
        try:
            found = self.stack_metadata(receipt.stack)
        except StackNotFound:
            return ["it does not exist"] if receipt.tile_count else []
        if found["state"] not in ("COMPLETE", "READ_ONLY"):
            return [f"its state is {found['state']}, not COMPLETE"]
        problems = []
        count = found.get("stats", {}).get("tileCount")
        if count != receipt.tile_count:
            problems.append(f"it has {count} tiles, expected {receipt.tile_count}")
        notes = found.get("currentVersion", {}).get("versionNotes", "")
        if notes != _notes(receipt):
            problems.append(f"its tiles were written by another run (found {notes!r})")
        return problems

    def _collection_problems(self, receipt: CollectionReceipt) -> list[str]:
        count = self.pair_count(receipt.collection)
        if count == receipt.pairs_saved:
            return []
        return [f"it has {count} pairs, expected {receipt.pairs_saved}"]

    # -- matches -------------------------------------------------------------------------------

    def pair_count(self, collection: str) -> int:
        """Return the number of pairs in a collection, 0 when it does not exist."""
        for item in self._get(_path("owner", self.owner, "matchCollections")):
            if item["collectionId"]["name"] == collection:
                return int(item["pairCount"])
        return 0

    def put_matches(self, collection: str, pairs: Sequence[CanvasMatches]) -> None:
        """Save pairs; a pair that is there already is replaced."""
        for i in range(0, len(pairs), _PAIRS_PER_PUT):
            body = [pair.ordered().to_json() for pair in pairs[i : i + _PAIRS_PER_PUT]]
            self._request("PUT", self._collection(collection, "matches"), body=body)

    def matches(self, collection: str, p_group: str) -> list[CanvasMatches]:
        """Return all pairs whose p lies in `p_group`; none when the collection does not exist."""
        return [CanvasMatches.from_json(v) for v in self._pairs(collection, p_group)]

    def match_keys(self, collection: str, p_group: str) -> list[tuple[str, str, str, str, int]]:
        """Return (p group, p id, q group, q id, count) of the pairs whose p lies in `p_group`."""
        return [
            (v["pGroupId"], v["pId"], v["qGroupId"], v["qId"], int(v["matchCount"]))
            for v in self._pairs(collection, p_group, details=False)
        ]

    def match_ids(self, collection: str) -> Iterator[tuple[str, str]]:
        """Return tile ids p, q of every pair."""
        for found in self.match_lists(collection, self.p_groups(collection), details=False):
            yield from ((pair["pId"], pair["qId"]) for pair in found)

    def match_lists(
        self, collection: str, p_groups: Iterable[str], *, details: bool = True
    ) -> Iterator[list[Json]]:
        """Return the pairs of each p group (wire form), what requests share made once."""
        start = f"{self._base}/{self._collection(collection, 'pGroup')}"
        common = self._session.prepare_request(requests.Request("GET", start))
        how: Any = self._session.merge_environment_settings(start, {}, None, None, None)
        send = partial(self._session.get_adapter(start).send, timeout=self._timeout, **how)
        query = "" if details else "?excludeMatchDetails=true"
        for group in p_groups:
            one = common.copy()
            one.url = f"{start}/{quote(group, safe='')}/matches{query}"
            yield orjson.loads(_answer(partial(send, one), "GET", one.url, NotFound).content)

    def _pairs(self, collection: str, p_group: str, *, details: bool = True) -> list[Json]:
        try:
            return next(self.match_lists(collection, [p_group], details=details))
        except NotFound:
            return []

    def _list(self, path: str, **params: Any) -> list[Any]:  # noqa: ANN401 - any query value
        try:
            return list(self._get(path, **params))
        except NotFound:
            return []

    def matches_between(self, collection: str, p_group: str, q_group: str) -> list[CanvasMatches]:
        """Return the pairs between two groups, in either order."""
        path = self._collection(collection, "group", p_group, "matchesWith", q_group)
        return [CanvasMatches.from_json(v) for v in self._list(path)]

    def p_groups(self, collection: str) -> list[str]:
        """Return all p groups of a collection; none when it does not exist."""
        return self._list(self._collection(collection, "pGroupIds"))

    def delete_pair(self, collection: str, key: Key) -> None:
        """Remove one pair; a missing one is no error."""
        p_group, p_id, q_group, q_id = key
        rest = ("group", p_group, "id", p_id, "matchesWith", q_group, "id", q_id)
        self._request("DELETE", self._collection(collection, *rest))

    def delete_collection(self, collection: str) -> None:
        """Remove a collection; a missing one is no error."""
        try:
            self._request("DELETE", self._collection(collection), missing=CollectionNotFound)
        except CollectionNotFound:
            log.info("collection %s was not there", collection)


def _path(*parts: str) -> str:
    return "/".join(quote(part, safe="") for part in parts)


def _notes(receipt: StackReceipt) -> str:
    return f"{receipt.tile_count} tiles, digest {receipt.digest} of {receipt.made_of()}"


def _answer(
    send: Callable[[], requests.Response], method: str, url: str, missing: type[NotFound]
) -> requests.Response:
    try:
        response = send()
    except requests.RequestException as error:
        raise ServiceUnreachable(f"{method} {url} -> no answer: {error}") from error
    if response.ok:
        return response
    raise _error(response, method, missing)


def _error(response: requests.Response, method: str, missing: type[NotFound]) -> RenderError:
    line = (response.text.strip().splitlines() or ["(no body)"])[0]
    message = f"{method} {response.url} -> {response.status_code}: {line}"
    if response.status_code == 404:
        return missing(message)
    return RequestRefused(message) if response.status_code < 500 else ServiceFailed(message)
