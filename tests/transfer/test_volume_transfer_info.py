"""From the JSON config of the numbered scripts to a volume's YAML, and back."""

import copy
import json
from datetime import datetime
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scripts.lib.schema import validate
from scripts.transfer import transfer_info, transfer_info_checks, volume_transfer_info

ROOT = Path(__file__).resolve().parents[2]
CONFIG_SCHEMA = yaml.safe_load((ROOT / "config/schema.yaml").read_text())
INFO_SCHEMA = yaml.safe_load((ROOT / "config/volume_transfer_info.schema.yaml").read_text())
NOW = datetime(2026, 1, 1)

SAMPLE = {
    "transfer_id": "mylab::vol_demo-1::scope6",
    "scope_data_set": {
        "host": "scope6.example.org",
        "root_dat_path": "/cygdrive/e/Images/Demo",
        "root_keep_path": "/cygdrive/d/UploadFlags",
        "data_set_id": "demo-1",
        "rows_per_z_layer": 2,
        "columns_per_z_layer": 2,
        "first_dat_name": "Merlin-0001_25-02-26_000142_0-0-0.dat",
        "last_dat_name": None,
        "dat_x_and_y_nm_per_pixel": 8,
        "dat_z_nm_per_pixel": 8,
        "dat_tile_overlap_microns": 2,
    },
    "cluster_root_paths": {
        "raw_dat": "/groups/mylab/data/vol_demo-1/dat",
        "raw_h5": "/groups/mylab/data/vol_demo-1/raw",
        "align_h5": "/fast/mylab/data/vol_demo-1/align",
        "export_n5": "/fast/mylab/data/vol_demo-1/vol_demo-1.n5",
    },
    "archive_root_paths": {"raw_h5": "/archive/mylab/data/vol_demo-1/raw"},
    "max_mipmap_level": 7,
    "render_data_set": {
        "owner": "mylab",
        "project": "vol_demo_1",
        "stack": "v1_acquire",
        "restart_context_layer_count": 1,
        "mask_width": 100,
        "mask_height": 30,
        "connect": {
            "host": "render.example.org",
            "port": 8080,
            "web_only": True,
            "validate_client": False,
            "client_scripts": "/opt/render/bin",
            "memGB": "1G",
        },
    },
    "transfer_tasks": [
        "COPY_SCOPE_DAT_TO_CLUSTER",
        "GENERATE_CLUSTER_H5_RAW",
        "GENERATE_CLUSTER_H5_ALIGN",
        "REMOVE_DAT_AFTER_H5_CONVERSION",
        "ARCHIVE_H5_RAW",
        "IMPORT_H5_ALIGN_INTO_RENDER",
        "APPLY_FIBSEM_CORRECTION_TRANSFORM",
        "EXPORT_PREVIEW_VOLUME",
    ],
    "cluster_job_project_for_billing": "mylab",
    "number_of_dats_converted_per_hour": 80,
    "number_of_preview_workers": 10,
}


def changed(path=None, value=None, **top):
    """The sample with the value at a dotted path, or top-level values, replaced."""
    info = copy.deepcopy(SAMPLE) | top
    if path is not None:
        *folders, leaf = path.split(".")
        place = info
        for folder in folders:
            place = place[folder]
        place[leaf] = value
    return info


def write(folder, info, name="vol_demo-1"):
    path = folder / f"volume_transfer_info.{name}.json"
    path.write_text(info if isinstance(info, str) else json.dumps(info))
    return path


def run(*paths, out, options=()):
    argv = [*map(str, paths), "--out", str(out), *options]
    return volume_transfer_info.main(argv, now=NOW)


@pytest.fixture
def decided(tmp_path, capsys):
    """Convert one JSON; give status and the lines a person has to decide."""

    def convert(info, *options):
        status = run(write(tmp_path, info), out=tmp_path / "out", options=options)
        lines = capsys.readouterr().out.splitlines()
        return status, [line.strip() for line in lines if line.startswith("  decide:")]

    return convert


# ---------------------------------------------------------------------------------------------
# what comes of it
# ---------------------------------------------------------------------------------------------


def test_the_published_sample_becomes_a_valid_volume(tmp_path):
    assert run(write(tmp_path, SAMPLE), out=tmp_path) == 0
    config = yaml.safe_load((tmp_path / "vol_demo-1.yaml").read_text())
    validate(copy.deepcopy(config), CONFIG_SCHEMA)
    assert config["volume"] == "vol_demo-1"
    assert config["work_dir"] == "/fast/mylab/data/vol_demo-1"
    assert config["render"] == {
        "url": "http://render.example.org:8080/render-ws/v1",
        "owner": "mylab",
        "project": "vol_demo_1",
    }
    assert config["acquisition"] == {
        "rows": 2,
        "columns": 2,
        "pixel_nm": 8,
        "z_nm": 8,
        "first_dat": "Merlin-0001_25-02-26_000142_0-0-0.dat",
        "last_dat": None,
    }
    assert config["transfer"] == {
        "dat_root": "/groups/mylab/data/vol_demo-1/dat",
        "mipmap_levels": 7,
        "scope": {
            "host": "scope6.example.org",
            "root_dat_path": "/cygdrive/e/Images/Demo",
            "keep_path": "/cygdrive/d/UploadFlags",
            "data_set_id": "demo-1",
        },
        "archive_root": "/archive/mylab/data/vol_demo-1/raw",
        "remove_dats": True,
        "raw_h5": "/groups/mylab/data/vol_demo-1/raw",
        "align_h5": "/fast/mylab/data/vol_demo-1/align",
    }
    assert config["ingest"]["restart"] == {"context_layers": 1}
    assert config["ingest"]["mask"] == {"left_px": 100, "top_px": 30}
    assert config["ingest"]["scan_correction"]["data"] == "19.4 64.8 24.4 972.0 0"


def test_what_the_workflow_has_no_key_for_is_kept_in_the_yaml(tmp_path):
    run(write(tmp_path, SAMPLE), out=tmp_path)
    kept = yaml.safe_load((tmp_path / "vol_demo-1.yaml").read_text())["volume_transfer_info"]
    assert kept["cluster_root_paths"]["export_n5"].endswith("vol_demo-1.n5")
    assert kept["render_data_set"]["connect"]["memGB"] == "1G"
    assert kept["number_of_preview_workers"] == 10
    assert "EXPORT_PREVIEW_VOLUME" in kept["transfer_tasks"]
    assert "ARCHIVE_H5_RAW" not in kept["transfer_tasks"]


def test_fill_info_names_tiles_by_key(tmp_path):
    fill = {"tile_indexes": [0, 3], "x": 1, "y": 2, "width": 30, "height": 40}
    fill |= {"fill_intensity": -5, "intensity_threshold": 900}
    run(write(tmp_path, changed(fill_info=fill)), out=tmp_path)
    config = yaml.safe_load((tmp_path / "vol_demo-1.yaml").read_text())
    assert config["transfer"]["fill"] == [
        {
            "tiles": ["0-0-0", "0-1-1"],
            "x_px": 1,
            "y_px": 2,
            "width_px": 30,
            "height_px": 40,
            "threshold": 900,
            "value": -5,
        }
    ]


def test_dats_that_lie_in_the_archive_are_read_there(tmp_path):
    info = changed("cluster_root_paths.raw_dat", None)
    info["archive_root_paths"] = {"raw_dat": "/archive/dat"}
    info["transfer_tasks"] = ["GENERATE_CLUSTER_H5_ALIGN", "IMPORT_H5_ALIGN_INTO_RENDER"]
    assert run(write(tmp_path, info), out=tmp_path) == 0
    config = yaml.safe_load((tmp_path / "vol_demo-1.yaml").read_text())
    assert config["transfer"]["dat_root"] == "/archive/dat"
    assert "scope" not in config["transfer"]


# ---------------------------------------------------------------------------------------------
# what a person has to decide
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ("{", "not readable as JSON"),
        (changed("render_data_set.mask_heigth", 30), "render_data_set.mask_heigth: unknown key; "
         "the nearest known key is render_data_set.mask_height"),
        (changed("scope_data_set.rows_per_z_layer", "two"), "expected integer, at least 1, found"),
        (changed(transfer_tasks=["COPY_SCOPE_DAT"]), "unknown task 'COPY_SCOPE_DAT'; the nearest "
         "is COPY_SCOPE_DAT_TO_CLUSTER"),
        (changed("scope_data_set.last_dat_name", "Merlin-0001_25-03-01_000000_0-0-0.dat"),
         "expected tile 0-1-1 of a grid of 2 x 2, found 0-0-0"),
        (changed("render_data_set.project", "jrc_mus-cortex_1"), "render-ws refuses "
         "'jrc_mus-cortex_1': expected letters and digits with single underscores inside, e.g. "
         "jrc_mus_cortex_1"),
        (changed("render_data_set.owner", "a__b"), "e.g. a_b"),
        (changed("render_data_set.stack", "v2_acquire"), "expected v1_acquire"),
        (changed("scope_data_set.first_dat_name", None), "the acquisition has not started"),
        (changed("scope_data_set.first_dat_name", "Merlin-0001_27-02-26_000142_0-0-0.dat"),
         "lies in the future"),
        (changed("scope_data_set.first_dat_name", "x.dat"), "no name of a .dat file: 'x.dat'"),
        (changed("scope_data_set.last_dat_name", "Merlin-0001_25-01-01_000000_0-1-1.dat"),
         "first_dat_name is later than last_dat_name"),
        (changed("scope_data_set.last_dat_name", "Merlin-0002_25-03-01_000000_0-1-1.dat"),
         "two scopes, Merlin-0001 and Merlin-0002"),
        (changed(scope_data_set=None), "scope_data_set: missing"),
        (changed(cluster_root_paths=None), "cluster_root_paths: missing"),
        (changed(render_data_set=None), "render_data_set: missing"),
        (changed(archive_root_paths=None), "archive_root_paths.raw_h5: missing, but ARCHIVE"),
        (changed("cluster_root_paths.align_h5", "/fast/align_c1"), "add transfer.channel: 1"),
        (changed(fill_info={"tile_indexes": [4], "x": 0, "y": 0, "width": 9, "height": 9,
                            "fill_intensity": 0, "intensity_threshold": 0}),
         "[4] lie beyond the 4 tiles of a layer"),
        (changed("render_data_set.connect.host", "http://render"), "no host name"),
        (changed(max_mipmap_level=13), "transfer.mipmap_levels: expected integer"),
    ],
)  # fmt: skip
def test_what_needs_a_person_is_named_and_nothing_is_written(decided, tmp_path, info, words):
    status, lines = decided(info)
    assert status == 1
    assert any(words in line for line in lines), lines
    assert not list(tmp_path.glob("out/*"))


def test_all_that_is_wrong_with_a_file_is_named_at_once(decided):
    info = changed("render_data_set.project", "a-b")
    info["scope_data_set"] |= {"last_dat_name": "Merlin-0001_25-03-01_000000_0-0-0.dat"}
    info["archive_root_paths"] = None
    info |= {"max_mipmap_levels": 7}
    _, lines = decided(info)
    assert len(lines) == 5  # the schema of the YAML refuses the project too
    _, lines = decided(changed(transfer_tasks=["A", "B"], max_mipmap_levl=1, transfer_id=3))
    assert len(lines) == 4


def test_tasks_that_nobody_reads_are_a_note(tmp_path, capsys):
    assert run(write(tmp_path, SAMPLE), out=tmp_path) == 0
    out = capsys.readouterr().out
    assert "note: transfer_tasks: IMPORT_H5_ALIGN_INTO_RENDER is read by no script" in out


def test_ranges_that_share_a_layer_are_named_in_both_files(tmp_path, capsys):
    name = "Merlin-0001_25-03-{}_000000_0-{}-{}.dat"
    one = changed("scope_data_set.last_dat_name", name.format("05", 1, 1))
    two = changed("scope_data_set.first_dat_name", name.format("05", 0, 0))
    far = changed("scope_data_set.first_dat_name", name.format("05", 0, 0))
    far["scope_data_set"]["data_set_id"] = "another"
    paths = [write(tmp_path, info, n) for info, n in ((one, "a"), (two, "b"), (far, "c"))]
    assert run(*paths, out=tmp_path) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if "shares layers" in line]
    assert len(lines) == 2
    assert "volume_transfer_info.b.json" in lines[0]
    assert "volume_transfer_info.a.json" in lines[1]
    assert (tmp_path / "c.yaml").exists()


def test_ranges_one_after_the_other_are_fine(tmp_path):
    one = changed("scope_data_set.last_dat_name", "Merlin-0001_25-03-05_000000_0-1-1.dat")
    two = changed("scope_data_set.first_dat_name", "Merlin-0001_25-03-05_000100_0-0-0.dat")
    assert run(write(tmp_path, one, "a"), write(tmp_path, two, "b"), out=tmp_path) == 0


def test_one_bad_file_does_not_stop_the_others(tmp_path):
    assert run(write(tmp_path, "[]", "bad"), write(tmp_path, SAMPLE), out=tmp_path) == 1
    assert (tmp_path / "vol_demo-1.yaml").exists()


def test_a_draft_lists_what_is_open_and_says_so_in_its_name(tmp_path):
    path = write(tmp_path, changed("scope_data_set.first_dat_name", None))
    assert run(path, out=tmp_path, options=["--draft"]) == 1
    text = (tmp_path / "vol_demo-1.draft.yaml").read_text()
    assert "# DECIDE: scope_data_set.first_dat_name: null" in text
    assert not (tmp_path / "vol_demo-1.yaml").exists()


def test_a_yaml_somebody_edited_is_not_replaced(tmp_path, capsys):
    path = write(tmp_path, SAMPLE)
    assert run(path, out=tmp_path) == 0
    assert run(path, out=tmp_path) == 0
    edited = tmp_path / "vol_demo-1.yaml"
    edited.write_text(edited.read_text() + "# mine\n")
    assert run(path, out=tmp_path) == 1
    assert "exists and differs" in capsys.readouterr().out
    assert edited.read_text().endswith("# mine\n")
    assert run(path, out=tmp_path, options=["--replace"]) == 0


# ---------------------------------------------------------------------------------------------
# there and back
# ---------------------------------------------------------------------------------------------

# kinds and shares of the 168 real files (grids, voxels, tasks, sections that are absent)
GRIDS = [(1, 1), (2, 2), (1, 2), (2, 3), (2, 5), (1, 3), (2, 4), (3, 3), (1, 4), (5, 6), (4, 5)]
FULL = SAMPLE["transfer_tasks"]
TASK_SETS = [
    FULL,
    FULL[:-1],
    ["GENERATE_CLUSTER_H5_ALIGN", "IMPORT_H5_ALIGN_INTO_RENDER", transfer_info.CORRECT],
    ["GENERATE_ARCHIVE_H5_RAW", "GENERATE_CLUSTER_H5_ALIGN"],
    [],
]
FILL = st.fixed_dictionaries(
    {
        "tile_indexes": st.lists(st.just(0), min_size=1, max_size=1),
        "x": st.integers(0, 9000),
        "y": st.integers(0, 9000),
        "width": st.integers(1, 900),
        "height": st.integers(1, 900),
        "fill_intensity": st.integers(-32768, 32767),
        "intensity_threshold": st.integers(-32768, 32767),
    }
)


@st.composite
def infos(draw):
    """A JSON as people have them; all of them sound."""
    info = copy.deepcopy(SAMPLE)
    scope, render = info["scope_data_set"], info["render_data_set"]
    rows, columns = draw(st.sampled_from(GRIDS))
    scope |= {"rows_per_z_layer": rows, "columns_per_z_layer": columns}
    scope["last_dat_name"] = draw(
        st.sampled_from([None, f"Merlin-0001_25-04-01_120000_0-{rows - 1}-{columns - 1}.dat"])
    )
    xy, z = draw(st.sampled_from([(8, 8), (4, 4), (6, 6), (8, 4), (5, 5), (5, 100)]))
    scope |= {"dat_x_and_y_nm_per_pixel": xy, "dat_z_nm_per_pixel": z}
    info["transfer_tasks"] = draw(st.sampled_from(TASK_SETS))
    info["max_mipmap_level"] = draw(st.sampled_from([7, 3, None]))
    info["fill_info"] = draw(st.one_of(st.none(), FILL))
    info["number_of_dats_converted_per_hour"] = draw(st.sampled_from([80, 15, 40, 20, 60, None]))
    info["number_of_preview_workers"] = draw(st.sampled_from([10, 20, 40, 50, None]))
    info["cluster_job_project_for_billing"] = draw(st.sampled_from(["mylab", "payer", ""]))
    render["mask_height"] = draw(st.sampled_from([0, 30, None]))
    render["mask_width"] = draw(st.sampled_from([100, None]))
    render["restart_context_layer_count"] = draw(st.integers(0, 3))
    if draw(st.booleans()):
        render["connect"] = None
    roots = info["cluster_root_paths"]
    roots["export_n5"] = draw(st.sampled_from([None, "not_applicable", roots["export_n5"]]))
    if draw(st.booleans()):
        info["archive_root_paths"] = {"raw_dat": "/archive/dat", "raw_h5": "/archive/raw"}
        roots["raw_dat"] = draw(st.sampled_from([None, "/groups/dat"]))
    for name in draw(st.sets(st.sampled_from(["max_mipmap_level", "fill_info"]))):
        del info[name]
    return info


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(infos())
def test_the_way_back_gives_the_same_json(info):
    validate(info, INFO_SCHEMA)
    config = transfer_info.to_config(info, INFO_SCHEMA, volume="v", work_dir="w")
    config = yaml.safe_load(yaml.safe_dump(config, sort_keys=False))
    validate(copy.deepcopy(config), CONFIG_SCHEMA)
    back = transfer_info.from_config(config)
    validate(back, INFO_SCHEMA)
    tasks = transfer_info.ordered(info["transfer_tasks"])
    assert back == info | {"transfer_tasks": tasks}


@settings(max_examples=30, deadline=None, derandomize=True)
@given(infos())
def test_the_yaml_of_a_yaml_is_the_same(info):
    validate(info, INFO_SCHEMA)
    config = transfer_info.to_config(info, INFO_SCHEMA, volume="v", work_dir="w")
    back = transfer_info.from_config(config)
    validate(back, INFO_SCHEMA)
    again = transfer_info.to_config(back, INFO_SCHEMA, volume="v", work_dir="w")
    kept, anew = config.pop(transfer_info.KEY), again.pop(transfer_info.KEY)
    assert again == config
    assert set(kept.pop("transfer_tasks")) == set(anew.pop("transfer_tasks"))
    assert kept == anew


def test_a_change_made_in_the_yaml_reaches_the_json(tmp_path):
    run(write(tmp_path, SAMPLE), out=tmp_path)
    path = tmp_path / "vol_demo-1.yaml"
    config = yaml.safe_load(path.read_text())
    config["acquisition"]["last_dat"] = "Merlin-0001_25-04-01_120000_0-1-1.dat"
    config["transfer"]["remove_dats"] = False
    path.write_text(yaml.safe_dump(config))
    assert run(path, out=tmp_path / "back", options=["--reverse"]) == 0
    info = json.loads((tmp_path / "back/volume_transfer_info.vol_demo-1.json").read_text())
    assert info["scope_data_set"]["last_dat_name"] == "Merlin-0001_25-04-01_120000_0-1-1.dat"
    assert "REMOVE_DAT_AFTER_H5_CONVERSION" not in info["transfer_tasks"]
    assert "EXPORT_PREVIEW_VOLUME" in info["transfer_tasks"]
    assert info["render_data_set"]["connect"]["memGB"] == "1G"


def test_what_the_json_cannot_hold_is_named_on_the_way_back(tmp_path, capsys):
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(config))
    assert run(path, out=tmp_path, options=["--reverse"]) == 1
    out = capsys.readouterr().out
    assert "not in the JSON: review.auto: no field there" in out
    assert "not in the JSON: ingest.scan_correction" in out
    assert "decide: scope_data_set.host: missing" in out


def test_every_mapped_key_of_the_json_is_a_key_of_the_yaml():
    known = set()

    def walk(schema, prefix):
        for key, sub in schema.get("properties", {}).items():
            known.add(prefix + key)
            walk(sub, f"{prefix}{key}.")
            walk(sub.get("items", {}), f"{prefix}{key}[].")

    walk(CONFIG_SCHEMA, "")
    mapped = {sub["yaml"] for _, sub in transfer_info.known_keys(INFO_SCHEMA) if "yaml" in sub}
    assert mapped - known == set()


def test_the_nearest_task_is_offered():
    known = INFO_SCHEMA["properties"]["transfer_tasks"]["items"]["enum"]
    assert transfer_info_checks.nearest_task("ARCHIVE_H5", known) == "ARCHIVE_H5_RAW"


def test_folders_and_payer_of_the_json_are_honoured(tmp_path):
    roots = {**SAMPLE["cluster_root_paths"], "export_n5": "/done/mylab/vol_demo-1.n5"}
    path = write(tmp_path, changed(cluster_root_paths=roots))
    assert run(path, out=tmp_path, options=("--takeover",)) == 0
    config = yaml.safe_load((tmp_path / "vol_demo-1.yaml").read_text())
    archive = SAMPLE["archive_root_paths"]["raw_h5"]
    assert config["takeover"] == {"align_h5": roots["align_h5"], "raw_h5": archive}
    assert not {"align_h5", "raw_h5"} & set(config["transfer"])  # theirs are not written to
    assert config["export"] == {"promote_root": "/done/mylab"}
    assert config["cluster"] == {"billing_project": SAMPLE["cluster_job_project_for_billing"]}
    assert run(tmp_path / "vol_demo-1.yaml", out=tmp_path / "back", options=("--reverse",)) == 0
    back = json.loads((tmp_path / "back/volume_transfer_info.vol_demo-1.json").read_text())
    assert back["cluster_root_paths"] == roots


def test_a_volume_that_ends_in_its_working_directory_needs_no_other_place(tmp_path):
    assert run(write(tmp_path, SAMPLE), out=tmp_path) == 0
    config = yaml.safe_load((tmp_path / "vol_demo-1.yaml").read_text())
    assert not {"takeover", "export"} & set(config)
    assert set(config["volume_transfer_info"]["cluster_root_paths"]) == {"export_n5"}


def test_where_volumes_go_in_the_yaml_is_the_n5_of_the_json(tmp_path):
    run(write(tmp_path, SAMPLE), out=tmp_path)
    path = tmp_path / "vol_demo-1.yaml"
    config = yaml.safe_load(path.read_text())
    config["export"] = {"promote_root": "/done"}
    config["transfer"]["align_h5"] = "/other/align"
    path.write_text(yaml.safe_dump(config))
    assert run(path, out=tmp_path / "back", options=["--reverse"]) == 0
    info = json.loads((tmp_path / "back/volume_transfer_info.vol_demo-1.json").read_text())
    assert info["cluster_root_paths"]["export_n5"] == "/done/vol_demo-1.n5"
    assert info["cluster_root_paths"]["align_h5"] == "/other/align"
