"""RenderClient: one class of facts, on both transports."""

import threading
from dataclasses import asdict, replace

import numpy as np
import pytest
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

from scripts.lib import files
from scripts.lib.job import UserError
from scripts.lib.service.client import RenderClient
from scripts.lib.service.errors import (
    ReceiptMismatch,
    RequestRefused,
    ServiceUnreachable,
    StackNotFound,
)
from scripts.lib.service.receipts import CollectionReceipt, StackReceipt
from scripts.lib.service.records import CanvasMatches, Leaf, TileSet, TileSpec
from scripts.lib.service.session import is_embedded, is_loopback
from scripts.lib.service.transport import WsgiAdapter
from scripts.lib.transforms import AFFINE
from scripts.render_ws import tiles
from scripts.render_ws.app import create_app

NM = (8.0, 8.0, 8.0)


def make_tiles(layers=3, columns=2, first_z=1):
    return TileSet(
        tuple(
            TileSpec(
                tile_id=f"t_0-0-{c}.{z}.0",
                z=float(z),
                width=100,
                height=80,
                image_url=f"file:///d/{z}.h5?dataSet=/0-0-{c}/mipmap.0&z=0",
                transforms=(Leaf(AFFINE, f"1 0 0 1 {c * 90} 0"),),
                column=c,
            )
            for z in range(first_z, first_z + layers)
            for c in range(columns)
        )
    )


def make_pair(z, other, n=4):
    points = np.arange(2.0 * n).reshape(n, 2)
    return CanvasMatches(
        f"{z}.0",
        f"t_0-0-0.{z}.0",
        f"{other}.0",
        f"t_0-0-0.{other}.0",
        points,
        points + 1,
        np.ones(n),
    )


class ClientFacts:
    """What holds whichever way the service is reached."""

    @pytest.fixture
    def client(self, tmp_path):
        raise NotImplementedError

    def test_a_published_stack_comes_back_whole(self, client):
        tiles = make_tiles()
        receipt = client.publish_stack("a", tiles, resolution_nm=NM)
        assert client.stack_metadata("a")["state"] == "COMPLETE"
        assert receipt.tile_count == 6
        assert receipt.bounds == (0.0, 0.0, 190.0, 80.0)
        back = client.tiles("a")
        assert [t.tile_id for t in back.tiles] == [t.tile_id for t in tiles.tiles]
        assert client.tiles("a", 2, 2).tiles == back.tiles[2:4]

    def test_publishing_again_gives_the_same_receipt_and_no_stale_tile(self, client):
        client.publish_stack("a", make_tiles(layers=4), resolution_nm=NM)
        first = client.publish_stack("a", make_tiles(layers=2), resolution_nm=NM)
        assert first == client.publish_stack("a", make_tiles(layers=2), resolution_nm=NM)
        assert len(client.tile_ids("a")) == 4

    def test_a_stack_changed_behind_our_back_is_told_in_words(self, client):
        receipt = client.publish_stack("a", make_tiles(), resolution_nm=NM)
        client.publish_stack("a", make_tiles(layers=2), resolution_nm=NM)
        with pytest.raises(ReceiptMismatch, match=r"4 tiles, expected 6.*another run"):
            client.require(receipt)

    def test_a_stack_left_loading_is_no_result(self, client):
        receipt = client.publish_stack("a", make_tiles(), resolution_nm=NM)
        client.set_state("a", "LOADING")
        with pytest.raises(ReceiptMismatch, match="LOADING, not COMPLETE"):
            client.require(receipt)

    def test_a_missing_stack_is_told_by_name(self, client):
        with pytest.raises(StackNotFound, match=r"GET .*stack/nowhere.* -> 404: "):
            client.tiles("nowhere")
        receipt = StackReceipt("o", "p", "nowhere", 1, 1, 1, (0, 0, 1, 1), "x", {}, {})
        with pytest.raises(ReceiptMismatch, match="does not exist"):
            client.require(receipt)

    def test_a_z_range_without_tiles_gives_an_empty_set(self, client):
        client.publish_stack("a", make_tiles(), resolution_nm=NM)
        assert client.tiles("a", 50, 60) == TileSet(())

    def test_a_name_the_service_refuses_says_so(self, client):
        with pytest.raises(RequestRefused, match=r"POST .*bad-name.* -> 400: "):
            client.create_stack("bad-name", NM)

    def test_matches_come_back_in_text_order_with_their_points(self, client):
        client.put_matches("m", [make_pair(9, 10), make_pair(1, 2)])
        (found,) = client.matches("m", "10.0")
        assert found.key == ("10.0", "t_0-0-0.10.0", "9.0", "t_0-0-0.9.0")
        np.testing.assert_array_equal(found.p, make_pair(9, 10).q)
        assert client.match_keys("m", "1.0") == [("1.0", "t_0-0-0.1.0", "2.0", "t_0-0-0.2.0", 4)]
        assert client.p_groups("m") == ["1.0", "10.0"]
        assert len(client.matches_between("m", "9.0", "10.0")) == 1

    def test_a_deleted_pair_is_gone_and_a_missing_one_is_no_error(self, client):
        client.put_matches("m", [make_pair(1, 2), make_pair(2, 3)])
        client.delete_pair("m", make_pair(1, 2).key)
        client.delete_pair("m", make_pair(1, 2).key)
        assert client.pair_count("m") == 1

    def test_a_collection_receipt_counts_pairs(self, client):
        client.put_matches("m", [make_pair(1, 2)])
        receipt = CollectionReceipt("o", "m", 2, 1, 1, "", {}, {})
        client.require(receipt)
        with pytest.raises(ReceiptMismatch, match="it has 1 pairs, expected 3"):
            client.require(replace(receipt, pairs_saved=3))

    def test_nothing_is_found_in_a_collection_that_is_not_there(self, client):
        assert client.matches("none", "1.0") == []
        assert client.p_groups("none") == []
        client.delete_collection("none")

    def test_a_receipt_of_another_project_is_refused(self, client):
        receipt = client.publish_stack("a", make_tiles(), resolution_nm=NM)
        with pytest.raises(ReceiptMismatch, match="o/elsewhere"):
            client.require(replace(receipt, project="elsewhere"))


class TestEmbedded(ClientFacts):
    @pytest.fixture
    def client(self, tmp_path):
        return RenderClient("o", "p", base_url=f"sqlite:///{tmp_path}/r.db")


class TestHttp(ClientFacts):
    @pytest.fixture
    def client(self, tmp_path):
        server = make_server("127.0.0.1", 0, create_app(f"{tmp_path}/r.db"), threaded=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        client = RenderClient("o", "p", base_url=f"http://127.0.0.1:{server.port}/render-ws/v1")
        yield client
        client.close()
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_service_that_does_not_answer_is_named_with_the_key_in_one_line():
    url = "http://127.0.0.1:9/render-ws/v1"
    client = RenderClient("o", "p", base_url=url, patience_s=0)
    with pytest.raises(
        ServiceUnreachable, match=rf"^render\.url: .* {url} \(Connection ref"
    ) as stop:
        client.z_values("a")
    assert isinstance(stop.value, UserError)
    assert len(str(stop.value).splitlines()) == 1


def test_the_environment_chooses_the_transport(monkeypatch, tmp_path):
    monkeypatch.setenv("RENDER_WS_URL", f"sqlite:///{tmp_path}/from_environment.db")
    RenderClient("o", "p").publish_stack("a", make_tiles(), resolution_nm=NM)
    assert (tmp_path / "from_environment.db").exists()


def test_an_empty_stack_is_never_published(tmp_path):
    client = RenderClient("o", "p", base_url=f"sqlite:///{tmp_path}/r.db")
    with pytest.raises(ValueError, match="no tile to publish"):
        client.publish_stack("a", TileSet(()), resolution_nm=NM)


@pytest.fixture
def client(tmp_path):
    return RenderClient("o", "p", base_url=f"sqlite:///{tmp_path}/r.db")


@pytest.mark.parametrize("limit", [2, 3, 5, 8, 100])
def test_layers_of_many_tiles_are_asked_for_in_smaller_parts(client, monkeypatch, limit):
    client.publish_stack("a", make_tiles(layers=9), resolution_nm=NM)
    monkeypatch.setattr(tiles, "MAX_RESOLVED", limit)
    given, asked = client._get, []
    monkeypatch.setattr(client, "_get", lambda *a, **k: asked.append(a) or given(*a, **k))
    found = client.tiles("a").tiles
    # z values, four refusals at most, and the spans that fit
    assert len(asked) <= 1 + 4 - (-9 // (limit // 2))
    assert [one.tile_id for one in found] == [one.tile_id for one in make_tiles(layers=9).tiles]


def test_a_layer_of_too_many_tiles_is_told_in_the_words_of_the_service(client, monkeypatch):
    client.publish_stack("a", make_tiles(layers=3), resolution_nm=NM)
    monkeypatch.setattr(tiles, "MAX_RESOLVED", 1)
    with pytest.raises(RequestRefused, match="more than 1 tiles"):
        client.tiles("a")


def test_z_values_are_put_in_order(client, monkeypatch):
    client.publish_stack("a", make_tiles(layers=12), resolution_nm=NM)
    given = client._get

    def turned(path, **named):
        found = given(path, **named)
        return [*found[::-1], found[0]] if path.endswith("zValues") else found

    monkeypatch.setattr(client, "_get", turned)
    assert client.z_values("a") == list(range(1, 13))
    assert len(client.tiles("a").tiles) == 24


def at(base_url, application):
    client = RenderClient("o", "p", base_url=base_url)
    client._session.mount("http://", WsgiAdapter(application))
    return client


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.matches("m", "1.0"),
        lambda client: client.match_keys("m", "1.0"),
        lambda client: client.matches_between("m", "1.0", "2.0"),
        lambda client: client.p_groups("m"),
        lambda client: client.delete_collection("m"),
        lambda client: client.pair_count("m"),
        lambda client: client.resolution("a"),
        lambda client: client.tiles("a"),
    ],
)
def test_a_base_url_that_is_no_render_ws_is_no_empty_collection(tmp_path, ask):
    service = create_app(tmp_path / "r.db")
    wrong = at("http://host:8080/render-ws", service)
    with pytest.raises(ServiceUnreachable, match=r"^render\.url: http://host:8080/render-ws is no"):
        ask(wrong)


def test_a_site_that_answers_pages_is_no_render_ws():
    pages = Response("<html>Welcome</html>", mimetype="text/html")
    with pytest.raises(ServiceUnreachable, match=r"host is no render-ws.*<html>"):
        at("http://host/", pages).p_groups("m")


def test_what_is_not_there_is_told_from_a_wrong_url_once(tmp_path):
    client = at("http://host:8080/render-ws/v1", create_app(tmp_path / "r.db"))
    assert client.matches("m", "1.0") == []
    assert client.p_groups("m") == []
    client.delete_collection("m")
    with pytest.raises(StackNotFound):
        client.tiles("a")


def test_pairs_saved_without_a_count_are_counted_by_their_points(client, monkeypatch):
    client.put_matches("m", [make_pair(1, 2, n=7)])
    given = client._json

    def old(response):
        found = given(response)
        return [{k: v for k, v in one.items() if k != "matchCount"} for one in found]

    expected = client.match_keys("m", "1.0")
    monkeypatch.setattr(client, "_json", old)
    assert client.match_keys("m", "1.0") == expected
    assert expected[0][4] == 7


@pytest.mark.parametrize("listed", [0, 1, 5])
def test_a_listing_that_is_off_is_counted_again(client, monkeypatch, caplog, listed):
    client.put_matches("m", [make_pair(1, 2), make_pair(2, 3)])
    monkeypatch.setattr(client, "pair_count", lambda _: listed)
    receipt = CollectionReceipt("o", "m", 2, 2, 2, "", {}, {})
    client.require(receipt)
    assert "validate, on the collection o__m" in caplog.text
    with pytest.raises(ReceiptMismatch, match="it has 2 pairs, expected 3"):
        client.require(replace(receipt, pairs_saved=3))


@pytest.mark.parametrize(
    ("url", "embedded"),
    [(None, True), ("", True), ("sqlite:///x.db", True), ("http://h/render-ws/v1", False)],
)
def test_embedded_urls_are_told_from_others(url, embedded):
    assert is_embedded(url) is embedded


def test_a_receipt_of_before_is_read_and_its_stack_is_found_as_it_is(tmp_path):
    client = RenderClient("o", "p", base_url=f"sqlite:///{tmp_path}/r.db")
    receipt = client.publish_stack("a", make_tiles(), resolution_nm=NM)
    path = tmp_path / "a.json"
    files.write_json(path, {**asdict(receipt), "code_version": "0.1.0"})
    client.create_stack("a", NM, notes=f"{receipt.content()} of {'0' * 64}")
    client.set_state("a", "COMPLETE")
    client.require(StackReceipt.read(path))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:8080/render-ws/v1", True),
        ("http://127.0.0.2/render-ws/v1", True),
        ("http://[::1]:80/x", True),
        ("http://render.example/render-ws/v1", False),
        ("http://10.0.0.1/x", False),
        ("", False),
    ],
)
def test_a_service_on_loopback_is_told_from_others(url, expected):
    assert is_loopback(url) is expected
