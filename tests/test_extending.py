"""The page docs/extending.md, followed: its code in a copy of the project does what it says."""

import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from tests.transfer.synthetic_dat import make_dat

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/extending.md"
COPIED = ["Snakefile", "scripts", "rules", "config", "profiles", "envs"]
COPIED += ["tests/export/synthetic.py", "tests/match/conftest.py"]
LIMIT_S = 120


def blocks(section):
    """(kind, file, lines) of the code blocks of a section, in order."""
    text = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
    (body,) = [part for part in text if part.startswith(section + "\n")]
    return re.findall(r"^```(\w+)\n# (\S+)\n(.*?)^```$", body, re.MULTILINE | re.DOTALL)


def inserted(text, diff):
    """`text` with the lines of a diff put in; what surrounds them must be there once."""
    lines = diff.splitlines()
    old = "\n".join(line[1:] for line in lines if not line.startswith("+"))
    assert text.count(f"{old}\n") == 1, f"not once in the file:\n{old}"
    return text.replace(f"{old}\n", "\n".join(line[1:] for line in lines) + "\n")


def project(folder, section):
    """Copy the project into `folder`, extended as a section of the page says."""
    for name in COPIED:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    for kind, name, code in blocks(section):
        path = folder / name
        assert path.exists() is (kind == "diff"), name
        path.write_text(inserted(path.read_text(), code) if kind == "diff" else code)
    return folder


def run(folder, *argv):
    done = subprocess.run(
        [sys.executable, *argv],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def python(folder, code):
    return run(folder, "-c", textwrap.dedent(code))


@pytest.fixture(scope="module")
def corrected(tmp_path_factory):
    return project(tmp_path_factory.mktemp("corrected"), "A correction step")


def test_a_correction_step_needs_a_module_an_entry_and_a_section():
    assert {name for _, name, _ in blocks("A correction step")} == {
        "scripts/correct/inversion.py",
        "scripts/correct/chain.py",
        "config/schema.yaml",
    }


def test_the_new_step_is_planned_with_its_default(corrected):
    dats = corrected / "build/demo/acquisition"  # of the demo, the volume of a dry run
    dats.mkdir(parents=True)
    for cell in ("0-0", "0-1", "1-0", "1-1"):
        pixels = np.zeros((8, 9, 1), np.int16)
        (dats / f"Merlin-1_24-03-07_100000_0-{cell}.dat").write_bytes(make_dat(pixels))
    steps = "correct={steps: [16bit, inversion, straighten]}"
    argv = ("-m", "snakemake", "--dry-run", "correct", "--config", steps)
    planned = run(corrected, *argv, f"work_dir={corrected}/work")
    assert "stacks/v1_acquire_trimmed_align_16bit_inv.json" in planned
    assert "correct/inversion.json" in planned


def test_the_new_step_inverts_what_is_drawn(corrected):
    python(
        corrected,
        """
        from pathlib import Path
        import numpy as np
        from scripts.correct import correct_step, publish_corrected
        from scripts.lib.drawing import compose
        from scripts.lib.geometry import Box
        from scripts.lib.service.client import RenderClient
        from tests.export.synthetic import RENDER, publish

        publish(Path.cwd(), range(1, 3), stack="a")
        how = dict(render=RENDER, voxel_nm={"pixel_nm": 5, "z_nm": 8}, source="stacks/a.json")
        found = dict(arrays="correct/inversion.npz")
        correct_step.main(
            **how, **found, evidence=[], out="correct/inversion.json", name="inversion",
            settings={"around_grey": 100},
        )
        publish_corrected.main(
            **how, **found, parameters="correct/inversion.json", stack="a_inv",
            receipt="stacks/a_inv.json",
        )
        client, box = RenderClient(**RENDER), Box(10, 10, 40, 40)
        before, after = (
            compose.render(compose.place(client.tiles(stack, 1, 1)), box).pixels
            for stack in ("a", "a_inv")
        )
        np.testing.assert_allclose(after, np.clip(200 - before, 0, 255), atol=0.51)
        assert np.ptp(before) > 20
        """,
    )


def test_a_matcher_finds_the_shift_of_a_pair_through_its_own_stage_table(tmp_path):
    assert len({name for _, name, _ in blocks("A matcher")}) == 4
    python(
        project(tmp_path, "A matcher"),
        """
        from pathlib import Path
        import numpy as np
        import yaml
        from scripts.match import presets, stages
        from scripts.match.canvases import Canvases
        from scripts.match.pairs import Pair
        from tests.match.conftest import Specimen

        table = yaml.safe_load(Path("config/match_stages/phase.yaml").read_text())
        specimen = Specimen()
        p, q = specimen.cut(1, 0, 0), specimen.cut(2, 0, 0, error=(6.3, -4.6))
        pair = Pair("1.0", p, "2.0", q, 1, "", "")
        canvases = Canvases(specimen.tiles, budget_mb=100, source=specimen.source)
        found = stages.match_pair(pair, presets.read_run(table, "cross").stages, canvases)
        assert found.stage == "phasePass0" and not found.reason, found
        np.testing.assert_allclose(found.outcome.q - found.outcome.p, [[-6.3, 4.6]] * 4, atol=0.3)
        """,
    )


def test_a_format_is_written_and_read_back_by_another_library(tmp_path):
    assert {name for _, name, _ in blocks("A format")} == {
        "scripts/lib/volumes/formats.py",
        "config/schema.yaml",
    }
    python(
        project(tmp_path, "A format"),
        """
        from pathlib import Path
        import numpy as np
        import yaml
        import zarr
        from scripts.export import planning
        from scripts.lib import exports
        from scripts.lib.schema import validate
        from scripts.lib.volumes import metadata, multiscale

        config = yaml.safe_load(Path("config/config.yaml").read_text())
        config["export"] = {"formats": ["zarr_flat"], "block_zyx_px": [8, 8, 8], "levels": 1}
        validate(config, yaml.safe_load(Path("config/schema.yaml").read_text()))
        plan = planning.plan(
            "s", (0, 0, 16, 24), (1, 8), volume="v",
            export=exports.planned(config["export"], "uint8"),
            voxel_nm={"pixel_nm": 8, "z_nm": 8},
        )
        (target,), shape = plan.targets, plan.spec.shape_zyx
        metadata.create(target, plan.spec)
        voxels = np.random.default_rng(0).integers(1, 255, shape, np.uint8)
        level = multiscale.open_level(target, 0)
        level.write(tuple(slice(0, n) for n in shape), voxels)
        np.testing.assert_array_equal(level.read(tuple(slice(0, n) for n in shape)), voxels)
        folder = Path("v.flat.zarr/recon-1/em/fibsem-uint8/s0")
        assert (folder / "0.1.0").is_file()
        assert multiscale.count_blocks(target, 0) == voxels.size // 8**3
        np.testing.assert_array_equal(zarr.open(folder, mode="r")[:], voxels)
        """,
    )
