"""New volume of foreign files: what they are, how their names count, what their tags say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.lib.job import UserError
from scripts.transfer import foreign_scan, images, name_guess
from scripts.transfer.dat import DatError
from scripts.transfer.foreign import ForeignFiles, ForeignSettings
from scripts.transfer.images import Facts
from scripts.transfer.layers import Found, group
from scripts.transfer.name_pattern import NamePattern
from scripts.transfer.new_volume_text import (
    Choices,
    line,
    names,
    next_steps,
    plain,
    short,
)
from scripts.transfer.original import file_of

_ANY_NM = 1.0  # of the volume while the files are counted: no tile is written
_SHOWN = 3


@dataclass(frozen=True)
class ForeignVolume:
    """Facts of a folder of foreign files."""

    root: Path
    source: Mapping[str, Any]
    facts: Facts
    layers: int
    rows: int
    columns: int
    first: str  # layer ids
    last: str
    bytes: int
    unfit: tuple[str, ...]
    files: int
    first_file: str


def look(path: Path) -> ForeignVolume | None:
    """Look at a folder, or at one file or container.

    Parameters
    ----------
    path
        Absolute.

    Returns
    -------
    ForeignVolume or None
        None where there is no file of a known kind.

    Raises
    ------
    UserError
        When the files cannot be read, or their names do not tell what they count.
    """
    root, kind, found = _files(path)
    if not found:
        return None
    first = min(found, key=lambda each: each.path)
    facts = _facts(kind, root / first.path)
    guess = name_guess.guess([each.path for each in found], facts.planes)
    if guess is None:
        shown = ", ".join(each.path for each in found[:_SHOWN])
        raise UserError(
            f"{root}: cannot tell which number in the names of its {kind} files is the slice, the "
            f"row and the column ({shown}, ...): write transfer.source.pattern by hand, as in "
            "docs/transfer.md"
        )
    source: dict[str, Any] = {"kind": kind, "pattern": guess.pattern}
    source |= {"z_step": guess.z_step} if guess.z_step > 1 else {}
    return _counted(root, source, facts, found)


def _files(path: Path) -> tuple[Path, str, list[Found]]:
    """Return root, kind and files: of several kinds the one that has most."""
    for kind, ends in foreign_scan.SUFFIXES.items():
        single = path.is_file() or kind in (images.ZARR, images.N5)
        if single and path.name.lower().endswith(ends):
            size = path.stat()
            return path.parent, kind, [Found(path.name, size.st_size, size.st_mtime_ns)]
    if not path.is_dir():
        return path, "", []
    kinds = {kind: list(foreign_scan.files(path, kind)) for kind in foreign_scan.SUFFIXES}
    for kind in (images.ZARR, images.N5):  # both are folders with metadata: the name tells
        ends = foreign_scan.SUFFIXES[kind]
        kinds[kind] = [each for each in kinds[kind] if each.path.lower().endswith(ends)]
    kind = max(kinds, key=lambda each: len(kinds[each]))
    return path, kind, kinds[kind]


def _facts(kind: str, path: Path) -> Facts:
    try:
        opened = images.open_images(kind, path, None)
    except DatError as error:
        raise UserError(str(error)) from error
    opened.close()
    return opened.facts


def _counted(
    root: Path, source: Mapping[str, Any], facts: Facts, found: list[Found]
) -> ForeignVolume:
    pattern = NamePattern.of(source["pattern"])
    settings = ForeignSettings(**{**source, "pattern": pattern}, pixel_nm=_ANY_NM)
    files = ForeignFiles(root, settings)
    tiles, misfits = files.files()
    if not tiles:
        raise UserError(f"{root}: no {source['kind']} file can be read: {misfits[0].reason}")
    layers = group(tiles)
    return ForeignVolume(
        root=root,
        source=source,
        facts=facts,
        layers=len(layers),
        rows=max(tile.name.row for tile in tiles) + 1,
        columns=max(tile.name.column for tile in tiles) + 1,
        first=next(iter(layers)).layer_id,
        last=list(layers)[-1].layer_id,
        bytes=sum(each.size for each in found),
        unfit=tuple(files.unfit()),
        files=len(found),
        first_file=file_of(next(iter(layers.values()))[0].found.path),
    )


def text(found: ForeignVolume, choices: Choices) -> str:
    """Return the YAML of a volume.

    Parameters
    ----------
    found
        What lies there.
    choices
        Names and folders.

    Returns
    -------
    str
        Some ten keys, each with a comment.
    """
    facts = found.facts
    lines = [
        f"# {found.files:,} {found.source['kind']} file(s), {found.layers:,} layers, tiles of"
        f" {facts.width} x {facts.height} px, {facts.dtype.name}.",
        "# Written from all names and the tags of one file; every other key has its default"
        " (config/README.md).",
        *(f"# LOOK: {one}" for one in doubts(found)),
        "",
        *names(choices, f"{found.bytes / 1e9:.3g} GB of files"),
        "acquisition:",
        *_acquisition(found),
        "",
        "transfer:",
        *_transfer(found, choices),
        *_ingest(found),
    ]
    return "\n".join(lines) + "\n"


def _acquisition(found: ForeignVolume) -> Iterator[str]:
    pixel, z = found.facts.pixel_nm, found.facts.z_nm
    said = "in the tags of the first file" if pixel else "NOT in the tags: write it here"
    thick = "as pixel_nm; not in the tags" if pixel else "NOT in the tags: write it here"
    thick = "in the tags of the first file" if z else thick
    z = z or pixel
    yield line("  rows", found.rows, "of tiles in a layer, from the names")
    yield line("  columns", found.columns, "of tiles in a layer, from the names")
    yield line("  pixel_nm", None if pixel is None else short(round(pixel, 3)), said)
    yield line(
        "  z_nm", None if z is None else short(round(z, 3)), f"thickness of a layer, {thick}"
    )
    yield line("  first_dat", found.first, f"first layer, {plain(found.first_file)}")
    yield line("  last_dat", found.last, "last layer, inclusive; null while imaging goes on")


def _transfer(found: ForeignVolume, choices: Choices) -> Iterator[str]:
    yield line("  dat_root", choices.dat_root, "folder of the files")
    yield line("  source", found.source, "what they are")
    if found.facts.channels > 1:
        yield line("  channel", 0, f"of {found.facts.channels}")
    reason = {"reason": "membranes are dark in the files"}
    yield line("  keep_contrast", [reason], "without this line contrast is inverted")


def _ingest(found: ForeignVolume) -> Iterator[str]:
    if found.rows * found.columns > 1 and found.facts.position_nm is None:
        yield ""
        yield "ingest:"
        yield line("  tile_overlap_um", 2, "the files have no stage position: write it here")


def doubts(found: ForeignVolume) -> list[str]:
    """Say what a person should look at before a run.

    Parameters
    ----------
    found
        What lies there.

    Returns
    -------
    list of str
        A sentence each.
    """
    out = ["are membranes dark in the files? If they are bright, remove transfer.keep_contrast"]
    if found.facts.pixel_nm is None:
        out.append("no tag says the pixel size: write acquisition.pixel_nm and z_nm")
    elif found.facts.z_nm is None:
        out.append("no tag says how thick a layer is: is z_nm right?")
    if found.rows * found.columns > 1 and found.facts.position_nm is None:
        out.append("by how much do tiles overlap? Write ingest.tile_overlap_um")
    if found.unfit:
        kinds = Counter(Path(each).suffix for each in found.unfit)
        shown = ", ".join(map(plain, found.unfit[:_SHOWN]))
        out.append(f"{sum(kinds.values())} file(s) of other names are passed over: {shown}")
    return out


def summary(found: ForeignVolume, target: Path) -> str:
    """Return what the command prints: what was written, doubts, the next commands.

    Parameters
    ----------
    found
        What lies there.
    target
        The file that was written.

    Returns
    -------
    str
        Some lines.
    """
    facts, source = found.facts, found.source
    tiles = f"{found.rows} x {found.columns} tiles of {facts.width} x {facts.height} px"
    pixel = "pixel size not known" if facts.pixel_nm is None else f"{short(facts.pixel_nm)} nm"
    first = (
        f"{target}: {found.layers:,} layers of {tiles}, {pixel}, {source['kind']} files"
        f" {plain(source['pattern'])}"
    )
    return "\n".join([first, *next_steps(doubts(found), target)])
