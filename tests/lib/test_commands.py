"""Commands in messages: as one types them, for the volume of the run."""

import pytest

from scripts.lib import commands

ARGV = ["zcorr", "--forcerun", "infer_z", "--profile", "profiles/local", "-n", "--configfile"]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("VOLUME_COMMAND", "")


def test_a_command_keeps_the_volume_and_drops_what_was_for_one_run():
    commands.remember([*ARGV, "my v.yaml"])
    where = "--profile profiles/local --configfile 'my v.yaml'"
    assert commands.run("correct") == f"snakemake correct {where}"
    assert commands.run() == f"snakemake {where}"
    assert commands.again("infer_z") == f"snakemake {where} --forcerun infer_z"
    assert commands.module("scripts.review.decide", "--write") == (
        "python -m scripts.review.decide 'my v.yaml' --write"
    )


@pytest.mark.parametrize(
    "argv",
    [
        "--profile lsf ingest --configfile a.yaml",
        "ingest --profile lsf --configfile a.yaml --until match --keep-going",
        "--forcerun infer_z --profile=lsf ingest --configfile a.yaml --rerun-triggers mtime",
    ],
)
def test_targets_are_dropped_wherever_they_stand(argv):
    commands.remember(argv.split())
    profile = "--profile=lsf" if "=" in argv else "--profile lsf"
    assert commands.run("solve") == f"snakemake solve {profile} --configfile a.yaml"


@pytest.mark.parametrize(
    ("argv", "file"),
    [
        (["--configfile=a.yaml", "--cores", "2"], "a.yaml"),
        (["--configfiles", "a.yaml", "b.yaml"], "a.yaml"),
        (["--cores", "2"], "config/config.yaml"),
        (["--config", "a=1", "--configfile", "b.yaml"], "b.yaml"),
    ],
)
def test_the_config_file_is_that_of_the_run(argv, file):
    commands.remember(argv)
    assert commands.config_file() == file
    assert commands.run("solve").startswith("snakemake solve --")


def test_a_job_that_knows_nothing_of_its_run_leaves_names_to_fill_in():
    assert commands.again("infer_z", "zcorr") == (
        "snakemake zcorr --profile PROFILE --configfile CONFIG --forcerun infer_z"
    )


BLOCK = "two ways\n\n{}:\n  exclude:\n  - {{z: 3}}\nor nothing"


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (BLOCK.format("ingest"), True),
        (BLOCK.format("review"), True),
        (BLOCK.format("review") + "\npython -m scripts.review.decide c.yaml --write", False),
        (f"{BLOCK.format('review')}\nscripts.review.decide\n{BLOCK.format('zcorr')}", True),
        ("review: what stands in a sentence\n  and goes on", False),
        ("no line at all", False),
    ],
)
def test_messages_with_lines_name_the_command_that_puts_them_in(message, named):
    commands.remember(["--configfile", "v.yaml"])
    told = commands.into_sections(message)
    assert told.startswith(message)
    command = "python -m scripts.lib.paste v.yaml --write"
    assert (command in told) == named
    assert commands.into_sections("") == ""
