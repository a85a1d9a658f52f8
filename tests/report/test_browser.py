"""The report in a real browser: nothing sticks out, nothing fails, what is there can be used."""

import dataclasses
import json

import pytest

from scripts.lib.pages import page as pages
from scripts.lib.verdicts import LOOK
from scripts.report import album, compared, page, places, plots, searched
from scripts.report.finding import Finding
from scripts.report.first_screen import Volume, Where
from scripts.report.progress import Stop
from tests import browser
from tests.report.conftest import NAMES, judge
from tests.report.planted import FAULTS, lost, residual

pytestmark = browser.needed
LONG = "/groups/a_laboratory_with_a_long_name/data/" + "a_volume_of_a_long_name_" * 3
WHERE = Where(
    LONG, [Volume(f"{LONG}/volume.n5/em/fibsem-uint8", "n5", "https://viewer/#!x")], "serve"
)
# every check that needs no particular width
CHECKS = """
return {
  overflowing: out.map((e) => `${e.tagName}.${e.className}`).slice(0, 5),
  cramped: [...document.querySelectorAll(".cards div, .rows div")]
    .filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent).slice(0, 5),
  wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  faults: window.faults,
  silent: [...document.images].filter((e) => (e.alt || "").length < 3).length,
  nameless: [...document.querySelectorAll("button, input, summary, a[href]")]
    .filter((e) => !(e.textContent.trim() || e.ariaLabel || e.labels?.length)).length,
};"""
CLEAN = {"overflowing": [], "cramped": [], "wide": 0, "faults": [], "silent": 0, "nameless": 0}
# copies the path, moves a slider, sorts a table, searches for a tile and goes to where it leads
USE = """
const said = [];
document.execCommand = () => said.push(document.activeElement.value);
Object.defineProperty(navigator, "clipboard", { value: { writeText: async (t) => said.push(t) } });
document.querySelector("#where .copied button").click();
await new Promise((done) => setTimeout(done, 50));
const slider = document.querySelector(".compared input");
slider.value = 20;
slider.dispatchEvent(new Event("input"));
const heading = document.querySelector("table.sortable th button");
heading.click();
const query = document.getElementById("query");
query.value = TILE;
query.dispatchEvent(new Event("input"));
const found = document.getElementById("found").textContent;
document.getElementById("search").dispatchEvent(new Event("submit", { cancelable: true }));
const first = document.querySelector("#next .stage, #notes .stage");
first.click();
const asked = document.querySelector("details.help");
asked.querySelector("summary").click();
return {
  said, found, cut: slider.parentNode.querySelector(".over").style.getPropertyValue("--cut"),
  sorted: heading.closest("th").getAttribute("aria-sort"),
  hit: document.querySelectorAll(".hit").length,
  target: !!document.getElementById(first.getAttribute("href").slice(1)),
  asked: asked.open && asked.textContent.length > 20, faults: window.faults,
};"""


@pytest.fixture(scope="module")
def drawn(run):
    _, service, evidence = run
    named = places.album_names(NAMES)
    made = album.draw(service, named, holes=[7], volume=places.level(evidence))
    return made, compared.draw(service, named, evidence, places.full_level(evidence))


def written(evidence, drawn, *, stopped=False):
    figures, found = judge(evidence)
    note = Finding(
        "solve", "w" * 80, evidence["solved"]["tile_id"][3], "look", LOOK, "a: " + "b" * 99
    )
    first, here = [], page.HERE
    if stopped:
        stop = Stop("match_pairs", "x" * 200 + "\nmend it", "logs/a/b.log")
        first, here = page.how_far(evidence, [stop], {}), page.SO_FAR
    return page.page(
        figures,
        findings=[*found, note],
        album=drawn[0],
        plots=plots.all_plots(evidence),
        where=WHERE,
        compared=drawn[1],
        tiles=searched.index(evidence),
        first=first,
        here=here,
    )


@pytest.mark.parametrize("kind", ["good", "stopped", "bad"])
def test_a_page_fits_a_phone_and_has_no_fault(good, drawn, tmp_path, kind):
    evidence = {"good": good, "bad": lost(residual(good))}.get(kind) or dataclasses.replace(
        good, documents=dict(good.documents) | {"gate": None, "volume": None}
    )
    text = written(evidence, drawn, stopped=kind == "stopped")
    found = browser.run(text, browser.OVERFLOWING + CHECKS, tmp_path, width=390)
    assert found == CLEAN


def test_buttons_sliders_tables_and_search_work(good, drawn, tmp_path):
    name = good["solved"]["tile_id"][3]
    script = USE.replace("TILE", f'"{name}"')
    found = browser.run(written(good, drawn), script, tmp_path, dark=True)
    assert found["said"] == [WHERE.volumes[0].path]
    assert found["cut"] == "20%"
    assert found["sorted"] == "ascending"
    assert f"z {good['solved']['z'][3]}, " in found["found"]
    assert "residual" in found["found"]
    assert (found["hit"], found["target"], found["asked"], found["faults"]) == (1, True, True, [])


FOUND = """
location.hash = "#find=" + encodeURIComponent("z 5");
await new Promise((done) => setTimeout(done, 200));
const go = [...document.querySelectorAll("#found a")].find((e) => e.textContent.includes("neuro"));
const said = document.getElementById("found").textContent, faults = window.faults;
return { said, faults, at: go && JSON.parse(decodeURIComponent(go.href.split("#!")[1])).position };
"""
VIEWER = "https://viewer/#!%7B%22position%22%3A%5B1%2C2%2C3%5D%7D"


def test_another_page_can_ask_for_a_layer_which_the_viewer_then_shows(good, drawn, tmp_path):
    volume = dict(good.documents["volume"])
    volume["targets"] = [{**one, "neuroglancer": {"link": VIEWER}} for one in volume["targets"]]
    documents = {**good.documents, "volume": volume}
    text = written(dataclasses.replace(good, documents=documents), drawn)
    found = browser.run(text, FOUND, tmp_path)
    assert found["said"].startswith("z 5, ")
    assert (found["at"], found["faults"]) == ([1, 2, 5.5], [])


def test_the_search_of_a_page_without_tiles_finds_words(tmp_path):
    parts = [pages.Table("c", ["h"], [["a word"], ["24-03-07_101112_0-0-1.6.0"]])]
    text = pages.render("t", [pages.Section("s", parts)], here="solve/solve.html")
    script = """
const query = document.getElementById("query"), out = [];
for (const each of ["word", "24-03-07_101112_0-0-1.6.0", "none of it"]) {
  query.value = each;
  query.dispatchEvent(new Event("input"));
  out.push(document.getElementById("found").textContent);
}
return { out, faults: window.faults };"""
    found = browser.run(text, script, tmp_path)
    on = "look in the report"
    words = [f"a word{on}", f"24-03-07_101112_0-0-1.6.0{on}", f"nothing found{on}"]
    assert found == {"out": words, "faults": []}


def test_a_column_without_a_name_gets_no_button(tmp_path):
    table = pages.Table("c", ["a", ""], [["1", "x"], ["2", "y"]])
    text = pages.render("t", [pages.Section("s", [table])], here="solve/solve.html")
    assert browser.run(text, browser.OVERFLOWING + CHECKS, tmp_path, width=390) == CLEAN


def test_a_fault_of_a_page_is_seen(tmp_path):
    """What the checks are worth: each of three faults, put in by hand, is found."""
    text = (
        "<html><head></head><body><img src='data:,'><b style='position:absolute;left:900px'>x</b>"
    )
    text += "<button></button><script>missing()</script></body></html>"
    found = browser.run(text, browser.OVERFLOWING + CHECKS, tmp_path, width=390)
    assert found["overflowing"] == ["B."]
    assert (found["silent"], found["nameless"]) == (1, 1)
    assert any("missing" in each for each in found["faults"])


# opens every page in turn, reads the first screen, and goes where the link of the cause leads
CLICKS = """
const faults = JSON.parse(document.getElementById("faults").textContent), out = {};
for (const [name, { page, stage, words }] of Object.entries(faults)) {
  const frame = document.createElement("iframe");
  frame.style = "border:0;position:fixed;inset:0;width:1280px;height:900px";
  frame.srcdoc = page;
  document.body.append(frame);
  await new Promise((loaded) => frame.addEventListener("load", loaded));
  const inside = frame.contentDocument;
  const link = [...inside.querySelectorAll(`#next li a[href="#${stage}"]`)]
    .find((e) => e.closest("li").textContent.includes(words));
  const cause = [...inside.getElementById(stage).querySelectorAll("li, p, td, dd")]
    .find((e) => e.textContent.includes(words));
  out[name] = {
    first: !!link && link.getBoundingClientRect().bottom < frame.contentWindow.innerHeight,
    shown: !!cause && cause.checkVisibility(),
  };
  frame.remove();
}
return out;
"""


def test_a_click_on_the_first_screen_leads_to_the_cause_of_each_planted_fault(good, tmp_path):
    pages_of = {}
    for plant, (stage, words) in FAULTS.items():
        figures, found = judge(plant(good))
        text = page.page(figures, findings=found, album={}, plots={}, where=WHERE)
        pages_of[plant.__name__] = {"page": text, "stage": stage, "words": words}
    held = json.dumps(pages_of).replace("</", "<\\/")
    outer = f'<html><head></head><body><script id="faults" type="application/json">{held}</script>'
    found = browser.run(outer, CLICKS, tmp_path)
    assert found == dict.fromkeys(pages_of, {"first": True, "shown": True})
