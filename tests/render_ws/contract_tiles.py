"""Spec 2.2 (tile ids) and 2.3: layers, sections, tiles."""

from __future__ import annotations

import pytest

from tests.render_ws.service import done, fault, leaf, made, resolved, tile, value


class TileContract:
    # -- 2.2 tileIds, 2.3 layers ---------------------------------------------------------------

    def test_tile_ids_are_sorted_as_text_and_filtered(self, stack, other):
        stack.filled(tile("t10", 2), tile("t9", 1), tile("T1", 3))
        assert value(stack.get("tileIds")) == ["T1", "t10", "t9"]
        assert value(stack.get("tileIds", minZ=2, maxZ="3.0")) == ["T1", "t10"]
        assert value(stack.get("tileIds", matchPattern="1.?$")) == ["T1", "t10"]
        assert value(other.get("tileIds")) == []  # also for an unknown stack

    def test_z_values_are_ascending_doubles_of_live_tiles(self, stack, other):
        stack.filled(tile("a", 10), tile("b", 9), tile("c", 9), tile("d", 2.5))
        assert stack.get("zValues").text.replace(" ", "").strip() == "[2.5,9.0,10.0]"
        assert value(stack.get("zValues/")) == [2.5, 9.0, 10.0]
        assert value(stack.get("zValues", minZ="9", maxZ="9.000000")) == [9.0]
        assert value(other.filled().get("zValues")) == []
        other.delete()
        fault(other.get("zValues"), 404)

    def test_query_that_is_no_number_is_404(self, stack):
        assert stack.filled().get("zValues", minZ="low").status_code == 404

    def test_section_data_is_a_snapshot_of_the_last_complete(self, stack, other):
        stack.filled(tile("a", 9), tile("b", 10, 5), tile("c", 10, 50, 7))
        fault(stack.get("sectionData"), 400)
        made(stack.put("state/COMPLETE"))
        made(stack.put("state/LOADING"))
        made(stack.put("resolvedTiles", resolved(tile("d", 11))))
        found = value(stack.get("sectionData"))
        assert [s["sectionId"] for s in found] == ["10.0", "9.0"]  # text order, no 11.0 yet
        assert found[0] == {
            "sectionId": "10.0",
            "z": 10.0,
            "tileCount": 2,
            "minX": 5.0,
            "maxX": 150.0,
            "minY": 0.0,
            "maxY": 87.0,
        }
        assert [s["z"] for s in value(stack.get("sectionData", minZ=10))] == [10.0]
        fault(other.get("sectionData"), 404)

    def test_live_section_data_of_a_layer(self, stack):
        stack.filled(tile("a", 9))
        assert [s["tileCount"] for s in value(stack.get("z/9/sectionData"))] == [1]

    def test_tiles_without_section_drop_out_of_section_data(self, stack):
        stack.filled(tile("a", 1, layout={}), tile("b", 2), complete=True)
        assert [s["z"] for s in value(stack.get("sectionData"))] == [2.0]

    def test_bounds_of_a_layer(self, stack, other):
        stack.filled(tile("a", 3407, -10, 5), tile("b", 3407, 60, 0))
        expected = {"minX": -10.0, "minY": 0.0, "maxX": 160.0, "maxY": 85.0}
        for z in ("3407", "3407.0", "3407.000000"):
            found = value(stack.get(f"z/{z}/bounds"))
            assert found == {**expected, "minZ": 3407.0, "maxZ": 3407.0}
        fault(stack.get("z/1/bounds"), 400)
        fault(other.get("z/1/bounds"), 404)
        assert stack.get("z/one/bounds").status_code == 404

    def test_tile_bounds_of_a_layer_and_a_section(self, stack):
        stack.filled(tile("a", 3), tile("b", 3, 7), tile("c", 4))
        found = sorted(value(stack.get("z/3.0/tileBounds")), key=lambda t: t["tileId"])
        assert [t["tileId"] for t in found] == ["a", "b"]
        assert found[1] == {
            "tileId": "b",
            "sectionId": "3.0",
            "z": 3.0,
            "minX": 7.0,
            "minY": 0.0,
            "maxX": 107.0,
            "maxY": 80.0,
        }
        assert value(stack.get("z/8/tileBounds")) == []
        assert [t["tileId"] for t in value(stack.get("section/4.0/tileBounds"))] == ["c"]

    def test_z_of_a_section_can_be_read_and_set(self, stack):
        stack.filled(tile("a", 3))
        assert value(stack.get("section/3.0/z")) == 3.0
        made(stack.put("section/3.0/z", 7.5))
        assert value(stack.get("zValues")) == [7.5]
        assert value(stack.get("tile/a"))["z"] == 7.5
        fault(stack.get("section/9.0/z"), 404)

    def test_tiles_can_be_moved_to_another_layer_while_loading(self, stack):
        stack.filled(tile("a", 3), tile("b", 3))
        made(stack.put("z/4/tileIds", ["b", "unknown"]))
        assert value(stack.get("zValues")) == [3.0, 4.0]
        made(stack.put("state/COMPLETE"))
        fault(stack.put("z/5/tileIds", ["b"]), 500)

    # -- 2.3 saving tiles ----------------------------------------------------------------------

    def test_saved_tile_comes_back_in_normal_form(self, stack):
        spec = tile("23-01-24_000020_0-0-0.1.0", 1, surprise=5, groupId="restart", labels=["x"])
        spec["layout"] = {"sectionId": 1.0, "imageRow": 2.0, "stageX": 5, "workingDistance": 4}
        spec["minIntensity"] = 0
        stack.filled(spec)
        answer = stack.get("tile/23-01-24_000020_0-0-0.1.0/")
        found = value(answer)
        assert found["layout"] == {"sectionId": "1.0", "imageRow": 2, "stageX": 5.0}
        assert "surprise" not in found
        assert found["meshCellSize"] == 64.0  # always there
        text = answer.text.replace(" ", "").replace("\n", "")
        assert '"z":1.0,"minX":0.0' in text
        assert '"width":100.0,"height":80.0,"minIntensity":0.0' in text
        assert '"imageRow":2,' in text
        order = list(found)
        assert order[:3] == ["tileId", "layout", "groupId"]
        assert order[-3:] == ["transforms", "meshCellSize", "labels"]

    def test_channel_only_tile_keeps_an_empty_mipmap_map(self, stack):
        spec = tile("a", channels=[{"name": "DAPI", "mipmapLevels": {"0": {"imageUrl": "x"}}}])
        del spec["mipmapLevels"]
        stack.filled(spec, complete=True)
        found = value(stack.get("tile/a"))
        assert found["mipmapLevels"] == {}
        assert found["channels"][0]["maxIntensity"] == 255.0
        assert value(stack.get())["stats"]["channelNames"] == ["DAPI"]

    def test_saving_again_replaces_tile_by_tile(self, stack):
        stack.filled(tile("a", 1), tile("b", 1))
        made(stack.put("resolvedTiles", resolved(tile("a", 2, 50))))
        assert value(stack.get("tile/a"))["minX"] == 50.0
        assert value(stack.get("zValues")) == [1.0, 2.0]
        assert value(stack.get("tileIds")) == ["a", "b"]

    def test_saving_checks_in_order(self, stack, other):
        fault(other.put("resolvedTiles"), 400)
        fault(other.put("resolvedTiles", resolved(tile("a"))), 404)
        stack.filled(tile("a"))
        fault(stack.put("resolvedTiles", resolved()), 400)
        fault(stack.put("resolvedTiles", {}), 400)
        no_box = tile("b")
        del no_box["maxY"]
        fault(stack.put("resolvedTiles", resolved(tile("c"), no_box)), 400)
        fault(stack.put("z/2/resolvedTiles", resolved(tile("b", 1))), 400)
        made(stack.put("z/2.0/resolvedTiles", resolved(tile("b", 2))))
        assert value(stack.get("tileIds")) == ["a", "b"]  # nothing of the failed ones
        made(stack.put("state/COMPLETE"))
        fault(stack.put("resolvedTiles", resolved(tile("d"))), 500)  # not 400
        fault(stack.put("resolvedTiles", resolved()), 500)

    def test_references_must_be_in_the_same_request(self, stack):
        ref = {"type": "ref", "refId": "lens"}
        stack.filled()
        body = resolved(tile("a", 1, 0, 0, ref), lens=leaf("1 0 0 1 5 0", id="lens"))
        made(stack.put("resolvedTiles", body))
        message = fault(stack.put("resolvedTiles", resolved(tile("b", 1, 0, 0, ref))), 400)
        assert "lens" in message
        assert value(stack.get("transform/lens"))["dataString"] == "1 0 0 1 5 0"
        fault(stack.get("transform/none"), 404)

    def test_stored_tiles_keep_references_and_flattened_ones_do_not(self, stack):
        lens = leaf("1 0 0 1 5 0", id="lens")
        both = {
            "type": "list",
            "id": "both",
            "metaData": {"labels": ["lens"]},
            "specList": [{"type": "ref", "refId": "lens"}, leaf("1 0 0 1 0 6")],
        }
        spec = tile("a", 1, 0, 0, {"type": "ref", "refId": "both"}, leaf("1 0 0 1 1 1"))
        stack.filled()
        made(stack.put("resolvedTiles", resolved(spec, tile("b"), lens=lens, both=both)))
        stored = value(stack.get("tile/a"))["transforms"]["specList"]
        assert stored[0] == {"type": "ref", "refId": "both"}
        layer = value(stack.get("z/1/resolvedTiles"))
        assert set(layer["transformIdToSpecMap"]) == {"lens", "both"}
        flat = value(stack.get("z/1/tile-specs"))
        assert [t["tileId"] for t in flat] == ["a", "b"]
        leaves = flat[0]["transforms"]["specList"]
        assert [t["dataString"] for t in leaves] == ["1 0 0 1 5 0", "1 0 0 1 0 6", "1 0 0 1 1 1"]
        assert [t.get("metaData") for t in leaves] == [{"labels": ["lens"]}] * 2 + [None]
        assert leaves[0]["id"] == "lens"
        last = value(stack.get("z/1/last-tile-transforms"))
        assert [t["lastTransform"]["dataString"] for t in last] == ["1 0 0 1 1 1", "1 0 0 1 0 0"]

    def test_derived_box_is_the_published_example(self, stack):
        spec = tile("a", 1, 0, 0, leaf("1 0 0 1 10.5 -3.5"), width=2560, height=2160)
        for name in ("minX", "minY", "maxX", "maxY"):
            del spec[name]
        stack.filled()
        fault(stack.put("resolvedTiles", resolved(spec)), 400)
        fault(stack.put("resolvedTiles", resolved(spec), deriveData="False"), 400)
        made(stack.put("resolvedTiles", resolved(spec), deriveData="True"))
        found = value(stack.get("tile/a"))
        box = [found[name] for name in ("minX", "minY", "maxX", "maxY")]
        assert box == [10.0, -3.0, 2570.0, 2157.0]

    def test_derivation_overrides_a_box_that_was_sent(self, stack):
        stack.filled()
        body = resolved(tile("a", 1, 0, 0, leaf("1 0 0 1 7 0")))
        made(stack.put("resolvedTiles", body, deriveData="true"))
        assert value(stack.get("tile/a"))["minX"] == 7.0

    def test_derivation_with_a_shared_scan_correction(self, stack):
        scan = {
            "id": "scan",
            "className": "org.janelia.alignment.transform.SEMDistortionTransformA",
            "dataString": "19.4,301.05,54.4,3428.25,0",
        }
        spec = tile("a", 1, 0, 0, {"type": "ref", "refId": "scan"}, leaf("1 0 0 1 0 0"))
        stack.filled()
        made(stack.put("resolvedTiles", resolved(spec, scan=scan), deriveData="true"))
        found = value(stack.get("tile/a"))
        # x = 0 moves by 19.4 + 54.4 = 73.8; x = 100 by 19.4 e^-0.33217 + 54.4 e^-0.02917 = 66.75
        assert (found["minX"], found["maxX"]) == (73.0, 73.0 + 93.0)

    def test_derivation_with_an_unknown_class_is_400(self, stack):
        spec = tile("a", 1, 0, 0, {"className": "no.such.Transform", "dataString": "1"})
        stack.filled(spec)  # saved as it is
        fault(stack.put("resolvedTiles", resolved(spec), deriveData="true"), 400)

    # -- 2.3 reading tiles ---------------------------------------------------------------------

    def test_resolved_tiles_of_a_layer(self, stack, other):
        stack.filled(tile("a", 1), tile("b", 2))
        found = value(stack.get("z/1/resolvedTiles"))
        assert list(found["tileIdToSpecMap"]) == ["a"]
        assert found["transformIdToSpecMap"] == {}
        fault(stack.get("z/3/resolvedTiles"), 404)
        fault(other.get("z/1/resolvedTiles"), 404)

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({}, "abcd"),
            ({"minZ": 2}, "bcd"),
            ({"minZ": 2, "maxZ": 2.0}, "b"),
            ({"groupId": "restart"}, "c"),
            ({"minX": 100, "maxX": 150, "maxZ": 1}, "a"),  # closed: a box that only touches counts
            ({"minX": 100.5}, "d"),
            ({"maxY": -1}, ""),
            ({"minY": 80, "maxY": 80, "maxZ": 2}, "ab"),
        ],
    )
    def test_resolved_tiles_by_query(self, stack, query, expected):
        stack.filled(
            tile("a", 1), tile("b", 2), tile("c", 3, groupId="restart"), tile("d", 4, 1000, 10)
        )
        answer = stack.get("resolvedTiles", **query)
        if expected:
            assert sorted(value(answer)["tileIdToSpecMap"]) == list(expected)
        else:
            fault(answer, 404)

    def test_resolved_tiles_of_an_unknown_stack_are_404(self, stack):
        fault(stack.get("resolvedTiles"), 404)

    def test_tile_that_is_not_there_is_404(self, stack):
        fault(stack.get("tile/a"), 404)
        fault(stack.filled().get("tile/a"), 404)

    def test_percent_encoded_ids_are_decoded(self, stack):
        stack.filled(tile("a b+c%.1.0"))
        assert value(stack.get("tile/a%20b+c%25.1.0"))["tileId"] == "a b+c%.1.0"

    def test_tile_specs_with_ids_are_sorted_and_skip_unknown_ids(self, stack, other):
        stack.filled(tile("b"), tile("a"), tile("c"))
        found = value(stack.put("tile-specs-with-ids", ["c", "x", "a"]))
        assert [t["tileId"] for t in found] == ["a", "c"]
        assert value(other.put("tile-specs-with-ids", ["a"])) == []

    def test_tile_specs_of_an_empty_layer_are_400(self, stack, other):
        fault(stack.filled().get("z/1/tile-specs"), 400)
        fault(other.get("z/1/tile-specs"), 404)

    def test_tile_count_of_a_box(self, stack):
        stack.filled(tile("a", 1), tile("b", 1, 200))
        assert value(stack.get("z/1/box/-50.5,0,50,10/tile-count")) == 0
        assert value(stack.get("z/1/box/-50.5,0,51,10/tile-count")) == 1
        assert value(stack.get("z/1/box/100.0,0,100,10/tile-count")) == 2
        assert stack.get("z/1/box/0,0,1.5,1/tile-count").status_code == 404

    def test_layout_file(self, stack):
        stack.filled(tile("b", 1, 90, 5), tile("a", 1, 90, 9), tile("c", 2))
        answer = stack.get("z/1.0/layoutFile")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].split(";")[0] == "text/plain"
        lines = [line.split("\t") for line in answer.text.splitlines()]
        assert [line[:2] for line in lines] == [["1.0", "b"], ["1.0", "a"]]
        assert lines[0][2:8] == ["1", "0", "90", "0", "1", "5"]
        assert lines[0][8:15] == ["1", "0", "null", "/images/b.png", "null", "null", "1.0"]
        assert lines[0][15].endswith(f"{stack.path}/tile/b/render-parameters")
        whole = stack.get("layoutFile", minZ=1, maxZ=2, format="SCHEFFER").text.splitlines()
        assert whole[0].startswith("BBOX")
        assert [line.split()[0] for line in whole[1:]] == ["TRANSFORM"] * 3
        assert len(stack.get("zRange/1,2/layoutFile").text.splitlines()) == 3

    # -- 2.3 deleting --------------------------------------------------------------------------

    def test_delete_of_layers_sections_and_tiles(self, stack, other):
        stack.filled(*(tile(name, z) for z, name in enumerate("abcd")))
        done(stack.delete("z/0.0"))
        done(stack.delete("section/1.0"))
        done(stack.delete("tile/c"))
        done(stack.delete("tile/never"))
        assert value(stack.get("tileIds")) == ["d"]
        made(stack.put("state/COMPLETE"))
        fault(stack.delete("z/3"), 400)  # here it is 400, not 500
        fault(stack.delete("section/3.0"), 400)
        fault(stack.delete("tile/d"), 400)
        fault(other.delete("z/3"), 404)
        fault(other.delete("tile/d"), 404)
