"""Plain HTTP requests to a render-ws, records to send, and checks of its answers."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import Any

import requests

AFFINE = "mpicbg.trakem2.transform.AffineModel2D"
TIMEOUT_S = 30


@dataclass
class Service:
    """A render-ws and a name space in it that belongs to the tests."""

    session: requests.Session
    base: str  # ends in /v1
    owner: str
    collections: set[str] = field(default_factory=set)

    def call(self, method: str, path: str, body: Any = None, **params: Any) -> requests.Response:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data is not None else {}
        return self.session.request(
            method,
            f"{self.base}/{path}",
            data=data,
            params=params,
            headers=headers,
            timeout=TIMEOUT_S,
        )

    def stack(self, project: str, name: str) -> Url:
        return Url(self, f"owner/{self.owner}/project/{project}/stack/{name}")

    def collection(self, name: str) -> Url:
        self.collections.add(name)
        return Url(self, f"owner/{self.owner}/matchCollection/{name}")

    def clean(self) -> None:
        """Remove everything that belongs to the owner."""
        for item in self.call("GET", f"owner/{self.owner}/stackIds").json():
            url = self.stack(item["project"], item["stack"])
            if url.get().json()["state"] == "READ_ONLY":
                url.put("state/COMPLETE")
            url.delete()
        for name in self.collections:
            self.collection(name).delete()


@dataclass
class Url:
    """A stack or collection: requests below its path."""

    service: Service
    path: str

    def _call(self, method: str, rest: str, body: Any, params: dict[str, Any]) -> requests.Response:
        path = f"{self.path}/{rest}" if rest else self.path
        return self.service.call(method, path, body, **params)

    def get(self, rest: str = "", **params: Any) -> requests.Response:
        return self._call("GET", rest, None, params)

    def put(self, rest: str = "", body: Any = None, **params: Any) -> requests.Response:
        return self._call("PUT", rest, body, params)

    def post(self, rest: str = "", body: Any = None, **params: Any) -> requests.Response:
        return self._call("POST", rest, body, params)

    def delete(self, rest: str = "") -> requests.Response:
        return self._call("DELETE", rest, None, {})

    def filled(self, *tiles: dict[str, Any], complete: bool = False) -> Url:
        """Make the stack, with tiles."""
        made(self.post(body={}))
        if tiles:
            made(self.put("resolvedTiles", resolved(*tiles)))
        if complete:
            made(self.put("state/COMPLETE"))
        return self


def leaf(data: str, **more: Any) -> dict[str, Any]:
    return {"type": "leaf", "className": AFFINE, "dataString": data, **more}


def tile(
    tile_id: str, z: float = 1.0, x: float = 0, y: float = 0, *specs: Any, **more: Any
) -> dict[str, Any]:
    """A tile of 100 by 80 px at (x, y)."""
    return {
        "tileId": tile_id,
        "layout": {"sectionId": f"{float(z):.1f}", "imageRow": 0, "imageCol": 1},
        "z": z,
        "minX": x,
        "minY": y,
        "maxX": x + 100,
        "maxY": y + 80,
        "width": 100,
        "height": 80,
        "mipmapLevels": {"0": {"imageUrl": f"file:///images/{tile_id}.png"}},
        "transforms": {"type": "list", "specList": list(specs) or [leaf(f"1 0 0 1 {x} {y}")]},
        **more,
    }


def resolved(*tiles: dict[str, Any], **shared: Any) -> dict[str, Any]:
    return {
        "transformIdToSpecMap": shared,
        "tileIdToSpecMap": {spec["tileId"]: spec for spec in tiles},
    }


def pair(p_group: str, p_id: str, q_group: str, q_id: str, n: int = 2) -> dict[str, Any]:
    return {
        "pGroupId": p_group,
        "pId": p_id,
        "qGroupId": q_group,
        "qId": q_id,
        "matches": {
            "p": [[float(i) for i in range(n)], [i + 0.5 for i in range(n)]],
            "q": [[i + 10.0 for i in range(n)], [i + 20.25 for i in range(n)]],
            "w": [1.0] * n,
        },
    }


def made(response: requests.Response) -> requests.Response:
    """Check a 201: Location is the URI asked for, no body."""
    assert response.status_code == 201, response.text
    assert response.content == b""
    assert response.headers["Location"].rpartition("/v1/")[2] == response.url.rpartition("/v1/")[2]
    return response


def done(response: requests.Response) -> requests.Response:
    """Check a 200 without a body."""
    assert (response.status_code, response.content) == (200, b""), response.text
    return response


def value(response: requests.Response) -> Any:
    """Check a 200 with JSON; give the value."""
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/json"  # a Java client compares text
    return response.json()


def fault(response: requests.Response, status: int) -> str:
    """Check a fault: its status, plain text."""
    assert response.status_code == status, (response.status_code, response.text)
    assert response.headers["Content-Type"].split(";")[0] == "text/plain"
    assert response.text
    return response.text


BUILDER = {"rootPath": "/mipmaps", "numberOfLevels": 3, "extension": "tif"}

_count = itertools.count()


def fresh(prefix: str) -> str:
    """A name that no other test of this run has."""
    return f"{prefix}{next(_count)}"
