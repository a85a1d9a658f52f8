"""The doctor's look at masks that are pictures: readable, with a white, as large as tiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from scripts.lib.drawing import masks
from scripts.lib.flow import mask_images
from scripts.transfer import doctor_files
from scripts.transfer.dat import DatError
from scripts.transfer.finding import ERROR, NOTE, Case, Finding

KEY = "ingest.mask"


def examine(case: Case) -> Iterator[Finding]:
    """Open each picture.

    Parameters
    ----------
    case
        The volume.

    Yields
    ------
    Finding
        Of those that cannot be read, and those that would hide all of a tile.
    """
    for image in mask_images(case.config["ingest"]["mask"]):
        try:
            shown = masks.picture(image)
        except ValueError as error:
            _, _, said = str(error).partition(": ")
            expected, _, found = said.removeprefix("expected ").partition(", found")
            yield Finding(ERROR, KEY, found.strip(": "), expected, "Mend image", image)
            continue
        if not shown.any():
            found = "no white pixel (255 in 8 bits, 65535 in 16)"
            yield Finding(ERROR, KEY, found, "white where a tile is used", "Mend the image", image)


def sizes(case: Case) -> Iterator[Finding]:
    """Compare the size of each picture with headers of the sample.

    Parameters
    ----------
    case
        The volume, with its layers.

    Yields
    ------
    Finding
        An error where no header looked at is of its size; a note where it is of some layers or
        cells alone, for the sample may lack them.
    """
    stated = case.config["ingest"]["mask"]
    entries = [stated] if isinstance(stated, Mapping) else stated or []
    entries = [each for each in entries if each.get("image") is not None]
    seen = _sizes_seen(case) if entries else set()
    for entry in entries:
        try:
            high, wide = masks.picture(entry["image"]).shape
        except ValueError:
            continue  # reported by `examine`
        if seen and (wide, high) not in seen:
            expected = ", ".join(f"{w} x {h} px" for w, h in sorted(seen)) + ", as in the headers"
            found, severity = f"{wide} x {high} px", NOTE if _is_narrow(entry) else ERROR
            yield Finding(severity, KEY, found, expected, "Mend the image", entry["image"])


def _sizes_seen(case: Case) -> set[tuple[int, int]]:
    found = set()
    for file in doctor_files.sample(case.layers):
        try:
            header = case.inspect(file)[0]
        except DatError:
            continue  # reported with the headers
        found.add((int(header["XResolution"]), int(header["YResolution"])))
    return found


def _is_narrow(entry: Mapping[str, Any]) -> bool:
    return any(entry.get(name) is not None for name in ("z_first", "z_last", "row", "column"))
