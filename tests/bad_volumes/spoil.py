"""Spoil a finished volume at random: one thing of it, at one place, by a known amount."""

from dataclasses import dataclass, replace

import numpy as np

from scripts.lib import geometry
from scripts.lib.service.records import Leaf
from scripts.lib.transforms import AFFINE, affine_data
from tests.bad_volumes.finished import State, affine_of, place_of

PATCH = "patch"
LEAST_PX = 1.0  # rms over a tile; what moves less need not be told


@dataclass(frozen=True)
class Spoilt:
    """A spoilt state, how far it moved the worst tile, and where a person must be sent."""

    kind: str
    what: str
    state: State
    z: tuple  # layers, one of which must be named
    cells: tuple = ()  # cells, one of which must be named; none: any
    moved_px: float | None = None  # None: not a move of tiles in x and y


def _distance(rng, low=0.3, high=300.0):
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _vector(rng, length):
    angle = rng.uniform(0, 2 * np.pi)
    return length * np.array([np.cos(angle), np.sin(angle)])


def _any(volume, rng):
    tiles = volume.start.tiles.tiles
    return tiles[rng.integers(len(tiles))]


def _layer(volume, rng, margin=0):
    return int(rng.integers(1 + margin, volume.settings.layers + 1 - margin))


def _cell(tile):
    return f"{tile.row}-{tile.column}"


def _moved(tile, world):
    """The tile with an affine of the world behind its own."""
    return tile.with_last(Leaf(AFFINE, affine_data(geometry.compose(world, affine_of(tile)))))


def _where(state, which, world):
    """Move the tiles that `which` tells by an affine about their own middle."""

    def change(tile):
        if not which(tile):
            return tile
        middle = geometry.apply(affine_of(tile), np.array([tile.width / 2, tile.height / 2]))
        about = world.copy()
        about[:, 2] += middle - world[:, :2] @ middle
        return _moved(tile, about)

    return state.replace_tiles(change)


def _shift(rng):
    return geometry.translation(*_vector(rng, _distance(rng)))


# ---- transforms ----------------------------------------------------------------------------------


def shifted_tile(volume, rng):
    tile, world = _any(volume, rng), _shift(rng)
    state = _where(volume.start, lambda one: one.tile_id == tile.tile_id, world)
    return state, f"{tile.tile_id} by {np.hypot(*world[:, 2]):.2f} px", [tile.z], [_cell(tile)]


def turned_tile(volume, rng):
    tile, angle = _any(volume, rng), _distance(rng, 0.005, 0.5) * rng.choice([-1, 1])
    c, s = np.cos(angle), np.sin(angle)
    world = np.array([[c, -s, 0.0], [s, c, 0.0]])
    state = _where(volume.start, lambda one: one.tile_id == tile.tile_id, world)
    return state, f"{tile.tile_id} by {1000 * angle:.1f} mrad", [tile.z], [_cell(tile)]


def scaled_tile(volume, rng):
    tile, scale = _any(volume, rng), 1 + _distance(rng, 0.01, 0.3) * rng.choice([-1, 1])
    world = np.diag([scale, 1.0]) if rng.random() < 0.5 else np.diag([1.0, scale])
    world = np.column_stack([world, np.zeros(2)])
    state = _where(volume.start, lambda one: one.tile_id == tile.tile_id, world)
    return state, f"{tile.tile_id} by {scale:.3f} along an axis", [tile.z], [_cell(tile)]


def shifted_layer(volume, rng):
    z, world = _layer(volume, rng), _shift(rng)
    return _where(volume.start, lambda one: one.z == z, world), f"z {z}", [z], []


def shifted_run(volume, rng):
    """Layers from one on, or some of them, together: their border alone shows it."""
    z, world = _layer(volume, rng, 2), _shift(rng)
    last = int(rng.integers(z, volume.settings.layers + 1))
    state = _where(volume.start, lambda one: z <= one.z <= last, world)
    return state, f"z {z} to {last}", [z, last], []


def turned_layer(volume, rng):
    """A layer whose tiles are all turned about their middles: each step keeps its mean."""
    z, angle = _layer(volume, rng), _distance(rng, 0.01, 0.1)
    world = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0]])
    return _where(volume.start, lambda one: one.z == z, world), f"z {z}", [z], []


def shifted_column(volume, rng):
    """A row or column of the grid in all layers: neighbouring layers agree all the same."""
    axis, world = rng.choice(["row", "column"]), _shift(rng)
    state = _where(volume.start, lambda one: getattr(one, axis) == 1, world)
    cells = ["1-0", "0-1"] if axis == "row" else ["0-1", "1-0"]
    return state, f"{axis} 1 of all layers", range(1, volume.settings.layers + 1), cells + ["1-1"]


# ---- images and layers ---------------------------------------------------------------------------


def _images(state, other):
    """Give tiles the image of others: `other` maps an id to the tile whose image it shows."""
    return state.replace_tiles(
        lambda tile: tile.changed(image_url=other[tile.tile_id].image_url, transforms=(
            *tile.transforms[:-1], other[tile.tile_id].transforms[-1]))
        if tile.tile_id in other else tile
    )  # fmt: skip


def _by_place(volume):
    return {(round(t.z), t.row, t.column): t for t in volume.start.tiles.tiles}


def swapped_layers(volume, rng):
    """Two layers in the wrong order, each where its own content belongs."""
    a = _layer(volume, rng, 1)
    b = min(a + int(rng.choice([1, 1, 1, 2, 3])), volume.settings.layers)
    at = _by_place(volume)
    other = {
        at[z, *cell].tile_id: at[w, *cell]
        for z, w in ((a, b), (b, a))
        for cell in [(r, c) for z_, r, c in at if z_ == z]
    }
    return _images(volume.start, other), f"z {a} and {b}", [a, b], []


def repeated_layer(volume, rng):
    z, at = _layer(volume, rng, 1), _by_place(volume)
    other = {at[z, r, c].tile_id: at[z - 1, r, c] for z_, r, c in at if z_ == z}
    return _images(volume.start, other), f"z {z} shows z {z - 1}", [z, z - 1], []


def swapped_tiles(volume, rng):
    """Two tiles of a layer show each other's image."""
    z, at = _layer(volume, rng), _by_place(volume)
    cells = [(r, c) for z_, r, c in at if z_ == z]
    i, j = rng.choice(len(cells), 2, replace=False)
    a, b = at[z, *cells[i]], at[z, *cells[j]]
    state = volume.start.replace_tiles(
        lambda tile: tile.changed(image_url=b.image_url) if tile.tile_id == a.tile_id
        else tile.changed(image_url=a.image_url) if tile.tile_id == b.tile_id else tile
    )  # fmt: skip
    return state, f"{a.tile_id} and {b.tile_id}", [z], [_cell(a), _cell(b)]


def tile_of_another_layer(volume, rng):
    """A tile shows the image that the same cell has five layers on, or before."""
    tile, at = _any(volume, rng), _by_place(volume)
    z = round(tile.z)
    other = z + 5 if z + 5 <= volume.settings.layers else z - 5
    made = {tile.tile_id: at[other, tile.row, tile.column]}
    return _images(volume.start, made), f"{tile.tile_id} shows z {other}", [z], [_cell(tile)]


def patched(volume, cell=(0, 0)):
    """A tile in the middle shows the next layer's image, where that belongs."""
    at, z = _by_place(volume), volume.settings.layers // 2
    return _patched(volume, at[z, *cell], at[z + 1, *cell])


def _patched(volume, tile, source):
    return volume.start.replace_tiles(
        lambda one: source.changed(tile_id=tile.tile_id, z=tile.z, labels=(PATCH,))
        if one.tile_id == tile.tile_id else one
    )  # fmt: skip


def shifted_patch(volume, rng):
    """A patch, which shows the next layer's image, in the wrong place."""
    at, tile = _by_place(volume), _any(volume, rng)
    z = min(round(tile.z), volume.settings.layers - 1)
    tile, source = at[z, tile.row, tile.column], at[z + 1, tile.row, tile.column]
    world = geometry.translation(*_vector(rng, _distance(rng, 0.5, 50.0)))
    state = _patched(volume, tile, source)
    state = _where(state, lambda one: one.tile_id == tile.tile_id, world)
    what = f"patch {tile.tile_id} by {np.hypot(*world[:, 2]):.2f} px"
    return state, what, [z], [_cell(tile)]


# ---- what is missing -----------------------------------------------------------------------------


def missing_tile(volume, rng):
    tile = _any(volume, rng)
    state = _lost(volume, rng, lambda one: one.tile_id == tile.tile_id)
    return state, tile.tile_id, [tile.z], [_cell(tile)]


def missing_layer(volume, rng):
    z = _layer(volume, rng)
    return _lost(volume, rng, lambda one: one.z == z), f"z {z}", [z], []


def missing_column(volume, rng):
    """A column of the grid from a layer on."""
    z = _layer(volume, rng)
    state = _lost(volume, rng, lambda one: one.column == 1 and one.z >= z)
    return state, f"column 1 from z {z} on", range(z, volume.settings.layers + 1), ["0-1", "1-1"]


def _lost(volume, rng, which):
    """Take tiles out of the stack, half of the times before the solve."""
    state = volume.start.replace_tiles(lambda one: None if which(one) else one)
    if rng.random() < 0.5:
        return state
    there = [tile.tile_id for tile in state.tiles.tiles]
    solved = volume.start.tables["solved"]
    kept = solved.where(np.isin(solved["tile_id"].astype(str), there))
    return replace(state, tables=state.tables | {"solved": kept})


# ---- matches, residuals, z -----------------------------------------------------------------------


def moved_matches(volume, rng):
    """Matches of some pairs of a tile, or all of a border of layers, moved; solved again."""
    tile, vector = _any(volume, rng), _vector(rng, _distance(rng, 2.0, 100.0))
    whole, z = rng.random() < 0.3, tile.z

    def wrong(pair):
        if whole:  # all pairs across the border below z
            low, high = sorted((float(pair.p_group), float(pair.q_group)))
            return low < z <= high
        return tile.tile_id in (pair.p_id, pair.q_id) and rng.random() < share

    def change(pair):
        # a tile is moved alike in all its pairs
        sign = 1 if float(pair.q_group) >= z and whole or pair.q_id == tile.tile_id else -1
        return replace(pair, q=pair.q + sign * vector)

    share = rng.choice([0.3, 0.6, 1.0])
    pairs = tuple(change(one) if wrong(one) else one for one in volume.start.pairs)
    of = f"the border at z {z:g}" if whole else tile.tile_id
    what = f"matches of {of} by {np.hypot(*vector):.1f} px"
    return volume.solve(pairs), what, [z], []


def lost_matches(volume, rng):
    """All matches of a tile but one lost, that one wrong; solved again."""
    tile, vector = _any(volume, rng), _vector(rng, _distance(rng, 2.0, 50.0))
    own = [one for one in volume.start.pairs if tile.tile_id in (one.p_id, one.q_id)]
    left = own[rng.integers(len(own))]
    wrong = replace(left, q=left.q + vector)
    lost = {id(one) for one in own}
    pairs = (*(one for one in volume.start.pairs if id(one) not in lost), wrong)
    return volume.solve(pairs), f"one wrong pair left of {tile.tile_id}", [tile.z], [_cell(tile)]


def raised_residual(volume, rng):
    table = volume.start.tables["solved"]
    i = int(rng.integers(len(table)))
    rms = table["rms_px"].copy()
    rms[i] = _distance(rng, 3.1, 50)
    made = type(table)(dict(table.columns) | {"rms_px": rms})
    state = replace(volume.start, tables=volume.start.tables | {"solved": made})
    return state, f"residual of {table['tile_id'][i]}", [int(table["z"][i])], []


def moved_z(volume, rng):
    """The corrected z of a layer, or of all from one on, is another."""
    z, by = _layer(volume, rng, 1), float(rng.choice([-1, 1]) * rng.uniform(1.2, 4))
    on = rng.random() < 0.5
    made = {k: v + by * (k == z or (on and k > z)) for k, v in volume.start.z_coords.items()}
    return replace(volume.start, z_coords=made), f"z {z} by {by:.1f} layers", [z], []


def swapped_z(volume, rng):
    z = _layer(volume, rng, 1)
    made = dict(volume.start.z_coords)
    made[z], made[z + 1] = made[z + 1], made[z]
    return replace(volume.start, z_coords=made), f"z {z} and {z + 1}", [z, z + 1], []


KINDS = (
    shifted_tile, turned_tile, scaled_tile, shifted_layer, shifted_run, turned_layer,
    shifted_column, swapped_layers, repeated_layer, swapped_tiles, tile_of_another_layer,
    shifted_patch, missing_tile, missing_layer, missing_column, moved_matches, lost_matches,
    raised_residual, moved_z, swapped_z,
)  # fmt: skip
TOLD_ALWAYS = {
    "swapped_layers", "repeated_layer", "swapped_tiles", "tile_of_another_layer", "missing_tile",
    "missing_layer", "missing_column", "raised_residual", "moved_z", "swapped_z",
}  # fmt: skip


OF_CELLS = {shifted_column, swapped_tiles, missing_column}


def kinds(settings):
    """Give the kinds that a volume can be spoilt in: in one cell, nothing is swapped or shifted."""
    one = settings.rows == settings.columns == 1
    return [kind for kind in KINDS if not (one and kind in OF_CELLS)]


def spoil(volume, seed):
    """Spoil a volume: the kind in turn, everything else by the seed."""
    usable, rng = kinds(volume.settings), np.random.default_rng(seed)
    kind = usable[seed % len(usable)]
    state, what, z, cells = kind(volume, rng)
    moved = None if kind.__name__ in TOLD_ALWAYS else max(volume.moved_px(state).values())
    if kind is shifted_patch:  # against where its own image lies, not the one it took the place of
        moved = float(what.split()[-2])
    return Spoilt(kind.__name__, what, state, tuple(map(round, z)), tuple(cells), moved)


def fault(spoilt, reasons):
    """What is wrong with the report of a spoilt volume: ``silent``, ``elsewhere`` or nothing.

    A move of at most `LEAST_PX` need not be told.
    """
    if spoilt.moved_px is not None and spoilt.moved_px <= LEAST_PX:
        return ""
    if not reasons:
        return "silent"
    near = any(low - 1 <= z <= high + 1 for low, high in place_of(reasons[0]) for z in spoilt.z)
    cell = not spoilt.cells or any(one in reasons[0] for one in spoilt.cells)
    return "" if near and cell else "elsewhere"
