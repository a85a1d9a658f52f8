"""Copies between services: whole, resumable, compared, and never over something else."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
import waitress

from scripts.lib.job import UserError
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import CollectionReceipt
from scripts.lib.service.records import CanvasMatches, Leaf, Ref, TileSet, TileSpec
from scripts.lib.transforms import AFFINE, SEM_DISTORTION_A
from scripts.render_ws import access, copying
from scripts.render_ws import tiles as served_tiles
from scripts.render_ws.__main__ import main
from scripts.render_ws.app import create_app
from scripts.render_ws.copying import Service

NM = (4.0, 4.0, 8.0)
LAYERS = 7
SCAN = {"scan": Leaf(SEM_DISTORTION_A, "19.4 64.8 24.4 972.0 0", "scan")}


def tiles(layers=LAYERS, shift=0):
    specs = [
        TileSpec(
            f"t{column}.{z}.0",
            float(z),
            100,
            80,
            f"file:///d/{z}.h5?dataSet=/0-0-{column}/mipmap.0&z=0",
            (Ref("scan"), Leaf(AFFINE, f"1 0 0 1 {column * 90 + shift} 0")),
            column=column,
            extra={"filterSpec": {"className": "x", "parameters": {}}} if z == 3 else {},
        )
        for z in range(1, layers + 1)
        for column in (0, 1)
    ]
    return TileSet(tuple(specs), SCAN)


def pairs(layers=LAYERS):
    points = np.random.default_rng(0).uniform(0, 80, (9, 2))
    return [
        CanvasMatches(
            f"{z}.0", f"t0.{z}.0", f"{z + 1}.0", f"t0.{z + 1}.0", points, points, np.ones(9)
        )
        for z in range(1, layers)
    ]


@pytest.fixture
def source(tmp_path):
    """A stack with its receipt and a collection."""
    path = tmp_path / "from.db"
    client = RenderClient("o", "p", base_url=f"sqlite:///{path}")
    mipmaps = {"rootPath": "/m/", "numberOfLevels": 2, "extension": "h5"}
    receipt = client.publish_stack("s", tiles(), resolution_nm=NM, mipmaps=mipmaps)
    client.put_matches("p_v1", pairs())
    client.close()
    collection = CollectionReceipt("o", "p_v1", LAYERS - 1, LAYERS - 1, 0, "", {}, {})
    return path, receipt, collection


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(copying, "_TILES_AT_ONCE", 4)  # two layers a span


def copied(source, target):
    ends = Service(str(source), "o"), Service(str(target), "o")
    return list(copying.copy(*ends, "p", stacks=["s"], collections=["p_v1"]))


def test_receipts_are_valid_in_the_copy(source, tmp_path):
    path, *receipts = source
    found = copied(path, tmp_path / "to.db")
    assert [(each.count, each.sent) for each in found] == [(14, 14), (6, 6)]
    client = RenderClient("o", "p", base_url=f"sqlite:///{tmp_path}/to.db")
    for receipt in receipts:
        client.require(receipt)
    assert client.resolution("s") == NM
    assert (
        client.tiles("s").to_json()
        == RenderClient("o", "p", base_url=f"sqlite:///{path}").tiles("s").to_json()
    )
    assert client.stack_metadata("s")["currentVersion"]["mipmapPathBuilder"]["rootPath"] == "/m/"
    again = copied(path, tmp_path / "to.db")
    assert [each.sent for each in again] == [0, 0]
    assert [each.digest for each in again] == [each.digest for each in found]


def test_an_interrupted_copy_goes_on(source, tmp_path, monkeypatch):
    path, receipt, _ = source
    send, puts = Service.send, []

    def failing(self, method, way, body=None, **query):
        if method == "PUT" and way.endswith("resolvedTiles"):
            puts.append(way)
            if len(puts) == 3:
                raise UserError("the network is down")
        return send(self, method, way, body, **query)

    monkeypatch.setattr(Service, "send", failing)
    with pytest.raises(UserError, match="network"):
        copied(path, tmp_path / "to.db")
    client = RenderClient("o", "p", base_url=f"sqlite:///{tmp_path}/to.db")
    assert client.stack_metadata("s")["state"] == "LOADING"  # nobody takes it for whole
    stack, _ = copied(path, tmp_path / "to.db")
    assert (stack.count, stack.sent) == (14, 14 - 2 * 4)
    client.require(receipt)


def test_layers_with_more_tiles_than_are_given_at_once_are_asked_for_one_by_one(
    source, tmp_path, monkeypatch
):
    monkeypatch.setattr(served_tiles, "MAX_RESOLVED", 3)
    stack, _ = copied(source[0], tmp_path / "to.db")
    assert (stack.count, stack.sent) == (14, 14)
    monkeypatch.setattr(served_tiles, "MAX_RESOLVED", 1)
    with pytest.raises(UserError, match="more than 1 tiles"):
        copied(source[0], tmp_path / "other.db")


def test_another_stack_is_not_written_over(source, tmp_path):
    client = RenderClient("o", "p", base_url=f"sqlite:///{tmp_path}/to.db")
    client.publish_stack("s", tiles(2, shift=5), resolution_nm=NM)
    before = client.tiles("s")
    with pytest.raises(UserError, match="has another stack s already"):
        copied(source[0], tmp_path / "to.db")
    assert client.tiles("s") == before


def test_a_changed_copy_and_other_pairs_are_told(source, tmp_path):
    path, *_ = source
    copied(path, tmp_path / "to.db")
    client = RenderClient("o", "p", base_url=f"sqlite:///{tmp_path}/to.db")
    client.set_state("s", "LOADING")
    client.put_tiles("s", tiles(1, shift=9))
    notes = RenderClient("o", "p", base_url=f"sqlite:///{path}").stack_metadata("s")
    client._request("POST", client._stack("s"), body=notes["currentVersion"])
    client.set_state("s", "COMPLETE")
    with pytest.raises(UserError, match=r"tile t0\.1\.0 has another .*transforms"):
        copied(path, tmp_path / "to.db")
    client.put_matches("p_v1", [pairs(9)[-1]])
    ends = Service(str(path), "o"), Service(f"{tmp_path}/to.db", "o")
    with pytest.raises(UserError, match=r"pairs of group 8\.0"):
        copying.copy_collection(*ends, "p_v1")


def test_what_the_target_drops_is_named(source, tmp_path, monkeypatch):
    """As services do that know no filters on tile specs."""
    send = Service.send

    def dropping(self, method, way, body=None, **query):
        if method == "PUT" and way.endswith("resolvedTiles"):
            body = json.loads(json.dumps(body))
            for spec in body["tileIdToSpecMap"].values():
                spec.pop("filterSpec", None)
        return send(self, method, way, body, **query)

    monkeypatch.setattr(Service, "send", dropping)
    with pytest.raises(UserError, match=r"tile t0\.3\.0 has another filterSpec"):
        copied(source[0], tmp_path / "to.db")
    client = RenderClient("o", "p", base_url=f"sqlite:///{tmp_path}/to.db")
    assert client.stack_metadata("s")["state"] == "LOADING"


def test_what_may_change_or_is_not_there_is_not_copied(source, tmp_path):
    client = RenderClient("o", "p", base_url=f"sqlite:///{source[0]}")
    client.set_state("s", "LOADING")
    with pytest.raises(UserError, match="is LOADING: it may change"):
        copied(source[0], tmp_path / "to.db")
    client.delete_stack("s")
    with pytest.raises(UserError, match="has no stack o/p/s"):
        copied(source[0], tmp_path / "to.db")
    ends = Service(str(source[0]), "o"), Service(f"{tmp_path}/to.db", "o")
    with pytest.raises(UserError, match="has no match collection o/x"):
        copying.copy_collection(*ends, "x")


def test_the_command_copies_a_project_to_a_served_one_and_into_one_file(source, tmp_path):
    path, *receipts = source
    token = tmp_path / "token"
    app = create_app(tmp_path / "served.db", token=access.token_of(token))
    server = waitress.create_server(app, host="localhost", port=0, ipv6=False)
    threading.Thread(target=server.run, daemon=True).start()
    url = f"http://localhost:{server.effective_port}/render-ws/v1"
    names = ["--owner", "o", "--project", "p", "--all"]
    main(["copy", str(path), url, *names, "--to-token-file", str(token)])
    archive = tmp_path / "archive.db"
    main(["copy", url, str(archive), *names, "--from-token-file", str(token)])
    server.close()
    archive.rename(tmp_path / "moved.db")  # alone, without what lies beside it
    client = RenderClient("o", "p", base_url=f"sqlite:///{tmp_path}/moved.db")
    for receipt in receipts:
        client.require(receipt)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent.db", "to.db"], "no database absent.db"),
        (["http://localhost:9/render-ws/v1", "to.db", "--stack", "s"], "no answer"),
    ],
)
def test_wrong_commands_are_one_line(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(copying, "Patience", lambda: 0)
    with pytest.raises(SystemExit, match=words):
        main(["copy", *arguments, "--owner", "o", "--project", "p"])
