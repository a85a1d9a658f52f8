"""Spec 2.1 and 2.2: the service, stacks, states."""

from __future__ import annotations

import pytest

from tests.render_ws.service import (
    BUILDER,
    TIMEOUT_S,
    Url,
    done,
    fault,
    leaf,
    made,
    resolved,
    tile,
    value,
)


class StackContract:
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
