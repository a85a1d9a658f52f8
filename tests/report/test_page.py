import base64
import re

import numpy as np
import pytest

from scripts.lib import files
from scripts.lib.drawing import coverage
from scripts.lib.drawing.compose import Picture
from scripts.lib.job import UserError
from scripts.lib.pages import embedded
from scripts.lib.pages import pictures as shapes
from scripts.lib.pages.embedded import embed
from scripts.lib.verdicts import NOT_GOOD
from scripts.report import (
    album,
    findings,
    gather,
    issue,
    make_report,
    page,
    pictures,
    places,
    plots,
    summary,
)
from scripts.report.finding import Finding
from scripts.report.first_screen import Volume, Where
from tests.report.conftest import LIMITS, NAMES, RESULTS, judge

WHERE = Where("/vol", [Volume("/vol/a.n5/em", "n5")])
RENDER = {"owner": "small", "project": "small"}


@pytest.fixture(scope="module")
def drawn(run):
    _, service, evidence = run
    return album.draw(service, places.album_names(NAMES), holes=[7], volume=places.level(evidence))


@pytest.fixture(scope="module")
def html(run, drawn):
    figures, found = judge(run[2])
    plotted = plots.all_plots(run[2])
    return page.page(figures, findings=found, album=drawn, plots=plotted, where=WHERE)


def test_what_layers_share_is_drawn_with_the_lines_for_the_config():
    count = np.zeros((40, 60), np.int64)
    count[5:30, 10:50], count[10:25, 20:45] = 19, 20
    seen = coverage.Coverage(count, layers=20, x0=-8, y0=100, cell_px=4)
    canvas, words = pictures.covered(seen)
    assert "100% share (red) x_px: [72, 172], y_px: [140, 200], of 100 x 60 px" in words
    assert "95% share (blue) x_px: [32, 192], y_px: [120, 220]" in words
    assert canvas.shape == (40, 60, 3)
    assert canvas[10, 20].tolist() == canvas[24, 44].tolist() == list(shapes.INK)
    assert canvas[5, 10].tolist() == list(shapes.LINE)
    none = coverage.Coverage(np.ones((4, 4), np.int64), 30, 0, 0, 1)
    assert "100% of them share no place." in pictures.covered(none)[1]


def test_a_z_that_a_declared_gap_reserves_has_no_empty_name():
    hole = {"z": 5, "layer_id": "", "status": "gap", "missing": []}
    table = page.TABLES["ingest"]({"holes": [hole]})
    assert table.rows == [["5", "none: a declared gap", "all", "gap"]]
    columns = {"z": 5, "layer_id": "", "status": "gap", "missing": ""}
    layers = gather.Table({name: np.array([value]) for name, value in columns.items()})
    (found,) = findings._gaps({"layers": layers})
    assert found.where == "z 5"
    assert "declared" in found.what


def test_every_stage_has_a_section_with_its_status(html):
    for stage in (*summary.STAGES, "costs"):
        assert f'<section id="{stage}">' in html


def test_the_page_loads_nothing_from_elsewhere(html):
    without_data = re.sub(r"data:image/(png|webp);base64,[A-Za-z0-9+/=]+", "", html)
    page_only = re.sub(r"<script.*?</script>", "", without_data, flags=re.DOTALL)
    assert not re.findall(r"""src=["'][^"']+""", page_only)
    # links lead to places of this page and to pages of the volume's own folder
    links = re.findall(r"""href=["']([^"']+)""", page_only)
    assert all(link.startswith(("#", "../")) for link in links)
    assert "<link" not in page_only
    assert not re.findall(r"<script[^>]+src=", html)


def test_pictures_have_alternative_texts(html):
    images = re.findall(r"<img [^>]*>", html)
    assert len(images) >= 10
    assert all(re.search(r'alt="[^"]{3,}"', image) for image in images)


def test_worst_pairs_and_layers_of_the_solve_are_shown_as_large_as_they_are(run, drawn):
    one = {"uri": "data:,", "width_px": 52, "height_px": 200, "title": "layer 2", "caption": "3 px"}
    shown = album.overlays([one])
    assert album.overlays(None) == []
    more = drawn | {"solve": [*drawn["solve"], *shown]}
    figures, _ = judge(run[2])
    text = page.page(figures, findings=[], album=more, plots={}, where=WHERE)
    assert '<img src="data:," width="52" height="200"' in text
    assert 'style="max-width: 52px"' in text
    assert "<b>large error · layer 2</b> 3 px" in text


def test_steps_that_the_solve_corrected_are_named(run):
    shape = {"scale_x": 1.0, "scale_y": 1.0, "shear": 0.0, "rotation_mrad": 0.0}
    steps = [{"z_first": 1} | shape, {"z_first": 16} | shape | {"rotation_mrad": 17.45}]
    figures = judge(run[2])[0]
    solved = figures["solve"] | {"details": {"restart_steps": steps}}
    rows = dict(page._solve(figures | {"solve": solved}))
    assert "from z 16: rotation 17.4 mrad" in rows["steps of scale or rotation, corrected"]
    assert dict(page._solve(figures))["steps of scale or rotation, corrected"] == "none"


def test_the_verdict_the_needs_and_the_place_of_the_volume_come_first(good, drawn):
    figures, _ = judge(good)
    wrong = Finding("solve", "far off", "z 3", "look", NOT_GOOD, lines="review:\n  exclude: []")
    note = Finding("zcorr", "a dip", "z 4", "step through")
    figures = summary.judge(figures, [note, wrong])
    text = page.page(figures, findings=[wrong, note], album=drawn, plots={}, where=WHERE)
    body = text.partition("<h1>")[2]
    order = [
        "Not good. Tiles:",
        '<a href="#solve">solve: z 3: far off',
        'id="next"',
        "<b>z 3</b> far off",
        "<pre>review:",
        'id="notes"',
        "<b>z 4</b> a dip",
        'id="where"',
    ]
    order += [
        "/vol/a.n5/em",
        'id="before-and-after"',
        'id="transfer"',
    ]
    assert [each for each in order if each not in body] == []
    at = [body.index(each) for each in order]
    assert at == sorted(at)
    assert 'class="badge not-good"' in body
    assert figures["zcorr"]["status"] == "good"


def test_quarantined_tile_and_hole_are_on_the_page(html):
    assert "Tiles in quarantine" in html
    assert "Declared holes" in html
    assert "24-03-07_101724" in html


def test_the_same_run_gives_the_same_plots(run):
    first = embed(plots.all_plots(run[2]))
    second = embed(plots.all_plots(run[2]))
    # Bokeh numbers its models on through one process: a new job starts again
    assert _unnumbered(first[0]) == _unnumbered(second[0])
    assert not embedded._UUID.findall("".join(first[1].values()))


def _unnumbered(script):
    return re.sub(r"p\d{4,}", "p", script)


def test_a_run_without_a_solve_still_makes_a_page(empty):
    figures, _ = judge(empty)
    text = page.page(figures, findings=[], album={}, plots=plots.all_plots(empty), where=WHERE)
    assert "Not aligned yet" in text
    assert "Nothing is beyond its limit." in text


def test_names_from_the_data_are_escaped(empty):
    figures = judge(empty)[0] | {"volume": "<script>alert(1)</script>"}
    text = page.page(figures, findings=[], album={}, plots={}, where=WHERE)
    assert "<script>alert" not in text


def test_layers_line_up_after_the_alignment(run):
    _, service, _ = run
    names = places.album_names(NAMES)
    tiles = service.tiles(names.final, 6, 6)
    box = album._box(tiles)
    sharp = {}
    for stack in (names.acquire, names.final):
        cut = pictures.section(
            lambda k, stack=stack: service.tiles(stack, k, k),
            list(range(1, 13)),
            box,
            y=box.y0 + 0.3 * box.height,
            scale=1.0,
        )
        both = cut.mask[1:] & cut.mask[:-1]
        sharp[stack] = np.corrcoef(cut.pixels[1:][both], cut.pixels[:-1][both])[0, 1]
    assert sharp[names.final] > sharp[names.acquire] + 0.1


def test_a_picture_is_transparent_where_nothing_was_imaged():
    mask = np.array([[True, False]])
    picture = Picture(np.full((1, 2), 90.0, "f4"), mask)
    assert pictures.stretched(picture, 0, 255).tolist() == [[[90, 255], [90, 0]]]


def test_the_seam_box_lies_on_the_edge_of_the_upper_tile(run):
    _, service, _ = run
    from scripts.lib.drawing import boxes, compose

    tiles = service.tiles("v1_acquire", 5, 5)
    box = pictures.seam(compose.place(tiles))
    assert boxes.shape(box, 1.0) == (pictures.SEAM_PX, pictures.SEAM_PX)
    # tile rows are 64 px high and overlap by 13: the lower row begins at 51
    assert (box.y0 + box.y1) / 2 == pytest.approx(51, abs=1)


def test_tall_gives_thick_layers_more_rows():
    picture = np.arange(3, dtype=np.uint8)[:, None]
    assert pictures.tall(picture, 2.0)[:, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert len(pictures.tall(picture, 0.5)) == 2


def test_a_flat_section_is_enlarged_around_its_place_by_a_whole_number_that_is_said():
    picture = np.arange(44 * 400, dtype=np.uint16).reshape(44, 400).astype(np.uint8)
    large, said = pictures.enlarged(picture)
    assert (large.shape, said) == ((132, 399), " 133 px around it, enlarged 3 times.")
    assert (large[::3, ::3] == picture[:, 134:267]).all()
    aside, _ = pictures.enlarged(picture, at_px=10)
    assert (aside[::3, ::3] == picture[:, :133]).all()
    assert [pictures.times(h) for h in (0, 5, 20, 79, 81, 500)] == [8, 8, 8, 2, 1, 1]
    same, said = pictures.enlarged(np.zeros((100, 400), np.uint8))
    assert (same.shape, said) == ((100, 400), "")


def test_few_layers_are_drawn_thicker_and_the_captions_say_so(run):
    _, service, _ = run
    names = places.album_names(NAMES)
    shown = album.sections(service, names, list(range(1, 13)), album.ALIGNED)
    assert {one.height_px for one in shown} == {12 * 8}
    assert all(one.caption.endswith("drawn 8 times as thick as it is.") for one in shown)
    assert page._of_section(shown[0]) == f"{page.SECTION} {album.STRETCHED.format(8)}"


def test_the_issue_names_paths_render_data_and_no_host(run):
    evidence = run[2]
    figures, found = judge(evidence)
    facts = places.facts(evidence, RENDER, NAMES)
    text = issue.issue(figures, page.cards(figures), found, facts)
    assert "-d /em/fibsem-uint8 -o " in text
    assert '"matchCollection": "small_v1"' in text
    assert "http://" not in text
    assert "- [x] 02 alignment done" in text
    assert "Verdict: look" in text
    assert "* **zcorr** (look): z 11: correlation with next 0.716 is below 0.75" in text
    assert "* **transfer** (noticed): " in text
    assert "- [ ] 03 alignment review done" in text


def test_the_issue_links_a_configured_service(run, monkeypatch):
    monkeypatch.setenv("RENDER_WS_URL", "http://render.invalid/render-ws/v1")
    facts = places.facts(run[2], RENDER, NAMES)
    restart = issue.links(facts)["restart tiles"]
    explorer = issue.links(facts)["point match explorer"]
    assert "/view/point-match-explorer.html?matchCollection=" in explorer
    assert "/v1/" not in explorer
    assert restart.endswith("project/small/stack/v1_acquire/resolvedTiles?groupId=restart")


def test_a_configured_truth_that_is_absent_is_named():
    with pytest.raises(UserError, match=r"report\.truth"):
        places.truth_file("nowhere/truth.json", "dat")


@pytest.mark.parametrize(
    ("step", "pictures"), [("straighten", 1), ("16bit", 1), ("shading", 1), ("intensity", 2)]
)
def test_a_correction_is_shown_before_and_after_in_one_picture(run, step, pictures):
    _, service, _ = run
    chain = (step, NAMES["acquire"], NAMES["align"])
    found = album.correction(service, chain, 6, [5, 6, 7], 1.0)
    assert [shown.title for shown in found] == [step] * pictures
    assert all(shown.uri.startswith("data:image/webp") and shown.caption for shown in found)
    assert all(shown.width_px > 100 for shown in found)


def test_the_job_writes_page_summary_and_issue(run, acquisition, inside, monkeypatch, tmp_path):
    root, service, _ = run
    monkeypatch.setattr(make_report, "RenderClient", lambda *_: service)
    inside(root)
    outputs = {name: str(tmp_path / name) for name in ("page", "picture", "summary", "issue")}
    job = {
        "results": RESULTS,
        "receipts": [],
        "corrections": [],
        "outputs": outputs,
        "render": RENDER,
        "names": NAMES,
        "limits": LIMITS,
        "truth_path": None,
        "dat_root": str(acquisition[0] / "dat"),
        "asked": {},
    }
    make_report.main(**job)
    figures = files.read_json(outputs["summary"])
    assert figures["score"]["tiles_missing"] == 0
    assert figures["verdict"]["state"] == "look"
    text = (tmp_path / "page").read_text()
    assert '<a href="#zcorr">zcorr: z 11: correlation with next 0.716 is below 0.75</a>' in text
    assert str(root / "demo.n5") in text
    picture = (tmp_path / "picture").read_bytes()
    shape = shapes.decode(f"data:,{base64.b64encode(picture).decode()}").shape
    assert shape[0] == 2 * 8 * 12 + album.GAP_PX  # layers, 8 times as thick, before and after
