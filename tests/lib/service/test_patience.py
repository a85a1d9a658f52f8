"""Patience: a service that is down for a while fails no job, and no two jobs ask at once."""

import threading
import time

import pytest
from urllib3.exceptions import MaxRetryError
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

from scripts.lib.service import patience
from scripts.lib.service.client import RenderClient
from scripts.lib.service.errors import ServiceFailed, ServiceUnreachable


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves by what is slept."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def waits(clock, limit_s=3600.0, **options):
    """Pauses between tries of a connection that is always refused."""
    retry, found = patience.Patience(**options), []
    while sum(found) < limit_s:
        try:
            retry = retry.increment("GET", "/", error=ConnectionRefusedError("refused"))
        except MaxRetryError:
            return found
        found.append(retry.get_backoff_time())
        clock[0] += found[-1]
    raise AssertionError(f"no end after {limit_s} s")


def test_a_refused_connection_is_tried_for_minutes(clock):
    found = waits(clock, patience_s=300)
    assert 300 <= sum(found) <= 320
    assert max(found) <= 20
    assert len(found) < 60


def test_it_is_said_once_and_at_once_that_a_job_waits(clock, caplog):
    waits(clock, patience_s=300)
    (told,) = [one.message for one in caplog.records]
    assert "GET / (refused): the job tries again for up to 300 s (render.patience_s)" in told


def test_two_jobs_do_not_come_back_at_the_same_moments(clock):
    first, second = waits(clock, patience_s=100), waits(clock, patience_s=100)
    assert first[2:6] != second[2:6]


def test_the_environment_says_how_long(monkeypatch):
    monkeypatch.setenv("RENDER_WS_PATIENCE_S", "7.5")
    assert patience.patience_of_environment_s() == 7.5
    monkeypatch.delenv("RENDER_WS_PATIENCE_S")
    assert patience.patience_of_environment_s() == patience.DEFAULT_S


class Stub:
    """A service that fails at first: answers 503, then the list of z values."""

    def __init__(self, failures, status=503):
        self.failures, self.status = failures, status
        self.asked = []

    def __call__(self, environ, start):
        self.asked.append(environ["REQUEST_METHOD"])
        down = len(self.asked) <= self.failures
        return Response("restarting" if down else "[1.0]", self.status if down else 200)(
            environ, start
        )


def serve(stub, port=0):
    server = make_server("127.0.0.1", port, stub)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()

    def stop():
        server.shutdown()
        thread.join()
        server.server_close()

    return server.port, stop


@pytest.fixture
def quick(monkeypatch):
    """Waits of hundredths of a second."""
    monkeypatch.setattr(patience, "_BACKOFF_S", 0.01)
    monkeypatch.setattr(patience, "_LONGEST_WAIT_S", 0.1)


def client(port, patience_s=10.0):
    url = f"http://127.0.0.1:{port}/render-ws/v1"
    return RenderClient("o", "p", base_url=url, patience_s=patience_s)


@pytest.mark.usefixtures("quick")
def test_a_service_that_starts_again_fails_no_job():
    port, stop = serve(Stub(0))
    stop()  # the port is free now, and nobody answers
    started = []
    timer = threading.Timer(0.5, lambda: started.append(serve(Stub(2), port)[1]))
    timer.start()
    try:
        assert client(port).z_values("a") == [1.0]
    finally:
        timer.join()
        started[0]()


@pytest.mark.usefixtures("quick")
def test_what_may_not_be_sent_twice_is_not():
    stub = Stub(5)
    port, stop = serve(stub)
    try:
        with pytest.raises(ServiceFailed, match="503: restarting"):
            client(port)._request("POST", "anything", body={})
    finally:
        stop()
    assert stub.asked == ["POST"]


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.usefixtures("quick")
def test_a_service_that_has_a_fault_for_a_while_fails_no_job(status, caplog):
    stub = Stub(3, status)
    port, stop = serve(stub)
    try:
        assert client(port).z_values("a") == [1.0]
    finally:
        stop()
    assert stub.asked == ["GET"] * 4
    (told,) = [one.message for one in caplog.records if one.name == patience.__name__]
    assert told.startswith("render-ws fails on GET /render-ws/v1/")
    assert told.endswith(
        f"(status {status}): the job tries again for up to 10 s (render.patience_s)"
    )


@pytest.mark.usefixtures("quick")
def test_patience_ends():
    stub = Stub(10**6)
    port, stop = serve(stub)
    begin = time.monotonic()
    try:
        with pytest.raises(ServiceFailed, match="503: restarting"):
            client(port, patience_s=0.3).z_values("a")
    finally:
        stop()
    assert 0.3 <= time.monotonic() - begin < 3
    assert len(stub.asked) > 3
    with pytest.raises(ServiceUnreachable):
        client(port, patience_s=0).z_values("a")
