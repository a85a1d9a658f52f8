"""Turn destreak and shading JSON of render's clients into lines of section ``correct``.

``python -m scripts.correct.imported FILE.json ... --pixel-nm 8`` prints what to paste into the YAML
of a volume. A destreak file holds one filter list with a SmoothMaskStreakCorrector or a
LocalSmoothMaskStreakCorrector, whose numbers are bins of the spectrum of one size of tile; here
they are cycles per µm, for any size. A shading file is a list of models by z. Nothing is written.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from scripts.lib.job import UserError

COEFFICIENTS = {"none": 0, "quadratic": 6, "fourthOrder": 9}
LEVELS_16 = 257  # grey values of 16 bit for one of 8 bit
SMOOTH, LOCAL = "SmoothMaskStreakCorrector", "LocalSmoothMaskStreakCorrector"
_NAMES = ("fftW", "fftH", "innerCutoff", "bandWidth", "angle")
_LOCAL_NAMES = (*_NAMES, "blurRadius", "initialThreshold", "finalThreshold")
_AXIS_DEG = 1.0  # of an axis: beyond, bins of unequal size turn the band


def section(value: Any, name: str, *, pixel_nm: float, bits: int = 8) -> dict[str, Any]:  # noqa: ANN401
    """Return section ``correct`` for what a JSON file holds.

    Parameters
    ----------
    value
        Content of the file.
    name
        Of the file, for messages.
    pixel_nm
        Pixel size of the images it was made for, nm.
    bits
        Bit depth of these images, for thresholds in grey levels.

    Returns
    -------
    dict
        Keys ``destreak`` or ``shading``.

    Raises
    ------
    UserError
        When it is neither, or a form that has no counterpart.
    """
    if isinstance(value, list) and value and all(_is_model(each) for each in value):
        return {"shading": {"given": [_model(each, name) for each in value]}}
    filters = list(_filters(value))
    if len(filters) != 1:
        raise UserError(
            f"{name}: expected a list of shading models (z, modelType, coefficients), or one"
            f" {SMOOTH} or {LOCAL}, found {len(filters)} filters"
        )
    return {"destreak": _destreak(*filters[0], name, pixel_nm, bits)}


def _is_model(each: Any) -> bool:  # noqa: ANN401 - any JSON value
    return isinstance(each, Mapping) and "modelType" in each


def _model(each: Mapping[str, Any], name: str) -> dict[str, Any]:
    kind, z = each["modelType"], each.get("z", each.get("fromZ"))
    numbers = [float(v) for v in each.get("coefficients") or []]
    wanted = COEFFICIENTS.get(kind)
    if z is None or wanted is None or len(numbers) != wanted:
        kinds = ", ".join(f"{n} of {k}" for k, n in COEFFICIENTS.items())
        raise UserError(
            f"{name}: model {each}: expected z, and coefficients: {kinds}; found"
            f" {len(numbers)} of {kind}"
        )
    model = {"z": z, "modelType": kind}
    return model | {"coefficients": numbers} if numbers else model


def _filters(value: Any) -> Iterator[tuple[str, list[float]]]:  # noqa: ANN401 - any JSON value
    """Yield class and numbers of every filter, however deep it lies."""
    if isinstance(value, Mapping) and "className" in value:
        parameters = value.get("parameters") or {}
        text = ",".join(map(str, parameters.values())).replace(" ", ",")
        kind = str(value["className"]).rpartition(".")[2].rpartition("$")[2]
        try:
            yield kind, [float(word) for word in text.split(",") if word]
        except ValueError:
            yield kind, []
        return
    inner = value.values() if isinstance(value, Mapping) else value
    for each in inner if isinstance(value, (Mapping, list)) else ():
        yield from _filters(each)


def _destreak(
    kind: str, numbers: Sequence[float], name: str, pixel_nm: float, bits: int
) -> dict[str, Any]:
    wanted = {SMOOTH: _NAMES, LOCAL: _LOCAL_NAMES}.get(kind)
    if wanted is None or len(numbers) != len(wanted):
        raise UserError(
            f"{name}: expected {SMOOTH} {','.join(_NAMES)} or {LOCAL} {','.join(_LOCAL_NAMES)},"
            f" found {kind} with {len(numbers)} numbers"
        )
    found = dict(zip(wanted, numbers, strict=True))
    angle = found["angle"]
    if min(abs(angle) % 90, 90 - abs(angle) % 90) > _AXIS_DEG:
        raise UserError(
            f"{name}: angle {angle:g}: expected 0 or 90 degrees: in bins of a tile that is no"
            " square another angle is none of the image; the rule destreak_proposal finds values"
        )
    # of a real-to-complex transform half of the bins along x are kept
    width, height = 2 * (found["fftW"] - 1), found["fftH"]
    across, along = (width, height) if abs(angle) < 45 else (height, width)
    px_per_um = 1000 / pixel_nm
    out: dict[str, Any] = {
        "variant": "local" if kind == LOCAL else "smooth",
        "angle_deg": angle,
        "cutoff_cycles_per_um": round(found["innerCutoff"] / across * px_per_um, 6),
        "band_cycles_per_um": round(found["bandWidth"] / along * px_per_um, 6),
    }
    if kind == LOCAL:
        grey = found["initialThreshold"] / (LEVELS_16 if bits > 8 else 1)
        out |= {
            "blur_nm": found["blurRadius"] * pixel_nm,
            "initial_threshold_grey": round(grey, 6),
            "final_threshold_share": found["finalThreshold"],
        }
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Print the section; 1 when a file cannot be turned into one."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.correct.imported", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--pixel-nm", type=float, required=True, help="acquisition.pixel_nm")
    parser.add_argument("--bits", type=int, choices=(8, 16), default=8, help="of the images")
    args = parser.parse_args(argv)
    found: dict[str, Any] = {}
    try:
        for path in args.files:
            value = json.loads(path.read_text(encoding="utf-8"))
            found |= section(value, path.name, pixel_nm=args.pixel_nm, bits=args.bits)
    except (UserError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(yaml.safe_dump({"correct": found}, sort_keys=False), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
