"""The meter of what an alignment has left over, on tissue whose shifts are known."""

import numpy as np
import pytest
import yaml
from scipy import ndimage

from scripts.lib.compact import Texts
from scripts.lib.drawing import shifts
from scripts.lib.drawing.compose import Picture
from scripts.lib.drawing.windows import Settings
from scripts.lib.files import read_json, read_table, write_table
from scripts.lib.geometry import Box
from scripts.lib.job import UserError
from scripts.lib.numerics import window_fit
from scripts.solve import check_alignment, close_misalignment, layer_order, misalignment
from scripts.solve.misalignment import COLUMNS
from scripts.solve.misalignment_summary import Known, Limits, summarised

SIZE = 420  # px of a scene
ORDER = layer_order.Limits(order_sd=3.0, order_share=0.5, repeated_correlation=0.98)
LIMITS = Limits(look_px=0.75, stop_px=4.0, unconfirmed_pct=10.0, order=ORDER)


def scene(seed=0, size=SIZE):
    """Band-passed noise of the grain of tissue, (size, size) float32 around 128."""
    rng = np.random.default_rng(seed)
    fine, coarse = (ndimage.gaussian_filter(rng.standard_normal((size, size)), s) for s in (1.5, 6))
    values = fine / fine.std() + 0.5 * coarse / coarse.std()
    return (128 + 30 * values).astype(np.float32)


def moved(image, dx, dy):
    """The scene with everything (dx, dy) px further right and down."""
    return ndimage.shift(image, (dy, dx), order=3, mode="nearest").astype(np.float32)


def draws(image, x0=0.0, y0=0.0):
    """What draws a scene whose first pixel lies at x0, y0 of the world."""

    def draw(box, scale):
        step = 1 / scale
        rows = np.arange(int(box.height * scale)) * step + box.y0 - y0
        columns = np.arange(int(box.width * scale)) * step + box.x0 - x0
        at = np.meshgrid(rows, columns, indexing="ij")
        smooth = ndimage.gaussian_filter(image, 0.35 * step) if scale < 1 else image
        pixels = ndimage.map_coordinates(smooth, at, order=3, mode="nearest").astype(np.float32)
        inside = [(a >= 0) & (a <= n - 1) for a, n in zip(at, image.shape, strict=True)]
        mask = np.logical_and(*inside)
        return Picture(np.where(mask, pixels, 0), mask)

    return draw


def noisy(image, sd, seed):
    rng = np.random.default_rng(seed)
    return (image + sd * rng.standard_normal(image.shape)).astype(np.float32)


def place(x0=20.0, y0=20.0, side=380.0):
    return Box(x0, y0, x0 + side, y0 + side)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.3, -0.2), (2.6, 1.1), (-9.4, 7.2)])
@pytest.mark.parametrize("far", [0.0, 100_000.0])
def test_a_known_shift_is_measured_within_its_error_wherever_the_world_begins(shift, far):
    one = noisy(scene(), 12, 1)
    other = noisy(moved(scene(), *shift), 12, 2)
    first, second = draws(one, far, far), draws(other, far, far)
    found = shifts.compare(first, second, place(far + 20, far + 20), Settings())
    assert found.measured
    assert found.scale == 1.0
    # at three quarters of the reach the peak is no longer far from the border of its surface
    bias = 0.1 if max(map(abs, shift)) > 8 else 0.02
    assert np.hypot(*(found.shift_xy - shift)) < max(4 * found.error_px, bias)
    assert found.square_px2 == pytest.approx(shift[0] ** 2 + shift[1] ** 2, rel=0.03, abs=0.005)


def test_small_places_are_measured_with_smaller_windows_where_these_know_more():
    """Four windows of 96 px fit on a tile of 180 px: their scatter says little."""
    small, errors = place(side=178.0), {}
    for seed in range(4):
        one, other = (noisy(scene(seed), 40, 10 * seed + k) for k in (1, 2))
        found = shifts.compare(draws(one), draws(other), small, Settings())
        usual = shifts._compare_at(draws(one), draws(other), small, 1.0, Settings())
        assert (usual.tried, found.tried) in ((4, 16), (4, 4))
        assert found.corner_error_px <= usual.corner_error_px
        assert np.hypot(*found.shift_xy) < 4 * found.error_px
        errors[seed] = found.corner_error_px / usual.corner_error_px
    assert min(errors.values()) < 0.9


@pytest.mark.parametrize("distance", [25.0, 34.0])
def test_a_shift_beyond_the_windows_is_found_by_a_further_look(distance):
    found = shifts.compare(draws(scene()), draws(moved(scene(), distance, 0)), place(), Settings())
    assert found.measured
    assert found.px == pytest.approx(distance, abs=1.0)


@pytest.mark.parametrize(("width", "shift"), [(12, 0.0), (12, 2.6), (20, 0.3), (14, 17.0)])
def test_an_overlap_narrower_than_a_window_is_measured_along_it(width, shift):
    box = Box(200.0, 20.0, 200.0 + width, 400.0)
    one, other = noisy(scene(), 12, 1), noisy(moved(scene(), shift, -0.4), 12, 2)
    found = shifts.compare(draws(one), draws(other), box, Settings())
    assert found.measured
    assert np.hypot(*(found.shift_xy - [shift, -0.4])) < 0.2


def test_a_corner_in_which_no_window_fits_is_not_measured():
    box = Box(200.0, 200.0, 214.0, 214.0)
    assert not shifts.compare(draws(scene()), draws(scene()), box, Settings()).measured


def test_pictures_that_have_nothing_in_common_are_not_measured():
    for seed in range(1, 6):
        found = shifts.compare(draws(scene()), draws(scene(seed)), place(), Settings())
        assert not found.measured, seed


def test_resin_is_not_measured():
    flat = np.full((SIZE, SIZE), 128, np.float32)
    found = shifts.compare(draws(noisy(flat, 6, 1)), draws(noisy(flat, 6, 2)), place(), Settings())
    assert not found.measured


def test_noise_is_taken_off_the_mean_square():
    """Tissue that moves by itself, differently from window to window, is no misalignment."""
    rng, squares, naive = np.random.default_rng(5), [], []
    for k in range(12):
        at = np.stack(np.mgrid[:SIZE, :SIZE]).astype(float)
        flow = [ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE)), 25) for _ in range(2)]
        own = np.stack([0.4 * f / f.std() for f in flow])
        other = ndimage.map_coordinates(scene(k), at + own, order=3, mode="nearest")
        found = shifts.compare(
            draws(scene(k)), draws(other.astype(np.float32)), place(), Settings()
        )
        squares.append(found.square_px2)
        naive.append(found.px**2)
    assert abs(np.mean(squares)) < 0.04  # of 0.32 px^2 that each point moves by
    assert min(naive) >= 0


def test_a_turn_counts_by_what_it_moves_over_the_tile():
    """Half a degree moves the corners of 380 px by 2.3 px, the mean of a 4 x 4 grid by 1.75."""
    angle = np.radians(0.5)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.full(2, (SIZE - 1) / 2)
    other = ndimage.affine_transform(scene(), turn, middle - turn @ middle, order=3, mode="nearest")
    found = shifts.compare(draws(scene()), draws(other), place(), Settings())
    expected = angle**2 * np.mean((380 * window_fit.CONTROL) ** 2) * 2
    assert found.px < 0.1
    assert found.square_px2 == pytest.approx(expected, rel=0.1)


def test_a_turn_is_measured_with_few_windows_too():
    """A tile of 130 px holds four windows, whose middles lie 34 px apart."""
    angle = 0.016
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.full(2, (SIZE - 1) / 2)
    other = ndimage.affine_transform(scene(), turn, middle - turn @ middle, order=3, mode="nearest")
    half = Box(middle[0] - 65, middle[0] - 65, middle[0] + 65, middle[0] + 65)
    found = shifts._compare_at(draws(scene()), draws(other), half, 1.0, Settings())
    expected = angle**2 * np.mean((130 * window_fit.CONTROL) ** 2) * 2
    assert found.tried == 4
    assert found.square_px2 == pytest.approx(expected, rel=0.1)
    assert found.rms_error_px < 0.1


# ---- the summary -------------------------------------------------------------------------------


def row(
    kind="step",
    z=1,
    px=0.1,
    cell="0-0",
    other="0-0",
    used=16,
    error=0.05,
    rms=None,
    alike=0.9,
    after=0.85,
    across=(0.0, 0.0, 0.0, 0.0),
    corner_error=0.1,
    noise=None,
):
    other_z = z + 1 if kind == "step" else z
    place = {"kind": kind, "z": z, "other_z": other_z, "x": 50, "y": 60}
    ends = {"p_id": f"{cell}.{z}", "q_id": f"{other}.{other_z}", "p_cell": cell, "q_cell": other}
    sizes = {"dx_px": px, "dy_px": 0.0, "px": px, "error_px": error}
    square = px**2 - error**2 if rms is None else rms**2
    sizes |= {"square_px2": square, "used": used, "tried": 16, "scale": 1.0, "rms_error_px": error}
    sizes |= dict(zip(misalignment.ACROSS, across, strict=True)) | {"corner_error_px": corner_error}
    sizes["noise_px2"] = error**2 if noise is None else noise
    order = {"alike": alike, "alike_after": after, "alike_gain": after - alike}
    sizes |= order | {"alike_gain_error": 0.005, "alike_windows": 6}
    return {name: str(value) for name, value in (place | ends | sizes).items()}


def good(layers=40, px=0.1):
    steps = [row(z=z, cell=c, other=c, px=px) for z in range(1, layers) for c in ("0-0", "0-1")]
    return steps + [row("seam", z, px, "0-0", "0-1") for z in range(1, layers + 1)]


def verdict(rows, matched=frozenset(), resin=frozenset()):
    return summarised(rows, Known(matched, resin), LIMITS, 8.0)


def test_a_good_alignment_is_good():
    found = verdict(good())
    assert (found["state"], found["reasons"], found["findings"]) == ("good", [], [])
    assert found["steps"]["rms_px"] == pytest.approx(np.sqrt(0.1**2 - 0.05**2))
    assert found["steps"]["rms_nm"] == pytest.approx(8 * found["steps"]["rms_px"])
    assert (found["steps"]["alike"], found["seams"]["alike_p05"]) == (0.9, 0.9)


def test_what_corners_may_be_off_unseen_is_told_beside_a_good_verdict():
    """Tissue on a small part of a tile says little of its turn: that is no fault, and no secret."""
    rows = [row(z=z, px=0.1, corner_error=0.1 if z % 10 else 1.2) for z in range(1, 40)]
    found = verdict(rows)
    assert found["state"] == "good"
    assert found["steps"]["corners_px"] == pytest.approx(0.2)
    assert found["steps"]["corners_p95_px"] == pytest.approx(2.4, abs=0.3)
    alone = [row(z=z, px=0.1, corner_error=float("nan")) for z in range(1, 9)]
    assert "corners_px" not in verdict(alone)["steps"]


SHIFTS = [(0.8, "good"), (1.0, "look"), (3.9, "look"), (4.1, "not good")]


@pytest.mark.parametrize(("px", "state"), SHIFTS)
def test_one_tile_of_many_decides_and_its_error_counts(px, state):
    found = verdict([*good(), row(z=7, px=px, error=0.05)])
    assert found["state"] == state
    if state != "good":
        (one,) = found["findings"]
        assert (one["z_first"], one["z_last"]) == (7, 8)
        assert one["worst"]["p_id"] in found["reasons"][0]


def test_a_run_of_one_edge_is_one_finding_with_its_layers():
    rows = [row("seam", z, 1.0 + z / 10, "0-0", "1-0") for z in range(11, 31)]
    (one,) = verdict([*good(), *rows])["findings"]
    assert (one["kind"], one["z_first"], one["z_last"], one["places"]) == ("seam", 11, 30, 20)
    assert one["px"] == pytest.approx(4.0)


def test_a_whole_layer_that_is_off_is_one_finding():
    rows = [row(z=z, px=2.0, cell=c, other=c) for z in (19, 20) for c in ("0-0", "0-1", "1-1")]
    (one,) = verdict([*good(), *rows])["findings"]
    assert (one["z_first"], one["z_last"], len(one["cells"])) == (19, 21, 3)


def test_places_that_matches_join_and_pixels_do_not_show_are_a_reason_to_look():
    lost = [row(z=z, used=1, cell="1-1", other="1-1") for z in range(1, 40)]
    matched = frozenset((one["p_id"], one["q_id"]) for one in lost)
    resin = frozenset(one["p_id"] for one in lost)
    assert verdict([*good(), *lost], resin=resin)["state"] == "good"
    found = verdict([*good(), *lost], matched, resin)
    assert found["state"] == "look"
    assert "cannot be confirmed" in found["reasons"][0]


def instead(rows, new):
    """Give the rows, with new ones in the place of those of the same tiles."""
    ends = {(one["p_id"], one["q_id"]) for one in new}
    return [one for one in rows if (one["p_id"], one["q_id"]) not in ends] + new


def unknown(one):
    return one | {"dx_px": "nan", "px": "nan", "error_px": "nan", "used": "1"}


def of_tile(rows, tile):
    return [one for one in rows if tile in (one["p_id"], one["q_id"])]


@pytest.mark.parametrize("kind", ["step", "seam"])
def test_one_place_that_should_be_known_and_is_not_is_a_reason_to_look(kind):
    """A tile beyond all that is looked for shows as nothing else, however many others are good.

    A seam is unknown where it is so in all layers that are near.
    """
    if kind == "step":
        lost = [unknown(one) for one in of_tile(good(400), "0-0.7")]
    else:
        lost = [unknown(one) for one in good(400) if one["kind"] == "seam" and int(one["z"]) < 20]
    rows = instead(good(400), lost)
    ends = frozenset((one["p_id"], one["q_id"]) for one in rows)
    found = verdict(rows, ends)
    assert found["state"] == "look"
    assert "z 6 to 8" in found["reasons"][0] or "z 1 to 15" in found["reasons"][0]
    # two tiles of a layer that no match joins: there may be nothing but resin between them
    assert verdict(rows)["state"] == ("look" if kind == "step" else "good")
    resin = frozenset({"0-0.7"} if kind == "step" else {one["p_id"] for one in lost})
    assert verdict(rows, ends, resin)["state"] == "good"


def test_a_corner_of_tissue_in_resin_whose_place_is_not_sure_is_a_reason_to_look():
    """Matches hold it, and few windows see it: its error is as large as what is to be told."""
    nan = float("nan")
    few = {"used": 4, "error": 2.0, "corner_error": nan, "across": (nan,) * 4}
    vague = [row(z=z, px=1.5, **few) for z in (1, 2, 3)]
    rows = vague + [row(z=z) for z in range(4, 40)]
    resin = frozenset(one["p_id"] for one in vague)
    ends = frozenset((one["p_id"], one["q_id"]) for one in vague)
    found = verdict(rows, ends, resin)
    assert found["state"] == "look"
    assert "z 1 to 4: it is not known" in found["reasons"][0]
    assert verdict(rows, frozenset(), resin)["state"] == "good"  # nothing is placed by it


@pytest.mark.parametrize("kind", ["step", "seam"])
def test_what_is_not_known_is_decided_by_the_places_around_it(kind):
    (one,) = [one for one in of_tile(good(), "0-0.7") if one["kind"] == kind and one["z"] == "7"]
    rows = instead(good(), [unknown(one)])
    ends = frozenset((each["p_id"], each["q_id"]) for each in rows)
    assert verdict(rows, ends)["state"] == "good"


def test_a_way_round_that_adds_up_to_a_shift_or_to_an_error_decides_nothing():
    """Seams of layers 5 to 9 are unknown: layer 7 is reached over those of layers 4 and 10."""

    def around(px=0.1, error=0.05):
        lost = [unknown(row("seam", z, 0.1, "0-0", "0-1")) for z in range(5, 10)]
        steps = [row(z=7, px=px, error=error), row(z=8, px=px, error=error)]
        steps += [row(z=6, px=-px, error=error), row(z=5, px=-px, error=error)]
        rows = instead(good(), lost + steps)
        return verdict(rows, frozenset((one["p_id"], one["q_id"]) for one in lost))

    assert around()["state"] == "good"
    # each step by itself is good, the sum of both is not: tiles slide past one another
    assert around(px=0.75)["state"] == "look"
    assert around(error=0.9)["state"] == "look"


def test_a_turn_about_the_middle_of_a_tile_is_told_by_its_rms():
    found = verdict([*good(), row(z=7, px=0.1, rms=2.0)])
    assert found["state"] == "look"
    assert "2.0 ± 0.1 px" in found["reasons"][0]


@pytest.mark.parametrize(("used", "state"), [(3, "not good"), (2, "look"), (1, "look")])
def test_a_single_window_is_no_proof_and_a_reason_to_look(used, state):
    """Its peak may be a wrong one; the corner of two tiles holds no more."""
    off = row(z=7, px=9.0, used=used) | {"tried": str(used)}
    lost = [unknown(one) for one in of_tile(good(), "0-0.8")]
    found = verdict(instead(instead(good(), lost), [off]))
    assert found["state"] == state
    assert "z 7 to " in found["reasons"][0]
    # where the way round shows that the tiles meet, one window is a wrong peak
    alone = verdict(instead(good(), [off]))
    assert alone["state"] == ("not good" if used == 3 else "good")
    corner = row("seam", 7, 9.0, "0-0", "1-1", used=used) | {"tried": str(used)}
    assert verdict([*good(), corner])["state"] == ("not good" if used == 3 else "good")


@pytest.mark.parametrize(
    ("shifts", "named"),
    [
        ({6: (2.0, 1), 7: (2.3, 2)}, [6, 7]),  # drifted apart, by nearly the same in each layer
        ({6: (2.0, 1), 8: (2.5, 2)}, [6, 8]),  # a layer between them may show nothing
        ({6: (2.0, 1), 7: (2.4, 9)}, [6, 7]),  # beside a place of many windows
        ({6: (2.0, 1), 7: (2.0, 1)}, []),  # two windows in all
        ({6: (2.0, 1), 7: (4.0, 2)}, []),  # wrong peaks lie anywhere
        ({6: (2.0, 1), 9: (2.0, 2)}, []),  # too far apart to be one drift
        ({6: (0.7, 1), 7: (0.8, 2)}, []),  # within the limit
    ],
)
def test_few_windows_of_a_seam_count_where_the_layers_around_confirm_them(shifts, named):
    """No match joins the tiles, and a place of one or two windows of six is not measured."""
    off = [
        row("seam", z, px, "0-0", "1-0", used=used) | {"tried": "6" if used < 3 else str(used)}
        for z, (px, used) in shifts.items()
    ]
    found = verdict([*good(), *off])["findings"]
    many = {z for z, (_, used) in shifts.items() if used > 2}
    at = {z for one in found for z in range(one["z_first"], one["z_last"] + 1)}
    assert {z for z in at if z in shifts} == set(named) | many
    assert all(one["px"] > 1 and one["cells"] == ["0-0/1-0"] for one in found)


def test_findings_that_stop_the_run_are_all_in_the_summary():
    rows = [row("seam", z, 5.0, "0-0", "1-0") for z in range(1, 1001, 4)]
    assert len(verdict(rows)["findings"]) == 250


# ---- order -------------------------------------------------------------------------------------


def layers(positions, cells=("0-0", "0-1")):
    """Rows of layers at some places along z: tissue loses 0.06 of its correlation a layer."""

    def alike(i, j):
        return 0.99 - 0.06 * abs(positions[i] - positions[j]) if j < len(positions) else np.nan

    return [
        row(z=i + 1, cell=c, other=c, alike=alike(i, i + 1), after=alike(i, i + 2))
        for i in range(len(positions) - 1)
        for c in cells
    ]


def test_layers_in_order_are_good_however_thick_they_are():
    assert verdict(layers([0, 1, 1.4, 3, 5, 5.3, 6]))["state"] == "good"


@pytest.mark.parametrize("first", range(6))
def test_two_layers_in_the_wrong_order_are_named_wherever_they_are(first):
    positions = list(range(7))
    positions[first : first + 2] = positions[first + 1], positions[first]
    found = verdict(layers(positions))
    assert found["state"] == "look"
    assert any(
        f"z {first + 1} to {first + 2}: layers seem to be in the wrong order" in one
        for one in found["reasons"]
    )
    assert not [one for one in found["findings"] if one["kind"] != "order"]


def test_a_tile_of_another_place_fits_between_no_neighbors():
    rows = layers([0, 1, 2, 9, 4, 5, 6], cells=["0-1"]) + layers(range(7), cells=["0-0"])
    found = verdict(rows)
    assert found["state"] == "look"
    assert found["reasons"][0].startswith("z 4: does not fit between its neighbours")
    assert "0-1" in found["reasons"][0]
    assert "0-0" not in found["reasons"][0]


def test_noise_of_a_few_windows_is_no_wrong_order():
    odd = row(z=5, alike=0.80, after=0.83) | {"alike_gain_error": "0.01"}
    assert verdict([*layers(range(4), ["0-0"]), odd])["state"] == "good"


def test_the_same_image_in_two_layers_is_named():
    found = verdict([*good(), row(z=7, alike=0.995)])
    assert found["state"] == "look"
    assert found["reasons"][0].startswith("z 7 to 8: the same image twice")


def test_nothing_measured_is_no_good_alignment_where_matches_join():
    rows = [row(z=z, used=0, px=np.nan, error=np.nan) for z in range(1, 9)]
    matched = frozenset((one["p_id"], one["q_id"]) for one in rows)
    found = verdict(rows, matched)
    assert found["state"] == "look"
    assert found["steps"]["rms_px"] is None


def test_a_single_layer_of_a_single_tile_has_nothing_to_measure():
    found = verdict([])
    assert found["state"] == "good"
    assert found["steps"] == {"places": 0, "measured": 0} | dict.fromkeys(
        ("rms_px", "error_px", "rms_nm", "p95_px", "max_px")
    )


# ---- the jobs ----------------------------------------------------------------------------------


def closed(tmp_path, rows, accept=()):
    write_table(tmp_path / "0000.tsv.gz", COLUMNS, rows)
    write_table(tmp_path / "pairs.tsv.gz", ("p_id", "q_id", "weight"), [])
    write_table(tmp_path / "tiles.tsv", ("tile_id", "kind"), [])
    section = {"look_px": 0.75, "stop_px": 4.0, "unconfirmed_pct": 10.0} | vars(ORDER)
    close_misalignment.main(
        parts=[tmp_path / "0000.tsv.gz"],
        pairs=tmp_path / "pairs.tsv.gz",
        tiles=tmp_path / "tiles.tsv",
        places=tmp_path / "all.tsv.gz",
        out=tmp_path / "misalignment.json",
        pixel_nm=8.0,
        section=section,
    )
    check_alignment.main(
        summary=tmp_path / "misalignment.json",
        out=tmp_path / "gate.json",
        stop_px=4.0,
        accept=list(accept),
    )


def test_places_of_an_older_version_are_refused_in_a_line(tmp_path):
    old = [name for name in COLUMNS if name != "noise_px2"]
    write_table(tmp_path / "0000.tsv.gz", old, good())
    with pytest.raises(UserError, match=r"0000.tsv.gz lacks noise_px2.*measure_misalignment"):
        close_misalignment.read_rows(tmp_path / "0000.tsv.gz", Texts())


def test_a_good_alignment_passes_the_gate(tmp_path):
    closed(tmp_path, good())
    assert read_json(tmp_path / "gate.json")["state"] == "good"
    assert len(read_table(tmp_path / "all.tsv.gz")) == len(good())


def test_the_gate_names_tiles_and_gives_lines_that_open_it(tmp_path):
    rows = [*good(), row(z=7, px=6.0)]
    with pytest.raises(UserError) as caught:
        closed(tmp_path, rows)
    message = str(caught.value)
    assert message.startswith("the alignment leaves tiles 6.0 px beside each other")
    assert "0-0.7" in message
    assert not (tmp_path / "gate.json").exists()

    lines = message[message.index("solve:") :]
    entries = yaml.safe_load(lines)["solve"]["misalignment"]["accept"]
    closed(tmp_path, rows, accept=entries)
    assert read_json(tmp_path / "gate.json")["accepted"] == entries


def test_another_place_is_not_accepted_along_with_the_first(tmp_path):
    rows = [*good(), row(z=7, px=6.0), row(z=20, px=5.0)]
    with pytest.raises(UserError, match="z 20 to 21"):
        closed(tmp_path, rows, accept=[{"z": [7, 8], "reason": "seen"}])


# ---- corners -----------------------------------------------------------------------------------


def turned(degrees, side=200.0):
    """What a turn about the middle of a place makes of a row: 0.41 of its corners as rms."""
    by = np.radians(degrees) * side
    rms = abs(by) / np.sqrt(6)
    return {"across": (0.0, -by, by, 0.0), "rms": rms, "px": 0.05}


def test_a_turn_is_named_by_what_it_moves_the_corners():
    """0.45 degrees of a tile of 200 px: 1.1 px at the corners, 0.64 px rms."""
    rows = [r for r in good() if not (r["z"] == "7" and r["p_cell"] == "0-0")]
    (one,) = verdict([*rows, row(z=7, **turned(0.45))])["findings"]
    assert (one["z_first"], one["z_last"]) == (7, 8)
    assert one["px"] == pytest.approx(np.radians(0.45) * 100 * np.sqrt(2), abs=0.06)


def test_what_all_layers_have_in_common_is_tissue_and_no_turn_of_one():
    bend = [row(z=z, **turned(0.45)) for z in range(1, 40)]
    assert verdict(bend)["state"] == "good"
    back = [row(z=z, **turned(0.45 if z != 7 else -0.1)) for z in range(1, 40)]
    (one,) = verdict(back)["findings"]
    assert (one["z_first"], one["z_last"]) == (7, 8)
    assert verdict([row(z=z, **turned(0.45)) for z in (1, 2)])["state"] == "look"  # too few to say


def test_a_step_of_one_layer_is_told_by_what_the_places_around_scatter():
    """0.9 % of scale on 150 px: tissue puts errors of 0.65 px on a place, the same in all layers.

    A place of fewer windows than the others is not known better for it.
    """

    def layer(z, corner_error=0.65):
        by = 1.8 if z == 7 else 0.1 * (-1) ** z
        across = (by, 0.0, 0.0, by)
        return row(z=z, px=0.05, rms=0.05, across=across, corner_error=corner_error)

    (one,) = verdict([layer(z) for z in range(1, 20)])["findings"]
    assert (one["z_first"], one["z_last"]) == (7, 8)
    assert one["px"] == pytest.approx(0.9 * np.sqrt(2), abs=0.15)
    assert verdict([layer(z) for z in range(1, 9)])["findings"] == []  # too few
    unsure = [layer(z, 1.2 if z == 7 else 0.65) for z in range(1, 20)]
    assert verdict(unsure)["findings"] == []


def test_a_place_that_meets_is_not_off_since_one_beside_it_is():
    """Beside the last of few places: a median that takes it twice would be that of the wrong."""
    rows = [row(z=z, **turned(0.0 if z in (1, 3, 4) else 0.9)) for z in range(1, 6)]
    assert [one["z_first"] for one in verdict(rows)["findings"]] == [2, 5]


@pytest.mark.parametrize(("used", "off"), [(4, []), (9, [2.0]), (16, [2.0])])
def test_what_few_windows_tell_has_the_error_of_few(used, off):
    """2 px by the scatter of four windows may be chance: Student's t of so few is 2.9, not 2."""
    found = verdict([*good(), row(z=20, px=2.0, error=0.53, used=used, rms=2.0, corner_error=2.0)])[
        "findings"
    ]
    assert [one["px"] for one in found if one["px"] is not None] == off


def test_tiles_of_a_layer_show_the_same_tissue_so_nothing_is_taken_off():
    seams = [row("seam", z, cell="0-0", other="0-1", **turned(0.45)) for z in range(1, 40)]
    assert verdict(seams)["state"] == "look"


def test_a_corner_counts_as_far_as_it_is_known():
    rows = [row(z=z) for z in range(1, 40) if z != 7]
    assert verdict([*rows, row(z=7, corner_error=0.3, **turned(0.45))])["state"] == "good"


def test_a_turn_is_measured_at_the_corners():
    angle = np.radians(0.5)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.full(2, (SIZE - 1) / 2)
    other = ndimage.affine_transform(scene(), turn, middle - turn @ middle, order=3, mode="nearest")
    found = shifts.compare(draws(scene()), draws(other), place(), Settings())
    by = 380 * angle
    assert np.abs(np.abs(found.across) - [[0, by], [by, 0]]).max() < 0.1
    assert 0 < found.corner_error_px < 0.15


def test_a_place_whose_error_exceeds_the_limit_is_not_known():
    """However small the shift: it could be as large as the limit and would look the same."""
    others = [row(z=z) for z in range(1, 40) if z != 7]
    found = verdict([*others, row(z=7, px=0.2, error=0.5)])
    (one,) = found["findings"]
    assert (one["px"], one["z_first"]) == (None, 7)
    assert "it is not known whether layers meet" in found["reasons"][0]
    assert verdict([*others, row(z=7, px=0.2, error=0.3)])["state"] == "good"
