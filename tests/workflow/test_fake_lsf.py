"""The fake LSF itself: what the executor plugin relies on, command by command."""

import json
import os
import subprocess
import time

import pytest

from tests.workflow.fake_lsf import lsf

LIMIT_S = 20


@pytest.fixture
def cluster(tmp_path):
    """Call a command of a fresh cluster of two cores; `cluster.folder` is its state."""
    folder = tmp_path / "lsf"
    # a "minute" of a second, so that the wall time limit can be seen
    environment = os.environ | lsf.prepare(folder, slots=2) | {"FAKELSF_MINUTE_S": "1"}

    def call(*argv, check=True):
        done = subprocess.run(
            argv, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    call.folder = folder
    yield call
    for job in lsf.jobs(folder):
        (folder / f"jobs/{job['id']}.kill").touch()
    wait_until(lambda: all(job["state"] in ("DONE", "EXIT") for job in lsf.jobs(folder)))


def wait_until(fact):
    end = time.monotonic() + LIMIT_S
    while not fact():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)


def submit(cluster, command, *options):
    out = cluster("bsub", "-J", "Snakemake_rule_x___(uuid)", *options, command).stdout
    assert out.startswith("Job <")
    return int(out.split("<")[1].split(">")[0])


def state(cluster, number):
    return lsf.load(cluster.folder, number)["state"]


def test_the_submission_of_the_plugin_is_understood_whole(cluster, tmp_path):
    log = tmp_path / "job.log"
    call = (
        f"bsub -J 'Snakemake_rule_solve:chunk=0001___(1-2)' -o {log} -e {log} -env all"
        " -P proj -q long -W 30 -n 2 -R rusage[mem=500.0] -R span[hosts=1]"
        f' -cwd {tmp_path} "echo said; pwd; exit 3"'
    )
    out = cluster("sh", "-c", call).stdout
    assert out == "Job <1> is submitted to queue <long>.\n"
    wait_until(lambda: state(cluster, 1) == "EXIT")
    (job,) = lsf.jobs(cluster.folder)
    figures = ("queue", "project", "cores", "minutes", "memory_per_core", "span", "exit")
    assert [job[key] for key in figures] == ["long", "proj", 2, 30, 500.0, "hosts=1", 3]
    assert log.read_text() == f"said\n{tmp_path}\n"


def test_finished_jobs_stay_listed_with_their_state(cluster):
    good, bad = submit(cluster, "exit 0"), submit(cluster, "exit 1")
    wait_until(lambda: {state(cluster, good), state(cluster, bad)} == {"DONE", "EXIT"})
    out = cluster("bjobs", "-noheader", "-o", "jobid stat", "-aJ", "*uuid*").stdout
    assert out == f"{good} DONE\n{bad} EXIT\n"


def test_an_unknown_name_is_an_error(cluster):
    assert (
        cluster("bjobs", "-noheader", "-o", "jobid stat", "-aJ", "*z*", check=False).returncode
        == 255
    )


def test_a_job_waits_until_enough_cores_are_free(cluster, tmp_path):
    first = submit(cluster, f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done", "-n", "1")
    wait_until(lambda: state(cluster, first) == "RUN")
    wide = submit(cluster, "true", "-n", "2")
    time.sleep(0.3)
    assert state(cluster, wide) == "PEND"
    (tmp_path / "go").touch()
    wait_until(lambda: state(cluster, wide) == "DONE")


@pytest.mark.parametrize("running", [True, False])
def test_killed_jobs_end_whether_they_run_or_wait(cluster, running):
    full = submit(cluster, "sleep 60", "-n", "2")
    wait_until(lambda: state(cluster, full) == "RUN")
    number = full if running else submit(cluster, "true")
    cluster("bkill", str(number))
    wait_until(lambda: state(cluster, number) == "EXIT")
    assert lsf.load(cluster.folder, number)["ended_by"] == "bkill"


def test_a_job_past_its_wall_time_is_ended(cluster):
    number = submit(cluster, "sleep 60", "-W", "1")
    wait_until(lambda: state(cluster, number) == "EXIT")
    job = lsf.load(cluster.folder, number)
    assert (job["exit"], job["ended_by"]) == (140, "TERM_RUNLIMIT")


def test_the_job_inherits_the_environment_and_knows_its_number(cluster, tmp_path):
    number = submit(cluster, f"echo $LSB_JOBID $FAKELSF_MINUTE_S > {tmp_path}/seen")
    wait_until(lambda: state(cluster, number) == "DONE")
    assert (tmp_path / "seen").read_text() == f"{number} 1\n"


@pytest.mark.parametrize(
    "argv",
    [
        ("-J", "rule:box=[1]", "true"),
        ("-J", "x", "-n", "3", "true"),
        ("-J", "x", "--unknown", "true"),
        ("-J", "x"),
    ],
)
def test_what_lsf_would_refuse_is_refused(cluster, argv):
    done = cluster("bsub", *argv, check=False)
    assert done.returncode != 0
    assert "not submitted" in done.stderr
    assert lsf.jobs(cluster.folder) == []


def test_the_cluster_describes_itself_and_logs_every_call(cluster):
    conf = cluster("badmin", "showconf", "mbd").stdout
    assert f"LSF_CONFDIR = {cluster.folder}/conf" in conf
    assert cluster("lsclusters").stdout.splitlines()[1].split()[0] == lsf.CLUSTER
    assert (cluster.folder / f"conf/lsbatch/{lsf.CLUSTER}/configdir/lsb.params").is_file()
    assert [call["command"] for call in lsf.calls(cluster.folder)] == ["badmin", "lsclusters"]
    assert json.loads((cluster.folder / "calls.jsonl").read_text().splitlines()[0])["argv"] == [
        "showconf",
        "mbd",
    ]
