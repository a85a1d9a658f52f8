"""The whole DAG through the LSF profile, on the fake LSF: what was asked of the scheduler."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.workflow import prepared
from tests.workflow.conftest import make_volume
from tests.workflow.fake_lsf import lsf

ROOT = Path(__file__).resolve().parents[2]
IMPATIENT = (str(ROOT / "tests/workflow/impatient.py"),)
PROFILE = yaml.safe_load((ROOT / "profiles/lsf/config.yaml").read_text())
pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("lsf")]
# two tiles a layer, one of them corrupt
ACQUISITION = [
    *("--layers", "6", "--grid", "1", "2", "--tile", "128", "144", "--seed", "7"),
    *("--resin-layers", "0", "--corrupt-layer", "3", "--restart-layer", "5"),
]


@pytest.fixture
def service(tmp_path):
    """Serve a fresh database on loopback as a site's render-ws would be; give its base URL."""
    argv = [sys.executable, "-m", "scripts.render_ws", "serve", "--write", "--port", "0"]
    process = subprocess.Popen(
        [*argv, "--db", str(tmp_path / "site.db")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for line in process.stdout:
        if found := re.search(r"http://[^\s,]+", line):
            break
    yield found[0]
    process.terminate()
    process.stdout.close()
    process.wait(10)


@pytest.fixture
def cluster(tmp_path):
    """Environment in which the fake LSF's commands come first; ends the jobs it still has."""
    folder = tmp_path / "cluster"
    # as many cores as the widest rule asks for: they share this machine's two
    yield lsf.prepare(folder, slots=8)
    for job in lsf.jobs(folder):
        (folder / f"jobs/{job['id']}.kill").touch()


def rule_of(job):
    return re.match(r"Snakemake_(?:rule|group)_(\w+?)(?::|___)", job["name"])[1]


def default(name):
    return dict(each.split("=") for each in PROFILE["default-resources"])[name]


@pytest.fixture
def faster(tmp_path):
    """Environment in which the jobs' own Snakemake is forked from one that has been imported."""
    prepared.server().program(tmp_path / "snakemake")
    return {"FAKELSF_SNAKEMAKE": str(tmp_path / "snakemake")}


@pytest.fixture
def small(tmp_path):
    """A volume in which every kind of job occurs, and none twice that need not."""
    folder = tmp_path / "acquisition"
    argv = [sys.executable, "-m", "scripts.demo.acquire", str(folder), *ACQUISITION]
    subprocess.run(argv, cwd=ROOT, check=True)
    return make_volume(
        tmp_path / "volume",
        folder,
        acquisition={"rows": 1},
        chunks={"layers": 10},
        transfer={"layers_per_job": 10, "max_bad_share": 0.1},
    )


def test_the_whole_dag_runs_and_every_job_asks_for_what_it_needs(small, cluster, faster, service):
    environment = cluster | faster | {"RENDER_WS_URL": service}
    done = small.snakemake(profile="lsf", starter=IMPATIENT, environment=environment)
    assert done.returncode == 0, done.stdout
    assert (small.work / "report/index.html").is_file()

    jobs = lsf.jobs(Path(cluster["FAKELSF_DIR"]))
    assert {job["state"] for job in jobs} == {"DONE"}
    rules = [rule_of(job) for job in jobs]
    assert {"convert_layers", "match_pairs", "solve_transforms", "make_report"} <= set(rules)
    assert {"match_patches", "render_slab", "correlate_layers"} <= set(rules)
    assert rules.count("match_pairs") == 2  # across layers, and across the seam
    for job in jobs:
        assert job["queue"] == default("lsf_queue")
        assert job["project"] == default("lsf_project")
        assert job["span"] == "hosts=1"
        assert job["cores"] >= 1
        assert job["memory_per_core"] > 0
        assert job["minutes"] > 0
    stated = resources_of_rules()
    for rule, job in zip(rules, jobs, strict=True):
        threads, memory_mb, minutes = stated[rule]
        assert job["cores"] == threads, rule
        if not math.isnan(memory_mb):
            assert job["memory_per_core"] * job["cores"] == pytest.approx(memory_mb), rule
        assert job["minutes"] == minutes, rule


def resources_of_rules():
    """Rule -> (threads, MB at the first attempt, minutes), as the rule files have them.

    NaN for an amount of memory that a rule works out from the config.
    """
    stated, heirs = {}, {}
    for path in ROOT.glob("rules/*.smk"):
        used = r"^use rule (\w+) as (\w+) with:"
        heirs |= {heir: rule for rule, heir in re.findall(used, path.read_text(), re.MULTILINE)}
        parts = re.split(r"^(?:rule|checkpoint) (\w+):$", path.read_text(), flags=re.MULTILINE)
        for rule, body in zip(parts[1::2], parts[2::2], strict=True):
            threads = re.search(r"^    threads: (\d+)", body, re.MULTILINE)
            memory = re.search(r"mem_mb=(?:lambda wc, attempt: )?(?:(\d+)(?: \* attempt)?,)?", body)
            minutes = re.search(r"runtime=lambda wc, attempt: (\d+) \* attempt", body)
            stated[rule] = (
                int(threads[1]) if threads else 1,
                float((memory[1] or "nan") if memory else default("mem_mb")),
                int(minutes[1] if minutes else default("runtime")),
            )
    return stated | {heir: stated[rule] for heir, rule in heirs.items()}


def test_a_failed_job_is_submitted_again_with_more_memory(tmp_path, cluster):
    (tmp_path / "Snakefile").write_text("""
rule all:
    input: "out"
rule flaky:
    output: "out"
    resources: mem_mb=lambda wc, attempt: 100 * attempt
    shell: "if mkdir tried; then exit 1; fi; touch out"
""")
    profile = tmp_path / "profile.yaml"
    profile.write_text(yaml.safe_dump(PROFILE | {"latency-wait": 5}))
    done = subprocess.run(
        [sys.executable, *IMPATIENT, "--profile", str(profile)],
        cwd=tmp_path,
        env=os.environ | cluster,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    first, second = lsf.jobs(Path(cluster["FAKELSF_DIR"]))
    assert (first["state"], second["state"]) == ("EXIT", "DONE")
    assert (first["memory_per_core"], second["memory_per_core"]) == (100, 200)


PATIENT = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from snakemake.logging import logger
from scripts.terminal import earlier_jobs, patience
from scripts.terminal.console import Console
CONSOLE = Console(workflow)
rule all:
    input: "after.out"
rule long:
    output: "long.out"
    log: "logs/long.log"
    shell: "echo 'layer 3' > {{log}}; touch begun; sleep $(cat nap); touch {{output}}"
rule after:
    input: "long.out"
    output: "after.out"
    shell: "touch {{output}}"
onstart:
    CONSOLE.start()
    earlier_jobs.cancel("lsf", Path.cwd(), lambda rule, file: True, logger.warning)
    patience.of_run(workflow, logger.warning)
onerror: CONSOLE.failed(log)
"""


def start_patient(folder, cluster, *argv, nap_s):
    (folder / "nap").write_text(f"{nap_s}")
    (folder / "Snakefile").write_text(PATIENT)
    profile = folder / "profile.yaml"
    profile.write_text(yaml.safe_dump(PROFILE | {"latency-wait": 5}))
    return subprocess.Popen(
        [sys.executable, *IMPATIENT, *argv, "--profile", str(profile)],
        cwd=folder,
        env=os.environ | cluster,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def until(holds):
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_scheduler_that_is_away_ends_no_run_and_loses_no_job(tmp_path, cluster):
    process = start_patient(tmp_path, cluster, nap_s=3)
    until((tmp_path / "begun").exists)
    away = Path(cluster["FAKELSF_DIR"]) / "away"
    away.touch()
    until((tmp_path / "long.out").exists)
    time.sleep(9)  # more queries than the plugin has patience for
    away.unlink()
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    assert [job["state"] for job in lsf.jobs(away.parent)] == ["DONE", "DONE"]


def test_jobs_of_a_killed_run_are_cancelled_and_their_work_is_redone(tmp_path, cluster):
    first = start_patient(tmp_path, cluster, nap_s=300)
    until((tmp_path / "begun").exists)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    again = start_patient(tmp_path, cluster, "--nolock", nap_s=0)
    said = again.communicate(timeout=120)[0]
    assert again.returncode == 0, said
    assert "1 job (1) of an earlier run that was killed: cancelled before" in said
    states = [(job["state"], job["ended_by"]) for job in lsf.jobs(Path(cluster["FAKELSF_DIR"]))]
    assert states == [("EXIT", "bkill"), ("DONE", None), ("DONE", None)]


def test_the_embedded_service_is_refused_on_a_cluster(new_volume, cluster):
    done = new_volume("refused").snakemake(
        profile="lsf", starter=IMPATIENT, environment=cluster | {"RENDER_WS_URL": ""}
    )
    assert done.returncode != 0
    assert "SQLite" in done.stdout
    assert "render.url" in done.stdout
    assert lsf.jobs(Path(cluster["FAKELSF_DIR"])) == []


def test_a_service_on_loopback_is_refused_on_a_cluster(new_volume, cluster):
    away = {"RENDER_WS_URL": "http://localhost:9/render-ws/v1", "RENDER_WS_ONE_HOST": ""}
    done = new_volume("loopback").snakemake(
        profile="lsf", starter=IMPATIENT, environment=cluster | away
    )
    assert done.returncode != 0
    assert "only jobs on this host reach it" in done.stdout
    assert "--token-file" in done.stdout
    assert lsf.jobs(Path(cluster["FAKELSF_DIR"])) == []


def test_a_path_that_a_shell_would_take_apart_is_refused_on_lsf(new_volume, cluster):
    done = new_volume("nasty").snakemake(
        profile="lsf", starter=IMPATIENT, environment=cluster | {"RENDER_WS_URL": "http://x/v1"}
    )
    assert done.returncode != 0
    assert "work_dir: expected a path of letters, digits and" in done.stdout
    assert lsf.jobs(Path(cluster["FAKELSF_DIR"])) == []


def test_profiles_are_found_as_typed_and_state_their_purpose():
    assert (ROOT / "lsf").is_symlink()
    assert json.dumps(PROFILE) == json.dumps(yaml.safe_load((ROOT / "lsf/config.yaml").read_text()))
    local = yaml.safe_load((ROOT / "profiles/local/config.yaml").read_text())
    assert local["rerun-triggers"] == PROFILE["rerun-triggers"] == ["mtime", "params", "input"]
