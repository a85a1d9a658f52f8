"""An acquisition whose tiles are bent too: smooth warps with known truth, over the generator's own.

    python -m tests.accuracy.warp GENERATOR VOLUME.h5 OUT --warp SD_PX SCALE_PX LAYERS [options]

The options are those of the generator (``make_misaligned.py``), of which nothing is changed: a tile
pixel shows what its true affine shows of the place ``p + w(p)``, p after the scan correction. w is
Gaussian noise with a standard deviation of SD_PX in x and in y, smooth over SCALE_PX (sd of the
Gaussian it is filtered with) and over LAYERS along z, for each tile its own. ``truth.json`` holds
it at the nodes of a grid (``warp``), and splines go through them.
"""

import importlib.util
import sys

import numpy as np
from scipy import ndimage

NODES = 5  # beyond the tile on every side: splines have no border there
POINTS = 12  # of a side, at which a solution is scored
_sample = ndimage.map_coordinates  # the generator's is replaced while a tile is drawn


def generator(path):
    spec = importlib.util.spec_from_file_location("make_misaligned", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_misaligned"] = module  # its dataclass looks itself up there
    spec.loader.exec_module(module)
    return module


def fields(p, sd, scale, layers):
    """(layer, row, column, 2, h, w) displacements at nodes `scale` px apart; node NODES is at 0."""
    size = [int(np.ceil(n / scale)) + 2 * NODES + 1 for n in (p.tile_height, p.tile_width)]
    rng = np.random.default_rng([p.seed, 4711])
    white = rng.standard_normal((p.layers + 40, p.rows, p.columns, 2, *size))
    sigma = (layers, 0, 0, 0, 1.0, 1.0)
    smooth = ndimage.gaussian_filter(white, sigma, mode="wrap")[20:-20]
    return sd * smooth / np.sqrt((smooth**2).mean())


def displaced(field, scale, u, v):
    """Displacement x, y of the places u, v by a tile's (2, h, w) field."""
    at = [v / scale + NODES, u / scale + NODES]
    return [_sample(one, at, order=3, mode="nearest") for one in field]


def bend(mm, sd, scale, layers):
    """Let the generator draw tiles through warps, and say so in its truth."""
    specimen, make_truth, known = mm.specimen, mm.make_truth, {}

    def bent_truth(p, shape):
        truth = make_truth(p, shape)
        known["fields"] = fields(p, sd, scale, layers)
        nodes = {
            t["tile_id"]: known["fields"][t["layer"], t["row"], t["column"]].round(5).tolist()
            for t in truth["tiles"]
        }
        return truth | {"warp": {"scale_px": scale, "nodes": nodes}}

    def bent(tile, coefficients, p):
        if tile["kind"] == "resin":
            return specimen(tile, coefficients, p)
        m = tile["true_affine"]
        linear = np.array([[m[0], m[2]], [m[1], m[3]]])
        field = known["fields"][tile["layer"], tile["row"], tile["column"]]

        def through(image, places, **options):
            xy = np.array([places[1], places[0]]) - np.array(m[4:])[:, None, None]
            local = np.einsum("ij,jhw->ihw", np.linalg.inv(linear), xy)
            moved = np.einsum("ij,jhw->ihw", linear, np.array(displaced(field, scale, *local)))
            return _sample(image, (places[0] + moved[1], places[1] + moved[0]), **options)

        ndimage.map_coordinates = through
        try:
            return specimen(tile, coefficients, p)
        finally:
            ndimage.map_coordinates = _sample

    mm.specimen, mm.make_truth = bent, bent_truth


def score(truth, chains, scan_correct):
    """Errors at a grid of points, px, less the gauge of the generator's own score.

    `chains` maps the truth's tile ids to functions of raw pixels (n, 2) that give the world.
    """
    p = truth["parameters"]
    u, v = (np.linspace(0, n - 1, POINTS) for n in (p["tile_width"], p["tile_height"]))
    raw = np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)
    flat = np.column_stack([scan_correct(raw[:, 0], p["scan"]), raw[:, 1]])
    use = [
        t for t in truth["tiles"]
        if t["kind"] == "tissue" and not t["corrupt"] and t["tile_id"] in chains
    ]  # fmt: skip
    want = np.stack([true_places(truth, t, flat) for t in use])
    got = np.stack([chains[t["tile_id"]](raw) for t in use])
    z_of = {la["layer"]: la["z_true"] for la in truth["layers"]}
    z = np.repeat([z_of[t["layer"]] for t in use], len(raw))
    design = np.column_stack([got.reshape(-1, 2), z, np.ones(z.size)])
    gauge, *_ = np.linalg.lstsq(design, want.reshape(-1, 2), rcond=None)
    left = (design @ gauge - want.reshape(-1, 2)).reshape(want.shape)
    where = {(t["layer"], t["row"], t["column"]): i for i, t in enumerate(use)}
    steps = [left[where[k + 1, r, c]] - left[i] for (k, r, c), i in where.items()
             if (k + 1, r, c) in where]  # fmt: skip
    return {"absolute": rms(left), "relative": rms(np.array(steps)), "tiles": len(use)}


def true_places(truth, tile, flat):
    """World places of (n, 2) points of a tile after its scan correction."""
    m, warp = tile["true_affine"], truth.get("warp")
    if warp:
        field = np.array(warp["nodes"][tile["tile_id"]])
        flat = flat + np.column_stack(displaced(field, warp["scale_px"], *flat.T))
    return flat @ np.array([[m[0], m[1]], [m[2], m[3]]]) + m[4:]


def rms(left):
    return float(np.sqrt((left**2).sum(axis=-1).mean()))


def main(argv=None):
    """Command line."""
    argv = list(sys.argv[1:] if argv is None else argv)
    path, *rest = argv
    i = rest.index("--warp")
    sd, scale, layers = map(float, rest[i + 1 : i + 4])
    mm = generator(path)
    if sd > 0:
        bend(mm, sd, scale, layers)
    return mm.main([*rest[:i], *rest[i + 4 :], "--workers", "1"])


if __name__ == "__main__":
    sys.exit(main())
