"""A config file that Snakemake could not read is told with its line, by every profile."""

import subprocess
import sys
from pathlib import Path

import pytest
import yte

ROOT = Path(__file__).resolve().parents[2]
PROFILES = sorted(ROOT.glob("profiles/*/config.yaml"))
FAULTS = {
    "syntax": (
        b"volume: x\nacquisition:\n  rows: 1\n columns: [2\n",
        "line 4, column 2: .* no YAML",
    ),
    "encoding": ("volume: x\nwork_dir: m\xfcll\n".encode("cp1252"), "line 2: expected UTF-8"),
    "UTF-16": ("volume: x\n".encode("utf-16"), "expected UTF-8, found UTF-16"),
    "twice": (b"volume: x\nvolume: y\n", "(?s)twice.*volume: line 1 and line 2"),
}


@pytest.fixture
def started(monkeypatch):
    """What Snakemake does with a profile before it reads the config of a volume."""

    def start(profile, *argv):
        monkeypatch.chdir(ROOT)
        monkeypatch.setattr(sys, "argv", ["snakemake", *map(str, argv)])
        monkeypatch.setattr(sys, "path", [each for each in sys.path if each != ""])
        with profile.open() as stream:
            return yte.process_yaml(stream, require_use_yte=True)

    return start


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.parent.name)
@pytest.mark.parametrize(("content", "words"), FAULTS.values(), ids=FAULTS)
def test_a_fault_of_a_config_file_is_told_with_its_place(
    started, tmp_path, profile, content, words
):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(SystemExit, match=words) as ended:
        started(profile, "match", "--profile", "p", "--configfile", path, "-n")
    assert str(ended.value).startswith(f"✗ {path}")


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.parent.name)
def test_a_sound_config_leaves_the_profile_as_it_is(started, tmp_path, profile):
    path = tmp_path / "mine.yaml"
    path.write_text("volume: x\n")
    keys = started(profile, f"--configfile={path}", "-n")
    assert keys["rerun-incomplete"] is True
    assert not {key for key in keys if key.startswith("_")}


def test_snakemake_ends_with_the_message_alone(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(FAULTS["encoding"][0])
    argv = ["-m", "snakemake", "--profile", "profiles/local", "--configfile", str(path), "-n"]
    done = subprocess.run(
        [sys.executable, *argv], cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()
    assert len(last) == 2  # Snakemake's own line about the profile, then the message
    assert last[-1].startswith(f"✗ {path}, line 2: expected UTF-8, found the byte 0xfc")
