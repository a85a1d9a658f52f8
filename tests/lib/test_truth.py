"""The score agrees with that of the data maker, and says what it means."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from scripts.lib import truth as truths

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def small_truth(layers=6, rows=2, columns=2):
    rng = np.random.default_rng(5)
    tiles = []
    for k in range(layers):
        for r in range(rows):
            for c in range(columns):
                m = np.eye(2) + 1e-3 * rng.standard_normal((2, 2))
                x, y = 80 * c + rng.normal(), 60 * r + rng.normal()
                tiles.append(
                    {
                        "tile_id": f"24-03-07_10{k:02d}12_0-{r}-{c}",
                        "layer": k,
                        "row": r,
                        "column": c,
                        "kind": "resin" if (k, r, c) == (0, 0, 0) else "tissue",
                        "corrupt": {"kind": "truncated"} if (k, r, c) == (3, 1, 1) else None,
                        "stage_xy": [80.0 * c, 60.0 * r],
                        "true_affine": [m[0, 0], m[1, 0], m[0, 1], m[1, 1], x, y],
                    }
                )
    z = 2 + np.cumsum(rng.uniform(0.7, 1.3, layers))
    return {
        "format": truths.FORMAT,
        "parameters": {
            "tile_width": 100,
            "tile_height": 75,
            "overlap": 0.2,
            "scan": [3.0, 12.0, 2.0, 60.0],
        },
        "layers": [
            {"layer": k, "stamp": f"24-03-07_10{k:02d}12", "z_true": float(z[k])}
            for k in range(layers)
        ],
        "tiles": tiles,
    }


def solution(truth, seed=1, noise=0.5):
    rng = np.random.default_rng(seed)
    tiles = {
        t["tile_id"]: (np.array(t["true_affine"]) + [0, 0, 0, 0, *rng.normal(0, noise, 2)]).tolist()
        for t in truth["tiles"]
    }
    z = {str(k): k + rng.normal(0, 0.2) for k in range(len(truth["layers"]))}
    return {"tiles": tiles, "z": z}


def test_the_truth_itself_scores_zero():
    truth = small_truth()
    found = truths.score(truth, solution(truth, noise=0.0))
    assert found["absolute"]["max"] < 1e-9
    assert found["relative"]["max"] < 1e-9


def test_an_affine_of_the_whole_stack_and_a_lean_are_free():
    truth = small_truth()
    depth = {layer["layer"]: layer["z_true"] for layer in truth["layers"]}
    whole = np.array([[1.02, 0.03], [-0.01, 0.98]])
    moved = {}
    for tile in truth["tiles"]:
        m00, m10, m01, m11, x, y = tile["true_affine"]
        linear = whole @ [[m00, m01], [m10, m11]]
        shift = whole @ [x, y] + [40, -7] + np.array([0.3, -0.2]) * depth[tile["layer"]]
        moved[tile["tile_id"]] = [*linear.T.ravel(), *shift]
    assert truths.score(truth, {"tiles": moved})["absolute"]["max"] < 1e-9


def test_resin_and_corrupt_tiles_do_not_count():
    truth = small_truth()
    wrong = solution(truth, noise=0.0)
    for tile in truth["tiles"]:
        if tile["kind"] == "resin" or tile["corrupt"]:
            wrong["tiles"][tile["tile_id"]] = [1, 0, 0, 1, 999, 999]
    found = truths.score(truth, wrong)
    assert found["absolute"]["max"] < 1e-9
    assert found["tiles_scored"] == len(truth["tiles"]) - 2


def test_a_tile_that_is_not_solved_is_missing():
    truth = small_truth()
    part = solution(truth)
    del part["tiles"][truth["tiles"][5]["tile_id"]]
    assert truths.score(truth, part)["tiles_missing"] == 1


def test_a_solution_without_a_known_tile_is_refused():
    with pytest.raises(ValueError, match="no tile of the truth"):
        truths.score(small_truth(), {"tiles": {"other": [1, 0, 0, 1, 0, 0]}})


def test_layers_of_equal_thickness_have_no_thickness_correlation():
    truth = small_truth()
    z = {str(k): float(k) for k in range(6)}
    assert truths.score(truth, {"z": z})["z"]["thickness_correlation"] == 0.0


def test_layers_are_known_by_their_stamp_not_by_their_place():
    truth = small_truth()
    # layer 2 was lost before numbering: z 3 is layer 3 of the truth
    kept = [0, 1, 3, 4, 5]
    layers = [(i + 1, f"Merlin-6284_{truth['layers'][k]['stamp']}") for i, k in enumerate(kept)]
    corrected = {i + 1: truth["layers"][k]["z_true"] for i, k in enumerate(kept)}
    z = truths.solved_z(truth, layers, corrected)
    assert sorted(z) == ["0", "1", "3", "4", "5"]
    assert truths.score(truth, {"z": z})["z"]["rms"] < 1e-9


def test_figures_take_the_pipelines_tile_ids_and_add_the_stage_positions():
    truth = small_truth()
    transforms = {
        f"{name}.{int(name[12:14])}.0": wire for name, wire in solution(truth)["tiles"].items()
    }
    layers = [(k + 1, f"M_{layer['stamp']}") for k, layer in enumerate(truth["layers"])]
    corrected = {k + 1: layer["z_true"] for k, layer in enumerate(truth["layers"])}
    found = truths.figures(truth, transforms=transforms, layers=layers, corrected=corrected)
    assert found["tiles_missing"] == 0
    assert 0.1 < found["relative"]["rms_px"] < found["nominal"]["relative"]["rms_px"]
    assert found["z"]["rms_layers"] < 1e-9
    assert found["nominal"]["z"]["thickness_correlation"] == 0.0


def test_layers_of_equal_thickness_keep_the_slot_of_one_that_is_not_there():
    truth = small_truth()
    layers = [(k + 1, f"M_{layer['stamp']}") for k, layer in enumerate(truth["layers"]) if k != 2]
    even = {z: float(z) for z, _ in layers}
    transforms = {f"{name}.1.0": wire for name, wire in solution(truth)["tiles"].items()}
    found = truths.figures(truth, transforms=transforms, layers=layers, corrected=even)
    assert found["nominal"]["z"] == pytest.approx(found["z"])


def test_truth_is_found_in_the_folder_or_beside_it(tmp_path):
    folder = tmp_path / "acquisition" / "dat"
    folder.mkdir(parents=True)
    assert truths.find_truth(folder) is None
    (tmp_path / "acquisition" / "truth.json").write_text("{}")
    assert truths.find_truth(folder) == tmp_path / "acquisition" / "truth.json"
    (folder / "truth.json").write_text("{}")
    assert truths.find_truth(folder) == folder / "truth.json"


def test_a_truth_of_another_format_is_named(tmp_path):
    (tmp_path / "truth.json").write_text('{"format": "other/2"}')
    with pytest.raises(ValueError, match="other/2"):
        truths.read_truth(tmp_path / "truth.json")


def test_z_coords_with_a_broken_line_name_the_line(tmp_path):
    path = tmp_path / "Zcoords.txt"
    path.write_text("1 1.0\n2\n")
    with pytest.raises(ValueError, match=r"Zcoords.txt:2"):
        truths.read_z_coords(path)


@pytest.mark.real
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_score_agrees_with_the_data_maker(seed):
    script = SHARED / "make_misaligned.py"
    if not script.exists():
        pytest.skip(f"{script.name} is not beside the project")
    spec = importlib.util.spec_from_file_location("make_misaligned", script)
    maker = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["make_misaligned"] = maker  # its dataclasses look their module up
    spec.loader.exec_module(maker)
    params = maker.Params(seed=seed, layers=20, resin_fraction=0.2, tile_width=150)
    truth = maker.make_truth(params, (60, 400, 400))
    solved = solution(truth, seed)
    del solved["tiles"][truth["tiles"][7]["tile_id"]]
    del solved["z"]["4"]
    assert _flat(truths.score(truth, solved)) == pytest.approx(
        _flat(maker.score(truth, solved, with_seams=True)), abs=1e-9, rel=0
    )


def _flat(value, name=""):
    if not isinstance(value, dict):
        return {name: float(value)}
    out = {}
    for key, part in value.items():
        out |= _flat(part, f"{name}.{key}")
    return out


def test_a_column_that_lies_off_in_all_layers_is_seen_at_the_seams_alone():
    truth = small_truth()
    tiles = solution(truth, noise=0.0)["tiles"]
    cells = {t["tile_id"]: t for t in truth["tiles"]}
    moved = {i: [*w[:4], w[4] + 2.0 * (cells[i]["column"] == 1), w[5]] for i, w in tiles.items()}
    found = truths.score(truth, {"tiles": moved})
    assert found["relative"]["max"] < 0.1
    assert found["seams"]["max"] > 0.5
