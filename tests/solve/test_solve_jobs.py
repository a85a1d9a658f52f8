"""The jobs of review and solve, one after another, on the embedded service."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scripts.lib.files import read_json, read_table, write_table
from scripts.lib.job import UserError
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import CollectionReceipt, StackReceipt
from scripts.solve import aligned, gather_moments, publish_align, solve_compare, solve_transforms
from tests.solve import synthetic

PARAMS = {
    "model": "affine",
    "rigid_lambda": 0.01,
    "shape_sd": 0.001,
    "rotation_sd": 0.001,
    "step_sd": 0.05,
    "stage_wavelength_layers": 500,
    "dz_exponent": 2,
    "montage_weight": 1,
    "saturation_points": 100,
    "robust": "cauchy",
    "robust_cutoff": 3,
    "max_iterations": 25,
    "max_band_gb": 6,
    "z_range": None,
}


@pytest.fixture
def volume(tmp_path, monkeypatch):
    """A working directory with stack, matches and chunks of 12 layers (9 -> 10 crosses chunks)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RENDER_WS_URL", f"sqlite:///{tmp_path}/r.db")
    render = {"owner": "o", "project": "p"}
    client = RenderClient(**render)
    tiles = synthetic.grid(range(1, 13), 2, 2)
    truth = synthetic.shaken(tiles, np.random.default_rng(0))
    pairs = synthetic.matches(tiles, truth, np.random.default_rng(1), reach=3, noise=0.1)
    client.publish_stack("trimmed", tiles, resolution_nm=(8.0, 8.0, 8.0)).write("trimmed.json")
    client.put_matches("p_v1", pairs)
    n = len(pairs)
    CollectionReceipt("o", "p_v1", n + 5, n, 5, "d", {}, {}).write("matches.json")
    CollectionReceipt("o", "p_v1_review", 0, 0, 0, "d", {}, {}).write("review.json")
    chunks = [("0000", 1, 5), ("0001", 6, 9), ("0002", 10, 12)]
    names = ("chunk", "z_first", "z_last")
    write_table("restarts.tsv", ("z", "reason"), [])
    write_table("chunks.tsv", names, [dict(zip(names, row, strict=True)) for row in chunks])
    return render, tiles, truth, pairs


def gather(render, z_distance=3):
    for chunk in ("0000", "0001", "0002"):
        gather_moments.main(
            matches=["matches.json", "review.json"],
            chunks="chunks.tsv",
            chunk=chunk,
            out=f"{chunk}.npz",
            render=render,
            z_distance=z_distance,
            point_cutoff=8,
        )
    return [f"{chunk}.npz" for chunk in ("0000", "0001", "0002")]


def solve(render, parts, params=PARAMS):
    names = {"transforms": "transforms.json.gz", "tiles": "tiles.tsv"}
    names |= {"pairs": "pairs.tsv.gz", "figures": "solve.json"}
    names |= {"layers": "layers.tsv", "worst_pairs": "worst_pairs.tsv"}
    solve_transforms.main(
        trimmed="trimmed.json",
        matches=["matches.json", "review.json"],
        parts=parts,
        restarts="restarts.tsv",
        out=names,
        render=render,
        params=params,
    )
    return names


def test_gathered_chunks_solved_and_published_give_the_true_positions(volume):
    render, tiles, truth, pairs = volume
    names = solve(render, gather(render))
    got = read_json(names["transforms"])["tiles"]
    assert synthetic.rms(synthetic.deviation(tiles, got, truth)) < 0.1
    assert len(read_table(names["pairs"])) == len(pairs)
    assert [row["pairs"] for row in read_table(names["tiles"])][0] == "5"
    assert read_json(names["figures"])["tiles"] == 48

    publish_align.main(
        trimmed="trimmed.json",
        transforms=names["transforms"],
        out="align.json",
        render=render,
        stack="align",
        params=PARAMS,
    )
    client = RenderClient(**render)
    client.require(StackReceipt.read("align.json"))
    one = client.tiles("align").tiles[5]
    assert [float(v) for v in one.transforms[-1].data.split()] == got[one.tile_id]


def test_the_same_work_twice_gives_the_same_bytes(volume):
    render, *_ = volume
    names = solve(render, gather(render))
    first = [Path(path).read_bytes() for path in names.values()]
    solve(render, gather(render))
    assert first == [Path(path).read_bytes() for path in names.values()]


def test_too_short_a_reach_is_noticed(volume):
    render, *_ = volume
    with pytest.raises(UserError, match=r"expected the \d+ pairs .* found \d+"):
        solve(render, gather(render, z_distance=0))


def test_a_missing_transform_is_named(volume):
    _, tiles, _, _ = volume
    with pytest.raises(UserError, match=r"t_0-0-0\.1\.0"):
        aligned.aligned(tiles, {})


def test_a_range_of_z_is_solved_and_published_alone(volume):
    render, tiles, truth, _ = volume
    params = PARAMS | {"z_range": [3, 8]}
    names = solve(render, gather(render), params)
    got = read_json(names["transforms"])["tiles"]
    inside = tuple(t for t in tiles.tiles if 3 <= t.z <= 8)
    assert sorted(got) == sorted(t.tile_id for t in inside)
    part = replace(tiles, tiles=inside)
    assert synthetic.rms(synthetic.deviation(part, got, truth)) < 0.1
    publish_align.main(
        trimmed="trimmed.json",
        transforms=names["transforms"],
        out="align.json",
        render=render,
        stack="align",
        params=params,
    )
    receipt = StackReceipt.read("align.json")
    assert (receipt.z_min, receipt.z_max, receipt.tile_count) == (3, 8, 24)


def compare(render, parts, other):
    solve_compare.main(
        trimmed="trimmed.json",
        matches=["matches.json"],
        parts=parts,
        restarts="restarts.tsv",
        out="compare.html",
        render=render,
        params=PARAMS | {"compare": other},
    )
    return Path("compare.html").read_text()


def test_two_sets_of_parameters_are_put_side_by_side(volume):
    render, *_ = volume
    page = compare(render, gather(render), {"model": "translation", "robust_cutoff": "4.5"})
    row = page[page.index("<td>model</td>") :]
    assert row.index("<td>affine</td>") < row.index("<td>translation</td>")
    assert "<td>4.5</td>" in page
    assert "residual_px.median" in page


def test_what_cannot_be_compared_is_refused(volume):
    render, *_ = volume
    with pytest.raises(UserError, match=r"solve\.compare.*rigid_lamda"):
        compare(render, [], {"rigid_lamda": 0.1})
    with pytest.raises(UserError, match="found nothing"):
        compare(render, [], {})
    with pytest.raises(UserError, match="expected a number, found 'much'"):
        compare(render, [], {"rigid_lambda": "much"})
