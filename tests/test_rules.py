"""What a job's script reads by name, its rule gives: also the rules made of others (`use rule`)."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
READ = re.compile(r"\bsnakemake\.(input|output|params)\.([a-z_]\w*)(?!\w|\()")
# Snakemake itself parses the rules; it changes the folder and keeps state, so in another process
LOAD = """
import json, sys
from pathlib import Path
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, OutputSettings, ResourceSettings

NEEDS = ("mem_mb", "runtime")
with SnakemakeApi(OutputSettings(quiet=set())) as api:
    known = api.workflow(
        resource_settings=ResourceSettings(cores=1),
        config_settings=ConfigSettings(config={"work_dir": sys.argv[1]}),
        snakefile=Path("Snakefile").resolve(),
        workdir=Path.cwd(),
    )._workflow
    rules = [
        (rule.name, rule.script, {of: [name for name, _ in getattr(rule, of)._allitems()]
         for of in ("input", "output", "params")},
         {"local": rule.name in known._localrules, "wildcards": sorted(rule.wildcard_names),
          "needs": {k: v for k, v in rule.expand_resources({}, [], 1).items() if k in NEEDS}})
        for rule in known.rules if rule.script
    ]
    Path(sys.argv[2]).write_text(json.dumps(rules))
"""


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    """(name, script, names by kind, where and with what it runs) of every rule with a script."""
    folder = tmp_path_factory.mktemp("rules")
    argv = [sys.executable, "-c", LOAD, str(folder / "work"), str(folder / "rules.json")]
    done = subprocess.run(argv, cwd=ROOT, env=os.environ, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "rules.json").read_text())


def missing(rules):
    for name, script, given, _ in rules:
        path = ROOT / "scripts" / script.split("scripts/")[-1]
        for of, wanted in READ.findall(path.read_text()):
            if wanted not in given[of]:
                yield f"{name}: {path.name} reads snakemake.{of}.{wanted}"


def test_every_rule_gives_what_its_script_reads_by_name(rules):
    assert len(rules) > 90
    assert list(missing(rules)) == []


def test_a_rule_that_leaves_a_name_out_is_found(rules):
    (rule,) = [rule for rule in rules if rule[0] == "check_preview"]
    name, script, given, how = rule
    found = list(missing([(name, script, given | {"input": ["layers"]}, how)]))
    assert f"{name}: check_layers.py reads snakemake.input.headers" in found


# small for the cluster, too, but they look at pixels
LOOKING = {"review_thickness"}
LIGHT = {"mem_mb": 1000, "runtime": 30}


def test_light_jobs_of_the_whole_volume_wait_in_no_queue(rules):
    sent = {
        name
        for name, _, _, how in rules
        if not how["local"]
        and not how["wildcards"]
        and all(how["needs"].get(key, most + 1) <= most for key, most in LIGHT.items())
    }
    assert sent == LOOKING


def test_jobs_that_run_beside_snakemake_ask_for_little(rules):
    heavy = {
        name
        for name, _, _, how in rules
        if how["local"] and how["needs"].get("mem_mb", 0) > LIGHT["mem_mb"]
    }
    assert heavy == set()
