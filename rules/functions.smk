# Functions of single stages, apart from the rules (as `snakemake --lint` wants them): what a param is made of.


def stage_tables(preset):
    """Content of the stage tables to choose from by tile size: it is a param, so an edit re-runs."""
    by_layout = {"single_tile": "small_cell"}
    if preset == "auto":
        grid = layout(config["acquisition"]["rows"], config["acquisition"]["columns"])
        return [stage_table("small_tiles"), stage_table(by_layout.get(grid, grid))]
    return [stage_table(preset)]


def stage_table(name):
    """Content of one table: a name in config/match_stages, or the path of a YAML file."""
    own = ROOT / "config" / "match_stages" / f"{name}.yaml"
    path = own if own.exists() else ROOT / name
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in own.parent.glob("*.yaml")))
        raise WorkflowError(
            f"match.preset: found {name!r}, expected auto, {known}, or the path of a YAML file"
        )
    return yaml.safe_load(path.read_text())


def configured_truth():
    """Path of report.truth, or None to look beside the .dat files."""
    path = config["report"].get("truth")
    return str((ROOT / path).resolve()) if path else None


STAGE_TABLES = stage_tables(config["match"]["preset"])
