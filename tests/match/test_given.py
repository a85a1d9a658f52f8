"""Matches of a collection that is taken over: copied as they are, refused when they are others'."""

from dataclasses import replace

import numpy as np
import pytest

from scripts.lib.job import UserError
from scripts.lib.service.records import CanvasMatches, Leaf, TileSet, TileSpec
from scripts.lib.transforms import AFFINE
from scripts.match import given
from scripts.match.pairs import Pair

COLLECTION = "demo_v1"


def tile(z, column=0, **changed):
    spec = TileSpec(
        tile_id=f"24-03-07_1011{z:02d}_0-0-{column}.{z}.0", z=float(z), width=60, height=40,
        image_url="file:///a.h5?dataSet=/0-0-0/mipmap.0", transforms=(Leaf(AFFINE, "1 0 0 1 0 0"),),
    )  # fmt: skip
    return replace(spec, **changed)


TILES = TileSet(tuple(tile(z, c) for z in (9, 10) for c in (0, 1)))
IDS = {(int(t.z), int(t.tile_id.split("-")[-1][0])): str(t.tile_id) for t in TILES.tiles}


def pair(a, b):
    (zp, p), (zq, q) = sorted((f"{z}.0", IDS[z, c]) for z, c in (a, b))
    return Pair(zp, p, zq, q, abs(int(float(zp) - float(zq))))


def record(a, b, points=((5, 5), (50, 8), (9, 30), (40, 33)), shift=(1, 2)):
    (zp, p), (zq, q) = (f"{a[0]}.0", IDS[a]), (f"{b[0]}.0", IDS[b])
    points = np.array(points, float)
    return CanvasMatches(zp, p, zq, q, points, points + shift, np.linspace(0.4, 1, len(points)))


class Service:
    """What is read of a collection."""

    def __init__(self, *records):
        self.records = [one.ordered() for one in records]

    def matches(self, collection, p_group):
        assert collection == COLLECTION
        return [one for one in self.records if one.p_group == p_group]

    def p_groups(self, collection):
        return sorted({one.p_group for one in self.records})

    def match_keys(self, collection, p_group):
        return [(*one.key, len(one.w)) for one in self.matches(collection, p_group)]


PLAN = [pair((9, 0), (9, 1)), pair((9, 0), (10, 0)), pair((9, 1), (10, 1))]


def attempts(*records):
    return list(given.attempts(Service(*records), COLLECTION, PLAN, TILES))


def test_planned_pairs_are_copied_point_by_point_and_others_are_left_to_be_matched():
    montage, cross = record((9, 0), (9, 1)), record((9, 0), (10, 0))
    found = {one.pair.key: one for one in attempts(montage, cross, record((9, 0), (10, 1)))}
    assert set(found) == {PLAN[0].key, PLAN[1].key}
    for one, source in zip(found.values(), (cross, montage), strict=False):
        kept = one.matches
        same = next(r for r in (montage.ordered(), cross.ordered()) if r.key == kept.key)
        assert all(np.array_equal(getattr(kept, n), getattr(same, n)) for n in "pqw")
        assert (one.stage, one.reason, one.asked) == (given.STAGE, "", 0)
        assert one.outcome.rms_px == pytest.approx(0, abs=1e-9)
        assert source is not None


def test_a_record_without_points_is_none():
    assert attempts(record((9, 0), (9, 1), points=np.zeros((0, 2)))) == []


@pytest.mark.parametrize("points", [[(5, 5), (64, 8)], [(5, 5), (5, float("nan"))], [(-9, 1)]])
def test_points_outside_of_a_tile_are_of_another_one(points):
    with pytest.raises(UserError, match=r"expected inside of the tile of 60 x 40 px: were tiles"):
        attempts(record((9, 0), (9, 1), points=points, shift=(0, 0)))


def test_a_point_of_a_block_at_the_border_may_lie_a_fraction_outside():
    assert len(attempts(record((9, 0), (9, 1), points=[(59.9, 5), (60.8, 6)], shift=(0, 0)))) == 1


def test_numbers_are_counted():
    found = given.look(
        Service(record((9, 0), (9, 1)), record((9, 0), (10, 0))), COLLECTION, IDS.values()
    )
    assert (found["pairs"], found["pairs_of_the_volume"], found["points"]) == (2, 2, 8)
    assert (found["tiles"], found["tiles_with_matches"]) == (4, 3)


def test_the_collection_of_another_stack_and_an_empty_one_are_refused():
    service = Service(record((9, 0), (9, 1)), record((9, 0), (10, 0)), record((9, 1), (10, 1)))
    with pytest.raises(UserError, match="1 of 3 pairs are between tiles of this volume"):
        given.look(service, COLLECTION, [IDS[9, 0], IDS[9, 1]])
    assert given.look(service, COLLECTION, [*IDS.values()][:3])["pairs_of_the_volume"] == 2
    with pytest.raises(UserError, match="demo_v1 holds no pair"):
        given.look(Service(), COLLECTION, IDS.values())
