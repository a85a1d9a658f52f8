"""The `.dat` file of a Jeiss FIB-SEM: 1024 bytes of header, interleaved pixels, a recipe.

Everything is big-endian. The header exists in versions 1 to 10; `FIELDS` is the one table of where
each field lies in each version. The recipe (footer) is opaque and kept byte for byte.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from scripts.lib.arrays import Image

HEADER_BYTES = 1024
MAGIC = 3555587570
NEWEST_VERSION = 10
MOST_CHANNELS = 4  # the header knows the inputs AI1 to AI4

Header = dict[str, Any]

# name, then placements "versions:offset:type"; a last version is left open with "-".
# types: u1 u2 u4 i2 i4 i8 f4 f8, S<n> text; "f4*c" has 4 values per channel, "f4*2" two rows of 4
FIELDS = """
FileMagicNum            1-:0:u4
FileVersion             1-:4:u2
FileType                1-:6:u2
SWdate                  1-:8:S10
TimeStep                1-:24:f8
ChanNum                 1-:32:u1
EightBit                1-:33:u1
Scaling                 1-1:36:f8*c     2-6:36:f4*c     7-:36:f4*2
Restart                 9-:68:u1
StageMove               9-:69:u1
FirstX                  9-:70:i4
FirstY                  9-:74:i4
XResolution             1-:100:u4
YResolution             1-:104:u4
Oversampling            1-3:108:u1      4-:108:u2
AIDelay                 1-3:109:i2
ZeissScanSpeed          1-:111:u1
ScanRate                1-3:112:f8      4-:112:f4
FramelineRampdownRatio  1-3:120:f8      4-:116:f4
Xmin                    1-3:128:f8      4-:120:f4
Xmax                    1-3:136:f8      4-:124:f4
Detmin                  4-:128:f4
Detmax                  4-:132:f4
DecimatingFactor        4-:136:u2
AI1                     1-:151:u1
AI2                     1-:152:u1
AI3                     1-:153:u1
AI4                     1-:154:u1
SampleID                9-:155:S25
Notes                   1-:180:S200
DetA                    1-:380:S10
DetB                    1-:390:S18
DetC                    1-2:700:S20     3-:410:S20
DetD                    1-2:720:S20     3-:430:S20
Mag                     1-2:408:f8      3-:460:f4
PixelSize               1-2:416:f8      3-:464:f4
WD                      1-2:424:f8      3-:468:f4
EHT                     1-2:432:f8      3-:472:f4
SEMApr                  1-2:440:u1      3-:480:u1
HighCurrent             1-2:441:u1      3-:481:u1
SEMCurr                 1-2:448:f8      3-:490:f4
SEMRot                  1-2:456:f8      3-:494:f4
ChamVac                 1-2:464:f8      3-:498:f4
GunVac                  1-2:472:f8      3-:502:f4
SEMShiftX               3-:510:f4
SEMShiftY               3-:514:f4
SEMStiX                 1-2:480:f8      3-:518:f4
SEMStiY                 1-2:488:f8      3-:522:f4
SEMAlnX                 1-2:496:f8      3-:526:f4
SEMAlnY                 1-2:504:f8      3-:530:f4
StageX                  1-2:512:f8      3-:534:f4
StageY                  1-2:520:f8      3-:538:f4
StageZ                  1-2:528:f8      3-:542:f4
StageT                  1-2:536:f8      3-:546:f4
StageR                  1-2:544:f8      3-:550:f4
StageM                  1-2:552:f8      3-:554:f4
BrightnessA             1-2:560:f8      3-:560:f4
ContrastA               1-2:568:f8      3-:564:f4
BrightnessB             1-2:576:f8      3-:568:f4
ContrastB               1-2:584:f8      3-:572:f4
Mode                    1-2:600:u1      3-:600:u1
FIBFocus                1-2:608:f8      3-:604:f4
FIBProb                 1-2:616:u1      3-:608:u1
FIBCurr                 1-2:624:f8      3-:620:f4
FIBRot                  1-2:632:f8      3-:624:f4
FIBAlnX                 1-2:640:f8      3-:628:f4
FIBAlnY                 1-2:648:f8      3-:632:f4
FIBStiX                 1-2:656:f8      3-:636:f4
FIBStiY                 1-2:664:f8      3-:640:f4
FIBShiftX               1-2:672:f8      3-:644:f4
FIBShiftY               1-2:680:f8      3-:648:f4
MillingXResolution      5-:652:u4
MillingYResolution      5-:656:u4
MillingXSize            5-:660:f4
MillingYSize            5-:664:f4
MillingULAng            5-:668:f4
MillingURAng            5-:672:f4
MillingLineTime         5-:676:f4
FIBFOV                  5-:680:f4
MillingLinesPerImage    5-:684:u2
MillingPIDOn            5-:686:u1
MillingPIDMeasured      5-:689:u1
MillingPIDTarget        5-:690:f4
MillingPIDTargetSlope   5-:694:f4
MillingPIDP             5-:698:f4
MillingPIDI             5-:702:f4
MillingPIDD             5-:706:f4
MachineID               5-:800:S30
SEMSpecimenI            5-:980:f4
Temperature             6-:850:f4
FaradayCupI             6-:854:f4
FIBSpecimenI            6-:858:f4
BeamDump1I              6-:862:f4
SEMSpecimenICurrent     6-:866:f4
MillingYVoltage         6-:870:f4
FocusIndex              6-:874:f4
FIBSliceNum             6-:878:u4
BeamDump2I              8-:882:f4
MillingI                8-:886:f4
FileLength              1-:1000:i8
"""
_CODES = {"u1": "B", "u2": "H", "u4": "I", "i2": "h", "i4": "i", "i8": "q", "f4": "f", "f8": "d"}


class DatError(ValueError):
    """A `.dat` file that cannot be read; the message names the file, what is expected and found."""


@dataclass(frozen=True)
class Placement:
    """Where one field lies in one version; `rows` of 4 values are for Scaling (0: per channel)."""

    name: str
    offset: int
    code: str
    rows: int | None = None


@dataclass(frozen=True, eq=False)
class Dat:
    """One tile as read: parsed header, pixels (y, x, channel) `>i2` or `u1`, and both raw ends."""

    header: Header
    pixels: Image
    head: bytes
    footer: bytes


@cache
def placements(version: int) -> tuple[Placement, ...]:
    """Return the fields of a header version; later versions are as the newest.

    Parameters
    ----------
    version
        Version of the header, from 1.

    Returns
    -------
    tuple of Placement
        In the order of `FIELDS`; offsets in bytes.
    """
    version = min(version, NEWEST_VERSION)
    found = []
    for line in FIELDS.strip().splitlines():
        name, *places = line.split()
        found += [_placement(name, p) for p in places if _covers(p, version)]
    return tuple(found)


def _covers(place: str, version: int) -> bool:
    first, last = place.split(":")[0].split("-")
    return int(first) <= version <= int(last or NEWEST_VERSION)


def _placement(name: str, place: str) -> Placement:
    _, offset, kind = place.split(":")
    kind, _, rows = kind.partition("*")
    if kind.startswith("S"):
        return Placement(name, int(offset), f">{kind[1:]}s")
    if rows:
        return Placement(name, int(offset), _CODES[kind], 0 if rows == "c" else int(rows))
    return Placement(name, int(offset), f">{_CODES[kind]}")


def parse_header(data: bytes, name: str) -> Header:
    """Read the header at the start of a file.

    Parameters
    ----------
    data
        At least the first `HEADER_BYTES` bytes of a file.
    name
        The file's, for messages.

    Returns
    -------
    Header
        Value (int, float, str, or list of lists for Scaling) by name of the field, for the version
        found.

    Raises
    ------
    DatError
        When the header is short, is none, or states sizes that cannot be.
    """
    if len(data) < HEADER_BYTES:
        raise DatError(f"{name}: expected a header of {HEADER_BYTES} bytes, found {len(data)}")
    magic, version = struct.unpack_from(">IH", data)
    if magic != MAGIC:
        raise DatError(f"{name}: expected magic number {MAGIC} in bytes 0-3, found {magic}")
    if version < 1:
        raise DatError(f"{name}: expected header version 1 or later in bytes 4-5, found {version}")
    channels = data[32]
    if not 1 <= channels <= MOST_CHANNELS:
        raise DatError(f"{name}: expected 1 to {MOST_CHANNELS} channels, found ChanNum {channels}")
    header: Header = {p.name: _value(p, data, channels) for p in placements(version)}
    y, x, _ = pixel_shape(header)
    if x < 1 or y < 1:
        raise DatError(f"{name}: expected an image of at least 1 x 1 px, found {x} x {y}")
    return header


def _value(place: Placement, data: bytes, channels: int) -> int | float | str | list[list[float]]:
    if place.rows is not None:
        rows = place.rows or channels
        flat = struct.unpack_from(f">{4 * rows}{place.code}", data, place.offset)
        return [list(flat[i : i + 4]) for i in range(0, len(flat), 4)]
    value: int | float | bytes = struct.unpack_from(place.code, data, place.offset)[0]
    # a text ends at its first NUL: HDF5 texts cannot hold one
    return _text(value) if isinstance(value, bytes) else value


def _text(value: bytes) -> str:
    return value.split(b"\0", 1)[0].decode("utf-8", errors="replace")


def pixel_dtype(header: Mapping[str, Any]) -> np.dtype[Any]:
    """Return the type of the stored pixels.

    Parameters
    ----------
    header
        A parsed header.

    Returns
    -------
    dtype
        `u1` when EightBit is 1, else `>i2`.
    """
    return np.dtype("u1" if header["EightBit"] == 1 else ">i2")


def pixel_shape(header: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return the shape of the stored pixels.

    Parameters
    ----------
    header
        A parsed header.

    Returns
    -------
    tuple of int
        y, x, channel.
    """
    return header["YResolution"], header["XResolution"], header["ChanNum"]


def footer_offset(header: Mapping[str, Any]) -> int:
    """Return the bytes of header and pixels.

    Computed from the shape rather than trusted from FileLength.

    Parameters
    ----------
    header
        A parsed header.

    Returns
    -------
    int
        Where the footer begins.
    """
    y, x, channels = pixel_shape(header)
    return HEADER_BYTES + y * x * channels * pixel_dtype(header).itemsize


def parse(data: bytes, name: str) -> Dat:
    """Read a whole file.

    Parameters
    ----------
    data
        Its bytes.
    name
        The file's, for messages.

    Returns
    -------
    Dat
        Pixels (y, x, channel), a view of `data`.

    Raises
    ------
    DatError
        When the header is bad or the file is shorter than header and pixels. A missing footer is
        no error.
    """
    header = parse_header(data, name)
    end = footer_offset(header)
    _check_size(header, len(data), name)
    shape = pixel_shape(header)
    pixels = np.frombuffer(data, pixel_dtype(header), int(np.prod(shape)), HEADER_BYTES)
    return Dat(header, pixels.reshape(shape), data[:HEADER_BYTES], data[end:])


def _check_size(header: Header, size: int, name: str) -> None:
    end = footer_offset(header)
    if size >= end:
        return
    y, x, channels = pixel_shape(header)
    raise DatError(
        f"{name}: truncated: expected at least {end} bytes "
        f"({x} x {y} px, {channels} channel(s)), found {size}"
    )


def inspect(path: Path) -> tuple[Header, int]:
    """Read the header of a file and check the file's length; no pixel is read.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    tuple
        Header, and size in bytes.

    Raises
    ------
    DatError
        As `parse`, and when the file cannot be opened.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(HEADER_BYTES)
            size = stream.seek(0, 2)
    except OSError as error:
        raise DatError(f"{path.name}: not readable: {error.strerror or error}") from error
    header = parse_header(head, path.name)
    _check_size(header, size, path.name)
    return header, size


def is_whole(path: Path) -> bool:
    """Tell whether a file can be read and is as long as its header says.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    bool
        False also where there is none.
    """
    try:
        inspect(path)
    except DatError:
        return False
    return True
