"""Snakemake forked from a process that has imported it: a second of imports once, not a start.

A `Server` waits at a socket. Who starts Snakemake sends it the arguments, the folder, the
environment and the two streams, and gets the exit code; the process that runs is a fork, with
nothing of this project imported, in a session of its own. As a program,
``prepared.py SOCKET <arguments of snakemake>``, it is what a shell finds as `snakemake`.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

WIDTH = struct.Struct("<q")
# what any start imports, of others alone: scripts of the project come from the folder of the run
IMPORTED = """
import h5py, isal.igzip, jinja2, jsonschema, nbformat, numpy, requests, yte
import snakemake.cli, snakemake.report, snakemake.script
from snakemake.deployment import conda, env_modules, singularity
from snakemake.executors import local
snakemake.cli.get_argument_parser()  # finds the plugins
"""


class Server:
    """The process that forks; `socket` is the path that it listens at."""

    def __init__(self, folder: Path):
        self.socket = folder / "s"
        argv = [sys.executable, __file__, "--serve", str(self.socket)]
        self.process = subprocess.Popen(argv, cwd=folder, stdout=subprocess.PIPE)
        self.process.stdout.readline()

    def run(self, argv, *, cwd, env=None, timeout=900):
        """Give what `subprocess.run` gives of ``snakemake`` with both streams in one text."""
        out, into = os.pipe()
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(self.socket))
            pid = _ask(line, ["-m", *argv], cwd, env or os.environ, [into, into])
            os.close(into)
            line.settimeout(timeout)
            try:
                with open(out) as text:  # noqa: PTH123 - a descriptor
                    said = text.read()
                code = _number(line)
            except TimeoutError:
                os.killpg(pid, signal.SIGKILL)
                raise
        return subprocess.CompletedProcess(argv, code, said)

    def program(self, path):
        """Write a program `path` that does what the installed ``snakemake`` does."""
        path.write_text(f'#!/bin/sh\nexec {sys.executable} -S {__file__} {self.socket} "$@"\n')
        path.chmod(0o755)

    def close(self):
        """End the process; what it forked has ended."""
        self.process.kill()
        self.process.stdout.close()
        self.process.wait()
        shutil.rmtree(self.socket.parent)


@functools.cache
def server():
    """Give the one server of this process, which ends with it."""
    made = Server(Path(tempfile.mkdtemp()))
    atexit.register(made.close)
    return made


def _ask(line, argv, cwd, env, streams):
    """Send a request; the answer is the number of the process that works on it."""
    request = json.dumps([argv, str(cwd), dict(env)]).encode()
    socket.send_fds(line, [WIDTH.pack(len(request))], streams)
    line.sendall(request)
    return _number(line)


def _number(line):
    return WIDTH.unpack(_read(line, WIDTH.size))[0]


def _read(line, size):
    data = b""
    while len(data) < size:
        part = line.recv(size - len(data))
        if not part:
            raise EOFError("the process that forks is gone")
        data += part
    return data


# ---- the process that forks ----------------------------------------------------------------------


def serve(path):
    """Answer requests for good; returns in a fork alone, with the arguments of its run."""
    exec(IMPORTED, {})  # noqa: S102 - the text above
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(16)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    while True:
        line, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            request = _attend(line)
            if request:
                return request
            os._exit(0)
        line.close()


def _attend(line):
    """Fork once more: the child gets the request, its parent waits for it and sends its code."""
    head, streams, _, _ = socket.recv_fds(line, WIDTH.size, 2)
    argv, cwd, env = json.loads(_read(line, WIDTH.unpack(head)[0]))
    pid = os.fork()
    if pid:
        for stream in streams:
            os.close(stream)
        line.sendall(WIDTH.pack(pid))
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        line.sendall(WIDTH.pack(code))
        return None
    os.setsid()
    line.close()
    _become(cwd, env, streams)
    return argv


def _become(cwd, env, streams):
    for number, stream in zip((1, 2), streams, strict=True):
        os.dup2(stream, number)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    for stream in {*streams, null} - {0, 1, 2}:
        os.close(stream)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)


def main(argv):
    """Serve, or be the client of a shell."""
    if argv[0] != "--serve":
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(argv[0])
            _ask(line, ["snakemake", *argv[1:]], Path.cwd(), os.environ, [1, 2])
            return _number(line)
    how, *rest = serve(argv[1])
    from snakemake import cli

    # as `python -m snakemake` and as the command that pip installs
    path = Path(cli.__file__).with_name("__main__.py")
    sys.argv = [str(path if how == "-m" else Path(sys.executable).with_name(how)), *rest]
    sys.path[0] = os.getcwd() if how == "-m" else str(Path(sys.executable).parent)  # noqa: PTH109
    return cli.main()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
