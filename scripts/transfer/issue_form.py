"""Issue form: what a person filled in about a new acquisition, as the config of a volume.

The form is the first comment of the tracking issue: headings, each with an answer below it.
Whatever is missing, contradicts itself or cannot be is listed at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from scripts.lib.names import DatName, dat_or_none
from scripts.transfer.transfer_info_checks import Remark

KEEP_PATH = "/cygdrive/d/UploadFlags"  # of every microscope so far
NONE = {"", "_no response_", "none", "n/a", "-"}  # how a form says that there is no answer
SMALLEST_NM, LARGEST_NM = 1.0, 100.0  # voxels of FIB-SEM: 2 to 50 nm
FASTEST_S, SLOWEST_S = 2.0, 3600.0  # a layer: milling and imaging take 10 s to some minutes
DEEPEST_UM = 2000.0  # of a specimen
HEADINGS = {
    "data_set_id": "Scope identifier",
    "host": "Scope host",
    "root_dat_path": "Root directory path",
    "first_dat": "Scope first dat name",
    "last_dat": "Scope last dat name",
    "columns": "Number of columns of images",
    "rows": "Number of rows of images",
    "pixel_nm": "XY nanometers per pixel",
    "z_nm": "Z nanometers per pixel",
    "storage_group": "Group that will pay for data storage",
    "compute_group": "Group that will pay for compute cluster time",
    "dats": "Estimated dat file count",
    "preview": "Generate preview volumes while imaging is in progress",
}
_PROJECT = re.compile(r"[A-Za-z0-9_.-]+")  # as cluster.billing_project of the schema
_NEEDED = {*HEADINGS} - {"last_dat", "preview", "compute_group", "dats"}
_WHOLE, _SIZES = {"columns", "rows", "dats"}, {"pixel_nm", "z_nm"}
_PLAIN = re.compile(r"[^a-z0-9]+")
Answers = Mapping[str, Any]


@dataclass(frozen=True)
class Form:
    """Answers by key of `HEADINGS`, numbers as numbers, and what is wrong with them."""

    answers: Answers
    remarks: tuple[Remark, ...]


def read(text: str) -> Form:
    """Read a form.

    Parameters
    ----------
    text
        Markdown of the issue's first comment, or JSON: the answers by heading, or an issue as the
        API gives it (its ``body`` is read).

    Returns
    -------
    Form
        Answers that are there; one remark for each that is missing or of the wrong form.
    """
    raw = _answers(text)
    remarks = [
        Remark(f"{HEADINGS[key]}: no answer") for key in HEADINGS if key in _NEEDED - raw.keys()
    ]
    answers: dict[str, Any] = {}
    for key, value in raw.items():
        number = _number(value) if key in _WHOLE | _SIZES else value
        whole = key in _WHOLE and isinstance(number, float) and not number.is_integer()
        if number is None or whole:
            kind = "a whole number" if key in _WHOLE else "a number of nm"
            remarks.append(Remark(f"{HEADINGS[key]}: expected {kind}, found {value!r}"))
        else:
            answers[key] = int(number) if key in _WHOLE else number
    return Form(answers, (*remarks, *_implausible(answers)))


def _answers(text: str) -> dict[str, str]:
    found = _json(text)
    if isinstance(found, dict) and isinstance(found.get("body"), str):
        found = found["body"]
    pairs = (
        found.items()
        if isinstance(found, dict)
        else _lines(found if isinstance(found, str) else text)
    )
    known = {_plain(words): key for key, words in HEADINGS.items()}
    out: dict[str, str] = {}
    for heading, answer in pairs:
        plain = _plain(str(heading))
        key = known.get(plain) or next(
            (k for words, k in known.items() if plain.startswith(words)), None
        )
        value = str(answer).strip().strip("`").strip()
        if key and value.lower() not in NONE:
            out.setdefault(key, value)
    return out


def _json(text: str) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(text)
    except ValueError:
        return None


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """Yield each line with the next that holds anything, unless that is a heading."""
    rows = [row.strip() for row in text.splitlines() if row.strip()]
    headings = {_plain(words) for words in HEADINGS.values()}
    for row, after in zip(rows, [*rows[1:], ""], strict=True):
        if not any(_plain(after).startswith(words) for words in headings):
            yield row, after


def _plain(words: str) -> str:
    return _PLAIN.sub(" ", words.lower()).strip()


def _number(text: str) -> float | None:
    try:
        value = float(text.replace(",", "").removesuffix("nm").strip())
    except ValueError:
        return None
    return value if value > 0 else None


def _implausible(answers: Answers) -> Iterator[Remark]:
    """Yield what cannot be, or has never been."""
    parts: tuple[Callable[[Answers], Iterator[Remark]], ...] = (_voxels, _names, _root, _counts)
    for part in parts:
        yield from part(answers)


def _voxels(answers: Answers) -> Iterator[Remark]:
    for key in ("pixel_nm", "z_nm"):
        if key in answers and not SMALLEST_NM <= answers[key] <= LARGEST_NM:
            limits = f"{SMALLEST_NM:g} to {LARGEST_NM:g} nm"
            yield Remark(f"{HEADINGS[key]}: expected {limits}, found {answers[key]:g}")
    for key in ("rows", "columns"):
        if answers.get(key, 1) > 9:
            yield Remark(f"{HEADINGS[key]}: names of files have one digit, found {answers[key]}")


def _names(answers: Answers) -> Iterator[Remark]:
    tiles = {key: dat_or_none(answers.get(key)) for key in ("first_dat", "last_dat")}
    for key, tile in tiles.items():
        if key in answers and tile is None:
            form = "scope_yy-mm-dd_HHMMSS_0-row-column.dat"
            yield Remark(f"{HEADINGS[key]}: expected {form}, found {answers[key]!r}")
    first, last = tiles["first_dat"], tiles["last_dat"]
    if first and first.tile_key != "0-0-0":
        yield Remark(f"{HEADINGS['first_dat']}: expected tile 0-0-0, found {first.tile_key}")
    if last and {"rows", "columns"} <= answers.keys():
        end = f"0-{answers['rows'] - 1}-{answers['columns'] - 1}"
        if last.tile_key != end:
            grid = f"{answers['rows']} rows and {answers['columns']} columns end with {end}"
            yield Remark(f"{HEADINGS['last_dat']}: found tile {last.tile_key}, but {grid}")
    if first and last and first.layer.scope != last.layer.scope:
        yield Remark(f"first and last dat are of {first.layer.scope} and {last.layer.scope}")
    elif first and last and last.layer.order < first.layer.order:
        yield Remark("the last dat is earlier than the first: swap them")


def _root(answers: Answers) -> Iterator[Remark]:
    path = answers.get("root_dat_path")
    if path and not PurePosixPath(path).is_absolute():
        yield Remark(f"{HEADINGS['root_dat_path']}: expected a path from /, found {path!r}")


def _counts(answers: Answers) -> Iterator[Remark]:
    if not {"dats", "rows", "columns"} <= answers.keys():
        return
    tiles, dats = answers["rows"] * answers["columns"], answers["dats"]
    if dats % tiles:
        words = f"{dats:,} is no multiple of {tiles} tiles a layer"
        yield Remark(f"{HEADINGS['dats']}: {words}", person=False)
    deep_um = dats / tiles * answers.get("z_nm", 0) / 1000
    if deep_um > DEEPEST_UM:
        yield Remark(f"{HEADINGS['dats']}: {dats:,} are {deep_um:,.0f} µm of specimen")
    first, last = (dat_or_none(answers.get(key)) for key in ("first_dat", "last_dat"))
    if first and last:
        yield from _pace(first, last, dats / tiles)


def _pace(first: DatName, last: DatName, layers: float) -> Iterator[Remark]:
    seconds = (last.layer.time - first.layer.time).total_seconds() / max(layers - 1, 1)
    if seconds > 0 and not FASTEST_S <= seconds <= SLOWEST_S:
        words = f"{seconds:,.1f} s a layer between the first and the last dat"
        yield Remark(f"{HEADINGS['dats']}: {words}; expected {FASTEST_S:g} to {SLOWEST_S:g}")


def config(answers: Answers, volume: str, work_dir: str, archive: str | None) -> dict[str, Any]:
    """Return the config of the volume, as far as the form tells.

    Parameters
    ----------
    answers
        Of `Form`.
    volume, work_dir
        As in the config.
    archive
        Folder of the archive of raw files; None: raw files stay.

    Returns
    -------
    dict
        As written in the YAML, without defaults.
    """
    owner = re.sub(r"[^A-Za-z0-9]+", "_", answers.get("storage_group", "owner")).strip("_")
    project = re.sub(r"[^A-Za-z0-9]+", "_", volume).strip("_")
    tile = dat_or_none(answers.get("first_dat"))
    acquisition = {
        key: answers[key] for key in ("rows", "columns", *sorted(_SIZES)) if key in answers
    }
    acquisition |= {"scope": tile.layer.scope} if tile else {}
    acquisition |= {"first_dat": answers.get("first_dat"), "last_dat": answers.get("last_dat")}
    scope = {
        key: answers[key] for key in ("host", "root_dat_path", "data_set_id") if key in answers
    }
    transfer: dict[str, Any] = {
        "dat_root": f"{work_dir}/dat",
        "scope": scope | {"keep_path": KEEP_PATH},
    }
    if archive:
        transfer["archive_root"] = archive
    payer = payer_of(answers)
    return {
        "volume": volume,
        "work_dir": work_dir,
        "render": {"owner": owner, "project": project},
        "acquisition": acquisition,
        "transfer": transfer,
    } | ({"cluster": {"billing_project": payer}} if payer else {})


def payer_of(answers: Answers) -> str:
    """Return who pays for the jobs, where it can be the name of a project of the cluster.

    Parameters
    ----------
    answers
        Of `Form`.

    Returns
    -------
    str
        Empty: nobody is named, or in words that no cluster takes.
    """
    named = str(answers.get("compute_group", ""))
    return named if _PROJECT.fullmatch(named) else ""
