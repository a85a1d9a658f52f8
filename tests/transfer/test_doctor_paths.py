"""The doctor's look at files that a config names, and at folders that are to be made."""

import json
from pathlib import Path

import pytest

from scripts.lib import truth
from scripts.transfer import doctor, doctor_paths, doctor_surroundings
from tests.transfer.test_doctor import config, examined

ONE, OTHER = "24-03-07_100002_0-0-0.3.0", "24-03-07_100002_0-0-1.3.0"
POINT = '"Pt-{}","true","{}","2","3","4"\n'
GOOD = "".join(POINT.format(i, i) for i in range(3))


def by_hand(*paths, moving=ONE, fixed=OTHER):
    entry = {"moving": moving, "fixed": fixed, "scale": 1, "reason": "r"}
    return {"match": {"by_hand": [entry | {"landmarks": str(path)} for path in paths]}}


def faults(tmp_path, **sections):
    case = doctor_paths.Case(config(**sections), tmp_path, tmp_path, False)
    return [(each.key, each.found) for each in doctor_paths.examine(case)]


@pytest.mark.parametrize(
    ("content", "line", "found"),
    [
        (None, "", "cannot be read: No such file"),
        (b"\xff\xfe\x00", "", "cannot be read: 'utf-8'"),
        (b"", "", "0"),
        (GOOD.encode() + b"one,two\n", ", line 4", "2: save the landmarks of two single pictures"),
    ],
)
def test_landmarks_that_cannot_be_used_are_told_before_anything_is_done(
    tmp_path, content, line, found
):
    path = tmp_path / "l.csv"
    if content is not None:
        path.write_bytes(content)
    ((key, said),) = faults(tmp_path, **by_hand(path))
    assert key == f"match.by_hand[0].landmarks{line}"
    assert found in said
    path.write_text(GOOD)
    assert faults(tmp_path, **by_hand(path)) == []


def test_a_tile_with_itself_and_a_pair_named_twice_are_told(tmp_path):
    (path := tmp_path / "l.csv").write_text(GOOD)
    assert faults(tmp_path, **by_hand(path, fixed=ONE)) == [("match.by_hand[0]", f"{ONE} as both")]
    twice = faults(tmp_path, **by_hand(path, path))
    assert twice == [("match.by_hand[1]", "the pair of match.by_hand[0]")]


def test_all_files_that_are_not_there_are_told_at_once_with_other_faults(dats):
    found = examined(
        dats,
        **by_hand("/no/such/a.csv", "/no/such/b.csv"),
        acquisition={"columns": 3},
        ingest={"mask": {"image": "/no/such/mask.png"}},
        report={"truth": "/no/such/truth.json"},
        takeover={"zcoords": "/no/such/Zcoords.txt"},
    )
    told = {each.key for each in found if each.severity == "error"}
    assert told == {
        *("match.by_hand[0].landmarks", "match.by_hand[1].landmarks", "match.by_hand[1]"),
        *("acquisition.columns", "ingest.mask", "report.truth", "takeover.zcoords"),
    }
    with pytest.raises(doctor.UserError, match=r"(?s)8 fault.*match.preset: x.*by_hand\[0\]"):
        doctor.require(found, ["match.preset: x"])


@pytest.mark.parametrize(
    ("text", "found"),
    [("1 1\n2\n", "2"), ("1 one\n", "one"), ("", "no line"), ("1 1\n2 1\n", "z 2 that does not")],
)
def test_corrected_z_that_are_none_are_told(tmp_path, text, found):
    (path := tmp_path / "Zcoords.txt").write_text(text)
    ((key, said),) = faults(tmp_path, takeover={"zcoords": str(path)})
    assert key == "takeover.zcoords"
    assert found in said
    path.write_text("1 1\n2 1.5\n3 3\n")
    assert faults(tmp_path, takeover={"zcoords": str(path)}) == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_truth_of_another_kind_is_told(tmp_path, text):
    (path := tmp_path / "t.json").write_text(text)
    ((key, _),) = faults(tmp_path, report={"truth": str(path)})
    assert key == "report.truth"
    path.write_text(json.dumps({"format": truth.FORMAT}))
    assert faults(tmp_path, report={"truth": str(path)}) == []


@pytest.mark.parametrize("key", doctor_paths._WRITTEN)
def test_a_folder_that_cannot_be_made_is_told(tmp_path, monkeypatch, key):
    section, name = key.split(".")
    (tmp_path / "file").touch()
    for path in ("file", "file/below"):
        ((told, found),) = faults(tmp_path, **{section: {name: str(tmp_path / path)}})
        assert told == key
        assert "which is a file" in found
    free = {section: {name: str(tmp_path / "new/folder")}}
    assert faults(tmp_path, **free) == []
    monkeypatch.setattr("os.access", lambda *_: False)
    assert faults(tmp_path, **free) == [(key, f"{tmp_path}: no permission")]


def test_finished_volumes_in_another_file_system_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor_paths, "_device", lambda _: -1)
    ((key, found),) = faults(tmp_path, export={"promote_root": str(tmp_path)})
    assert key == "export.promote_root"
    assert "in another" in found


def test_a_token_that_cannot_be_read_is_told_and_nothing_is_asked(tmp_path, monkeypatch):
    path = tmp_path / "token"
    monkeypatch.setenv("RENDER_WS_URL", "http://127.0.0.1:9/render-ws/v1")
    monkeypatch.setenv("RENDER_WS_TOKEN_FILE", str(path))
    (found,) = doctor_surroundings.service()
    assert (found.key, found.severity) == ("render.token_file", "error")
    assert "No such file" in found.found
    path.write_text("two words")
    (found,) = doctor_surroundings.service()
    assert "one word" in found.text()
    monkeypatch.setenv("RENDER_WS_URL", f"sqlite:///{Path(tmp_path)}/r.db")
    assert list(doctor_surroundings.service()) == []
