"""The jobs of review, one after another, on the embedded service and real HDF5 pictures."""

import dataclasses
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from scipy import ndimage

from scripts.lib import geometry, transforms
from scripts.lib.files import read_json, read_table, write_table
from scripts.lib.job import UserError
from scripts.lib.names import WIDE_RUN
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import CollectionReceipt, StackReceipt
from scripts.lib.service.records import CanvasMatches, Leaf, TileSet, TileSpec
from scripts.match import totals
from scripts.review import (
    check_gate,
    collected,
    propose_patches,
    publish_patches,
    publish_trimmed,
    review_connectivity,
    review_thickness,
    settle_patches,
    survey_tiles,
    suspects,
)
from scripts.review.evidence import Limits

RESULTS = (
    "p_group", "q_group", "p_id", "q_id", "run", "dz", "p_cell", "q_cell", "stage", "saved",
    "count", "rms_px", "coverage_pct", "reason",
)  # fmt: skip
RENDER = {"owner": "o", "project": "p"}
LAYERS = range(1, 11)
RESIN = {(1, 0), (2, 0)}  # z, column
DAMAGED, MISSING = (6, 1), (4, 0)
GONE = "t_0-0-1.6.0"


def defaults():
    schema = yaml.safe_load((Path(__file__).parents[2] / "config/schema.yaml").read_text())
    keys = schema["properties"]["review"]["properties"]
    return {key: spec["default"] for key, spec in keys.items()} | {"auto": True}


def of(fields, params):
    """Those of `params` that are fields of a dataclass."""
    return {each.name: params[each.name] for each in dataclasses.fields(fields)}


def pictures(column):
    """Tissue whose structure goes on in z, with two faults."""
    rng = np.random.default_rng(column)
    tissue = 0.0
    for z in LAYERS:
        new = ndimage.gaussian_filter(rng.standard_normal((128, 128)), 2)
        tissue = 0.8 * tissue + 0.6 * new / new.std()
        clean = 170 + 0 * tissue if (z, column) in RESIN else 128 + 25 * tissue
        picture = np.clip(clean + 3 * rng.standard_normal((128, 128)), 0, 255).astype(np.uint8)
        if (z, column) == DAMAGED:
            picture[40:80] = 255
        if (z, column) != MISSING:
            with h5py.File(f"{z}.h5", "a") as file:
                file[f"0-0-{column}/mipmap.0"] = picture[None]


def tile(z, column):
    stage = Leaf(transforms.AFFINE, transforms.affine_data(geometry.translation(100 * column, 0)))
    url = f"file://{z}.h5?dataSet=/0-0-{column}/mipmap.0&z=0"
    mask = "mask://outside-box?minX=10&minY=0&maxX=128&maxY=128&width=128&height=128"
    return TileSpec(
        f"t_0-0-{column}.{z}.0", z, 128, 128, url, (stage,), column=column, mask_url=mask
    )


def pair(a, b):
    (p, q) = sorted((a, b), key=lambda t: (t.section_id, t.tile_id))
    ids = {"p_group": p.section_id, "p_id": p.tile_id, "q_group": q.section_id, "q_id": q.tile_id}
    return ids | {"dz": f"{abs(a.z - b.z):g}", "p_position": "", "q_position": ""}


def result(a, b):
    bad = (a.z, a.column) in RESIN or (b.z, b.column) in RESIN
    return {**dict.fromkeys(RESULTS, ""), **pair(a, b), "run": "cross", "saved": str(int(not bad))}


@pytest.fixture
def volume(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RENDER_WS_URL", f"sqlite:///{tmp_path}/r.db")
    for column in (0, 1):
        pictures(column)
    tiles = {(z, c): tile(z, c) for z in LAYERS for c in (0, 1) if (z, c) != MISSING}
    client = RenderClient(**RENDER)
    builder = {"rootPath": "not_applicable", "numberOfLevels": 7, "extension": "tif"}
    client.publish_stack(
        "v1_acquire",
        TileSet(tuple(tiles.values())),
        resolution_nm=(8.0, 8.0, 10.0),
        mipmaps=builder,
    ).write("acquire.json")
    steps = [((z, 0), (z, 1)) for z in LAYERS]
    steps += [((z, c), (z + d, c)) for d in (1, 2) for z in LAYERS for c in (0, 1)]
    rows = [result(tiles[a], tiles[b]) for a, b in steps if a in tiles and b in tiles]
    points = np.array([[10.0, 10], [90, 90]])
    keys = ("p_group", "p_id", "q_group", "q_id")
    good = [row for row in rows if row["saved"] == "1"]
    client.put_matches(
        "p_v1",
        [CanvasMatches(*(row[k] for k in keys), points, points, np.ones(2)) for row in good],
    )
    write_table("results.tsv.gz", RESULTS, rows)
    names = [*keys, "dz", "p_position", "q_position"]
    write_table("pairs.tsv.gz", names, [{k: row[k] for k in names} for row in rows])
    failed = len(rows) - len(good)
    CollectionReceipt("o", "p_v1", len(rows), len(good), failed, "d", {}, {}).write("matches.json")
    write_table("summary.tsv", totals.SUMMARY_COLUMNS, [])
    write_table("layers.tsv", ("z", "layer_id"), [])
    write_table("chunks.tsv", ("chunk", "z_first", "z_last"),
                [{"chunk": "0000", "z_first": 1, "z_last": 5},
                 {"chunk": "0001", "z_first": 6, "z_last": 10}])  # fmt: skip
    survey = {"acquire": "acquire.json", "chunks": "chunks.tsv", "render": RENDER}
    for chunk in ("0000", "0001"):
        survey_tiles.main(chunk=chunk, out=f"{chunk}.tsv", **survey)
    return tiles


SURVEY = ["0000.tsv", "0001.tsv"]


def patch_round(number, *, held):
    """Publish a round of patches, and say of their pairs that they were saved, or not."""
    publish_patches.main(
        acquire="acquire.json", patch_table=f"patches{number - 1}.tsv",
        plans={"cross": ["pairs.tsv.gz"]}, out=f"patch{number}.json",
        pairs_out={"cross": f"new{number}.tsv"}, number=number, render=RENDER,
        stack=f"patch{number}",
    )  # fmt: skip
    rows = [
        {**dict.fromkeys(RESULTS, ""), **row, "saved": str(int(held(row)))}
        for row in read_table(f"new{number}.tsv")
    ]
    for row in rows:
        del row["p_position"], row["q_position"]
    write_table(f"done{number}.tsv", RESULTS, rows)
    points = np.array([[10.0, 10], [90, 90]])
    keys = ("p_group", "p_id", "q_group", "q_id")
    RenderClient(**RENDER).put_matches(
        "p_v1_review",
        [CanvasMatches(*(row[k] for k in keys), points, points, np.ones(2))
         for row in rows if row["saved"] == "1"],
    )  # fmt: skip
    settle_patches.main(
        acquire="acquire.json", patch_table=f"patches{number - 1}.tsv",
        results=[f"done{i}.tsv" for i in range(1, number + 1)], out=f"patches{number}.tsv",
        number=number, render=RENDER,
    )  # fmt: skip
    return read_table(f"patches{number}.tsv")


def review(*, rounds=(), gate=True, **params):
    params = defaults() | params
    limits, decisions = of(suspects.Limits, params), of(collected.Settings, params)
    asked = {key: decisions[key] for key in ("auto", "exclude", "keep", "patch")}
    propose_patches.main(
        acquire="acquire.json", survey=SURVEY, results=["results.tsv.gz"],
        out={"proposed": "proposed.tsv", "applied": "patches0.tsv"}, render=RENDER, limits=limits,
        **asked,
    )  # fmt: skip
    number = 0
    for number, held in enumerate(rounds, start=1):
        patch_round(number, held=held)
    out = {n: f"{n}.tsv" for n in ("tiles", "edges", "patches", "bridges", "statistics")}
    out |= {"clusters": "clusters.json", "proposals": "proposals.yaml", "matches": "reviewed.json"}
    given = {"acquire": "acquire.json", "matches": "matches.json", "results": ["results.tsv.gz"]}
    given |= {"survey": SURVEY, "proposed": "proposed.tsv"}
    given["applied"] = f"patches{max(number - 1, 0)}.tsv"
    given["patch_results"] = [f"done{i}.tsv" for i in range(1, number + 1)]
    review_connectivity.main(
        inputs=given,
        out=out,
        render=RENDER,
        collection="p_v1_review",
        limits=limits,
        **decisions,
    )
    if gate:
        inputs = out | {"matches": "matches.json", "summary": "summary.tsv", "layers": "layers.tsv"}
        check_gate.main(
            inputs=inputs, out="gate.json", limits=of(Limits, params), preset="auto",
            given={k: v for k, v in params.items() if v != defaults().get(k)},
        )  # fmt: skip


EASY = {"max_patched_share": 0.2}  # of so few tiles


def always(row):
    """Everything matches but resin."""
    bare = {f"t_0-0-{c}.{z}.0" for z, c in RESIN}
    return not bare & {row["p_id"], row["q_id"]}


def test_resin_is_trimmed_and_damaged_and_missing_tiles_are_patched(volume):
    review(rounds=[always], **EASY)
    rows = {row["tile_id"]: row for row in read_table("tiles.tsv")}
    excluded = {k for k, row in rows.items() if row["state"] == "excluded"}
    assert excluded == {"t_0-0-0.1.0", "t_0-0-0.2.0"}
    assert all(rows[k]["reason"].startswith("auto: resin") for k in excluded)
    patches = {row["tile_id"]: row for row in read_table("patches.tsv")}
    assert {(r["z"], r["column"], r["state"]) for r in patches.values()} == {
        ("4", "0", "patched"),
        ("6", "1", "patched"),
    }
    assert {k for k, row in rows.items() if row["state"] == "patched"} == set(patches)
    assert GONE not in rows
    proposed = yaml.safe_load(Path("proposals.yaml").read_text())
    assert proposed["exclude"][0]["reason"] == "resin: 2 tiles outside the largest cluster"
    assert {(e["cell"], e["z"]) for e in proposed["patch"]} == {("0,0", 4), ("0,1", 6)}
    assert read_json("gate.json")["status"] == "passed"

    publish_trimmed.main(
        acquire="acquire.json", tiles="tiles.tsv", patch_table="patches.tsv", gate="gate.json",
        out="trimmed.json", render=RENDER, stack="trimmed",
    )  # fmt: skip
    client = RenderClient(**RENDER)
    receipt = StackReceipt.read("trimmed.json")
    client.require(receipt)
    assert receipt.tile_count == 18  # 20 places, two of them resin
    (patch,) = [t for t in client.tiles("trimmed", 6, 6).tiles if t.column == 1]
    source = volume[(int(float(patches[patch.tile_id]["source_id"].split(".")[1])), 1)]
    assert patch.tile_id == "t_0-0-1.patch.6.0"
    assert (patch.image_url, patch.labels) == (source.image_url, ("patch",))
    version = client.stack_metadata("trimmed")["currentVersion"]
    assert version["mipmapPathBuilder"]["numberOfLevels"] == 7
    assert version["stackResolutionZ"] == 10.0

    # only pairs that touch a patch are matched again
    new = read_table("new1.tsv")
    assert all(".patch." in row["p_id"] + row["q_id"] for row in new)
    of_damaged = [row for row in new if "0-0-1.patch.6" in row["p_id"] + row["q_id"]]
    assert len(of_damaged) == 5  # the neighbor of its layer, and two layers either way
    assert GONE not in {row[k] for row in new for k in ("p_id", "q_id")}


def test_pairs_that_the_wide_search_tried_again_are_no_planned_pairs_without_a_row(volume):
    rows = read_table("results.tsv.gz")
    first = next(row for row in rows if row["saved"] == "1")
    again = first | {"run": WIDE_RUN}
    first["saved"] = "0"
    write_table("results.tsv.gz", RESULTS, [*rows, again])
    receipt = CollectionReceipt.read("matches.json")
    dataclasses.replace(receipt, pairs_planned=len(rows) + 1).write("matches.json")
    review(rounds=[always], **EASY)
    assert read_json("gate.json")["status"] == "passed"
    saved = read_json("clusters.json")["saved"]["montage"]
    assert saved["saved"] == saved["planned"]  # it counts once


def test_a_patch_that_matches_only_its_source_takes_another_in_the_next_round(volume):
    def sources_only(row):
        number = {row["p_id"], row["q_id"]}
        table = read_table("patches0.tsv")
        return any(number == {r["tile_id"], r["source_id"]} for r in table)

    review(rounds=[sources_only, always], **EASY)
    first, second = read_table("patches0.tsv"), read_table("patches.tsv")
    assert [row["round"] for row in second] == ["2", "2"]
    assert all(a["from"] != b["from"] for a, b in zip(first, second, strict=True))
    assert read_json("gate.json")["status"] == "passed"


def test_a_damaged_tile_without_a_patch_that_holds_is_excluded(volume):
    review(rounds=[lambda row: False] * 3, patch_rounds=3)
    rows = {row["tile_id"]: row for row in read_table("tiles.tsv")}
    assert rows[GONE]["state"] == "excluded"
    assert rows[GONE]["reason"].startswith("auto: damaged, no patch for it")


def test_without_auto_the_gate_stops_and_its_lines_open_it(volume):
    with pytest.raises(UserError, match="2 tiles have no match") as caught:
        review(auto=False)
    message = str(caught.value)
    assert GONE in message
    block = message[message.index("review:\n") :].split("\n\n")[0]
    pasted = yaml.safe_load(block)["review"]
    review(rounds=[always], **(EASY | pasted))
    assert read_json("clusters.json")["excluded"] == 2
    assert yaml.safe_load(Path("proposals.yaml").read_text()) == {"exclude": []}


def test_what_a_person_keeps_is_neither_patched_nor_trimmed(volume):
    keep = [{"tiles": [GONE], "reason": "half of it is good"}]
    review(keep=keep, rounds=[always], **EASY)
    rows = {row["tile_id"]: row for row in read_table("tiles.tsv")}
    assert rows[GONE]["state"] == "ok"


def test_an_absent_picture_is_an_error_that_names_the_file(volume, tmp_path):
    (tmp_path / "1.h5").unlink()
    with pytest.raises(FileNotFoundError, match=r"1\.h5"):
        survey_tiles.main(
            acquire="acquire.json", chunks="chunks.tsv", chunk="0000", out="x.tsv", render=RENDER
        )


def test_the_same_review_twice_leaves_the_same_bytes(volume):
    review(rounds=[always], **EASY)
    names = ("tiles.tsv", "clusters.json", "reviewed.json", "patches.tsv", "statistics.tsv")
    before = [Path(name).read_bytes() for name in names]
    review(rounds=[always], **EASY)
    assert [Path(name).read_bytes() for name in names] == before


def thickness(entries):
    Path("zcorr.yaml").write_text(yaml.safe_dump({"exclude": entries}))
    out = {"part": "thickness.js", "pictures": "thickness.json"}
    review_thickness.main(acquire="acquire.json", proposals="zcorr.yaml", out=out, render=RENDER)
    script = Path("thickness.js").read_text()
    start, _, value = script.partition(" = ")
    assert start == 'document.getElementById("thickness").innerHTML'
    return json.loads(value.removesuffix(";\n")), read_json("thickness.json")


def test_what_the_thickness_proposes_comes_to_the_review_with_picture_reason_and_line(volume):
    entry = {"cells": ["0,1"], "z_first": 6, "z_last": 6, "reason": "zcorr: correlation <0.4"}
    html, shown = thickness([entry, entry | {"cells": ["0,0"]}])
    assert [one["title"] for one in shown] == [f"thickness · z 6, cell 0,{c}" for c in (1, 0)]
    assert all(one["uri"] in html for one in shown)
    assert shown[0]["width_px"] > 3 * 128  # the tile, the layers before and after, its neighbor
    assert html.count("zcorr: correlation &lt;0.4") == 4 + 2  # texts and captions; lines
    assert thickness([entry, entry | {"cells": ["0,0"]}]) == (html, shown)
    assert thickness([]) == ("<p>None.</p>", [])


def test_long_lists_of_the_thickness_show_some_and_name_all(volume):
    entries = [
        {"cells": [f"0,{z % 2}"], "z_first": 1 + z // 10, "z_last": 1 + z // 10, "reason": f"r{z}"}
        for z in range(50)
    ]
    html, shown = thickness(entries)
    assert len(shown) == 40
    assert "40 of 50 shown" in html
    assert "reason: r49" in html
