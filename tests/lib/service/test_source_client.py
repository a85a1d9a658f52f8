"""Reading what is taken over from the volume's service or another one."""

import pytest

from scripts.lib import flow
from scripts.lib.job import UserError
from scripts.lib.service import source_client as source
from scripts.lib.service.client import RenderClient
from scripts.lib.service.errors import RequestRefused, ServiceUnreachable

THEIRS = {"owner": "lab", "project": "theirs"}


@pytest.fixture
def services(tmp_path, monkeypatch):
    """Two embedded services with a stack of one name, the second of 6 nm."""
    for name, size in (("own", 4.0), ("other", 6.0)):
        client = RenderClient(**THEIRS, base_url=f"sqlite:///{tmp_path}/{name}.db")
        client.create_stack("v1", (size, size, size))
        client.close()
    monkeypatch.setenv("RENDER_WS_URL", f"sqlite:///{tmp_path}/own.db")
    return tmp_path


def test_without_another_service_it_is_the_volume_s_own(services):
    assert source.client(THEIRS).resolution("v1")[0] == 4


def test_another_service_is_read_and_cannot_be_written(services, monkeypatch):
    monkeypatch.setenv("RENDER_WS_TAKEOVER_URL", f"sqlite:///{services}/other.db")
    client = source.client(THEIRS)
    assert client.resolution("v1")[0] == 6
    with pytest.raises(RequestRefused, match="read only"):
        client.delete_stack("v1")
    assert source.client(THEIRS).stacks() == ["v1"]


def test_the_token_of_the_volume_s_service_is_not_sent_to_another(monkeypatch, tmp_path):
    (tmp_path / "token").write_text("secret")
    monkeypatch.setenv("RENDER_WS_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("RENDER_WS_URL", "http://own:1/render-ws/v1")
    assert source.client(THEIRS)._session.auth is not None
    monkeypatch.setenv("RENDER_WS_TAKEOVER_URL", "http://other:1/render-ws/v1")
    assert source.client(THEIRS)._session.auth is None


def test_a_service_that_does_not_answer_is_named_by_its_key(monkeypatch):
    monkeypatch.setenv("RENDER_WS_TAKEOVER_URL", "http://127.0.0.1:9/render-ws/v1/")
    monkeypatch.setenv("RENDER_WS_PATIENCE_S", "0")
    with pytest.raises(ServiceUnreachable, match=r"^takeover\.render\.url: no answer from http"):
        source.client(THEIRS).stacks()


OTHERS = ("owner", "matches", "stack")


def config(url):
    return {
        "transfer": {"dat_root": "d"},
        "render": {"owner": "lab", "project": "mine"},
        "review": {"auto": False},
        "takeover": dict.fromkeys(("align_h5", "raw_h5", "zcoords"))
        | {"render": {"project": "theirs", "url": url} | dict.fromkeys(OTHERS)},
    }


def test_a_file_starts_at_the_root_and_must_be_there(services):
    found = flow.takeover(services, config("sqlite:///other.db"))
    assert found["render"]["url"] == f"sqlite:///{services}/other.db"
    assert flow.takeover(services, config("http://h:1/x"))["render"]["url"] == "http://h:1/x"
    assert flow.takeover(services, config(None))["render"]["url"] is None
    with pytest.raises(UserError, match=r"takeover.render.url: .* found no .*gone.db"):
        flow.takeover(services, config("sqlite:///gone.db"))
