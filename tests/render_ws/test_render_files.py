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


LINK = "https://viewer.org/#!%7B%22url%22%3A%22n5%3A%2F%2F{}%2Fv.n5%22%7D"
LOCAL = LINK.format("http%3A%2F%2F127.0.0.1%3A8080%2Ffiles")


def export(work, *links):
    """Make a working directory with an exported volume, a report and a config."""
    targets = [{"format": "n5", "neuroglancer": {"link": each}} for each in links]
    for name, text in (
        (str(served_links.RECORD), json.dumps({"volume": "fly", "targets": targets})),
        ("report/index.html", f"<a href='{links[0]}'>open</a>"),
        ("transfer/quarantine.tsv", "a\tb\n"),
        ("logs/secret.html", "x"),
    ):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(text)


def test_the_links_of_a_volume_lead_to_the_port_that_is_served(tmp_path):
    here = LINK.format("http%3A%2F%2Flocalhost%3A8123%2Ffiles")
    assert served_links.volumes(tmp_path, "http://localhost:8123") == []
    export(tmp_path, LOCAL, LINK.format("https%3A%2F%2Flab.org%2Ffiles"))
    (found,) = served_links.volumes(tmp_path, "http://localhost:8123")
    assert found == served_links.Served("fly", "/pages/report/index.html", [("n5", here)])
    (tmp_path / served_links.RECORD).write_text('{"targets": [{}]}')
    (found,) = served_links.volumes(tmp_path, "http://localhost:8123")
    assert (found.name, found.links) == (tmp_path.name, [])


@pytest.mark.parametrize("configured", ["%2Ffiles", "%2Ffiles%2Fa%2520b"])
def test_volumes_in_folders_of_one_that_is_served_are_listed_each(tmp_path, configured):
    export(tmp_path / "a b", LINK.format(f"http%3A%2F%2Flocalhost{configured}"))
    export(tmp_path / "z", LOCAL)
    (tmp_path / "other").mkdir()
    client = Client(create_app(tmp_path / "r.db", files=tmp_path))
    first, last = client.get("/volumes.json", base_url="http://localhost:9000").json
    here = LINK.format("http%3A%2F%2Flocalhost%3A9000%2Ffiles%2Fa%2520b")
    assert first == {
        "name": "fly", "report": "/pages/a%20b/report/index.html", "links": [["n5", here]],
    }  # fmt: skip
    page = client.get(first["report"], base_url="http://localhost:9000")
    assert page.text == f"<a href='{here}'>open</a>"
    assert last["report"] == "/pages/z/report/index.html"


def test_a_report_is_served_with_links_to_this_port_and_for_this_page_alone(tmp_path):
    export(tmp_path, LOCAL)
    client = Client(create_app(tmp_path / "r.db", files=tmp_path))
    page = client.get("/pages/report/index.html", base_url="http://localhost:8123")
    assert "http%3A%2F%2Flocalhost%3A8123%2Ffiles" in page.text
    assert page.content_type == "text/html; charset=utf-8"
    assert "Access-Control-Allow-Origin" not in page.headers
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    table = client.get("/pages/transfer/quarantine.tsv")
    assert (table.text, table.mimetype) == ("a\tb\n", "text/plain")
    for path in ("/files", "/files/"):
        assert client.get(path).headers["Location"] == "/"


@pytest.mark.parametrize(
    "path",
    ["logs/secret.html", "report/../logs/secret.html", "report/none.html", "r.db", "report", "%00"],
)
def test_other_files_of_a_working_directory_are_no_pages(tmp_path, path):
    export(tmp_path, LOCAL)
    (tmp_path / "r.db").write_text("x")
    client = Client(create_app(tmp_path / "r.db", files=tmp_path))
    assert client.get(f"/pages/{path}").status_code == 404


def test_a_page_out_of_the_folder_is_not_served(tmp_path):
    export(tmp_path / "work", LOCAL)
    (tmp_path / "x.html").write_text("x")
    (tmp_path / "work/report/x.html").symlink_to(tmp_path / "x.html")
    client = Client(create_app(tmp_path / "work/r.db", files=tmp_path / "work"))
    assert client.get("/pages/report/x.html").status_code == 404


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
