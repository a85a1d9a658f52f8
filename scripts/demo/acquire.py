"""Acquire: a synthetic FIB-SEM acquisition with known truth.

    python -m scripts.demo.acquire OUT [--seed 0] [--layers 44] [--tile 256 320] …

writes ``OUT/dat/*.dat`` (16-bit, as the microscope names and lays them out) and
``OUT/truth.json``. The specimen is made in code (`tissue`), so nothing is downloaded. The same
seed gives the same bytes.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from scripts.demo import dat, detector, plan, tissue
from scripts.demo.plan import Motion, Settings
from scripts.lib import files, geometry
from scripts.lib.arrays import Bool, Float32

log = logging.getLogger(__name__)

_RESIN_SHARE = 0.5  # a tile that shows more resin than this is no tissue tile


def _resin_corner(
    settings: Settings, motion: Motion, shape_zyx: tuple[int, int, int]
) -> tissue.ResinCorner | None:
    """Return the resin that hides tile (0, 0) in the first layers."""
    if settings.resin_layers == 0 or settings.rows * settings.columns == 1:
        return None
    width, height = settings.field_xy
    x0, y0 = (shape_zyx[2] - width) / 2, (shape_zyx[1] - height) / 2
    whole = motion.z[min(settings.resin_layers, settings.layers) - 1]
    return tissue.ResinCorner(
        x0,
        y0,
        settings.tile_width * 1.04,
        settings.tile_height * 1.04,
        full_until_z=float(whole),
        gone_at_z=float(whole + 9.0),
    )


def _resin_share(tile: dict[str, Any], bare: Bool, settings: Settings) -> float:
    """Return the share of a tile's area that shows resin; `bare` is (y, x) at its layer."""
    points = np.stack(
        np.meshgrid(
            np.linspace(0, settings.tile_width - 1, 24),
            np.linspace(0, settings.tile_height - 1, 24),
        ),
        axis=-1,
    )
    at = np.rint(geometry.apply(geometry.from_wire(tile["true_affine"]), points)).astype(int)
    rows = np.clip(at[..., 1], 0, bare.shape[0] - 1)
    columns = np.clip(at[..., 0], 0, bare.shape[1] - 1)
    return float(bare[rows, columns].mean())


def acquire(settings: Settings, out: Path) -> dict[str, Any]:
    """Make the specimen, image it layer by layer into ``out/dat``, and return the truth."""
    motion = plan.plan_motion(settings)
    shape = plan.block_shape(settings, motion)
    resin = _resin_corner(settings, motion, shape)
    log.info("growing %d x %d x %d voxels of tissue", *shape)
    block = tissue.grow(shape, seed=settings.seed, resin=resin)
    bare = None if resin is None else resin.distance(shape) < 0
    truth = plan.make_truth(settings, motion, shape)
    log.info("imaging %d layers of %d tiles", settings.layers, settings.rows * settings.columns)
    per_layer = settings.rows * settings.columns
    for k in range(settings.layers):
        tiles = truth["tiles"][k * per_layer : (k + 1) * per_layer]
        flat = None if bare is None else bare[round(float(motion.z[k]))]
        _image_layer(block, flat, tiles, motion, settings, out / "dat")
    files.write_json(out / "truth.json", truth)
    return truth


def _image_layer(
    block: Float32,
    bare: Bool | None,
    tiles: Sequence[dict[str, Any]],
    motion: Motion,
    settings: Settings,
    folder: Path,
) -> None:
    """Write the files of one layer; marks resin and corrupt tiles in place."""
    k = tiles[0]["layer"]
    coefficients = detector.face(block, float(motion.z[k]), settings.depth_response)
    for tile in tiles:
        if bare is not None and _resin_share(tile, bare, settings) > _RESIN_SHARE:
            tile["kind"] = "resin"
        tile["corrupt"] = plan.pick_corrupt(settings, tile)
        image = detector.expose(coefficients, tile, settings)
        counts = detector.count(image, tile, float(motion.gain[k]), settings)
        files.write_bytes(folder / tile["file"], dat.encode(counts, settings, tile))


def _parse(argv: Sequence[str] | None) -> tuple[Settings, Path]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder for dat/ and truth.json")
    parser.add_argument("--grid", type=int, nargs=2, metavar=("ROWS", "COLUMNS"), default=(2, 2))
    parser.add_argument(
        "--tile", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), default=(256, 320)
    )
    taken = {"rows", "columns", "tile_height", "tile_width", "scan"}
    for field in fields(Settings):
        if field.name not in taken:
            option = "--" + field.name.replace("_", "-")
            parser.add_argument(option, type=type(field.default), default=field.default)
    given = vars(parser.parse_args(argv))
    out: Path = given.pop("out")
    (rows, columns), (height, width) = given.pop("grid"), given.pop("tile")
    grid = {"rows": rows, "columns": columns, "tile_height": height, "tile_width": width}
    return Settings(**grid, **given), out


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings, out = _parse(argv)
    truth = acquire(settings, out)
    tiles = truth["tiles"]
    resin = sum(tile["kind"] == "resin" for tile in tiles)
    corrupt = [tile["tile_id"] for tile in tiles if tile["corrupt"]]
    log.info("%s: %d tiles, %d of bare resin, corrupt: %s", out, len(tiles), resin, corrupt)


if __name__ == "__main__":
    main()
