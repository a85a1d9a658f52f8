"""What the doctor says of a config against folders and files, and of what it says nothing."""

import http.server
import threading
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from werkzeug.serving import make_server

from scripts.lib import flow
from scripts.lib.job import UserError
from scripts.lib.schema import validate
from scripts.render_ws.app import create_app
from scripts.transfer import doctor, doctor_files, doctor_surroundings, space
from scripts.transfer.original import DatFiles
from tests.transfer.synthetic_dat import make_dat

SCHEMA = yaml.safe_load((Path(__file__).resolve().parents[2] / "config/schema.yaml").read_text())


def config(**sections):
    made = {
        "volume": "v",
        "work_dir": "w",
        "render": {"owner": "o", "project": "p"},
        "acquisition": {"rows": 1, "columns": 2, "pixel_nm": 8, "z_nm": 8},
        "transfer": {"dat_root": "d"},
    }
    for name, values in sections.items():
        made[name] = made.get(name, {}) | values
    validate(made, SCHEMA)
    return made


def keys(found, severity="error"):
    return [each.key for each in found if each.severity == severity]


def examined(dats, **sections):
    """Errors and notes."""
    found = doctor.examine(config(**sections), dats, dats.parent)
    return [each for each in found if each.severity != "fact"]


def test_a_good_volume_has_no_finding(dats):
    assert examined(dats) == []


def test_layers_after_the_last_one_are_told_at_every_start(dats):
    last = {"last_dat": "Merlin-1_24-03-07_100001_0-0-1.dat"}
    (note,) = examined(dats, acquisition=last)
    assert (note.severity, note.key) == ("note", "acquisition.last_dat")
    assert note.found == "2 layer(s) after it, up to Merlin-1_24-03-07_100003"
    assert "left out" in note.change
    (dats.parent / "transfer").mkdir()
    (dats.parent / doctor.PLAN).touch()
    assert doctor.worth_a_look([note], dats.parent) == [note]
    assert examined(dats, acquisition={"last_dat": "Merlin-1_24-03-07_100003_0-0-1.dat"}) == []
    assert examined(dats, acquisition=last | {"scope": "Merlin-1"}) == [note]


@pytest.mark.parametrize(("content", "said"), [(b"", "same bytes"), (b"x", "other bytes")])
def test_a_tile_that_is_there_twice_is_told_before_anything_is_converted(dats, content, said):
    first = min(dats.glob("*.dat"))
    (dats / "again").mkdir()
    (dats / "again" / first.name).write_bytes(first.read_bytes() + content)
    (note,) = examined(dats)
    assert (note.severity, note.key) == ("note", "transfer.dat_root")
    assert note.found.startswith(f"1 tile name(s) occur twice, e.g. {first.name} and again/")
    assert said in note.found


def at_seconds(root, *seconds):
    """Files of layers at these seconds after ten o'clock."""
    pixels = np.zeros((8, 9, 1), np.int16)
    for second in seconds:
        for column in range(2):
            stamp = f"10{second // 60:02d}{second % 60:02d}"
            name = f"Merlin-1_24-03-07_{stamp}_0-0-{column}.dat"
            (root / name).write_bytes(make_dat(pixels, first_xy=(7 * column, 0)))


def test_a_layer_without_files_is_told_before_anything_is_converted(tmp_path):
    at_seconds(tmp_path, 0, 40, 80, 120, 200, 240, 280)
    (note,) = examined(tmp_path)
    assert note.severity == "note"
    assert "1 between Merlin-1_24-03-07_100200 and Merlin-1_24-03-07_100320 (80 s, w" in note.found
    declared = yaml.safe_load(note.change[note.change.index("ingest: ") :])
    assert examined(tmp_path, **declared) == []
    assert "scripts.lib.paste" in note.change


def test_a_pause_is_no_layer_without_files(tmp_path):
    at_seconds(tmp_path, 0, 40, 80, 120, 180, 220, 260)
    assert examined(tmp_path) == []


def test_the_first_files_that_cannot_be_read_are_named():
    assert doctor_files._first("abc") == "a; b; c"
    assert doctor_files._first("abcde") == "a; b; c; and 2 more"


def test_files_that_cannot_be_read_tell_whether_the_transfer_will_stop(dats):
    first = min(dats.iterdir())
    first.write_bytes(first.read_bytes()[:1030])
    (few,) = examined(dats, transfer={"max_bad_share": 0.125})
    assert few.found.count(".dat") == 1
    assert few.change == "Copy them again, or go on with holes"
    (many,) = examined(dats, transfer={"max_bad_share": 0.1})
    assert many.severity == "note"
    assert "The transfer would stop: 1 of 8 tiles cannot be read" in many.change
    assert many.change.endswith("(transfer: {max_bad_share: 0.125})")


def test_missing_and_empty_folders_read_differently(dats, tmp_path):
    (missing,) = doctor.examine(config(), tmp_path / "no/such", tmp_path)
    (tmp_path / "empty").mkdir()
    (empty,) = doctor.examine(config(), tmp_path / "empty", tmp_path)
    assert missing.key == empty.key == "transfer.dat_root"
    assert "no such folder" in missing.found
    assert "the folder is there" in empty.found


def test_a_wrong_scope_is_named_with_those_there_are(dats):
    (found,) = examined(dats, acquisition={"scope": "Merlin-2"})
    assert found.key == "acquisition.scope"
    assert "Merlin-1" in found.expected


def test_limits_that_hold_no_file_are_named(dats):
    (found,) = examined(dats, acquisition={"first_dat": "Merlin-1_25-01-01_000000"})
    assert found.key == "acquisition.first_dat and last_dat"


@pytest.mark.parametrize(
    ("grid", "key", "change"),
    [
        ({"columns": 1}, "acquisition.columns", "columns: 2"),
        ({"columns": 3}, "acquisition.columns", "columns: 2"),
        ({"rows": 2}, "acquisition.rows", "rows: 1"),
    ],
)
def test_a_grid_other_than_that_of_the_names_is_an_error(dats, grid, key, change):
    (found,) = examined(dats, acquisition=grid)
    assert (found.severity, found.key) == ("error", key)
    assert change in found.change


def test_a_last_layer_that_is_not_whole_is_none(dats):
    (dats / "Merlin-1_24-03-07_100003_0-0-1.dat").unlink()
    assert examined(dats) == []


def test_the_pixel_size_of_any_header_counts_as_ingest_does(dats):
    pixels = np.zeros((8, 9, 1), np.int16)
    last = dats / "Merlin-1_24-03-07_100003_0-0-1.dat"
    last.write_bytes(
        make_dat(pixels, pixel_nm=8.7, first_xy=(7, 0))
    )  # within ingest.pixel_deviation_pct
    assert examined(dats) == []
    last.write_bytes(make_dat(pixels, pixel_nm=9, first_xy=(7, 0)))
    (found,) = examined(dats)
    assert (found.key, found.file) == ("acquisition.pixel_nm", last.name)


@pytest.mark.parametrize("wanted", [7.5, 7.98, 8.02, 8.5])
def test_a_pixel_size_that_most_headers_do_not_say_is_noted(dats, wanted):
    assert examined(dats, acquisition={"pixel_nm": 8.005}) == []  # as a restart counts it
    (found,) = examined(dats, acquisition={"pixel_nm": wanted})
    assert (found.severity, found.key, found.expected) == (
        "note",
        "acquisition.pixel_nm",
        f"{wanted:g} nm",
    )
    assert "PixelSize 8 nm" in found.found
    assert "Set pixel_nm: 8," in found.change


def test_a_pixel_size_that_no_header_has_is_no_change_within_the_volume(dats):
    (found,) = examined(dats, acquisition={"pixel_nm": 4})
    assert (found.severity, found.change) == ("error", "Set pixel_nm: 8")


def test_channels_that_no_header_has_are_named(dats):
    sixteen = {"steps": ["16bit"], "16bit": {"channels": [0, 1]}}
    found = examined(dats, transfer={"channel": 1}, correct=sixteen)
    assert keys(found) == ["correct.16bit.channels", "transfer.channel"]
    assert {each.severity for each in found} == {"error"}


def test_a_few_files_without_the_channel_are_a_note_that_names_one(dats):
    files = sorted(dats.iterdir())
    for path in files[1:]:
        both = np.zeros((8, 9, 2), np.int16)
        path.write_bytes(make_dat(both, first_xy=(7 * int(path.name[-5]), 0)))
    (found,) = examined(dats, transfer={"channel": 1})
    assert (found.severity, found.key, found.file) == ("note", "transfer.channel", files[0].name)
    assert "1 of 8 headers" in found.found


def test_files_of_8_bit_do_not_go_with_those_of_16(dats):
    deep = {"correct": {"steps": ["16bit"]}}
    pixels = np.zeros((8, 9, 1), np.uint8)
    files = sorted(dats.iterdir())
    for path in files[:2]:
        path.write_bytes(make_dat(pixels, first_xy=(7 * int(path.name[-5]), 0)))
    assert examined(dats) == []
    (found,) = examined(dats, **deep)
    assert (found.severity, found.key, found.file) == ("error", "correct.steps", files[0].name)
    for path in files:
        path.write_bytes(make_dat(pixels, first_xy=(7 * int(path.name[-5]), 0)))
    assert keys(examined(dats, **deep), "note") == ["correct.steps"]


def test_one_file_that_cannot_be_read_is_a_note_and_all_are_an_error(dats):
    files = sorted(dats.iterdir())
    files[0].write_bytes(b"")
    assert keys(examined(dats), "note") == ["transfer.dat_root"]
    for path in files:
        path.write_bytes(b"")
    assert keys(examined(dats)) == ["transfer.dat_root"]


def test_decisions_outside_of_the_grid_are_all_named(dats):
    review = {
        "exclude": [
            {"cells": ["0,2"], "reason": "r"},
            {"tiles": ["24-03-07_100000_0-1-0.1.0"], "reason": "r"},
            {"tiles": ["24-03-07_100000_0-0-1.1.0"], "reason": "fine"},
            {"cells": ["0,0"], "z_first": 9, "z_last": 3, "reason": "r"},
        ],
        "patch": [{"cell": "3,0", "z": 1, "reason": "r"}],
    }
    wanted = ["review.exclude[0]", "review.exclude[1]", "review.exclude[3]", "review.patch[0]"]
    assert keys(examined(dats, review=review)) == wanted


def test_a_disk_without_room_is_an_error_before_the_first_layer(dats):
    found = examined(dats, transfer={"free_space_gb": 1e9})
    assert keys(found) == ["work_dir"]


def test_a_volume_whose_files_were_archived_has_no_finding(dats):
    (dats.parent / "transfer").mkdir()
    (dats.parent / "transfer/plan.tsv").touch()
    for path in dats.iterdir():
        path.unlink()
    assert examined(dats) == []
    assert doctor.examine(config(), dats / "gone", dats.parent) == []


def test_an_error_stops_with_all_findings_and_a_note_does_not(dats):
    found = examined(dats, acquisition={"columns": 3, "pixel_nm": 4})
    with pytest.raises(UserError, match=r"2 fault(?s:.*)columns(?s:.*)pixel_nm"):
        doctor.require(found)
    (dats / "other.dat").touch()
    doctor.require(examined(dats))


def test_a_note_is_said_until_layers_are_planned(dats):
    (dats / "other.dat").touch()
    found = examined(dats)
    assert doctor.worth_a_look(found, dats.parent) == found
    (dats.parent / "transfer").mkdir()
    (dats.parent / "transfer/plan.tsv").touch()
    assert doctor.worth_a_look(found, dats.parent) == []


def test_few_headers_of_many_files_are_read(dats, monkeypatch):
    monkeypatch.setattr(doctor_files, "MOST_HEADERS", 3)
    layers = doctor.group(DatFiles(dats).files()[0])
    chosen = [file.found.path for file in doctor_files.sample(layers)]
    names = sorted(path.name for path in dats.iterdir())
    assert [chosen[0], chosen[-1]] == [names[0], names[-1]]
    assert len(chosen) == 3


def test_the_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert flow.resolved(tmp_path / "clone", "~/dat") == str(tmp_path.resolve() / "dat")


# ---------------------------------------------------------------------------------------------
# stage positions, thickness
# ---------------------------------------------------------------------------------------------


def rewrite(dats, **of_layer):
    """Write all files anew; values are functions of layer and column."""
    pixels = np.zeros((8, 9, 1), np.int16)
    for path in dats.iterdir():
        layer, column = int(path.name[-11]), int(path.name[-5])
        path.write_bytes(make_dat(pixels, **{k: f(layer, column) for k, f in of_layer.items()}))


@pytest.mark.parametrize(("step", "severity"), [(9, "error"), (40, "error"), (0, "note")])
def test_neighbours_that_the_stage_puts_apart_are_named(dats, step, severity):
    rewrite(dats, first_xy=lambda _, column: (step * column, 0))
    (found,) = examined(dats)
    assert (found.severity, found.key) == (severity, "acquisition.columns")
    assert f"the first of them {step} px apart" in found.found
    assert "less than 9 px" in found.expected


def test_one_layer_whose_stage_was_elsewhere_is_a_note(dats):
    rewrite(dats, first_xy=lambda layer, column: ((7 if layer else 70) * column, 0))
    assert keys(examined(dats), "note") == ["acquisition.columns"]


def test_old_headers_overlap_by_the_configured_length(dats):
    rewrite(dats, version=lambda *_: 8, first_xy=lambda *_: (0, 0))
    assert examined(dats, ingest={"tile_overlap_um": 0.016}) == []
    (found,) = examined(dats, ingest={"tile_overlap_um": 0})
    assert (found.severity, found.key) == ("error", "acquisition.columns")
    assert "ingest.tile_overlap_um" in found.change


@pytest.mark.parametrize(("step_nm", "noted"), [(8, False), (14, False), (20, True), (3, True)])
def test_a_working_distance_that_changes_by_another_step_is_a_note(dats, step_nm, noted):
    pixels = np.zeros((8, 9, 1), np.int16)
    for layer in range(8):
        # a new focus moves all layers after it
        distance = 3.4 + layer * step_nm * 1e-6 + (0.01 if layer > 5 else 0)
        for column in range(2):
            made = make_dat(pixels, first_xy=(7 * column, 0), wd_mm=distance)
            (dats / f"Merlin-1_24-03-07_10000{layer}_0-0-{column}.dat").write_bytes(made)
    assert keys(examined(dats), "note") == (["acquisition.z_nm"] if noted else [])


# ---------------------------------------------------------------------------------------------
# room, programs, service, scope
# ---------------------------------------------------------------------------------------------


def test_the_most_that_a_volume_takes_is_a_fact(dats):
    made = config(export={"formats": ["n5"]})
    words = doctor.needs(doctor.examine(made, dats, dats.parent))
    assert words.startswith("up to 0.0 GB")
    pixels = 1e12 / 2
    most = space.need(made, 10**12)
    assert most.hdf5_bytes == pytest.approx(0.9e12 + pixels * 4 / 3)
    assert most.volumes_bytes == pytest.approx(pixels * 8 / 7)
    deep = config(correct={"steps": ["16bit"]}, export={"formats": ["n5", "zarr"], "review": True})
    assert space.need(deep, 10**12).volumes_bytes == pytest.approx(4 * pixels * (8 / 7 + 1 / 3))


def test_a_disk_that_may_become_full_is_a_note(dats, monkeypatch):
    size = sum(path.stat().st_size for path in dats.iterdir())
    monkeypatch.setattr(space, "free_bytes", lambda _: 10**9 + size)
    (found,) = examined(dats)
    assert (found.severity, found.key) == ("note", "work_dir")
    assert "of exported volumes" in found.expected


def test_other_libraries_than_those_of_the_lock_are_a_note(dats, monkeypatch, tmp_path):
    lock = tmp_path / "lock.txt"
    lock.write_text("numpy==0.1\n    # via\nrequests==0.1\nnumba==0.2\n")
    monkeypatch.setattr(doctor_surroundings, "LOCK", lock)
    (found,) = examined(dats)
    assert found.severity == "note"
    assert "numpy" in found.found
    assert "(lock: 0.1)" in found.found
    assert "requests" not in found.found


def test_the_lock_of_the_project_names_every_library_that_makes_numbers():
    assert len(doctor_surroundings.pinned(doctor_surroundings.LOCK)) >= 12


def asked(monkeypatch, url):
    monkeypatch.setenv("RENDER_WS_URL", url)
    monkeypatch.setenv("RENDER_WS_PATIENCE_S", "0")
    return list(doctor_surroundings.service())


def test_a_service_that_does_not_answer_is_an_error_with_its_key(monkeypatch):
    (found,) = asked(monkeypatch, "http://127.0.0.1:9/render-ws/v1")
    assert (found.severity, found.key) == ("error", "render.url")
    assert "no answer from http://127.0.0.1:9/render-ws/v1" in found.text()


def test_the_embedded_service_is_not_asked(monkeypatch):
    assert asked(monkeypatch, "") == []
    assert asked(monkeypatch, "sqlite:///x.db") == []


@pytest.mark.parametrize(
    ("path", "body", "severity"),
    [
        ("/render-ws/v1/versionInfo", b'{"commit": "abc"}', "fact"),
        ("/render-ws/v1/versionInfo", b"null", "fact"),
        ("/render-ws/v1/versionInfo", b"<html>a page</html>", "error"),
        ("/elsewhere", b"", "error"),
    ],
)
def test_the_version_of_a_service_is_a_fact_and_another_answer_an_error(
    monkeypatch, path, body, severity
):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == path else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = asked(monkeypatch, f"http://127.0.0.1:{server.server_port}/render-ws/v1")
        server.shutdown()
    assert [each.severity for each in found] == [severity]
    assert found[0].key == "render.url"


def test_the_project_s_own_service_over_http_is_a_render_ws(monkeypatch, tmp_path):
    service = create_app(tmp_path / "site.db")
    with make_server("127.0.0.1", 0, service) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (found,) = asked(monkeypatch, f"http://127.0.0.1:{server.port}/render-ws/v1")
        (other,) = asked(monkeypatch, f"http://127.0.0.1:{server.port}/render-ws")
        server.shutdown()
    assert (found.severity, found.found) == ("fact", "a render-ws without a version")
    assert other.severity == "error"
    assert "is no render-ws" in other.found


SCOPE = {"keep_path": "k", "root_dat_path": "r", "data_set_id": "d"}


def test_a_scope_that_does_not_answer_is_an_error(dats, tmp_path, monkeypatch):
    monkeypatch.setenv("RENDER_WS_URL", "")
    here = SCOPE | {"host": None, "method": "local", "keep_path": str(tmp_path / "none")}
    found = doctor.examine(config(transfer={"scope": here}), dats, tmp_path, ask=True)
    assert keys(found) == ["transfer.scope"]
    assert "No such file" in found[0].found
    (tmp_path / "none").mkdir()
    assert keys(doctor.examine(config(transfer={"scope": here}), dats, tmp_path, ask=True)) == []


def test_a_program_that_is_not_here_is_an_error(dats, monkeypatch):
    monkeypatch.setattr(doctor_surroundings.shutil, "which", {"ssh": "/bin/ssh"}.get)
    away = SCOPE | {"host": "scope.example", "method": "rsync"}
    (found,) = examined(dats, transfer={"scope": away})
    assert found.key == "transfer.scope.method"
    assert "rsync" in found.found


def test_a_queue_that_the_cluster_does_not_know_is_an_error(tmp_path, monkeypatch):
    program = tmp_path / "bqueues"
    knows = 'test "$1" = normal && echo normal && exit'
    program.write_text(f'#!/bin/sh\n{knows}\necho "$1: No such queue" >&2\nexit 255\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))  # no other program of a cluster
    resources = [{"lsf_queue": "normal"}, {"lsf_queue": "fast", "mem_mb": 1}, {"mem_mb": 1}]
    (found,) = doctor_surroundings.queues(resources)
    assert (found.severity, found.key) == ("error", "lsf_queue")
    assert found.found == "fast: No such queue"
    assert list(doctor_surroundings.queues([{"lsf_queue": "'a' if mem_mb > 9 else 'b'"}])) == []
    assert list(doctor_surroundings.queues([{"slurm_partition": "normal"}])) == []


def test_what_asks_for_a_queue_is_not_waited_for(tmp_path, monkeypatch):
    program = tmp_path / "bqueues"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(doctor_surroundings, "QUEUE_S", 0.2)
    (found,) = doctor_surroundings.queues([{"lsf_queue": "normal"}])
    assert "no answer of bqueues" in found.found


def test_masks_that_are_pictures_are_opened_and_compared_with_the_headers(dats, tmp_path):
    def said(name, **narrowed):
        mask = [{"image": str(tmp_path / name), **narrowed}]
        found = [each for each in examined(dats, ingest={"mask": mask}) if "mask" in each.key]
        return [each.text() for each in found]

    for name, shape, grey in (("good", (8, 9), 255), ("small", (8, 8), 255), ("grey", (8, 9), 254)):
        Image.fromarray(np.full(shape, grey, np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "text.png").write_text("white")
    assert said("good.png") == []
    (wrong,) = said("small.png")
    assert "error: ingest.mask: expected 9 x 8 px, as in the headers, found 8 x 8 px" in wrong
    assert said("small.png", row=0)[0].startswith("note: ")
    for name, words in (("grey", "no white pixel"), ("text", "a PNG or TIFF"), ("gone", "no such")):
        (wrong,) = said(f"{name}.png")
        assert wrong.startswith("error: ingest.mask: expected ")
        assert words in wrong
        assert f"({tmp_path}/{name}.png)" in wrong
