"""Match trials over HTTP: what the workflow's own matching finds of one pair."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from werkzeug.test import Client

from scripts.render_ws import app, trials
from tests.render_ws.service import leaf, resolved, tile

BASE = "/render-ws/v1/owner/o"
STACK = f"{BASE}/project/p/stack/s"
SHIFT = np.array([12, -7])  # of the tissue from a to b, px
SIFT = {"fdSize": 4, "minScale": 0.25, "maxScale": 1.0, "steps": 5}
MATCH = {
    "matchModelType": "TRANSLATION",
    "matchMaxEpsilonFullScale": 3.0,
    "matchMinNumInliers": 8,
    "matchFilter": "SINGLE_SET",
}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trials")
    noise = gaussian_filter(np.random.default_rng(5).normal(size=(300, 300)), 2.0)
    grey = np.uint8(np.clip(128 + 400 * noise, 0, 255))
    specs = []
    for name, (x, y) in {"a": (40, 40), "b": tuple(40 - SHIFT)}.items():
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file["0-0-0/mipmap.0"] = grey[None, y : y + 200, x : x + 220]
        url = f"file://{folder}/{name}.h5?dataSet=/0-0-0/mipmap.0&z=0"
        level = {"mipmapLevels": {"0": {"imageUrl": url, "imageLoaderType": "H5_SLICE"}}}
        spec = tile(name, float(len(specs) + 1), 0, 0, leaf("1 0 0 1 0 0"), **level)
        specs.append({**spec, "width": 220, "height": 200})
    made = Client(app.create_app(folder / "r.db", files=folder))
    assert made.post(STACK, json={"versionNotes": "n"}).status_code == 201
    assert made.put(f"{STACK}/resolvedTiles", json=resolved(*specs)).status_code == 201
    return made


def asked(p="a", q="b", query="scale=1.0&filter=false", **more):
    url = "http://else:8080" + STACK + "/tile/{}/render-parameters?" + query
    how = {"siftFeatureParameters": SIFT, "matchDerivationParameters": MATCH, **more}
    return {
        "featureAndMatchParameters": how,
        "pRenderParametersUrl": url.format(p),
        "qRenderParametersUrl": url.format(q),
    }


def test_a_trial_finds_where_the_pair_lies_and_is_kept(client):
    answer = client.post(f"{BASE}/matchTrial", json=asked())
    assert answer.status_code == 200, answer.text
    found = answer.json
    (matches,) = found["matches"]
    moved = np.array(matches["q"]) - np.array(matches["p"])
    assert np.abs(np.median(moved, axis=1) - SHIFT).max() < 0.2
    count = len(matches["w"])
    assert found["stats"]["consensusSetSizes"] == [count] == [moved.shape[1]]
    assert found["stats"]["pFeatureCount"] > count > 20
    assert client.get(f"{BASE}/matchTrial/{found['id']}").json == found
    assert client.get(f"/render-ws/v1/owner/other/matchTrial/{found['id']}").status_code == 404
    assert client.delete(f"{BASE}/matchTrial/{found['id']}").status_code == 200
    assert client.get(f"{BASE}/matchTrial/{found['id']}").status_code == 404


def test_a_pair_that_is_not_saved_says_why(client):
    strict = {**MATCH, "matchMinNumInliers": 5000}
    found = client.post(f"{BASE}/matchTrial", json=asked(matchDerivationParameters=strict)).json
    assert found["matches"] == []
    assert "few_inliers" in found["stats"]["reason"]


def test_clips_are_those_of_the_facing_sides(client):
    clipped = asked(pClipPosition="LEFT", clipPixels=60)
    stats = client.post(f"{BASE}/matchTrial", json=clipped).json["stats"]
    whole = client.post(f"{BASE}/matchTrial", json=asked()).json["stats"]
    for side in "pq":
        assert 0 < stats[f"{side}FeatureCount"] < whole[f"{side}FeatureCount"] / 2


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (asked(q="none"), "none"),
        (asked(q="a"), "p and q are both tile 'a'"),
        (asked(query="scale=x"), "scale 'x' is not a number"),
        (asked(pClipPosition="LEFT"), "belong together"),
        (asked(pClipPosition="UP", clipPixels=9), "none of LEFT, RIGHT, TOP, BOTTOM"),
        (asked(siftFeatureParameters=SIFT | {"steps": "many"}), "steps"),
        ({**asked(), "pRenderParametersUrl": f"{STACK}/z/1/render-parameters"}, "no URL of a tile"),
        ({}, "the match trial has no featureAndMatchParameters"),
    ],
)
def test_a_wrong_request_is_refused_in_a_sentence(client, request_, words):
    answer = client.post(f"{BASE}/matchTrial", json=request_)
    assert answer.status_code in (400, 404)
    assert words in answer.text
    assert "Traceback" not in answer.text


def test_a_trial_that_takes_too_long_is_stopped(client, monkeypatch):
    monkeypatch.setattr(trials, "TIME_LIMIT_S", 0.05)
    answer = client.post(f"{BASE}/matchTrial", json=asked())
    assert answer.status_code == 400
    assert "takes longer than 0.05 s" in answer.text
