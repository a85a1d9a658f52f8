"""Spec 2.6: point matches."""

from __future__ import annotations

import pytest
import requests

from tests.render_ws.service import Url, done, fault, fresh, made, pair, value


class MatchContract:
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

    @pytest.mark.parametrize("n", [1, 2, 3, 4])
    @pytest.mark.parametrize("turned", [False, True])
    def test_points_one_by_one_come_back_as_they_were_sent(self, pairs, n, turned):
        p = [[float(i), i + 0.5] for i in range(n)]
        q = [[i + 10.0, i + 20.25] for i in range(n)]
        sent = pair("9.0" if turned else "1.0", "a", "2.0", "b")
        sent["matches"] = {"p": p, "q": q, "w": [1.0] * n}
        made(pairs.put("matches", [sent]))
        (found,) = value(pairs.get("group/2.0/id/b"))
        assert found["matches"] == {
            "p": q if turned else p,
            "q": p if turned else q,
            "w": [1.0] * n,
        }
        assert found["matchCount"] == n

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
        more = service.collection(fresh("c"))
        made(more.put("matches", [pair("1.0", "a", "1.0", "b", 1), pair("1.0", "a", "1.0", "z")]))
        name = more.path.rpartition("/")[2]
        found = value(filled.get("group/1.0/matchesWithinGroup", mergeCollection=name))
        assert [(m["qId"], m["matchCount"]) for m in found] == [("b", 3), ("z", 2)]
        assert found[0]["matches"]["p"][0] == [0.0, 1.0, 0.0]

    def test_merged_points_are_rows_however_they_were_sent(self, service, filled):
        more = service.collection(fresh("c"))
        sent = pair("1.0", "a", "1.0", "b")
        sent["matches"] = {"p": [[7.0, 8.0]] * 3, "q": [[9.0, 10.0]] * 3, "w": [1.0] * 3}
        made(more.put("matches", [sent]))
        name = more.path.rpartition("/")[2]
        (found,) = value(filled.get("group/1.0/matchesWithinGroup", mergeCollection=name))
        assert found["matches"]["p"] == [[0.0, 1.0, 7.0, 7.0, 7.0], [0.5, 1.5, 8.0, 8.0, 8.0]]

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
        target = service.collection(fresh("c"))
        body = {"owner": service.owner, "name": target.path.rpartition("/")[2]}
        done(filled.put("collectionId", body))
        assert self._ids(target.get("pGroup/2.0/matches")) == ["cd"]
        fault(filled.put("collectionId", body), 404)
        made(pairs.put("matches", [pair("1.0", "a", "1.0", "b")]))
        fault(pairs.put("collectionId", body), 400)

    def test_bad_collection_name_is_400(self, service):
        fault(service.collection("a-b").put("matches", [pair("1.0", "a", "1.0", "b")]), 400)
        service.collections.discard("a-b")
