"""The first screen: is it good, what needs a person, where is the volume; and the search's data."""

import base64
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from scripts.lib import commands
from scripts.lib.pages import page as pages
from scripts.lib.verdicts import GOOD, Limit
from scripts.report import (
    compared,
    explained,
    first_screen,
    meeting,
    origin,
    page,
    places,
    plots,
    searched,
)
from scripts.report.finding import Finding
from scripts.report.first_screen import Volume, Where
from scripts.report.origin import Origin
from tests.report import planted
from tests.report.conftest import LIMITS, NAMES, judge
from tests.report.planted import FAULTS

LOCAL = "https://viewer/#!%7B%22url%22%3A%22n5%3A%2F%2Fhttp%3A%2F%2F127.0.0.1%3A8080%2Fa.n5%22%7D"
OPEN = LOCAL.replace("127.0.0.1%3A8080", "data.example")
HERE = Where("/vol", [Volume("/vol/a.n5/em", "n5", LOCAL)], "python -m scripts.render_ws serve")


def written(evidence, where=HERE, **parts):
    figures, found = judge(evidence)
    return page.page(figures, findings=found, album={}, plots={}, where=where, **parts)


def section(text, name):
    return re.search(rf'<section id="{name}">(.*?)</section>', text, re.DOTALL)[1]


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_the_cause_of_a_fault_is_on_the_first_screen_and_one_click_from_its_stage(good, plant):
    stage, words = FAULTS[plant]
    text = written(plant(good))
    items = re.findall(r"<li>(.*?)</li>", section(text, "next").partition('id="notes"')[0], re.S)
    (found,) = [one for one in items if words in one and f'href="#{stage}"' in one][:1]
    assert "badge" in found
    head = text.partition('<section id="next">')[0].partition('class="verdict')[2]
    assert f'<a href="#{stage}">{stage}: ' in head
    # the second click has no more to do than to open the page that has all of it
    assert words in section(text, stage)


def test_a_good_run_needs_nobody(good):
    text = written(good)
    assert 'class="verdict good"' in text
    assert "Nothing is beyond its limit." in section(text, "next")


def test_what_is_to_be_run_again_is_a_command_to_copy(good, monkeypatch):
    monkeypatch.setenv("VOLUME_COMMAND", '["--configfile", "config/volumes/fly.yaml"]')
    text = section(written(planted.lost(good)), "next")
    assert (
        "<pre>snakemake --configfile config/volumes/fly.yaml --forcerun publish_trimmed</pre>"
        in text
    )


def test_what_changes_no_verdict_is_folded_away(good):
    figures, _ = judge(good)
    notes = [Finding("solve", "a tile stands out", "z 3", "look", GOOD)] * 2
    first, _ = first_screen.sections(figures, notes, HERE, page.HERE)
    (fold,) = [part for part in first.parts if isinstance(part, pages.Fold)]
    assert fold.title == "2 things noticed; none changes the verdict"


def test_the_path_can_be_copied_and_the_link_says_who_can_open_it(good):
    text = section(written(good), "where")
    assert "<code>/vol/a.n5/em</code>" in text
    assert "on the computer that holds it, while the command below runs" in text
    assert "python -m scripts.render_ws serve" in text
    shared = Where("/vol", [Volume("/vol/a.n5/em", "n5", OPEN)])
    assert "for everybody who has the link" in section(written(good, shared), "where")


def test_the_command_that_opens_it_needs_no_environment_and_no_folder(tmp_path):
    here = {"cwd": tmp_path, "env": {"PATH": "/usr/bin:/bin"}}
    help_of = places._serve(tmp_path / "a b.db").partition(" --db ")[0] + " --help"
    assert (
        subprocess.run(["sh", "-c", help_of], **here, capture_output=True, check=False).returncode
        == 0
    )
    assert places._serve(Path("/vol/a b.db")).endswith(" serve --db '/vol/a b.db'")
    assert places._serve(Path("/a.db"), 8081).endswith(" serve --db /a.db --port 8081")
    links = {
        "n5%3A%2F%2Fhttp%3A%2F%2F127.0.0.1%3A8081%2Ffiles": 8081,
        "zarr://http://localhost/f": 80,
    }
    links |= {"n5%3A%2F%2Fhttps%3A%2F%2Flab.org%3A8081%2Ffiles": None}
    for link, port in links.items():
        assert places._local_port(f"https://viewer.org/#!{link}") == port


@pytest.mark.parametrize(("link", "local"), [(LOCAL, True), (OPEN, False), ("", False)])
def test_a_link_to_this_computer_is_known(link, local):
    assert (places._local_port(link) is not None) is local


def test_how_it_was_made_can_be_unfolded(good):
    made = Origin("2024-06-01 10:00", "snakemake --x", "/a/mine.yaml", "volume: mine", "abc123")
    text = section(written(good, Where("/vol", origin=made)), "where")
    for each in ("2024-06-01 10:00", "snakemake --x", "/a/mine.yaml", "volume: mine", "abc123"):
        assert each in text
    assert "no volume yet" in text


def test_the_origin_names_command_config_and_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("VOLUME_COMMAND", "")
    commands.remember(["--profile", "profiles/local", "--configfile", "config/config.yaml"])
    found = origin.origin(tmp_path)
    assert found.command == ("snakemake --profile profiles/local --configfile config/config.yaml")
    assert found.text.startswith("# The demo volume")
    assert found.finished == ""
    assert re.fullmatch(r"[\w.-]*", found.commit)
    assert origin.origin(tmp_path) == found


@pytest.mark.parametrize(
    "text",
    ["notify:\n  webhook: https://a/secret\n", "notify: {'webhook': 'https://a/secret', a: 1}\n"],
)
def test_the_address_of_a_hook_is_not_shown(tmp_path, monkeypatch, text):
    config = tmp_path / "a.yaml"
    config.write_text(f"volume: fly\n{text}")
    monkeypatch.setenv("VOLUME_COMMAND", f'["--configfile", "{config}"]')
    shown = origin.origin(tmp_path).text
    assert "volume: fly" in shown
    assert "secret" not in shown


def test_every_figure_is_explained(good):
    assert {name for name, _ in page.cards(judge(good)[0])} <= explained.CARDS.keys()
    assert plots.all_plots(good).keys() == explained.PLOTS.keys()


def test_what_is_good_follows_the_limits_of_the_config():
    told = explained.cards({"residual_px": Limit(0.9, 3), "saved_pct": Limit(70, 50)}, 0.4)
    assert told["residual, median"].endswith("Good: below 0.9 px (report.limits.residual_px).")
    assert (
        "Good" not in told["pairs with matches"]
    )  # of all pairs: the limit is for those of tissue
    assert told["misalignment at seams"].endswith(
        "Good: below 0.4 px (solve.misalignment.look_px)."
    )
    assert "Good" not in "".join(explained.cards({}).values())
    judged_by = {key.removeprefix("report.limits.") for _, key, _ in explained.CARDS.values()}
    assert judged_by - {"", explained.LEFT_OVER} <= LIMITS.keys()


def test_the_plot_marks_the_place_that_pictures_show(good):
    table = meeting.known(good["misalignment"])
    at = meeting.certain(table)
    marks = meeting.plot(good["misalignment"]).renderers[-1].data_source.data
    assert (marks["x"][0], marks["y"][0]) == (table["z"][at], table["px"][at])
    assert compared.spots(good)[0].z == table["z"][at]


def test_the_thickness_has_an_error_band_where_the_error_is_known(good):
    assert plots.thickness_error(good) is None
    layers = good.documents["qc"]["layers"]
    known = {"layers": layers, "figures": {"thickness_error_sd": 0.1}}
    changed = type(good)(**{**vars(good), "documents": {**good.documents, "qc": known}})
    assert plots.thickness_error(changed) == 0.1
    drawn = [each.glyph.__class__.__name__ for each in plots.thickness(changed).renderers]
    assert "VArea" in drawn


def test_the_worst_place_is_the_one_that_is_left_for_certain(good):
    worst, typical = compared.spots(good)
    table = good["misalignment"]
    assert (worst.title, typical.title) == ("The worst place", "A typical place")
    left = table["px"] - np.nan_to_num(table["error_px"])
    best = left.argsort(kind="stable")[-1]
    assert (worst.z, worst.tile_id) == (table["z"][best], table["p_id"][best])


def test_places_are_drawn_in_three_planes_before_and_after(run):
    _, service, evidence = run
    parts = compared.draw(service, places.album_names(NAMES), evidence, None)
    sliders = [part for part in parts if isinstance(part, pages.Beside)]
    assert len(sliders) == 2
    for beside in sliders:
        assert [one.after.title for one in beside.parts] == ["xy", "xz", "yz"]
        assert all(one.before.width_px == one.after.width_px for one in beside.parts)
    xy, xz, _ = sliders[0].parts
    assert (xy.after.width_px, xy.after.height_px) == (compared.SIDE_PX, compared.SIDE_PX)
    assert xz.after.height_px == 8 * 12  # layers, enlarged
    assert xz.after.caption.endswith("50 px around it, enlarged 8 times.")


def test_the_search_knows_state_residual_and_what_is_left(good):
    known = searched.index(good)
    review, solved = good["review"], good["solved"]
    cells = len(known["cells"])
    at = known["z"].index(solved["z"][5]) * cells
    at += known["cells"].index(f"{solved['row'][5]}-{solved['column'][5]}")

    def column(name, kind):
        return np.frombuffer(base64.b64decode(known[name]), kind)

    assert column("residual", "<u2")[at] == round(1000 * solved["rms_px"][5])
    assert column("pairs", "<u2")[at] == solved["pairs"][5]
    named = [known["states"][v] for v in column("state", "u1") if v != searched.NO_TILE]
    assert len(named) == len(review)
    assert len(column("left", "<u2")) == len(known["z"]) * cells
    assert known["stamp"][0] in review["tile_id"][0]


def test_a_run_that_has_no_tiles_has_no_search_data(empty):
    assert searched.index(empty) == {}
    assert 'id="tiles">{}</script>' in written(empty, tiles={})


def test_data_of_the_search_cannot_end_its_script(good):
    text = written(good, tiles={"cells": ["</script><b>"]})
    assert "</script><b>" not in text
