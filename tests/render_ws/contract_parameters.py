"""Spec 2.4 and 2.5: render parameters, coordinates."""

from __future__ import annotations

import pytest

from tests.render_ws.service import BUILDER, done, fault, leaf, made, resolved, tile, value


class ParameterContract:
    # -- 2.4 render parameters -----------------------------------------------------------------

    def test_render_parameters_of_a_tile(self, stack, other):
        stack.filled(tile("a", 1, 30, 40))
        done(stack.put("mipmapPathBuilder", BUILDER))
        found = value(stack.get("tile/a/render-parameters"))
        assert (found["x"], found["y"], found["scale"]) == (30.0, 40.0, 1.0)
        assert (found["width"], found["height"]) == (100, 80)
        assert found["meshCellSize"] == 64.0
        assert found["mipmapPathBuilder"]["rootPath"] == "/mipmaps/"
        assert [t["tileId"] for t in found["tileSpecs"]] == ["a"]
        found = value(stack.get("tile/a/render-parameters", x=5, y=-5, width=10, scale=0.5))
        assert (found["x"], found["y"], found["scale"]) == (35.0, 35.0, 0.5)
        assert (found["width"], found["height"]) == (10, 80)
        fault(stack.get("tile/b/render-parameters"), 404)
        fault(other.get("tile/a/render-parameters"), 404)

    @pytest.mark.parametrize(
        ("query", "kept", "origin"),
        [
            ({}, "1234", 10.0),
            ({"normalizeForMatching": "true"}, "12", 0.0),
            ({"normalizeForMatching": "True", "excludeAllTransforms": "false"}, "1234", 0.0),
            ({"excludeAllTransforms": "true"}, "", 0.0),
            ({"excludeTransformsAfterLast": "two"}, "12", 3.0),
            ({"excludeFirstTransformAndAllAfter": ["none", "two"]}, "1", 1.0),
        ],
    )
    def test_normalisation_of_a_tile(self, stack, query, kept, origin):
        specs = [leaf(f"1 0 0 1 {i} 0", id=str(i)) for i in range(1, 5)]
        specs[1]["metaData"] = {"labels": ["two"]}
        stack.filled()
        made(stack.put("resolvedTiles", resolved(tile("a", 1, 0, 0, *specs)), deriveData="true"))
        found = value(stack.get("tile/a/render-parameters", **query))
        leaves = found["tileSpecs"][0]["transforms"]["specList"]
        assert "".join(t["id"] for t in leaves) == kept
        assert found["x"] == origin

    def test_lens_label_ends_the_matching_frame(self, stack):
        lens = leaf("1 0 0 1 1 0", metaData={"labels": ["lens"]})
        specs = [leaf("1 0 0 1 2 0"), leaf("1 0 0 1 3 0"), lens, leaf("1 0 0 1 4 0")]
        stack.filled(tile("a", 1, 0, 0, *specs))
        found = value(stack.get("tile/a/render-parameters", normalizeForMatching="true"))
        assert len(found["tileSpecs"][0]["transforms"]["specList"]) == 3
        assert found["tileSpecs"][0]["minX"] == 6.0
        assert found["x"] == 0.0

    def test_render_parameters_of_a_box(self, stack, other):
        stack.filled(tile("b", 1), tile("a", 1, 50), tile("c", 1, 500, groupId="g"), tile("d", 2))
        found = value(stack.get("z/1/box/-109.0,0,200,100,0.5/render-parameters"))
        assert [t["tileId"] for t in found["tileSpecs"]] == ["a", "b"]
        assert (found["x"], found["width"], found["scale"]) == (-109.0, 200, 0.5)
        found = value(stack.get("z/1/box/0,0,900,100,0.5/render-parameters", scale=0.25))
        assert found["scale"] == 0.25
        found = value(stack.get("group/g/z/1/box/0,0,900,100,1/render-parameters"))
        assert [t["tileId"] for t in found["tileSpecs"]] == ["c"]
        assert value(stack.get("z/7/box/0,0,9,9,1/render-parameters"))["tileSpecs"] == []
        fault(other.get("z/1/box/0,0,9,9,1/render-parameters"), 404)

    def test_render_parameters_of_a_layer(self, stack):
        stack.filled(tile("a", 1, -5, 3))
        found = value(stack.get("z/1/render-parameters"))
        assert (found["x"], found["y"], found["width"], found["height"]) == (-5.0, 3.0, 100, 80)
        fault(stack.get("z/2/render-parameters"), 400)

    # -- 2.5 coordinates -----------------------------------------------------------------------

    def test_coordinates_between_tile_and_world(self, stack):
        stack.filled(tile("a", 1, 10, 20), tile("b", 1, 15, 20))
        found = value(stack.get("tile/a/local-to-world-coordinates/1.5,2"))
        assert (found["tileId"], found["world"]) == ("a", [11.5, 22.0, 1.0])
        found = value(stack.get("z/1/world-to-local-coordinates/30,40"))
        assert [t["tileId"] for t in found] == ["a", "b"]
        assert found[1]["local"] == pytest.approx([15, 20, 1], abs=1e-6)
        assert found[1]["visible"] is True
        fault(stack.get("z/1/world-to-local-coordinates/900,40"), 400)
        fault(stack.get("tile/x/local-to-world-coordinates/1,2"), 404)

    def test_lists_of_coordinates_tell_each_failure_in_its_item(self, stack):
        stack.filled(tile("a", 1, 10, 20))
        items = [{"tileId": "a", "local": [0, 0, 1]}, {"tileId": "x", "local": [0, 0]}]
        found = value(stack.put("z/1/local-to-world-coordinates", items))
        assert found[0]["world"] == [10.0, 20.0, 1.0]
        assert found[1]["error"]
        points = [{"world": [15, 25, 1]}, {"world": [900, 900, 1]}]
        found = value(stack.put("world-to-local-coordinates", points))
        assert found[0][0]["local"] == pytest.approx([5, 5, 1], abs=1e-6)
        assert found[1][0]["error"]
        found = value(stack.put("z/1/tileIdsForCoordinates", points))
        assert found[0][0]["tileId"] == "a"
        assert found[1] == [points[1]]
