"""Forms of tracking issues: what they say becomes a config, what they lack is told at once."""

import json

import pytest
import yaml

from scripts.transfer import from_form, issue_form
from scripts.transfer.issue_form import HEADINGS

GOOD = {
    "Scope identifier": "demo-1",
    "Scope host": "scope6.example.org",
    "Root directory path": "/cygdrive/e/Images/Fly Brain",
    "Scope first dat name": "Merlin-6284_24-03-07_101112_0-0-0.dat",
    "Scope last dat name": "Merlin-6284_24-03-17_101112_0-1-2.dat",
    "Number of columns of images": "3",
    "Number of rows of images": "2",
    "XY nanometers per pixel": "8",
    "Z nanometers per pixel": "8",
    "Group that will pay for data storage": "mylab",
    "Group that will pay for compute cluster time": "otherlab",
    "Estimated dat file count": "120,000",
    "Generate preview volumes while imaging is in progress (Yes/No)": "Yes",
}


def text_of(answers):
    return "\n\n".join(f"### {heading}\n\n{answer}" for heading, answer in answers.items())


def told(answers):
    return [remark.text for remark in issue_form.read(text_of(answers)).remarks]


def run(tmp_path, answers, *options):
    (tmp_path / "form.md").write_text(text_of(answers))
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    base = [str(tmp_path / "form.md"), "--name", "fly-1", "--out", str(out)]
    code = from_form.main([*base, "--work-root", str(tmp_path / "work"), *options])
    return code, {path.name: path.read_text() for path in out.iterdir()}


def test_a_payer_that_is_no_name_of_a_project_is_told_and_not_written(tmp_path, capsys):
    payer = {"Group that will pay for compute cluster time": "The Other Lab"}
    code, written = run(tmp_path, GOOD | payer, "--dat-mb", "100")
    assert code == 0
    assert "cluster" not in yaml.safe_load(written["fly-1.yaml"])
    assert "The Other Lab pays: set cluster.billing_project" in capsys.readouterr().out


def test_a_good_form_becomes_a_config_that_the_schema_takes(tmp_path, capsys):
    code, written = run(tmp_path, GOOD, "--dat-mb", "100")
    said = capsys.readouterr().out
    assert code == 0, said
    config = yaml.safe_load(written["fly-1.yaml"])
    assert config["render"] == {"owner": "mylab", "project": "fly_1"}
    assert config["acquisition"] == {
        "rows": 2, "columns": 3, "pixel_nm": 8, "z_nm": 8, "scope": "Merlin-6284",
        "first_dat": GOOD["Scope first dat name"], "last_dat": GOOD["Scope last dat name"],
    }  # fmt: skip
    assert config["transfer"]["scope"]["data_set_id"] == "demo-1"
    assert config["transfer"]["scope"]["keep_path"] == "/cygdrive/d/UploadFlags"
    assert "storage: 120,000 files of 100.0 MB: 12,000.0 GB of .dat" in said
    assert "GB are free at" in said
    assert config["cluster"] == {"billing_project": "otherlab"}


def test_text_and_both_kinds_of_json_say_the_same():
    text = issue_form.read(text_of(GOOD))
    assert issue_form.read(json.dumps(GOOD)) == text
    assert issue_form.read(json.dumps({"number": 7, "body": text_of(GOOD)})) == text
    assert issue_form.read(text_of(GOOD).replace("\n\n", "\n")) == text
    assert text.answers.keys() == HEADINGS.keys()


@pytest.mark.parametrize(
    ("heading", "answer", "words"),
    [
        ("Scope host", "_No response_", "Scope host: no answer"),
        ("Scope host", "", "Scope host: no answer"),
        ("Number of rows of images", "two", "expected a whole number, found 'two'"),
        ("Number of rows of images", "1.5", "expected a whole number, found '1.5'"),
        ("XY nanometers per pixel", "8000", "expected 1 to 100 nm, found 8000"),
        ("Z nanometers per pixel", "-8", "expected a number of nm, found '-8'"),
        ("Number of columns of images", "12", "names of files have one digit, found 12"),
        ("Scope first dat name", "layer1.dat", "expected scope_yy-mm-dd_HHMMSS_0-row-column.dat"),
        ("Scope first dat name", "Merlin-6284_24-03-07_101112_0-0-1.dat", "expected tile 0-0-0"),
        ("Scope last dat name", "Merlin-6284_24-03-17_101112_0-1-1.dat", "end with 0-1-2"),
        ("Scope last dat name", "Merlin-6284_24-03-01_101112_0-1-2.dat", "earlier than the first"),
        ("Scope last dat name", "Merlin-6281_24-03-17_101112_0-1-2.dat", "Merlin-6281"),
        ("Root directory path", "e/Images", "expected a path from /"),
        ("Estimated dat file count", "120,001", "no multiple of 6 tiles a layer"),
        ("Estimated dat file count", "60,000,000", "µm of specimen"),
        ("Estimated dat file count", "600", "s a layer between the first and the last dat"),
    ],
)
def test_what_is_missing_or_cannot_be_is_told(heading, answer, words):
    assert told(GOOD) == []
    assert any(words in each for each in told(GOOD | {heading: answer}))


def test_a_form_with_open_questions_is_written_as_a_draft_alone(tmp_path, capsys):
    bad = GOOD | {"Number of rows of images": "", "Scope first dat name": "?"}
    code, written = run(tmp_path, bad)
    assert (code, written) == (1, {})
    assert capsys.readouterr().out.count("decide: ") == 2
    code, written = run(tmp_path, bad, "--draft")
    assert code == 1
    assert written["fly-1.draft.yaml"].count("# DECIDE: ") == 2


def test_a_volume_that_still_grows_has_no_last_file(tmp_path, capsys):
    code, written = run(tmp_path, GOOD | {"Scope last dat name": "_No response_"})
    assert code == 0
    assert yaml.safe_load(written["fly-1.yaml"])["acquisition"]["last_dat"] is None
    assert "imaging goes on" in capsys.readouterr().out


def test_the_preview_is_told_with_its_whole_command_which_names_the_final_file(tmp_path, capsys):
    run(tmp_path, GOOD | {"XY nanometers per pixel": ""}, "--draft")
    said = capsys.readouterr().out
    final = tmp_path / "out/fly-1.yaml"
    assert f"snakemake preview --profile profiles/local --configfile {final}\n" in said
    assert (
        f"snakemake doctor --profile profiles/local --configfile {final.with_stem('fly-1.draft')}"
        in said
    )


def test_a_config_that_is_there_is_not_replaced(tmp_path, capsys):
    assert run(tmp_path, GOOD)[0] == 0
    (tmp_path / "out/fly-1.yaml").write_text("mine")
    code, written = run(tmp_path, GOOD)
    assert (code, written["fly-1.yaml"]) == (1, "mine")
    assert "is not replaced" in capsys.readouterr().out


def test_flag_and_size_are_asked_of_the_scope(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(issue_form, "KEEP_PATH", str(tmp_path / "flags"))
    images, name = tmp_path / "images", GOOD["Scope first dat name"]
    day = images / "Y2024/M03/D07"
    day.mkdir(parents=True)
    (tmp_path / "flags").mkdir()
    (day / name).write_bytes(b"x" * 2_000_000)
    form = {key: value for key, value in GOOD.items() if key != "Scope host"}
    form |= {"Root directory path": str(images), "Scope host": "none"}
    monkeypatch.setattr(issue_form, "_NEEDED", issue_form._NEEDED - {"host"})
    assert run(tmp_path, form, "--ask-scope")[0] == 1
    assert "0 flags of data set demo-1, none of" in capsys.readouterr().out
    (tmp_path / f"flags/demo-1^E^^Images^Y2024^M03^D07^{name}^keep").touch()
    assert run(tmp_path, form, "--ask-scope")[0] == 0
    assert "120,000 files of 2.0 MB" in capsys.readouterr().out
