"""The YAML of a new volume: what the files say is asked of nobody, and what is odd is told."""

import dataclasses
import shlex
import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

from scripts.lib import schema, yaml_files
from scripts.transfer import acquired, microscopes, name_guess, new_volume, new_volume_text
from scripts.transfer.new_volume_text import Choices
from tests.transfer import foreign_files as ff
from tests.transfer.synthetic_dat import make_dat

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = yaml_files.read(ROOT / "config/schema.yaml")
LATER = datetime(2024, 6, 1)


def acquire(folder, *, grid=(2, 3), layers=6, scope="Merlin-6284", size=(30, 40), **how):
    """Write an acquisition whose tiles overlap by 8 px, mills 8 nm a layer."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.full((*size, 2), 7, np.int16)
    for k in range(layers):
        for row in range(grid[0]):
            for column in range(grid[1]):
                first = (column * (size[1] - 8), row * (size[0] - 8))
                content = make_dat(pixels, first_xy=first, wd_mm=3.4 + k * 8e-6, **how)
                name = f"{scope}_24-03-07_10{k:02d}00_0-{row}-{column}.dat"
                (folder / name).write_bytes(content)
    return folder


def write(root, tmp_path, *options, now=LATER):
    code = new_volume.main([str(root), "--out", str(tmp_path / "out"), *options], now=now)
    (target,) = (tmp_path / "out").glob("*.yaml")
    return code, yaml_files.read(target), target.read_text()


def test_the_files_say_grid_pixels_ends_and_channels(tmp_path):
    code, config, text = write(acquire(tmp_path / "my fly" / "dat"), tmp_path)
    assert code == 0
    assert config["acquisition"] == {
        "rows": 2,
        "columns": 3,
        "pixel_nm": 8,
        "z_nm": 8,
        "scope": "Merlin-6284",
        "first_dat": "Merlin-6284_24-03-07_100000_0-0-0.dat",
        "last_dat": "Merlin-6284_24-03-07_100500_0-1-2.dat",
    }
    assert config["volume"] == config["render"]["project"] == "my_fly"
    assert config["transfer"] == {"dat_root": str(tmp_path / "my fly" / "dat"), "channel": 0}
    assert "overlap by 8 px" in text
    assert "LOOK" not in text
    schema.validate(config, SCHEMA)


def test_tiles_that_are_there_twice_are_told_and_counted_once(tmp_path, capsys):
    root = acquire(tmp_path / "a", layers=2)
    once = acquired.look(root, None)
    shutil.copytree(root, root / "again")
    found = acquired.look(root, None)
    assert (found.tiles, found.bytes, found.layers) == (once.tiles, once.bytes, once.layers)
    write(root, tmp_path)
    assert "look: 12 tile name(s) occur twice, e.g. Merlin" in capsys.readouterr().out


def test_every_line_with_a_value_says_where_it_is_from(tmp_path):
    _, _, text = write(acquire(tmp_path / "a"), tmp_path)
    keys = [line for line in text.splitlines() if ": " in line and not line.startswith("#")]
    assert len(keys) > 10
    assert all("  # " in line for line in keys)


def test_the_next_command_can_be_typed_also_where_names_hold_blanks(tmp_path, capsys):
    folder = tmp_path / "with blanks"
    root = acquire(folder / "dat")
    assert new_volume.main([str(root), "--out", str(folder)], now=LATER) == 0
    line = capsys.readouterr().out.splitlines()[-1].strip()
    words = shlex.split(line)
    assert words[:2] == ["snakemake", "estimate"]
    assert Path(words[-1]).is_file()


def test_while_imaging_goes_on_the_end_is_open(tmp_path):
    now = datetime(2024, 3, 7, 12)
    _, config, text = write(acquire(tmp_path / "a"), tmp_path, now=now)
    assert config["acquisition"]["last_dat"] is None
    assert "imaging goes on" in text


def test_nothing_is_replaced(tmp_path, capsys):
    root = acquire(tmp_path / "a")
    _, _, text = write(root, tmp_path)
    assert new_volume.main([str(root), "--out", str(tmp_path / "out")]) == 1
    assert "is not replaced" in capsys.readouterr().err
    assert (tmp_path / "out/a.yaml").read_text() == text


@pytest.mark.parametrize("kind", ["nothing", "empty", "a file", "other files", "garbage"])
def test_a_folder_of_something_else_is_told_in_one_line(tmp_path, capsys, kind):
    root = tmp_path / "a"
    if kind == "a file":
        root.write_text("")
    elif kind != "nothing":
        root.mkdir()
    if kind == "other files":
        (root / "x.dat").write_text("x")
    if kind == "garbage":
        (root / "Merlin-6284_24-03-07_100000_0-0-0.dat").write_bytes(b"x" * 4000)
    assert new_volume.main([str(root), "--out", str(tmp_path / "out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(str(root))
    assert not (tmp_path / "out").exists()


def test_files_of_two_microscopes_ask_for_one_of_them(tmp_path, capsys):
    root = acquire(tmp_path / "a", layers=2)
    acquire(root, scope="Merlin-6281", layers=1)
    assert new_volume.main([str(root), "--out", str(tmp_path / "out")]) == 1
    assert "Merlin-6284 (12 files), Merlin-6281 (6 files)" in capsys.readouterr().err
    _, config, _ = write(root, tmp_path, "--scope", "Merlin-6281")
    assert config["acquisition"]["last_dat"].startswith("Merlin-6281_24-03-07_100000")


def test_what_is_odd_is_told(tmp_path):
    root = acquire(tmp_path / "a", pixel_nm=4.0, layers=8)
    stray = root / "Merlin-6284_24-03-07_100000_0-0-0.dat"
    shutil.copy(stray, root / "Merlin-6284_24-03-07_100000_0-4-0.dat")
    bad = root / "Merlin-6284_24-03-07_100700_0-1-2.dat"
    bad.write_bytes(bad.read_bytes()[:2000])
    _, _, text = write(root, tmp_path)
    assert "only 1 of 8 layers have tile 4-0" in text
    assert "grows by about 8 nm a layer: is z_nm right?" in text
    assert "1 of 24 files looked at cannot be read" in text


def test_old_headers_have_no_positions_and_so_an_assumed_overlap(tmp_path):
    _, config, _ = write(acquire(tmp_path / "a", version=8), tmp_path)
    assert config["ingest"]["tile_overlap_um"] == 2


def test_a_hostile_note_stays_in_its_comment(tmp_path):
    _, config, _ = write(acquire(tmp_path / "a", notes=b"x\nvolume: evil\r#"), tmp_path)
    assert config["volume"] == "a"


@pytest.mark.parametrize("name", ["007", "null", "1e5", "yes", "24-03-07", "0x1f", "12_34", "x.y"])
def test_a_name_that_yaml_would_misread_is_a_text(tmp_path, name):
    _, config, _ = write(acquire(tmp_path / "a", layers=1), tmp_path, "--name", name)
    assert config["volume"] == name


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return acquired.look(acquire(tmp_path_factory.mktemp("found"), layers=2), None)


def chosen_of(found, name=None, **changes):
    changed = dataclasses.replace(found, **changes)
    chosen = microscopes.choose(changed, name)
    text = new_volume_text.text(changed, chosen, Choices("a", "dat", "work", "me"), LATER)
    return chosen and chosen.name, yaml.safe_load(text)["ingest"]


def test_the_scan_of_whole_frames_of_a_known_microscope_is_corrected(found):
    known, ingest = chosen_of(found, width_px=6250, overlap_px=250)
    assert known == "jeiss"
    assert ingest["scan_correction"]["data"] == "19.4 64.8 24.4 972.0 0"
    assert ingest["mask"] == {"left_px": 100, "top_px": 30}


def test_a_mask_as_wide_as_the_overlap_would_tear_tiles_apart(found):
    assert chosen_of(found, width_px=6250, overlap_px=100)[1]["mask"] == {"top_px": 30}


def test_small_frames_and_unknown_microscopes_are_not_corrected(found):
    assert chosen_of(found)[0] is None
    known, ingest = chosen_of(found, width_px=6250, scope="Merlin-1")
    assert known is None
    assert ingest == {"scan_correction": None, "mask": None}


def test_the_simulated_microscope_is_known_by_its_header(found):
    texts = {**found.texts, "SampleID": "synthetic-neuropil"}
    known, ingest = chosen_of(found, texts=texts)
    assert known == "simulated"
    demo = yaml_files.read(ROOT / "config/config.yaml")["ingest"]["scan_correction"]
    assert ingest["scan_correction"]["data"] == demo["data"]


def test_an_entry_can_be_named_and_a_wrong_name_lists_those_there_are(found):
    assert chosen_of(found, "ocellar")[1]["scan_correction"][1]["z_first"] == 2100
    with pytest.raises(new_volume.UserError, match="ocellar"):
        microscopes.choose(found, "oscellar")


def test_every_entry_of_the_table_makes_a_sound_config(found):
    for one in microscopes.table():
        wide = dataclasses.replace(found, width_px=6000, overlap_px=250)
        text = new_volume_text.text(wide, one, Choices("a", "dat", "work", "me"), LATER)
        schema.validate(yaml.safe_load(text), SCHEMA)


@pytest.mark.parametrize("path", sorted((ROOT / "config/volumes").glob("*.yaml")), ids=str)
def test_configs_that_are_shown_are_sound(path):
    schema.validate(yaml_files.read(path), SCHEMA)


# ---------------------------------------------------------------------------------------------
# TIFF, MRC, OME-Zarr, N5
# ---------------------------------------------------------------------------------------------

VOLUME = np.random.default_rng(1).integers(0, 255, (5, 30, 40), np.uint8)


@pytest.mark.parametrize("kind", ff.WRITERS, ids=lambda each: each.__name__)
def test_every_source_is_recognised_and_its_config_runs(tmp_path, kind):
    root = tmp_path / "block 7"
    root.mkdir()
    expected = kind(root, VOLUME)
    if kind is ff.ome_tiff:
        expected["pattern"] = "stack.ome.tif"
    code, config, text = write(root, tmp_path)
    assert code == 0
    assert config["transfer"]["source"] == expected
    assert config["transfer"]["keep_contrast"] == [{"reason": "membranes are dark in the files"}]
    assert config["volume"] == "block_7"
    assert (config["acquisition"]["rows"], config["acquisition"]["columns"]) == (1, 1)
    first, last = config["acquisition"]["first_dat"], config["acquisition"]["last_dat"]
    assert (first[-6:], last[-6:]) == ("000000", "000004")
    if kind in ff.SAY_THE_SIZE:
        assert config["acquisition"]["pixel_nm"] == 8
    else:
        assert config["acquisition"]["pixel_nm"] is None
        assert "LOOK: no tag says the pixel size" in text
        config["acquisition"] |= {"pixel_nm": 8, "z_nm": 8}
    schema.validate(config, SCHEMA)
    assert ff.findings(root, config) == []


def test_a_file_or_a_container_by_itself_is_a_volume(tmp_path):
    root = tmp_path / "many"
    root.mkdir()
    for make in (ff.stack, ff.mrc, ff.ome_zarr):
        make(root, VOLUME)
    for name, kind in (("stack.tif", "tiff"), ("volume.mrc", "mrc"), ("volume.zarr", "zarr")):
        code, config, _ = write(root / name, tmp_path / name)
        assert code == 0
        assert config["transfer"]["source"] == {"kind": kind, "pattern": name}
        assert config["transfer"]["dat_root"] == str(root)
        assert config["volume"] == name.partition(".")[0]


def test_a_grid_of_stacks_asks_for_the_overlap(tmp_path):
    root = tmp_path / "grid"
    root.mkdir()
    for row in (1, 2):
        for column in (1, 2, 3):
            tifffile.imwrite(root / f"tile_{row}_{column}.tif", VOLUME)
    _, config, text = write(root, tmp_path)
    assert config["transfer"]["source"]["pattern"] == "tile_{row:1}_{column:1}.tif"
    assert (config["acquisition"]["rows"], config["acquisition"]["columns"]) == (2, 3)
    assert config["ingest"] == {"tile_overlap_um": 2}
    assert "LOOK: by how much do tiles overlap?" in text


@pytest.mark.parametrize(
    ("names", "planes", "pattern", "others"),
    [
        (["{z:04d}.tif"], 1, "{z}.tif", []),
        (["a_r{row}-c{column}_S_{z:03d}_123.tif"], 1, "a_r{row}-c{column}_S_{z}_123.tif", []),
        (["slice_{z:05d}_z={um:.4f}um.tif"], 1, "slice_{z}_z=*um.tif", []),
        (["{row}-{column}/s{z}.tif"], 1, "{row}-{column}/s{z}.tif", []),
        (["{z:03d}_{row}_{column}.tif"], 1, "{z}_{row}_{column}.tif", []),
        (["SEM Image - SliceImage - {z:03d}.tif"], 1, "SEM Image - SliceImage - {z}.tif", []),
        (["z{z}_ch{column}.tif"], 1, "z{z}_ch{channel}.tif", []),
        (["{z}.tif", "overview.tif"], 1, "{z}.tif", ["overview.tif"]),
        (["t_{column}.tif"], 9, "t_{column}.tif", []),
    ],
)
def test_patterns_are_guessed_from_names(names, planes, pattern, others):
    paths = {
        name.format(z=z, um=z * 0.008, row=row, column=column)
        for name in names
        for z in range(30)
        for row in range(2)
        for column in range(2)
    }
    found = name_guess.guess(sorted(paths), planes)
    assert (found.pattern, list(found.others)) == (pattern, others)


def test_names_that_do_not_tell_are_said_so(tmp_path, capsys):
    root = tmp_path / "odd"
    root.mkdir()
    for name in ("a{x}_1.tif", "a{x}_2.tif"):
        tifffile.imwrite(root / name, VOLUME[0])
    assert new_volume.main([str(root), "--out", str(tmp_path)]) == 1
    assert "write transfer.source.pattern by hand" in capsys.readouterr().err
