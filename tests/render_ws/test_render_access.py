"""Who may change what: pages of other origins read, only this machine writes, only when let."""

import threading

import pytest
import waitress
from werkzeug.test import Client

from scripts.lib import files
from scripts.lib.job import UserError
from scripts.lib.service.client import RenderClient
from scripts.lib.service.errors import RequestRefused
from scripts.render_ws import access, backups
from scripts.render_ws.__main__ import main
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


TOKEN = "a-token-of-more-than-twenty-letters"


@pytest.mark.parametrize(
    "sent", [None, "Bearer other", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer"]
)
@pytest.mark.parametrize(("method", "path"), [("GET", ""), *CHANGES])
def test_without_the_token_nothing_is_answered(untouched, method, path, sent):
    client = Client(create_app(untouched, token=TOKEN))
    answer = client.open(
        STACK + path, method=method, headers={"Authorization": sent} if sent else {}
    )
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert "render.token_file" in answer.text
    assert TOKEN not in answer.text


def test_with_the_token_all_is_answered_by_any_name(database):
    client = Client(create_app(database, token=TOKEN, hosts=LOOPBACK))
    headers = {"Authorization": f"Bearer {TOKEN}", "Host": "render-host"}
    assert client.get(f"{STACK}/tileIds", headers=headers).json == ["a"]
    assert client.delete(STACK, headers=headers).status_code == 200


def test_volumes_need_the_token_and_the_page_does_not(untouched, tmp_path):
    (tmp_path / "v.n5").mkdir()
    (tmp_path / "v.n5/attributes.json").write_text("{}")
    client = Client(create_app(untouched, files=tmp_path, token=TOKEN))
    assert client.get("/files/v.n5/attributes.json").status_code == 401
    for path in ("/", "/render-ws/", "/openapi.json", "/render-ws/swagger.json"):
        assert client.get(path).status_code == 200
    assert client.post("/").status_code == 401
    asked = {"Origin": "https://pages.example", "Access-Control-Request-Headers": "authorization"}
    answer = client.options(f"{STACK}/tileIds", headers=asked)
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]


def test_a_browser_that_has_listed_volumes_may_read_their_pages_and_nothing_else(
    untouched, tmp_path
):
    for path in ("report/index.html", "v.n5/attributes.json"):
        files.write_text(tmp_path / path, "{}")
    client = Client(create_app(untouched, files=tmp_path, token=TOKEN))
    page = "/pages/report/index.html"
    assert client.get("/volumes.json").headers.get("Set-Cookie") is None
    assert client.get(page).status_code == 401
    answer = client.get("/volumes.json", headers={"Authorization": f"Bearer {TOKEN}"})
    cookie = answer.headers["Set-Cookie"]
    assert TOKEN not in cookie
    for word in ("HttpOnly", "Path=/pages/", "SameSite=Strict"):
        assert word in cookie
    assert client.get(page).status_code == 200  # the client keeps cookies, as a browser does
    bare, sent = Client(client.application, use_cookies=False), {"Cookie": cookie.split(";")[0]}
    assert bare.get(page, headers=sent).status_code == 200
    name = cookie.split("=")[0]
    assert bare.get(page, headers={"Cookie": f"{name}=é; a=b"}).status_code == 401
    for path in ("/volumes.json", "/files/v.n5/attributes.json", f"{STACK}/tileIds"):
        assert bare.get(path, headers=sent).status_code == 401
    assert bare.post(page, headers=sent).status_code == 401
    other = Client(create_app(untouched, files=tmp_path, token=f"{TOKEN}x"), use_cookies=False)
    assert other.get(page, headers=sent).status_code == 401


def test_services_at_two_ports_of_a_host_do_not_overwrite_each_others_cookies():
    """Browsers send and keep cookies by host, whatever the port."""
    names = {access.Access(token=token).cookie_name() for token in (TOKEN, f"{TOKEN}x")}
    assert len(names) == 2
    assert not any(TOKEN in name for name in names)


def test_without_a_token_there_is_no_cookie(untouched, tmp_path):
    client = Client(create_app(untouched, files=tmp_path))
    assert "Set-Cookie" not in client.get("/volumes.json").headers


def test_a_token_is_made_for_its_owner_alone(tmp_path):
    path = tmp_path / "token"
    token = access.token_of(path)
    assert len(token) > 40
    assert access.token_of(path) == token
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(UserError, match="chmod 600"):
        access.token_of(path)
    for wrong in ("short", "two words of more than twenty letters", ""):
        path.write_text(wrong)
        path.chmod(0o600)
        with pytest.raises(UserError, match="one word of at least 20"):
            access.token_of(path)
    with pytest.raises(UserError, match="token-file"):
        access.token_of(tmp_path / "no folder/token")


def test_other_machines_are_served_with_a_token_alone(tmp_path):
    with pytest.raises(SystemExit, match="add --token-file"):
        main(["serve", "--host", "render-host", "--write", "--db", str(tmp_path / "r.db")])
    assert not (tmp_path / "r.db").exists()


def test_the_client_sends_the_token_of_its_file(database, tmp_path, monkeypatch):
    path = tmp_path / "token"
    token = access.token_of(path)
    app = create_app(database, token=token)
    server = waitress.create_server(app, host="localhost", port=0, ipv6=False)
    threading.Thread(target=server.run, daemon=True).start()
    base = f"http://localhost:{server.effective_port}/render-ws/v1"
    monkeypatch.setenv("RENDER_WS_TOKEN_FILE", str(path))
    assert RenderClient("o", "p", base_url=base).stacks() == ["s"]
    monkeypatch.setenv("RENDER_WS_TOKEN_FILE", "")
    with pytest.raises(RequestRefused, match=r"401: .*render\.token_file"):
        RenderClient("o", "p", base_url=base).stacks()
    monkeypatch.setenv("RENDER_WS_TOKEN_FILE", str(tmp_path / "absent"))
    with pytest.raises(UserError, match=r"render\.token_file .*absent"):
        RenderClient("o", "p", base_url=base)
    server.close()
