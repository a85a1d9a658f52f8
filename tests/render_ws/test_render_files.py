"""Volumes over HTTP as viewers in a browser read them: ranges, other origins, nothing else."""

import json

import pytest
from werkzeug.test import Client as _Client

from scripts.render_ws import served_links
from scripts.render_ws.app import create_app

BLOCK = bytes(range(200))


class Client(_Client):
    """Reads answers to their end: files are closed."""

    def open(self, *args, **more):
        return super().open(*args, **more, buffered=True)


@pytest.fixture
def client(tmp_path):
    for name in ("work/v.n5/em/s0/0/0/0", "work/secret.txt", "secret.n5/a"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(BLOCK)
    return Client(create_app(tmp_path / "work/r.db", files=tmp_path / "work"))


def test_a_block_is_given_whole_and_in_part(client):
    whole = client.get("/files/v.n5/em/s0/0/0/0")
    assert (whole.status_code, whole.data) == (200, BLOCK)
    assert whole.headers["Accept-Ranges"] == "bytes"
    part = client.get("/files/v.n5/em/s0/0/0/0", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.data) == (206, BLOCK[10:20])
    assert part.headers["Content-Range"] == "bytes 10-19/200"
    tail = client.get("/files/v.n5/em/s0/0/0/0", headers={"Range": "bytes=-16"})
    assert tail.data == BLOCK[-16:]
    beyond = client.get("/files/v.n5/em/s0/0/0/0", headers={"Range": "bytes=500-"})
    assert beyond.status_code == 416
    head = client.head("/files/v.n5/em/s0/0/0/0")
    assert (head.data, head.headers["Content-Length"]) == (b"", "200")


def test_pages_of_other_origins_may_read_it(client):
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range"}
    private = {"Access-Control-Request-Private-Network": "true"}
    before = client.options("/files/v.n5/em/s0/0/0/0", headers=asked | private)
    assert before.status_code == 200
    assert "Range" in before.headers["Access-Control-Allow-Headers"]
    assert before.headers["Access-Control-Allow-Private-Network"] == "true"
    after = client.get("/files/v.n5/em/s0/0/0/0")
    assert after.headers["Access-Control-Allow-Origin"] == "*"
    assert "Content-Range" in after.headers["Access-Control-Expose-Headers"]


def test_the_links_that_are_printed_lead_to_the_port_that_is_served(tmp_path):
    link = "https://viewer.org/#!%7B%22url%22%3A%22n5%3A%2F%2F{}%2Fv.n5%22%7D"
    others = "https%3A%2F%2Flab.org%2Ffiles"
    found = [link.format("http%3A%2F%2F127.0.0.1%3A8080%2Ffiles"), link.format(others)]
    record = {"targets": [{"neuroglancer": {"link": each}} for each in found]}
    assert served_links.links(tmp_path, "http://localhost:8123") == []
    path = tmp_path / served_links.RECORD
    path.parent.mkdir()
    path.write_text(json.dumps(record))
    here = link.format("http%3A%2F%2Flocalhost%3A8123%2Ffiles")
    assert served_links.links(tmp_path, "http://localhost:8123") == [here]
    path.write_text('{"targets": [{}]}')
    assert served_links.links(tmp_path, "http://localhost:8123") == []


@pytest.mark.parametrize(
    "path", ["v.n5/em/s0/0/0/1", "v.n5/em/s0", "secret.txt", "../secret.n5/a", "v.n5/../secret.txt"]
)
def test_what_is_no_file_of_a_volume_in_the_folder_is_not_found(client, path):
    assert client.get(f"/files/{path}").status_code == 404


def test_a_link_out_of_the_folder_is_not_followed(client, tmp_path):
    (tmp_path / "work/v.n5/out").symlink_to(tmp_path / "secret.n5")
    assert client.get("/files/v.n5/out/a").status_code == 404


def test_without_a_folder_no_file_is_served(tmp_path):
    (tmp_path / "v.n5").mkdir()
    (tmp_path / "v.n5/a").write_bytes(BLOCK)
    assert Client(create_app(tmp_path / "r.db")).get("/files/v.n5/a").status_code == 404
