"""The doctor's look at files that the config names, and at folders that are to be made."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from scripts.lib import flow, landmarks, truth
from scripts.lib.job import UserError
from scripts.transfer import space
from scripts.transfer.finding import ERROR, NOTE, Case, Finding

ROOT = Path(__file__).resolve().parents[2]  # where relative paths of a config start
_WRITTEN = ("transfer.raw_h5", "transfer.align_h5", "transfer.archive_root", "export.promote_root")


def examine(case: Case) -> Iterator[Finding]:
    """Read each file, and look whether each folder can be made.

    Parameters
    ----------
    case
        The volume.

    Yields
    ------
    Finding
        Errors of what is not there, cannot be read or holds something else.
    """
    yield from _taken_over(case)
    yield from _landmarks(case)
    yield from _truth(case)
    for key in _WRITTEN:
        yield from _folder(case, key)


def _stated(case: Case, key: str) -> Path | None:
    """Return the path of a key, absolute; None where it is absent or null."""
    section, _, name = key.partition(".")
    path = flow.resolved(ROOT, case.config.get(section, {}).get(name))
    return None if path is None else Path(path)


def _taken_over(case: Case) -> Iterator[Finding]:
    for name, is_there in (("align_h5", Path.is_dir), ("raw_h5", Path.is_dir)):
        key = f"takeover.{name}"
        path = _stated(case, key)
        if path is not None and not is_there(path):
            yield Finding(ERROR, key, "none", f"the folder {path}", f"Mend {key}")
    key = "takeover.zcoords"
    path = _stated(case, key)
    if path is None:
        return
    if not path.is_file():
        yield Finding(ERROR, key, "none", f"the file {path}", f"Mend {key}")
        return
    try:
        rising = sorted(truth.read_z_coords(path).items())
    except (OSError, ValueError) as error:
        expected = "z and corrected z on each line"
        yield Finding(ERROR, key, _words(error), expected, f"Mend {key}", str(path))
        return
    fall = [z for (_, before), (z, after) in pairwise(rising) if not after > before]
    if fall or not rising:
        found = f"one at z {fall[0]} that does not" if fall else "no line"
        change = f"Mend {key}"
        yield Finding(ERROR, key, found, "corrected z that rise", change, str(path))


def _landmarks(case: Case) -> Iterator[Finding]:
    """Tell of landmarks without use, tiles matched with themselves, and pairs named twice."""
    seen: dict[frozenset[str], int] = {}
    for number, entry in enumerate(case.config["match"]["by_hand"]):
        where = f"match.by_hand[{number}]"
        pair = frozenset((entry["moving"], entry["fixed"]))
        if len(pair) == 1:
            found = f"{entry['moving']} as both"
            yield Finding(ERROR, where, found, "two tiles", "Mend moving or fixed")
        elif pair in seen:
            expected = "one entry for each pair"
            found = f"the pair of match.by_hand[{seen[pair]}]"
            yield Finding(ERROR, where, found, expected, "Remove one of them")
        seen.setdefault(pair, number)
        path = Path(flow.resolved(ROOT, entry["landmarks"]) or "")
        try:
            landmarks.of_file(path, path.name)
        except UserError as error:
            said, _, found = str(error).partition(", found ")
            at, _, expected = said.partition(": expected ")
            line = at.removeprefix(path.name)
            change = "Save them again, or mend the path"
            key = f"{where}.landmarks{line}"
            file = "" if str(path) in found else str(path)
            yield Finding(ERROR, key, found, expected, change, file)


def _truth(case: Case) -> Iterator[Finding]:
    key = "report.truth"
    path = _stated(case, key)
    if path is None:
        return
    change, expected = f"Mend {key}, or set it to null", "the truth.json of a simulated acquisition"
    if not path.is_file():
        yield Finding(ERROR, key, f"no file {path}", expected, change)
        return
    try:
        truth.read_truth(path)
    except (OSError, ValueError, AttributeError) as error:
        yield Finding(ERROR, key, _words(error), expected, change, str(path))


def _words(error: Exception) -> str:
    """Return what an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _folder(case: Case, key: str) -> Iterator[Finding]:
    """Tell of a folder that cannot be made or written."""
    path = _stated(case, key)
    if path is None:
        return
    there = space.existing(path)
    expected, change = "a folder that can be written", f"Mend {key}"
    if not there.is_dir():
        yield Finding(ERROR, key, f"{there}, which is a file", expected, change)
    elif not os.access(there, os.W_OK | os.X_OK):
        yield Finding(ERROR, key, f"{there}: no permission", expected, change)
    elif key == "export.promote_root" and there.stat().st_dev != _device(case.work_dir):
        expected = f"a folder in the file system of work_dir, {case.work_dir}"
        change = "Target promote renames volumes, which it can within one file system alone"
        yield Finding(NOTE, key, f"{path} in another", expected, change)


def _device(folder: Path) -> int:
    return space.existing(folder).stat().st_dev
