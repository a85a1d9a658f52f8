"""Requests to every route of the embedded service, right ones and slightly wrong ones.

Paths come from the service's own table of routes, bodies from right records in which up to three
places are changed. Each example is a few requests in a row on the same filled database, in one
transaction that is taken back: what one stores wrongly, the next reads.
"""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

import h5py
import numpy as np
import orjson
from werkzeug.routing import Rule
from werkzeug.test import Client

from scripts.render_ws import app, images, openapi, patterns, store, trials
from tests.render_ws.service import BUILDER, leaf, pair, resolved, tile

# what the reference answers with 500, too: states, and references that lead nowhere
DOCUMENTED = re.compile(
    r"because its state is \w+ and not LOADING|is READ_ONLY and cannot be modified"
    r"|because the stack has no tiles|holds a tile or transform of|referred to, but do not exist"
    r"|run deeper than|cannot be resolved|can be inverted at"
)
SEM = "org.janelia.alignment.transform.SEMDistortionTransformA"

BENT = ("PolynomialTransform2D", "NonLinearCoordinateTransform", "ThinPlateSplineTransform")
BENT += ("MovingLeastSquaresTransform2", "HomographyModel2D", "AffineModel3D")


def records(image: str) -> dict[str, Any]:
    """Return right bodies by the end of the path that takes them."""
    scan = {"type": "leaf", "className": SEM, "dataString": "19.4 301 54.4 3428 0", "id": "scan"}
    ref, moved = {"type": "ref", "refId": "scan"}, leaf("1 0 0 1 5 6", id="m")
    both = {"type": "interpolated", "a": leaf("1 0 0 1 0 0"), "b": moved, "lambda": 0.5}
    level = {"mipmapLevels": {"0": {"imageUrl": image, "imageLoaderType": "H5_SLICE"}}}
    bent = leaf("0 1 0 0 0 0 0 0 1 0 0.001 0", className=f"mpicbg.trakem2.transform.{BENT[0]}")
    channels = [{"name": "c", "minIntensity": 0.0, "maxIntensity": 255.0, **level}]
    tiles = [
        tile("a", 1.0, 0, 0, ref, moved, **level),
        tile("b", 1.0, 50, 0, **level, groupId="g", labels=["x"], meshCellSize=32.0),
        tile("c", 2.0, 0, 0, both, channels=channels, **level),
        tile("d", 2.0, 0, 0, bent, **level),
    ]
    collection = resolved(*tiles, scan=scan)
    plain = [tile("a", 1.0, 0, 0, scan, moved, **level), tiles[1]]
    version = {"createTimestamp": "2024-01-31T09:08:07.00Z", "versionNotes": "n", "cycleNumber": 1}
    version |= {"stackResolutionX": 8.0, "mipmapPathBuilder": BUILDER, "alignmentQuality": 0.5}
    consensus = {"index": 0, "originalPId": "a", "originalQId": "b"}
    matches = [pair("1.0", "a", "2.0", "c") | {"consensusSetData": consensus}]
    picture = {"x": 0, "y": 0, "width": 60, "height": 50, "scale": 0.5, "tileSpecs": plain}
    return {
        "resolvedTiles": collection,
        "stack": version,
        "cloneTo": version,
        "matches": matches,
        "image": picture,
        "stackId": {"owner": "o", "project": "p", "stack": "new"},
        "collectionId": {"owner": "o", "name": "new"},
        "resolutionValues": [8.0, 8, None],
        "mipmapPathBuilder": BUILDER,
        "cycle": {"number": 1, "stepNumber": 2},
        "local-to-world-coordinates": [{"tileId": "a", "local": [1.0, 2.0, 1.0]}],
        "world-to-local-coordinates": [{"world": [55.0, 5.0, 1.0]}],
        "tileIdsForCoordinates": [{"world": [55.0, 5.0, 1.0]}],
        "tileIds": ["a", "b"],
        "tile-specs-with-ids": ["a", "b"],
        "z": 3.0,
        "render": picture,
        "tile": plain[0],
        "tile-array": plain,
        "transform": both,
        "transform-array": [both, moved],
        "matchTrial": {
            "featureAndMatchParameters": {
                "siftFeatureParameters": {"steps": 5, "maxScale": 1.0},
                "matchDerivationParameters": {"matchModelType": "RIGID", "matchRod": 0.92},
                "pClipPosition": "LEFT",
                "clipPixels": 50,
            },
            "pRenderParametersUrl": _drawn("a"),
            "qRenderParametersUrl": _drawn("c"),
        },
    }


def _drawn(name: str) -> str:
    return f"/owner/o/project/p/stack/s/tile/{name}/render-parameters?scale=0.5"


DEEP = "[" * 300 + "]" * 300
RAW = [
    "1e400",
    "-1e400",
    "NaN",
    "1" + "0" * 400,
    DEEP,
    '{"a":' * 300 + "1" + "}" * 300,
    '"\\ud800"',
]
NUMBERS = [0, -1, -5, 1, 2, 1e20, 1e40, 1e308, -1e308, 5e-324, 2**31, 2**63, 10**18, 1e9, 0.5, 1e-9]
TEXTS = ["", "x", "1", "-1", "nan", "inf", "1e400", "\0", "é\U0001f600", "a", "m", "scan", "list"]
TEXTS += ["ref", "interpolated", "1 0 0 1 0 0", "1e6 1e6 1e6 1e6 0", "19 -1 54 1 1", "0 0 0 0 0 0"]
TEXTS += [f"mpicbg.trakem2.transform.{name}" for name in BENT]
TEXTS += ["0 1 0 0 0 1", "0 1 0 1e-3 0 0 0 0 1 0 1e300 0", "1 3 2 3 5 7 11 13 17 19 0 23 29 0 9 9"]
TEXTS += ["1 0 0 0 1 0 1 1 1", "T 2 1 null @" + "A" * 42 + "AA", "T 2 99999 null eNpjAAAAAQAB"]
TEXTS += ["affine 2 1 0 0 5 5 1 9 0 9 9 1 0 9 9 0 1", "rigid 2 8 0 0 0 0 1e30"]
TEXTS += [SEM, "file:///x.h5?dataSet=/", "mask://outside-box?minX=nan&maxX=x", "x" * 3000]
VALUES = [*NUMBERS, *TEXTS, None, True, False, [], {}, [[]], [None], {"a": None}, [1, "x"]]
VALUES += [f"@{i}@" for i in range(len(RAW))]  # no JSON of Python's
SEGMENTS = [
    "a",
    "b",
    "c",
    "g",
    "1.0",
    "2.0",
    "scan",
    "s",
    "done",
    "p",
    "o",
    "m",
    "COMPLETE",
    "OFFLINE",
]
SEGMENTS += [
    "READ_ONLY",
    "LOADING",
    "new",
    "é",
    "a/b",
    "%",
    "\n",
    "x" * 300,
    "nan",
    "_",
    "..",
    "\0",
]
PATH_NUMBERS = [
    "1.7e308",
    "-1.7e308",
    "1",
    "1.0",
    "2",
    "0",
    "-5",
    "50",
    "1e9",
    "1e20",
    "1e400",
    "-1e400",
    "0.5",
    "1e-320",
    "x",
]
RIGHT = {
    "matchPattern": "^a|b",
    "format": "SCHEFFER",
    "groupId": "g",
    "toOwner": "o",
    "toProject": "p",
    "mergeCollection": "m",
    "channels": "c",
    "filterListName": "default",
    "excludeTransformsAfterLast": "lens",
}
BY_TYPE = {"boolean": "True", "number": "1", "integer": "1", "array": "1", "string": "x"}
PATTERNS = ["(", "^(a+)+$", "[", "a{9999999999}", "(?i)A", "\\", "é"]


@dataclass(frozen=True)
class Request:
    """One request, as it is sent."""

    method: str
    path: str
    query: str
    body: bytes | None


def request(rng: Random, rules: list[Rule], bodies: dict[str, Any]) -> Request:
    """Make a request to one of the routes."""
    rule = rng.choice(rules)
    method = rng.choice(sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}))
    parts = [_part(rng, rule, is_name, text) for is_name, text in rule._trace[1:]]
    path = "".join(parts)
    query = _query(rng, openapi.query(method, openapi.described(rule)[0]))
    return Request(method, path, query, None if method == "GET" else _body(rng, path, bodies))


def _part(rng: Random, rule: Rule, is_name: bool, text: str) -> str:
    """Return a part of a path: most often one that leads to something."""
    if not is_name:
        return text
    how: Any = rule._converters[text]
    kind = type(how).__name__
    if kind == "NumberConverter":
        return rng.choice(["1", "1.0", *PATH_NUMBERS])
    if kind == "NumbersConverter":
        right = ["0", "0", "60", "50", "0.5"][: how.count]
        return ",".join(n if rng.random() < 0.8 else rng.choice(PATH_NUMBERS) for n in right)
    if kind == "AnyConverter":
        return rng.choice(sorted(how.items))
    known = {"owner": "o", "project": "p", "stack": rng.choice(["s", "s", "done"]), "name": "m"}
    right = known.get(text, rng.choice(SEGMENTS))
    return quote(right if rng.random() < 0.95 else rng.choice(SEGMENTS), safe="")


def _query(rng: Random, known: dict[str, Any]) -> str:
    """Return some of what the operation's description says that it reads, right and wrong."""
    out = []
    for name in rng.sample(sorted(known), min(len(known), rng.choice([0, 0, 1, 1, 2, 3]))):
        wrong = PATTERNS if name == "matchPattern" else [*PATH_NUMBERS, "", "é\0"]
        right = RIGHT.get(name, BY_TYPE[known[name]["type"]])
        out.append((name, right if rng.random() < 0.5 else rng.choice(wrong)))
    return urlencode(out)


def _body(rng: Random, path: str, bodies: dict[str, Any]) -> bytes | None:
    parts = path.rstrip("/").split("/")
    names = [name for name in (parts[-1], parts[-2], parts[-1].partition("-")[2]) if name in bodies]
    right = names[0] if names and rng.random() < 0.95 else rng.choice(sorted(bodies))
    value: Any = copy.deepcopy(bodies[right])
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
        value = _changed(rng, value)
    text = json.dumps(value)
    for i, raw in enumerate(RAW):
        text = text.replace(f'"@{i}@"', raw)
    data = text.encode()
    how = rng.random()
    return None if how < 0.02 else data[: len(data) // 2] if how < 0.04 else data


def _changed(rng: Random, value: Any) -> Any:
    """Change one place of a JSON value: another value, or nothing at all."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.05:
        return copy.deepcopy(rng.choice(VALUES))
    key: Any = rng.choice(sorted(value) if isinstance(value, dict) else range(len(value)))
    if isinstance(value[key], dict | list) and rng.random() < 0.85:
        value[key] = _changed(rng, value[key])
    elif rng.random() < 0.25:
        del value[key]
    else:
        value[key] = copy.deepcopy(rng.choice(VALUES))
    return value


@dataclass
class Fuzz:
    """A filled service, what it was asked and what it answered wrongly."""

    folder: Path
    requests: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        with h5py.File(self.folder / "a.h5", "w") as file:
            file["0-0-0/mipmap.0"] = np.arange(8000, dtype=np.uint8).reshape(1, 80, 100)
        self.bodies = records(f"file://{self.folder}/a.h5?dataSet=/0-0-0/mipmap.0&z=0")
        self.service = app.create_app(self.folder / "r.db", files=self.folder)
        self.client = Client(self.service)
        base = "/render-ws/v1/owner/o"
        for name in ("s", "done"):
            stack = f"{base}/project/p/stack/{name}"
            made = [
                self.client.post(stack, json=self.bodies["stack"]),
                self.client.put(f"{stack}/resolvedTiles", json=self.bodies["resolvedTiles"]),
            ]
            assert [answer.status_code for answer in made] == [201, 201], made[-1].text
        assert self.client.put(f"{base}/project/p/stack/done/state/COMPLETE").status_code == 201
        matches = f"{base}/matchCollection/m/matches"
        assert self.client.put(matches, json=self.bodies["matches"]).status_code == 201
        self.rules = [rule for rule in app.routes().url_map.iter_rules() if rule.methods]
        # what takes a body has more ways to be wrong
        self.rules += 3 * [rule for rule in self.rules if rule.methods & {"PUT", "POST"}]

    def example(self, seed: int) -> None:
        """Send the few requests of a seed."""
        rng = Random(seed)
        self.ask([request(rng, self.rules, self.bodies) for _ in range(rng.choice([1, 2, 4]))])

    def ask(self, wanted: list[Request]) -> None:
        """Send requests one after the other; what they changed is taken back."""
        connection = self.service.store._connection()
        connection.execute("BEGIN")
        try:
            for i, one in enumerate(wanted):
                self._send(one, wanted[:i])
        finally:
            connection.execute("ROLLBACK")

    def _send(self, one: Request, sent: list[Request]) -> None:
        answer = self.client.open(
            one.path, method=one.method, query_string=one.query, data=one.body, buffered=True
        )
        self.requests += 1
        self.answers[answer.status_code] += 1
        if answer.status_code >= 500 and not DOCUMENTED.search(answer.text):
            before = "; ".join(map(str, sent))
            self.faults.append(f"{answer.status_code} {answer.text[:300]} to {one} after {before}")
        elif answer.mimetype == "application/json" and answer.data:
            orjson.loads(answer.data)  # no NaN
        answer.close()


@contextmanager
def _nested(connection: Any, _: str) -> Iterator[Any]:
    connection.execute("SAVEPOINT request")
    try:
        yield connection
    except BaseException:
        connection.execute("ROLLBACK TO request")
        raise
    finally:
        connection.execute("RELEASE request")


def limited(monkeypatch: Any) -> None:
    """Make requests part of a larger transaction; set limits that are reached quickly."""
    monkeypatch.setattr(store, "_transaction", _nested)
    monkeypatch.setattr(images, "MAX_PIXELS", 1 << 16)
    monkeypatch.setattr(patterns, "TIME_LIMIT_S", 0.2)
    monkeypatch.setattr(trials, "TIME_LIMIT_S", 0.1)
