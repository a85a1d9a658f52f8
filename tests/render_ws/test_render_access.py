"""Who may change what: pages of other origins read, only this machine writes, only when let."""

import pytest
from werkzeug.test import Client

from scripts.render_ws import backups
from scripts.render_ws.access import LOOPBACK
from scripts.render_ws.app import create_app
from tests.render_ws.service import tile

STACK = "/render-ws/v1/owner/o/project/p/stack/s"
OURS = "localhost:8080"
FOREIGN = [
    {"Origin": "https://pages.example"},
    {"Origin": "http://localhost:9999"},  # another service of this machine
    {"Origin": "https://localhost:8080.example"},
    {"Origin": "null"},  # a page in a sandbox
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": f"http://{OURS}"},
    {"Host": "pages.example:8080", "Origin": "http://pages.example:8080"},  # DNS rebinding
    {"Host": "localhost.pages.example"},
    {"Host": "["},
]
CHANGES = [
    ("POST", ""),  # a form may send it without asking first
    ("PUT", "/state/OFFLINE"),
    ("PUT", "/state/LOADING"),
    ("DELETE", ""),
    ("PUT", "/local-to-world-coordinates"),
]


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    path = tmp_path_factory.mktemp("access") / "r.db"
    client = Client(create_app(path))
    assert client.post(STACK, json={}).status_code == 201
    spec = {"tileIdToSpecMap": {"a": tile("a")}}
    assert client.put(f"{STACK}/resolvedTiles", json=spec).status_code == 201
    assert client.put(f"{STACK}/state/COMPLETE").status_code == 201
    return path


@pytest.fixture(scope="module")
def client(untouched):
    return Client(create_app(untouched, hosts=LOOPBACK))


@pytest.fixture
def database(untouched, tmp_path):
    backups.backup(untouched, tmp_path / "r.db")
    return tmp_path / "r.db"


def ask(client, method, path, **headers):
    return client.open(STACK + path, method=method, json={}, headers={"Host": OURS, **headers})


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_no_page_of_another_origin_changes_anything(client, method, path, headers):
    before = client.get(STACK).data
    answer = ask(client, method, path, **headers)
    assert (answer.status_code, answer.mimetype) == (403, "text/plain")
    assert "refused" in answer.text
    assert client.get(STACK).data == before
    assert client.get(f"{STACK}/tileIds").json == ["a"]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_pages_of_any_origin_read(client, headers):
    answer = client.get(f"{STACK}/tileIds", headers=headers)
    assert answer.json == ["a"]
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "127.0.0.1:8080"},
        {"Host": "[::1]:8080"},
        {"Host": "LOCALHOST"},  # a tunnel has another port, or none
        {"Origin": f"http://{OURS}", "Sec-Fetch-Site": "same-origin"},
    ],
    ids=str,
)
def test_programs_and_own_pages_write(database, headers):
    client = Client(create_app(database, hosts=LOOPBACK))
    assert ask(client, "PUT", "/state/OFFLINE", **headers).status_code == 201


def test_a_name_that_was_given_is_known(database):
    client = Client(create_app(database, hosts=LOOPBACK | {"render-host"}))
    assert ask(client, "POST", "", Host="render-host:80").status_code == 201


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_a_browser_that_asks_first_is_told_no(client, method):
    asked = {
        "Origin": "https://pages.example",
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Private-Network": "true",
    }
    answer = client.options(f"{STACK}/state/OFFLINE", headers=asked)
    assert method not in answer.headers["Access-Control-Allow-Methods"]
    assert "Access-Control-Allow-Private-Network" not in answer.headers


def test_unless_writing_is_switched_on_nobody_writes(database):
    client = Client(create_app(database, hosts=LOOPBACK, writable=False))
    for method, path in CHANGES[:4]:
        answer = ask(client, method, path)
        assert answer.status_code == 403
        assert "serve --write" in answer.text
    assert client.get(f"{STACK}/tileIds").json == ["a"]
    body = [{"tileId": "a", "local": [1, 2]}]  # a PUT that reads
    answer = client.put(f"{STACK}/local-to-world-coordinates", json=body, headers={"Host": OURS})
    assert answer.json == [{"tileId": "a", "world": [1.0, 2.0, 1.0]}]
