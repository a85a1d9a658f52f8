"""Copy from a real OpenSSH server on loopback, keys made here: scp, rsync, hashes, host keys."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts.transfer import state, visits
from scripts.transfer.copying import Rules
from scripts.transfer.layers import Limits
from tests.transfer.scopes import Microscope, dat_bytes, dat_name

SSHD = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
pytestmark = [
    pytest.mark.sshd,
    pytest.mark.xdist_group("sshd"),
    pytest.mark.skipif(
        SSHD is None or shutil.which("ssh") is None,
        reason="no OpenSSH server here: apt-get install openssh-server",
    ),
]


def key(path):
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(argv, check=True)
    return path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
"""


@contextmanager
def serving(folder, port):
    """Run the server in the foreground until the block ends."""
    (folder / "sshd_config").write_text(CONFIG.format(port=port, folder=folder))
    if os.geteuid() == 0:  # where a server run by root keeps its children
        Path("/run/sshd").mkdir(exist_ok=True)
    argv = [SSHD, "-D", "-e", "-f", str(folder / "sshd_config")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        wait_for(port, process, folder / "log")
        yield
    finally:
        process.terminate()
        process.wait()


def wait_for(port, process, log):
    end = time.monotonic() + 20
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.skip(f"the OpenSSH server does not start here: {log.read_text()[-300:]}")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Folder with keys and known hosts, and the port of a running server."""
    folder = tmp_path_factory.mktemp("sshd")
    port = free_port()
    host, _ = key(folder / "host"), key(folder / "user")
    public = host.with_suffix(".pub").read_text()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}")
    (folder / "none").write_text("")
    with serving(folder, port):
        yield folder, port


@pytest.fixture
def scope(tmp_path):
    made = Microscope(tmp_path / "scope of the lab")
    for i in range(2):
        made.acquire(dat_name(i), dat_bytes(i))
    return made


def visit(server, scope, root, *, known="known_hosts", rules=None, limits=None, before=(), **more):
    folder, port = server
    options = (f"IdentityFile={folder}/user", f"UserKnownHostsFile={folder}/{known}")
    settings = scope.settings(
        host=f"{getpass.getuser()}@127.0.0.1",
        port=port,
        ssh_options=(*options, "IdentitiesOnly=yes", "GlobalKnownHostsFile=/dev/null"),
        **more,
    )
    return visits.visit(
        settings,
        Limits.of(limits or {}),
        Rules(root, **(rules or {})),
        here=state.known_dats(root, work_dir=root.parent),
        before=before,
    )


def copied(root):
    return {path.name: path.read_bytes() for path in root.rglob("*.dat")}


@pytest.mark.parametrize(("method", "hashed"), [("scp", False), ("rsync", True)])
def test_flagged_files_come_over_ssh_and_their_flags_go(server, scope, tmp_path, method, hashed):
    if shutil.which(method) is None:
        pytest.skip(f"no {method} here")
    done = visit(server, scope, tmp_path / "dat", method=method, rules={"hashed": hashed})
    assert done.problems == []
    assert [row["status"] for row in done.rows] == ["copied"] * 2
    assert copied(tmp_path / "dat") == {dat_name(i): dat_bytes(i) for i in range(2)}
    assert scope.waiting() == []
    assert all(bool(row["sha256"]) == hashed for row in done.rows)


def test_missing_files_and_flags_without_files_are_found_over_ssh(server, scope, tmp_path):
    scope.acquire(dat_name(2), dat_bytes(2))
    scope.flag(dat_name(0)).unlink()
    scope.path(dat_name(1)).unlink()
    done = visit(server, scope, tmp_path / "dat", limits={"first_dat": dat_name(0)})
    assert sorted(copied(tmp_path / "dat")) == [dat_name(0), dat_name(2)]
    assert [row["status"] for row in done.rows] == ["copied", "failed", "copied"]
    assert "a flag without a file" in done.rows[1]["reason"]


def test_names_with_blanks_quotes_and_patterns_arrive(server, scope, tmp_path):
    name = dat_name(4).replace(".dat", " it's [1] $HOME.dat")
    for path in scope.flags.iterdir():
        path.unlink()
    scope.acquire(name, dat_bytes(4))
    visit(server, scope, tmp_path / "dat")
    assert copied(tmp_path / "dat")[name] == dat_bytes(4)
    assert scope.waiting() == []


def test_an_unknown_host_key_is_refused_unless_checking_is_off(server, scope, tmp_path):
    done = visit(server, scope, tmp_path / "dat", known="none")
    assert "Host key verification failed" in done.problems[0]
    assert copied(tmp_path / "dat") == {}
    done = visit(server, scope, tmp_path / "dat", known="none", host_key_checking=False)
    assert len(copied(tmp_path / "dat")) == 2
    (server[0] / "none").write_text("")


def test_a_server_that_is_gone_is_told_with_its_name(server, scope, tmp_path):
    folder, _ = server
    done = visit((folder, free_port()), scope, tmp_path / "dat")
    assert "127.0.0.1: ssh ended with 255" in done.problems[0]
    assert "refused" in done.problems[0]
