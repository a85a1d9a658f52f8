"""The environment files: one source of truth, and no registry in the lock."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from envs.update import conda_files, direct_names, locked_versions

ROOT = Path(__file__).resolve().parents[1]
LOCK = (ROOT / "envs/lock.txt").read_text()


@pytest.mark.parametrize("name", ["pipeline.yaml", "dev.yaml"])
def test_conda_file_is_what_the_lock_file_gives(name):
    assert (ROOT / "envs" / name).read_text() == conda_files()[name], "stale: run `make lock`"


@pytest.mark.parametrize("name", ["pipeline.yaml", "dev.yaml"])
def test_conda_file_parses_and_pins_every_package_as_the_lock_does(name):
    content = yaml.safe_load((ROOT / "envs" / name).read_text())
    assert content["channels"] == ["conda-forge", "bioconda"]
    versions = locked_versions(LOCK)
    *conda, pip = content["dependencies"]
    pins = [each.split("=") for each in conda if each not in ("python=3.11", "pip")]
    pins += [each.split("==") for each in pip["pip"]]
    assert {package: versions[package] for package, _ in pins} == dict(pins)


def test_lock_names_no_registry_and_only_exact_versions():
    assert not re.search(r"https?:|file:|--|@", LOCK)
    pins = [line for line in LOCK.splitlines() if line and not line.lstrip().startswith("#")]
    assert pins
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line) for line in pins)


def test_lock_holds_every_direct_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = direct_names(project["dependencies"] + project["optional-dependencies"]["dev"])
    assert set(wanted) <= locked_versions(LOCK).keys()


def test_every_conda_directive_of_a_rule_names_a_file_that_exists():
    for rules in [*ROOT.glob("rules/*.smk"), ROOT / "Snakefile"]:
        if not rules.exists():
            continue
        for path in re.findall(r'conda:\s*"([^"]+)"', rules.read_text()):
            assert (rules.parent / path).is_file(), f"{rules.name}: no such environment {path}"
