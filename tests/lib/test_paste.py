"""Lines of a message go into a config that has their sections; nothing in it is lost."""

import io
from datetime import datetime

import numpy as np
import pytest
import yaml

from scripts.lib import paste, yaml_files
from scripts.lib.job import UserError
from scripts.review import exchanged, polarity
from scripts.transfer import new_volume
from scripts.zcorr import order
from tests.transfer.synthetic_dat import make_dat

LAYERS = [{"z": z, "layer_id": f"Merlin-6284_24-03-07_10{z:02d}00"} for z in range(4)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The text of a config that ``scripts.new`` makes."""
    folder = tmp_path_factory.mktemp("made")
    for column in (0, 1):
        first = (32 * column, 0)
        content = make_dat(np.full((30, 40, 2), 7, np.int16), first_xy=first, wd_mm=3.4)
        (folder / f"Merlin-6284_24-03-07_100000_0-0-{column}.dat").write_bytes(content)
    new_volume.main([str(folder), "--out", str(folder / "out")], now=datetime(2024, 6, 1))
    (config,) = (folder / "out").glob("*.yaml")
    return config.read_text()


@pytest.fixture
def config(tmp_path, made):
    path = tmp_path / "v.yaml"
    path.write_text(made)
    return path


def contrast():
    with pytest.raises(UserError) as caught:
        polarity.require([2.0], {one["z"]: one["layer_id"] for one in LAYERS}, [], most=0)
    message = str(caught.value)
    return message[message.index("transfer:") :].partition("\nIf")[0]


def moved():
    told = order.refusal(
        [{"z": "2", "after": "0", "gain": 0.3}], [one | {"z": str(one["z"])} for one in LAYERS]
    )
    return told[told.index("ingest:") :].partition("or accept")[0]


SWAPPED = {"cells": ["0,0", "0,1"], "z": 2}
PRINTED = {
    "contrast": (contrast, "transfer", "keep_contrast"),
    "order": (moved, "ingest", "layers"),
    "exchanged": (
        lambda: exchanged.lines([{"cells": ["0,0", "0,1"], "z": 2}]),
        "ingest",
        "exchange",
    ),
    "pixel": (lambda: "acquisition:\n  pixel_nm: 4", "acquisition", "pixel_nm"),
    "thickness": (lambda: "  zcorr:\n    accept_layers: [3]\n", "zcorr", "accept_layers"),
}


@pytest.mark.parametrize("printed", PRINTED.values(), ids=PRINTED)
def test_printed_lines_and_the_section_that_is_there_are_both_held(config, printed):
    lines, section, key = printed
    old = config.read_text()
    paste.paste(config, lines(), write=True)
    new = yaml_files.read(config)
    wanted = yaml.safe_load(old)
    value = new[section][key]
    wanted[section] = {**(wanted.get(section) or {}), key: value}
    assert new == wanted
    assert value
    comments = [line.partition("#")[2] for line in old.splitlines() if "#" in line]
    assert all(f"#{each}" in config.read_text() for each in comments)
    assert paste.paste(config, lines(), write=True) == "the config says that already\n"


def test_pasted_below_it_is_refused_and_the_command_is_named(config):
    config.write_text(config.read_text() + "transfer:\n  keep_contrast: []\n")
    with pytest.raises(UserError, match=r"transfer: line \d+ and line(.|\n)*") as caught:
        yaml_files.read(config)
    assert "scripts.lib.paste" in str(caught.value)


@pytest.mark.parametrize(
    "lines",
    [
        "volume: b\n",
        "- a\n",
        "transfer:\n  keep_contrast:\n    - {first_dat: b, reason: c}\n",
        "ingest:\n  exchange:\n    - {z: 2}\n",
        "correct:\n  shading: {order: 3}\n",
        "a: b: c\n",
    ],
)
def test_what_cannot_be_put_in_for_sure_is_refused_and_nothing_is_written(tmp_path, lines):
    path = tmp_path / "v.yaml"
    old = (
        "volume: a\ntransfer:\n  keep_contrast: [{first_dat: a, reason: c}]\n"
        "ingest: {exchange: [{z: 1}]}\ncorrect:\n  shading: {order: 2}\n"
    )
    path.write_text(old)
    with pytest.raises(UserError):
        paste.paste(path, lines, write=True)
    assert path.read_text() == old


def test_the_command_writes_only_when_told(config, monkeypatch, capsys):
    old = config.read_text()
    monkeypatch.setattr("sys.stdin", io.StringIO("zcorr:\n  accept_layers: [3]\n"))
    assert paste.main([str(config)]) == 0
    assert "+  - 3" in capsys.readouterr().out
    assert config.read_text() == old
    monkeypatch.setattr("sys.stdin", io.StringIO("nothing"))
    assert paste.main([str(config), "--write"]) == 1
    assert "expected a section" in capsys.readouterr().err
