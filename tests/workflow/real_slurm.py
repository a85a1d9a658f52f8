"""A real Slurm of one node on loopback: munged, slurmctld and slurmd of a test.

Made of Debian's packages ``slurm-wlm`` and ``munge``; all state lies in one folder. There is no
accounting, as on many small sites: ``squeue`` alone tells how jobs ended.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.machinery import PathFinder
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd")
# where the plugin is when it is not in the environment: it brings packages that nothing else needs
PLUGIN = "SLURM_PLUGIN_PATH"
NODE = "node1"
AWAY = ("drain", "down", "fail")  # beginnings of states in which a node takes no jobs
LIMIT_S = 120
COMMAND_S = 20  # of one of Slurm's commands, which wait for a controller that is away
_SBIN = "/usr/sbin"
CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SchedulerParameters=sched_interval=1
KillWait=2
MessageTimeout=5
OverTimeLimit=0
UnkillableStepTimeout=300
NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory_mb}
PartitionName=normal Nodes={name} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why there is no real Slurm to be had here; nothing where there is."""
    lacks = [each for each in PROGRAMS if not _program(each)]
    if lacks:
        return f"no {', '.join(lacks)}: apt-get install slurm-wlm munge"
    if os.geteuid() != 0:
        return "munged and slurmd are started as root"
    path = [*sys.path, *filter(None, [os.environ.get(PLUGIN)])]
    if PathFinder.find_spec("snakemake_executor_plugin_slurm", path) is None:
        return "no plugin: pip install snakemake-executor-plugin-slurm"
    return ""


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}{os.pathsep}{_SBIN}")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Slurm:
    """The daemons of one cluster, and the environment in which its commands find it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._drained, self._ended = threading.Event(), threading.Event()
        self._keeper = threading.Thread(target=self._keep_node_up, daemon=True)
        self.environment = {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": os.pathsep.join([str(folder / "bin"), os.environ["PATH"], _SBIN]),
            "PYTHONPATH": os.environ.get(PLUGIN, ""),
        }

    def start(self) -> None:
        """Start all daemons; return when the node takes jobs."""
        for sub in ("state", "spool"):
            (self.folder / sub).mkdir(parents=True)
        (self.folder / "munge.key").write_bytes(os.urandom(128))
        (self.folder / "munge.key").chmod(0o400)
        self._configure()
        self._wrap("srun")
        own = {each: self.folder / f"munge.{each}" for each in ("socket", "pid", "log", "seed")}
        files = [f"--{name}{'' if name == 'socket' else '-file'}={at}" for name, at in own.items()]
        self._run(
            "munged", "--foreground", "--force", f"--key-file={self.folder}/munge.key", *files
        )
        wait(lambda: own["socket"].exists())
        self.start_controller()
        self._run("slurmd", "-D", "-N", NODE)
        wait(lambda: self._state() == "idle")
        self._keeper.start()

    def drain(self) -> None:
        """Let the node take no more jobs, until `resume`."""
        self._drained.set()
        self._set_node("drain")

    def resume(self) -> None:
        """Let the node take jobs again."""
        self._drained.clear()
        wait(self._resumed)

    def _resumed(self) -> bool:
        self._set_node("resume")  # refused where the node is up already
        return bool(state := self._state()) and not state.startswith(AWAY)

    def _state(self) -> str:
        return self.ask("sinfo", "-h", "-o", "%T") or ""

    def _set_node(self, state: str) -> str | None:
        update = ("scontrol", "update", f"nodename={NODE}", f"state={state}")
        return self.ask(*update, *(["reason=test"] if state == "drain" else []))

    def _keep_node_up(self) -> None:
        """Resume the node whenever Slurm has drained it by itself, as it does on a busy host.

        A job whose processes do not end in time, or a daemon that does not answer, is enough for
        that, and then no job would ever start again.
        """
        while not self._ended.wait(2):
            if self._state().startswith(AWAY) and not self._drained.is_set():
                self._set_node("resume")

    def _configure(self) -> None:
        memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
        text = CONFIG.format(
            host=socket.gethostname().partition(".")[0],
            user="root",
            controller=_free_port(),
            node=_free_port(),
            name=NODE,
            folder=self.folder,
            cpus=os.cpu_count(),
            memory_mb=memory_mb // 2,
        )
        (self.folder / "slurm.conf").write_text(text)

    def _wrap(self, command: str) -> None:
        """Name the config to a command of jobs, from which the plugin hides SLURM_CONF."""
        wrapped = self.folder / "bin" / command
        wrapped.parent.mkdir()
        conf, path = self.environment["SLURM_CONF"], shutil.which(command)
        wrapped.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {path} "$@"\n')
        wrapped.chmod(0o755)

    def start_controller(self) -> None:
        """Start the controller, with the state it had."""
        self._run("slurmctld", "-D")
        wait(lambda: "UP" in (self.ask("scontrol", "ping") or ""))

    def stop_controller(self) -> None:
        """End the controller as a crash of its host would."""
        process = self._processes.pop("slurmctld")
        process.send_signal(signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """End the jobs, then the daemons."""
        self._ended.set()
        if "slurmctld" in self._processes:
            self.ask("scancel", "-u", "root")
            with suppress(TimeoutError):
                wait(lambda: not self.ask("squeue", "-h"), 15)
        for process in reversed(self._processes.values()):
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def ask(self, *argv: str) -> str | None:
        """What one of Slurm's commands prints; None where it fails, or nobody answers."""
        env = os.environ | self.environment
        try:
            done = subprocess.run(
                argv, env=env, capture_output=True, text=True, check=False, timeout=COMMAND_S
            )
        except subprocess.TimeoutExpired:
            return None
        return None if done.returncode else done.stdout.strip()

    def _run(self, program: str, *argv: str) -> None:
        with (self.folder / f"{program}.out").open("ab") as log:
            self._processes[program] = subprocess.Popen(
                [str(_program(program)), *argv],
                env=os.environ | self.environment,
                stdout=log,
                stderr=log,
            )


def wait(holds: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    """Return when something holds.

    Raises
    ------
    TimeoutError
        When it does not in time.
    """
    end = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.1)
