"""What all pages share: navigation, tables, numbers, pictures and thinned plots."""

import base64
import io
import re

import numpy as np
import pytest
from markupsafe import Markup
from PIL import Image

from scripts.lib.pages import page, pictures, plots, text
from scripts.lib.pages.page import Code, Facts, Html, Items, Pictures, Plots, Section, Table, Text


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_navigation_does_not_depend_on_what_has_been_made(folder):
    html = page.render("t", [], here="solve/solve.html")
    links = re.findall(r'href="([^"#]+)"', html)
    assert links[0] == "../report/index.html"
    assert links[-1] == "../zcorr/thickness.html"
    assert not any("preview" in one or "trial" in one for one in links)
    for name in ("report/index.html", "match/trial/index.html"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("")
    assert page.render("t", [], here="solve/solve.html") == html


def test_every_page_has_a_search_that_leads_on_to_the_report():
    here = page.render("t", [], here="solve/solve.html")
    assert '<form id="search" role="search" data-report="../report/index.html">' in here
    assert "Find on this page" in here
    for html in (
        page.render("t", [], here="report/index.html", tiles={}),
        page.render("t", [], here="preview/metadata.html"),
        page.render("t", [], here=""),
    ):
        assert '<form id="search" role="search">' in html


def test_pages_on_demand_stand_in_their_own_navigation_and_lead_to_what_is_there(folder):
    assert page.navigation("match/trial/index.html") == [("Match trial", None)]
    (folder / "report").mkdir()
    (folder / "report/index.html").write_text("")
    assert page.navigation("match/trial/index.html")[-1] == ("Match trial", None)
    assert ("Report", "../../report/index.html") in page.navigation("match/trial/index.html")
    assert "Match trial" not in dict(page.navigation("report/index.html"))
    assert page.navigation("preview/metadata.html") == [
        ("Imaging", "imaging.html"),
        ("Preview: ingest", "validation.html"),
        ("Preview: header fields", None),
    ]


def test_links_lead_to_files_that_are_there_and_to_no_other(folder):
    (folder / "report").mkdir()
    (folder / "report/index.html").write_text("")
    assert page.link("report/index.html", "solve/a.html") == Markup(
        '<a href="../report/index.html">report/index.html</a>'
    )
    assert page.link("zcorr/<b>", "solve/a.html") == "zcorr/&lt;b&gt;"


def test_every_part_is_shown_and_what_is_data_is_escaped():
    shown = pictures.shown(np.zeros((2, 3), np.uint8), "<i>", "what", wide=True, pixelated=True)
    parts = [Text("<i>"), Items(["<i>"]), Facts([("<i>", "<i>")]), Code("<i>"), Pictures([shown]),
             Table("<i>", ["<i>"], [["<i>"]]), Html(Markup("<u>x</u>"))]  # fmt: skip
    html = page.render("<i>", [Section("<i>", parts, "<i>", "look", "here")], here="a/b.html")
    assert "<i>" not in html
    # title, heading, link, section; note; one for each part, two for facts, three for tables
    assert html.count("&lt;i&gt;") == 4 + 1 + 1 + 1 + 2 + 1 + 2 + 3
    assert "<u>x</u>" in html
    assert '<section id="here">' in html
    assert 'class="badge look"' in html
    assert 'alt="&lt;i&gt;. what" class="pixelated" style="max-width: 3px"' in html
    assert page.fragment([Text("a")]).strip() == "<p>a</p>"


def test_sections_and_tables_without_content_are_left_out():
    html = page.render("t", [Section("gone", [])], here="a/b.html", lead=[Table("c", ["h"], [])])
    body = html.partition("</style>")[2]
    assert "gone" not in body
    assert "<table" not in body


def test_plots_are_put_where_they_are_named():
    figure = plots.lines("line", "z", "px", {"a": (np.arange(3), np.arange(3.0))})
    sections = [Section("s", [Plots(["one", "absent"])])]
    html = page.render("t", sections, here="a/b.html", figures={"one": figure, "two": None})
    assert html.count('<div class="plot">') == 1
    assert "http" not in re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)


def test_columns_of_numbers_are_set_to_the_right_and_texts_are_not():
    rows = [["t1", 3, "1,234", "0.5 %", "3 min 05 s", "1 to 3", None],
            ["2", 4.0, "–", "", "41 s", "7", None]]  # fmt: skip
    table = Table("", list("abcdefg"), rows)
    assert table.numeric == [False, True, True, True, True, False, True]
    assert table.cells[1] == ["2", "4", "–", "", "41 s", "7", ""]


def test_long_tables_say_how_much_is_left_out_and_where_it_is():
    table = Table("c", ["h"], [[k] for k in range(1500)], most=2, where="x.tsv", marked=[1])
    html = page.fragment([table])
    assert "c (the first 2 of 1,500; all are in x.tsv)" in html
    assert html.count("<td") == 2
    assert '<tr class="marked"><td class="n">1</td>' in html


def test_numbers_read_well():
    assert text.number(1234567) == "1,234,567"
    assert text.number(0.256, 2, "px") == "0.26 px"
    assert text.number(None) == "–"
    assert text.large(2_500_000) == "2.5 M"
    assert text.large(999_999) == "999,999"
    assert text.duration(4.26) == "4.3 s"
    assert text.duration(185) == "3 min 05 s"
    assert text.duration(7_800) == "2 h 10 min"
    assert text.spans([9, 3, 7, 8]) == "3, 7 to 9"
    assert text.spans(range(0, 100, 2), most=2) == "0, 2 and 48 more ranges"
    assert text.flat({"a": {"b": 1.23456789}, "c": [1]}) == {"a.b": "1.23457", "c": "[1]"}


@pytest.mark.parametrize("channels", [(), (2,), (3,)])
def test_pictures_keep_every_pixel(channels):
    canvas = np.random.default_rng(0).integers(0, 255, (5, 7, *channels), np.uint8)
    shown = pictures.shown(canvas, "t")
    assert (shown.width_px, shown.height_px) == (7, 5)
    data = base64.b64decode(shown.uri.removeprefix("data:image/png;base64,"))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), canvas)


def test_grey_levels_are_stretched_between_their_limits():
    low, high = pictures.limits([np.arange(101.0), np.empty(0)], 10, 90)
    assert (low, high) == (10, 90)
    assert pictures.limits([], 1, 99) == (0, 255)
    levels = pictures.grey(np.array([0.0, 10, 50, 90, 99]), low, high)
    assert levels.tolist() == [0, 0, 128, 255, 255]


def test_pictures_beside_each_other_have_gaps_and_keep_their_places():
    parts = [np.full((2, 3, 2), 7, np.uint8), np.full((4, 1, 2), 9, np.uint8)]
    side = pictures.joined(parts, 2, fill=0)
    assert side.shape == (4, 6, 2)
    assert side[:, :, 0].tolist()[0] == [7, 7, 7, 0, 0, 9]
    assert side[3, :, 0].tolist() == [0, 0, 0, 0, 0, 9]
    assert pictures.joined(parts, 1, axis=0).shape == (7, 3, 2)


@pytest.mark.parametrize("shape", [(400, 100), (3, 900), (5, 5, 3)])
def test_shrunk_pictures_have_a_pixel_each_way(shape):
    small = pictures.shrink(np.full(shape, 200, np.uint8), 90)
    assert max(small.shape) == min(90, max(shape))
    assert min(small.shape[:2]) >= 1
    assert (small == 200).all()


def test_thinning_keeps_the_peaks():
    z = np.arange(100_000)[::-1]
    values = np.zeros(100_000)
    values[[7, 50_000, 60_000]] = 9.0, -9.0, np.nan
    few_z, few = plots.thin(z, values, 500)
    assert len(few) <= 500
    assert few.max() == 9.0
    assert few.min() == -9.0
    assert (np.diff(few_z) > 0).all()


def test_bins_cover_every_layer_once():
    edges = plots.bins(np.arange(1, 30_001))
    assert edges[0] == 1
    assert edges[-1] >= 30_001
    assert len(edges) <= plots.MOST_BINS + 2


def test_a_map_counts_shares_of_each_cell_and_layer():
    cells, z = np.array(["a", "a", "b"]), np.array([1, 1, 2])
    figure = plots.share_map("t", "cell", cells, z, np.array([1, 0, 1]))
    data = figure.renderers[0].data_source.data
    assert data["share"].tolist() == [50, 100]
    assert data["pairs"].tolist() == [2, 1]
    assert data["left"].tolist() == [0.5, 1.5]
    assert plots.share_map("t", "cell", cells[:0], z[:0], z[:0]) is None


def test_a_picture_too_large_for_webp_is_a_png():
    tall = np.zeros((pictures.MOST_WEBP_PX + 1, 1), np.uint8)
    assert pictures.encode(tall, "WEBP").startswith("data:image/png;")
    assert pictures.encode(tall[1:], "WEBP").startswith("data:image/webp;")


def test_a_picture_comes_back_white_where_it_was_transparent():
    canvas = np.zeros((3, 4, 2), np.uint8)
    canvas[1:, :, 1] = 255
    back = pictures.decode(pictures.encode(canvas))
    assert back.tolist() == [[255] * 4, [0] * 4, [0] * 4]
