"""Write the two conda files from `pyproject.toml` (which packages) and `lock.txt` (which versions).

Called by ``make lock``. A test compares the files with what this module would write, so that
there is one source of truth and a pin is never edited in two places.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent / "pyproject.toml"
LOCK = HERE / "lock.txt"

PYTHON = "3.11"
CHANNELS = ("conda-forge", "bioconda")
# Distributions whose conda package has another name, version or does not exist: pip installs them.
FROM_PIP = {"deflate", "opencv-python-headless", "zarr-n5", "render-python", "ome-zarr-models"}

PIPELINE_NOTE = """\
# Everything a rule's script imports, and Snakemake with the LSF plugin to start the workflow from.
# For a Slurm site add the extra `slurm`: pip install "snakemake-executor-plugin-slurm". It is not
# part of this file because it asks the scheduler a question at every start of Snakemake (each
# cluster job is such a start), which costs ten seconds each time where Slurm is absent or down.
"""
DEV_NOTE = "# pipeline.yaml and what `make lint`, `make test` and `make bench` need besides.\n"


def normal(name: str) -> str:
    """Give the normal form of a distribution's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked_versions(text: str) -> dict[str, str]:
    """Read ``name==version`` lines into a mapping from normal names to versions."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text, re.MULTILINE)
    return {normal(name): version for name, version in pins}


def direct_names(requirements: list[str]) -> list[str]:
    """Give the normal names of requirements such as ``snakemake>=9.27,<10``, sorted."""
    return sorted(
        normal(re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]) for line in requirements
    )


def conda_file(name: str, note: str, packages: list[str], versions: dict[str, str]) -> str:
    """Give the text of one conda environment file with every package pinned."""
    lines = [f"{note}name: {name}", "channels:"]
    lines += [f"  - {channel}" for channel in CHANNELS]
    lines += ["dependencies:", f"  - python={PYTHON}", "  - pip"]
    lines += [f"  - {each}={versions[each]}" for each in packages if each not in FROM_PIP]
    lines += ["  - pip:"]
    lines += [f"      - {each}=={versions[each]}" for each in packages if each in FROM_PIP]
    return "\n".join(lines) + "\n"


def conda_files() -> dict[str, str]:
    """Give file name -> text of both conda environment files."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    versions = locked_versions(LOCK.read_text())
    runtime = direct_names(project["dependencies"])
    dev = direct_names(project["dependencies"] + project["optional-dependencies"]["dev"])
    return {
        "pipeline.yaml": conda_file("fibsem-pipeline", PIPELINE_NOTE, runtime, versions),
        "dev.yaml": conda_file("fibsem-pipeline-dev", DEV_NOTE, dev, versions),
    }


if __name__ == "__main__":
    for file_name, text in conda_files().items():
        (HERE / file_name).write_text(text)
