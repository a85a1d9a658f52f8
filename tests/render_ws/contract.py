"""What any render-ws must do: one class of tests over plain HTTP requests, for every transport.

Section numbers are those of the render-ws notes: 2.2 stacks, 2.3 layers and tiles, 2.4 render
parameters, 2.6 matches. The tests speak raw requests, not `RenderClient`, so that a mistake in the
client is not mirrored here. A test class for a transport subclasses `RenderContract` and gives the
fixture `service`.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

AFFINE = "mpicbg.trakem2.transform.AffineModel2D"
TIMEOUT_S = 30


@dataclass
class Service:
    """A render-ws and a name space in it that belongs to the tests."""

    session: requests.Session
    base: str  # ends in /v1
    owner: str
    collections: set[str] = field(default_factory=set)

    def call(self, method: str, path: str, body: Any = None, **params: Any) -> requests.Response:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data is not None else {}
        return self.session.request(
            method,
            f"{self.base}/{path}",
            data=data,
            params=params,
            headers=headers,
            timeout=TIMEOUT_S,
        )

    def stack(self, project: str, name: str) -> Url:
        return Url(self, f"owner/{self.owner}/project/{project}/stack/{name}")

    def collection(self, name: str) -> Url:
        self.collections.add(name)
        return Url(self, f"owner/{self.owner}/matchCollection/{name}")

    def clean(self) -> None:
        """Remove everything that belongs to the owner."""
        for item in self.call("GET", f"owner/{self.owner}/stackIds").json():
            url = self.stack(item["project"], item["stack"])
            if url.get().json()["state"] == "READ_ONLY":
                url.put("state/COMPLETE")
            url.delete()
        for name in self.collections:
            self.collection(name).delete()


@dataclass
class Url:
    """A stack or collection: requests below its path."""

    service: Service
    path: str

    def _call(self, method: str, rest: str, body: Any, params: dict[str, Any]) -> requests.Response:
        path = f"{self.path}/{rest}" if rest else self.path
        return self.service.call(method, path, body, **params)

    def get(self, rest: str = "", **params: Any) -> requests.Response:
        return self._call("GET", rest, None, params)

    def put(self, rest: str = "", body: Any = None, **params: Any) -> requests.Response:
        return self._call("PUT", rest, body, params)

    def post(self, rest: str = "", body: Any = None, **params: Any) -> requests.Response:
        return self._call("POST", rest, body, params)

    def delete(self, rest: str = "") -> requests.Response:
        return self._call("DELETE", rest, None, {})

    def filled(self, *tiles: dict[str, Any], complete: bool = False) -> Url:
        """Make the stack, with tiles."""
        made(self.post(body={}))
        if tiles:
            made(self.put("resolvedTiles", resolved(*tiles)))
        if complete:
            made(self.put("state/COMPLETE"))
        return self


def leaf(data: str, **more: Any) -> dict[str, Any]:
    return {"type": "leaf", "className": AFFINE, "dataString": data, **more}


def tile(
    tile_id: str, z: float = 1.0, x: float = 0, y: float = 0, *specs: Any, **more: Any
) -> dict[str, Any]:
    """A tile of 100 by 80 px at (x, y)."""
    return {
        "tileId": tile_id,
        "layout": {"sectionId": f"{float(z):.1f}", "imageRow": 0, "imageCol": 1},
        "z": z,
        "minX": x,
        "minY": y,
        "maxX": x + 100,
        "maxY": y + 80,
        "width": 100,
        "height": 80,
        "mipmapLevels": {"0": {"imageUrl": f"file:///images/{tile_id}.png"}},
        "transforms": {"type": "list", "specList": list(specs) or [leaf(f"1 0 0 1 {x} {y}")]},
        **more,
    }


def resolved(*tiles: dict[str, Any], **shared: Any) -> dict[str, Any]:
    return {
        "transformIdToSpecMap": shared,
        "tileIdToSpecMap": {spec["tileId"]: spec for spec in tiles},
    }


def pair(p_group: str, p_id: str, q_group: str, q_id: str, n: int = 2) -> dict[str, Any]:
    return {
        "pGroupId": p_group,
        "pId": p_id,
        "qGroupId": q_group,
        "qId": q_id,
        "matches": {
            "p": [[float(i) for i in range(n)], [i + 0.5 for i in range(n)]],
            "q": [[i + 10.0 for i in range(n)], [i + 20.25 for i in range(n)]],
            "w": [1.0] * n,
        },
    }


def made(response: requests.Response) -> requests.Response:
    """Check a 201: Location is the URI asked for, no body."""
    assert response.status_code == 201, response.text
    assert response.content == b""
    assert response.headers["Location"].rpartition("/v1/")[2] == response.url.rpartition("/v1/")[2]
    return response


def done(response: requests.Response) -> requests.Response:
    """Check a 200 without a body."""
    assert (response.status_code, response.content) == (200, b""), response.text
    return response


def value(response: requests.Response) -> Any:
    """Check a 200 with JSON; give the value."""
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/json"  # a Java client compares text
    return response.json()


def fault(response: requests.Response, status: int) -> str:
    """Check a fault: its status, plain text."""
    assert response.status_code == status, (response.status_code, response.text)
    assert response.headers["Content-Type"].split(";")[0] == "text/plain"
    assert response.text
    return response.text


_count = itertools.count()


class RenderContract:
    """Subclass with a fixture `service`."""

    @pytest.fixture
    def project(self) -> str:
        return f"p{next(_count)}"

    @pytest.fixture
    def stack(self, service: Service, project: str) -> Url:
        return service.stack(project, "s")

    @pytest.fixture
    def other(self, service: Service, project: str) -> Url:
        return service.stack(project, "t")

    @pytest.fixture
    def pairs(self, service: Service) -> Url:
        return service.collection(f"c{next(_count)}")

    # -- 2.1, 2.2 stacks -----------------------------------------------------------------------

    def test_unique_id_has_24_hexadecimal_digits(self, service):
        answer = service.call("GET", "likelyUniqueId")
        assert answer.status_code == 200
        assert len(answer.text) >= 24
        int(answer.text, 16)

    def test_new_stack_is_loading_with_version_zero_and_no_stats(self, stack):
        made(stack.post(body={"stackResolutionX": 8, "versionNotes": "first", "unknown": 1}))
        found = value(stack.get())
        assert found["state"] == "LOADING"
        assert found["currentVersionNumber"] == 0
        assert found["currentVersion"]["stackResolutionX"] == 8.0
        assert found["currentVersion"]["versionNotes"] == "first"
        assert "unknown" not in found["currentVersion"]
        assert "stats" not in found

    def test_stack_id_is_the_first_key_of_the_metadata(self, stack):
        stack.filled()
        text = stack.get().text.replace(" ", "").replace("\n", "")
        assert text.startswith('{"stackId":{"owner":')

    def test_numbers_come_back_as_their_field_type(self, stack):
        stack.post(body={"stackResolutionX": 4, "cycleNumber": 2})
        text = stack.get().text.replace(" ", "")
        assert '"stackResolutionX":4.0' in text
        assert '"cycleNumber":2' in text
        assert '"cycleNumber":2.0' not in text

    def test_short_milliseconds_of_a_date_are_accepted(self, stack):
        made(stack.post(body={"createTimestamp": "2024-03-05T06:07:08.00Z"}))
        version = value(stack.get())["currentVersion"]
        assert version["createTimestamp"] == "2024-03-05T06:07:08.000Z"

    def test_unknown_stack_is_404(self, stack):
        fault(stack.get(), 404)

    @pytest.mark.parametrize("name", ["a-b", "a.b", "_a", "a_", "a__b", "x" * 120])
    def test_bad_stack_name_is_400(self, service, project, name):
        fault(service.stack(project, name).post(body={}), 400)

    def test_post_without_body_is_400(self, stack):
        fault(stack.post(), 400)

    def test_malformed_body_is_400(self, stack):
        fault(stack.post(body=b"{"), 400)

    def test_unknown_path_is_404_and_wrong_method_405(self, stack):
        assert stack.filled().get("nothing/of/this").status_code == 404
        assert stack.post("zValues", {}).status_code == 405

    def test_post_on_a_complete_stack_keeps_tiles_and_makes_it_loading(self, stack):
        stack.filled(tile("a"), complete=True)
        made(stack.post(body={"versionNotes": "second"}))
        found = value(stack.get())
        assert (found["state"], found["currentVersionNumber"]) == ("LOADING", 1)
        assert "stats" not in found
        assert value(stack.get("tileIds")) == ["a"]

    def test_delete_of_a_missing_stack_is_200(self, stack):
        done(stack.delete())

    def test_deleted_stack_is_gone_with_its_tiles(self, stack):
        stack.filled(tile("a"))
        done(stack.delete())
        fault(stack.get(), 404)
        assert value(stack.filled().get("tileIds")) == []

    def test_stack_ids_of_project_and_owner(self, service, stack, other, project):
        stack.filled()
        other.filled()
        found = value(service.call("GET", f"owner/{service.owner}/project/{project}/stackIds"))
        assert sorted(item["stack"] for item in found) == ["s", "t"]
        assert found[0].keys() == {"owner", "project", "stack"}
        of_owner = value(service.call("GET", f"owner/{service.owner}/stackIds"))
        assert all(item in of_owner for item in found)

    def test_stack_ids_of_nobody_are_an_empty_list(self, service):
        assert value(service.call("GET", "owner/nobody9/stackIds")) == []
        assert value(service.call("GET", "owner/nobody9/project/none/stackIds")) == []

    def test_owners_projects_and_stacks_with_a_trailing_slash(self, service, stack, project):
        stack.filled()
        assert service.owner in value(service.call("GET", "owners/"))
        assert project in value(service.call("GET", f"owner/{service.owner}/projects"))
        listed = value(service.call("GET", f"owner/{service.owner}/stacks/"))
        assert value(stack.get()) in listed

    # -- states --------------------------------------------------------------------------------

    def _in_state(self, stack: Url, state: str) -> Url:
        stack.filled(tile("a"))
        if state != "LOADING":
            made(stack.put("state/COMPLETE"))
        if state in ("READ_ONLY", "OFFLINE"):
            made(stack.put(f"state/{state}"))
        assert value(stack.get())["state"] == state
        return stack

    @pytest.mark.parametrize(
        ("old", "new", "status"),
        [
            ("LOADING", "LOADING", 201),
            ("LOADING", "COMPLETE", 201),
            ("LOADING", "READ_ONLY", 400),
            ("LOADING", "OFFLINE", 400),
            ("COMPLETE", "LOADING", 201),
            ("COMPLETE", "COMPLETE", 201),
            ("COMPLETE", "READ_ONLY", 201),
            ("COMPLETE", "OFFLINE", 201),
            ("READ_ONLY", "LOADING", 400),
            ("READ_ONLY", "COMPLETE", 201),
            ("READ_ONLY", "READ_ONLY", 201),
            ("READ_ONLY", "OFFLINE", 201),
            ("OFFLINE", "LOADING", 400),
            ("OFFLINE", "COMPLETE", 500),
            ("OFFLINE", "READ_ONLY", 400),
            ("OFFLINE", "OFFLINE", 201),
        ],
    )
    def test_table_of_states(self, stack, old, new, status):
        self._in_state(stack, old)
        answer = stack.put(f"state/{new}")
        assert answer.status_code == status, answer.text
        assert value(stack.get())["state"] == (new if status == 201 else old)

    def test_unknown_state_and_unknown_stack_are_404(self, stack, other):
        stack.filled()
        fault(stack.put("state/FINE"), 404)
        fault(other.put("state/COMPLETE"), 404)

    def test_going_back_to_loading_is_a_new_version_without_stats(self, stack):
        stack.filled(tile("a"), complete=True)
        before = value(stack.get())
        made(stack.put("state/LOADING"))
        found = value(stack.get())
        assert found["currentVersionNumber"] == before["currentVersionNumber"] + 1
        assert "stats" not in found

    def test_loading_again_while_loading_changes_nothing(self, stack):
        before = value(stack.filled(tile("a")).get())
        made(stack.put("state/LOADING"))
        assert value(stack.get()) == before

    def test_read_only_and_back_keeps_timestamp_and_stats(self, stack):
        before = value(stack.filled(tile("a"), complete=True).get())
        made(stack.put("state/READ_ONLY"))
        made(stack.put("state/COMPLETE"))
        assert value(stack.get()) == before

    def test_complete_without_tiles_is_500_but_leaves_section_data(self, stack):
        stack.filled()
        assert "no tiles" in fault(stack.put("state/COMPLETE"), 500)
        assert value(stack.get())["state"] == "LOADING"
        assert value(stack.get("sectionData")) == []

    def test_offline_stack_keeps_metadata_and_loses_tiles(self, stack):
        self._in_state(stack, "OFFLINE")
        assert value(stack.get("tileIds")) == []
        assert value(stack.get())["stackId"]["stack"] == "s"

    def test_read_only_stack_refuses_changes_with_500(self, stack):
        self._in_state(stack, "READ_ONLY")
        fault(stack.post(body={}), 500)
        fault(stack.delete(), 500)
        fault(stack.put("resolutionValues", [1, 2, 3]), 500)
        fault(stack.put("mipmapPathBuilder", BUILDER), 500)
        fault(stack.put("resolvedTiles", resolved(tile("b"))), 500)

    def test_state_change_needs_no_body_and_takes_any_content_type(self, stack):
        stack.filled(tile("a"))
        made(stack.put("state/COMPLETE", b""))
        url = f"{stack.service.base}/{stack.path}/state/LOADING"
        headers = {"Content-Type": "text/xml"}
        made(stack.service.session.put(url, data=b"", headers=headers, timeout=TIMEOUT_S))

    def test_statistics_of_a_complete_stack(self, stack):
        stack.filled(
            tile("a", 1, 0, 0),
            tile("b", 1, 90.5, 3),
            tile("c", 2.5, -7, 0, maxX=95.5),
            complete=True,
        )
        stats = value(stack.get())["stats"]
        assert stats["stackBounds"] == {
            "minX": -7.0,
            "minY": 0.0,
            "minZ": 1.0,
            "maxX": 190.5,
            "maxY": 83.0,
            "maxZ": 2.5,
        }
        assert stats["sectionCount"] == 2  # distinct z values, not sections
        assert stats["nonIntegralSectionCount"] == 1
        assert (stats["tileCount"], stats["transformCount"]) == (3, 0)
        assert (stats["minTileWidth"], stats["maxTileWidth"]) == (100, 102)  # of boxes, cut
        assert (stats["minTileHeight"], stats["maxTileHeight"]) == (80, 80)
        assert stats["channelNames"] == []
        assert value(stack.get("bounds")) == stats["stackBounds"]

    def test_bounds_are_400_without_stats_and_404_without_stack(self, stack, other):
        fault(stack.filled(tile("a")).get("bounds"), 400)
        fault(other.get("bounds"), 404)

    # -- clone and rename ----------------------------------------------------------------------

    def test_clone_copies_all_tiles_into_a_fresh_loading_stack(self, stack, other):
        stack.post(body={"stackResolutionX": 4.0})
        stack.put("resolvedTiles", resolved(tile("a"), tile("b", 2)))
        stack.put("state/COMPLETE")
        made(stack.put("cloneTo/t", {"versionNotes": "clone"}))
        found = value(other.get())
        assert (found["state"], found["currentVersionNumber"]) == ("LOADING", 0)
        assert found["currentVersion"] == {"versionNotes": "clone"}  # nothing is inherited
        assert value(other.get("tile/a")) == value(stack.get("tile/a"))
        assert value(other.get("tileIds")) == ["a", "b"]

    def test_clone_of_some_layers_and_into_another_project(self, service, stack, project):
        shared = leaf("1 0 0 1 0 0", id="lens")
        ref = {"type": "ref", "refId": "lens"}
        stack.filled()
        body = resolved(tile("a", 1), tile("b", 2), tile("c", 3, 0, 0, ref), lens=shared)
        made(stack.put("resolvedTiles", body))
        made(stack.put("cloneTo/t", {}, z=[1, "2.0"], toProject=f"{project}x"))
        target = service.stack(f"{project}x", "t")
        assert value(target.get("tileIds")) == ["a", "b"]
        target.put("state/COMPLETE")
        assert value(target.get())["stats"]["transformCount"] == 1  # z does not filter them

    def test_clone_refusals(self, stack, other):
        fault(stack.put("cloneTo/t", {}), 404)
        stack.filled(tile("a"))
        fault(stack.put("cloneTo/t"), 400)
        other.filled(tile("a"))
        fault(stack.put("cloneTo/t", {}), 500)  # the tile is there already
        made(other.put("state/COMPLETE"))
        fault(stack.put("cloneTo/t", {}), 500)
        assert value(other.get())["state"] == "COMPLETE"

    def test_clone_into_a_loading_stack_joins_the_tiles(self, stack, other):
        stack.filled(tile("a"))
        other.filled(tile("b"))
        made(stack.put("cloneTo/t", {}))
        assert value(other.get("tileIds")) == ["a", "b"]

    def test_rename_keeps_state_version_and_stats(self, service, stack, other, project):
        before = value(stack.filled(tile("a"), complete=True).get())
        target = {"owner": service.owner, "project": project, "stack": "t"}
        done(stack.put("stackId", target))
        fault(stack.get(), 404)
        found = value(other.get())
        assert found["stackId"] == target
        for name in ("state", "currentVersionNumber", "stats"):
            assert found[name] == before[name]
        assert value(other.get("tileIds")) == ["a"]

    def test_rename_refusals(self, service, stack, other, project):
        target = {"owner": service.owner, "project": project, "stack": "t"}
        fault(stack.put("stackId", target), 404)
        stack.filled(tile("a"), complete=True)
        other.filled()
        fault(stack.put("stackId", target), 400)
        stack.put("state/READ_ONLY")
        fault(stack.put("stackId", {**target, "stack": "u"}), 400)

    # -- fields of the version -----------------------------------------------------------------

    def test_resolution_values(self, stack, other):
        stack.filled()
        done(stack.put("resolutionValues", [4, 4, 8]))
        done(stack.put("resolutionValues", [6]))
        assert value(stack.get("resolutionValues")) == [6.0, 4.0, 8.0]
        assert value(stack.get())["currentVersion"]["stackResolutionZ"] == 8.0
        fault(other.put("resolutionValues", [1]), 404)

    def test_mipmap_path_builder(self, stack, other):
        stack.filled()
        assert stack.get("mipmapPathBuilder").status_code == 204
        before = value(stack.get())
        done(stack.put("mipmapPathBuilder", BUILDER))
        found = value(stack.get())
        assert found["currentVersion"]["mipmapPathBuilder"] == {**BUILDER, "rootPath": "/mipmaps/"}
        assert found["lastModifiedTimestamp"] == before["lastModifiedTimestamp"]
        assert value(stack.get("mipmapPathBuilder"))["numberOfLevels"] == 3
        fault(stack.put("mipmapPathBuilder", {"rootPath": "/x"}), 400)
        fault(other.put("mipmapPathBuilder", BUILDER), 404)

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

    # -- 2.6 matches ---------------------------------------------------------------------------

    def test_empty_list_of_matches_makes_no_collection(self, pairs):
        made(pairs.put("matches", []))
        fault(pairs.get("pGroupIds"), 404)

    def test_matches_are_saved_with_p_before_q_in_text_order(self, pairs):
        made(pairs.put("matches", [pair("9.0", "a", "10.0", "b")]))
        (found,) = value(pairs.get("pGroup/10.0/matches/"))
        sent = pair("9.0", "a", "10.0", "b")["matches"]
        assert (found["pGroupId"], found["pId"]) == ("10.0", "b")
        assert (found["qGroupId"], found["qId"]) == ("9.0", "a")
        assert found["matches"] == {"p": sent["q"], "q": sent["p"], "w": sent["w"]}
        assert found["matchCount"] == 2

    def test_order_within_a_group_is_that_of_ids(self, pairs):
        made(pairs.put("matches", [pair("1.0", "t9", "1.0", "t10")]))
        (found,) = value(pairs.get("group/1.0/matchesWithinGroup"))
        assert (found["pId"], found["qId"]) == ("t10", "t9")

    def test_match_count_is_recomputed(self, pairs):
        sent = pair("1.0", "a", "2.0", "b", 3) | {"matchCount": 77}
        bare = {key: sent[key] for key in ("pGroupId", "pId", "qGroupId")} | {"qId": "c"}
        made(pairs.put("matches", [sent, bare]))
        found = value(pairs.get("pGroup/1.0/matches"))
        assert [m["matchCount"] for m in found] == [3, 0]
        assert "matches" not in found[1]

    def test_points_come_back_exactly_and_as_doubles(self, pairs):
        sent = pair("1.0", "a", "2.0", "b", 1)
        sent["matches"]["p"] = [[0.1 + 0.2], [1e-300]]
        sent["matches"]["w"] = [1]
        made(pairs.put("matches", [sent]))
        answer = pairs.get("pGroup/1.0/matches")
        assert value(answer)[0]["matches"]["p"] == [[0.1 + 0.2], [1e-300]]
        assert '"w":[1.0]' in answer.text.replace(" ", "").replace("\n", "")

    def test_saving_a_pair_again_replaces_it(self, pairs):
        made(pairs.put("matches", [pair("1.0", "a", "2.0", "b", 5)]))
        made(pairs.put("matches", [pair("2.0", "b", "1.0", "a", 3)]))
        (found,) = value(pairs.get("pGroup/1.0/matches"))
        assert found["matchCount"] == 3

    def test_refused_matches_leave_nothing(self, pairs):
        fault(pairs.put("matches"), 400)
        fault(pairs.put("matches", b"null"), 400)
        fault(pairs.put("matches", [pair("1.0", "a", "2.0", "b"), {"pGroupId": "1.0"}]), 400)
        fault(pairs.get("pGroupIds"), 404)

    def test_collections_of_an_owner(self, service, pairs):
        made(pairs.put("matches", [pair("1.0", "a", "2.0", "b"), pair("1.0", "a", "1.0", "c")]))
        listed = value(service.call("GET", f"owner/{service.owner}/matchCollections"))
        name = pairs.path.rpartition("/")[2]
        mine = {"collectionId": {"owner": service.owner, "name": name}, "pairCount": 2}
        assert mine in listed
        assert service.owner in value(service.call("GET", "matchCollectionOwners"))
        assert value(service.call("GET", "owner/nobody9/matchCollections")) == []

    @pytest.fixture
    def filled(self, pairs: Url) -> Url:
        made(
            pairs.put(
                "matches",
                [
                    pair("1.0", "a", "1.0", "b"),
                    pair("1.0", "a", "2.0", "c"),
                    pair("1.0", "b", "3.0", "d"),
                    pair("2.0", "c", "3.0", "d"),
                ],
            )
        )
        return pairs

    @staticmethod
    def _ids(response: requests.Response) -> list[str]:
        return [m["pId"] + m["qId"] for m in value(response)]

    def test_groups(self, filled):
        assert sorted(value(filled.get("pGroupIds"))) == ["1.0", "2.0"]
        assert sorted(value(filled.get("qGroupIds"))) == ["1.0", "2.0", "3.0"]
        assert value(filled.get("groupIds")) == ["1.0", "2.0", "3.0"]
        assert value(filled.get("multiConsensusGroupIds")) == []

    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("pGroup/1.0/matches", ["ab", "ac", "bd"]),
            ("pGroup/3.0/matches", []),
            ("group/1.0/matchesWithinGroup", ["ab"]),
            ("group/2.0/matchesWithinGroup", []),
            ("group/2.0/matchesOutsideGroup", ["ac", "cd"]),
            ("group/1.0/matchesWith/3.0", ["bd"]),
            ("group/3.0/matchesWith/1.0", ["bd"]),
            ("group/1.0/matchesWith/1.0", ["ab"]),
            ("group/1.0/id/b/matchesWith/3.0/id/d", ["bd"]),
            ("group/3.0/id/d/matchesWith/1.0/id/b", ["bd"]),
            ("group/3.0/id/d/matchesWith/1.0/id/a", []),
            ("group/1.0/id/a/matchesWith/1.0", ["ab"]),
            ("group/3.0/id/d/matchesWith/2.0", ["cd"]),
            ("group/3.0/id/d/", ["bd", "cd"]),
            ("group/1.0/id/b", ["ab", "bd"]),
        ],
    )
    def test_queries_of_pairs(self, filled, path, expected):
        assert self._ids(filled.get(path)) == expected

    def test_details_can_be_left_out(self, filled):
        for path, query in (
            ("pGroup/1.0/matches", {"excludeMatchDetails": "True"}),
            ("pGroup/1.0/matchCounts", {}),
        ):
            found = value(filled.get(path, **query))
            assert [m["matchCount"] for m in found] == [2, 2, 2]
            assert not any("matches" in m for m in found)
        found = value(filled.get("pGroup/1.0/matches", excludeMatchDetails="false"))
        assert all("matches" in m for m in found)
        made(filled.put("pGroup/1.0/matchCounts"))

    def test_merged_collections_join_the_points_of_equal_pairs(self, service, filled):
        more = service.collection(f"c{next(_count)}")
        made(more.put("matches", [pair("1.0", "a", "1.0", "b", 1), pair("1.0", "a", "1.0", "z")]))
        name = more.path.rpartition("/")[2]
        found = value(filled.get("group/1.0/matchesWithinGroup", mergeCollection=name))
        assert [(m["qId"], m["matchCount"]) for m in found] == [("b", 3), ("z", 2)]
        assert found[0]["matches"]["p"][0] == [0.0, 1.0, 0.0]

    @pytest.mark.parametrize(
        ("path", "left"),
        [
            ("group/1.0/id/a/matchesWith/2.0/id/c", ["ab", "bd"]),
            ("group/2.0/id/c/matchesWith/1.0/id/a", ["ab", "bd"]),
            ("group/1.0/id/a/matchesWith/9.0/id/c", ["ab", "ac", "bd"]),
            ("group/3.0/matchesWith/1.0", ["ab", "ac"]),
            ("group/1.0/matchesOutsideGroup", ["ab"]),
            ("pGroup/1.0/matches", []),
            ("group/1.0/id/b", ["ac"]),
        ],
    )
    def test_deleted_pairs_are_gone(self, filled, path, left):
        done(filled.delete(path))
        assert self._ids(filled.get("pGroup/1.0/matches")) == left

    def test_emptied_collection_still_exists(self, filled):
        done(filled.delete("pGroup/1.0/matches"))
        done(filled.delete("pGroup/2.0/matches"))
        assert value(filled.get("pGroupIds")) == []
        assert value(filled.get("pGroup/1.0/matches")) == []

    def test_deleted_collection_is_404_also_to_delete(self, filled):
        done(filled.delete())
        fault(filled.get("pGroupIds"), 404)
        fault(filled.delete(), 404)

    @pytest.mark.parametrize(
        "path",
        [
            "qGroupIds",
            "groupIds",
            "pGroup/1.0/matches",
            "pGroup/1.0/matchCounts",
            "group/1.0/matchesWithinGroup",
            "group/1.0/matchesOutsideGroup",
            "group/1.0/matchesWith/2.0",
            "group/1.0/id/a/matchesWith/2.0/id/b",
            "group/1.0/id/a",
        ],
    )
    def test_queries_of_a_missing_collection_are_404(self, pairs, path):
        fault(pairs.get(path), 404)

    def test_renamed_collection(self, service, filled, pairs):
        target = service.collection(f"c{next(_count)}")
        body = {"owner": service.owner, "name": target.path.rpartition("/")[2]}
        done(filled.put("collectionId", body))
        assert self._ids(target.get("pGroup/2.0/matches")) == ["cd"]
        fault(filled.put("collectionId", body), 404)
        made(pairs.put("matches", [pair("1.0", "a", "1.0", "b")]))
        fault(pairs.put("collectionId", body), 400)

    def test_bad_collection_name_is_400(self, service):
        fault(service.collection("a-b").put("matches", [pair("1.0", "a", "1.0", "b")]), 400)
        service.collections.discard("a-b")


BUILDER = {"rootPath": "/mipmaps", "numberOfLevels": 3, "extension": "tif"}
