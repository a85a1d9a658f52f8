import pytest
import yaml

from scripts.lib import files
from scripts.lib.job import UserError
from scripts.lib.names import LayerRange, parse_layer
from scripts.review import check_contrast, polarity, survey

IDS = {float(z): f"Merlin-6281_24-03-07_1011{z:02d}" for z in range(1, 9)}


def kept(entries):
    """The layers that entries keep, by z."""
    ranges = [LayerRange.of(entry) for entry in entries]
    return [z for z, name in IDS.items() if any(r.holds(parse_layer(name)) for r in ranges)]


def entry(first=None, last=None):
    ends = {"first_dat": first and IDS[first], "last_dat": last and IDS[last]}
    return {key: value for key, value in ends.items() if value} | {"reason": "r"}


@pytest.mark.parametrize(
    ("flips", "now", "after"),
    [
        ([5], [], [5, 6, 7, 8]),
        ([5, 6], [], [5]),
        ([3, 5, 7], [], [3, 4, 7, 8]),
        ([5], [entry(5)], []),  # it did not flip where it was said to
        ([5], [entry()], [1, 2, 3, 4]),  # all are recorded with membranes dark, until then
        ([6], [entry(5)], [5]),  # the entry began a layer too early
    ],
)
def test_the_lines_turn_what_follows_a_flip_and_leave_what_comes_before(flips, now, after):
    assert kept(polarity.wanted(flips, IDS, now)) == after


def test_ends_of_the_volume_are_left_open_so_that_later_layers_follow():
    (last,) = polarity.wanted([5], IDS, [])
    assert last == {"first_dat": IDS[5], "reason": "contrast flips at z 5"}
    (first,) = polarity.wanted([5], IDS, [{"reason": "all"}])
    assert first == {"last_dat": IDS[4], "reason": "contrast flips at z 5"}


def test_a_lost_layer_at_the_flip_is_no_end():
    ids = {z: name for z, name in IDS.items() if z != 5}
    assert polarity.wanted([6], ids, [])[0]["first_dat"] == IDS[6]


def looked(folder, opposite):
    """Leave a survey and the layer table as the jobs before do."""
    rows = [
        dict.fromkeys(survey.COLUMNS, 0) | {"tile_id": f"t{z}-{k}", "z": z, "opposite": value}
        for z, values in opposite.items()
        for k, value in enumerate(values)
    ]
    files.write_table(folder / "survey.tsv.gz", survey.COLUMNS, rows)
    layers = [{"z": round(z), "layer_id": name, "status": "ok"} for z, name in IDS.items()]
    layers.append({"z": 9, "layer_id": "", "status": "gap"})
    files.write_table(folder / "layers.tsv", ("z", "layer_id", "status"), layers)
    return {"survey": [folder / "survey.tsv.gz"], "layers": folder / "layers.tsv"}


def test_the_job_stops_with_the_place_and_the_lines(tmp_path):
    inputs = looked(tmp_path, {4: [0, 0], 5: [0.5, 0.6], 6: [0.7, 0.6], 7: [0, 0]})
    with pytest.raises(UserError) as stopped:
        check_contrast.main(**inputs, out=tmp_path / "contrast.json", most=0, kept=[])
    words = str(stopped.value)
    assert words.startswith(f"contrast flips at z 5 ({IDS[5]}), 6 ({IDS[6]}): ")
    lines = yaml.safe_load(words[words.index("\ntransfer:\n") : words.index("\nIf they are")])
    reason = "contrast flips at z 5, 6"
    entry = {"first_dat": IDS[5], "last_dat": IDS[5], "reason": reason}
    assert lines == {"transfer": {"keep_contrast": [entry]}}
    assert "  max_contrast_flips: 2\n" in words
    assert not (tmp_path / "contrast.json").exists()


def test_flips_that_are_allowed_are_written(tmp_path):
    inputs = looked(tmp_path, {4: [0, 0], 5: [0.5, 0.6]})
    check_contrast.main(**inputs, out=tmp_path / "contrast.json", most=1, kept=[])
    assert files.read_json(tmp_path / "contrast.json") == {"contrast_flips": [5.0]}
