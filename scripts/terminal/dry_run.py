"""A look at a volume leaves no trace: dry runs, lists and graphs work in a mirror of its folder.

Snakemake makes the working directory and a folder `.snakemake` in it before it knows whether it is
to run. Whoever only looks gets a folder of links to what is there, which goes with the process.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# options that show something and run nothing, besides the dry run
_SHOWS = {"--lint", "--list-rules", "--list", "-l", "--list-target-rules", "--lt", "--summary"}
_SHOWS |= {"-S", "--detailed-summary", "-D", "--dag", "--rulegraph", "--filegraph", "--d3dag"}
_SHOWS |= {"--list-changes", "--lc", "--list-untracked", "--lu", "--print-compilation"}
_RECORDS = ".snakemake"
_OWN = {"iocache"}  # what a dry run writes there


def is_one(workflow: Any) -> bool:  # noqa: ANN401 - no public type
    """Tell whether Snakemake was started for a dry run.

    Parameters
    ----------
    workflow
        Snakemake's object of the run.

    Returns
    -------
    bool
        False in the jobs of a run, too.
    """
    return bool(workflow.is_main_process and workflow.output_settings.dryrun)


def looks(workflow: Any, argv: Sequence[str] = ()) -> bool:  # noqa: ANN401
    """Tell whether Snakemake was started to show something, and runs nothing.

    Parameters
    ----------
    workflow
        Snakemake's object of the run.
    argv
        Arguments that Snakemake was started with; default: those of the process.

    Returns
    -------
    bool
        False in the jobs of a run, too.
    """
    shows = _SHOWS & {each.partition("=")[0] for each in argv or sys.argv[1:]}
    return is_one(workflow) or bool(workflow.is_main_process and shows)


def place(workflow: Any, work_dir: str, argv: Sequence[str] = ()) -> str:  # noqa: ANN401
    """Return the folder to work in.

    Parameters
    ----------
    workflow
        Snakemake's object of the run.
    work_dir
        Folder of the volume.
    argv
        Arguments that Snakemake was started with; default: those of the process.

    Returns
    -------
    str
        The volume's folder; where nothing is to be run, a mirror of it.
    """
    if not looks(workflow, argv):
        return work_dir
    folder = tempfile.mkdtemp(prefix="dry-run-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    mirror(Path(work_dir), Path(folder))
    return folder


def mirror(work: Path, folder: Path) -> None:
    """Link all that is in a volume's folder, and Snakemake's records, into another folder.

    Parameters
    ----------
    work
        Folder of the volume, which may be missing.
    folder
        Where the links go; it exists.
    """
    _link(work, folder, without={_RECORDS})
    records = folder / _RECORDS
    records.mkdir()
    _link(work / _RECORDS, records, without=_OWN)


def _link(source: Path, target: Path, without: set[str]) -> None:
    for each in source.iterdir() if source.is_dir() else ():
        if each.name in without:
            continue
        link = target / each.name
        link.symlink_to(each)
        # Snakemake takes the later of the times of a link and of what it leads to
        status = each.lstat()
        os.utime(link, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)
