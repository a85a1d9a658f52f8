# Layer thickness: correlations of neighbouring layers -> corrected z, and the layers that do not fit.

GATE = "gate_problem_pct gate_few_layers accept_layers"
PICTURES = (
    "scale min_picture_px comparison_range resin_masking resin_sigma_px resin_content_threshold "
    "window_px windows region_px picture_px"
)
# what concerns the pictures alone must not change when the inference does, and the other way
ZCORR = {
    key: value
    for key, value in config["zcorr"].items()
    if key not in [*GATE.split(), *PICTURES.split(), "scale_z", "keep_thickness"]
}
JUDGED_Z = {
    "report": "zcorr/qc.json",
    "coordinates": "zcorr/coordinates.txt",
    "proposals": "zcorr/proposals.yaml",
    "layers": "ingest/layers.tsv",  # their names, for what is out of order
    "missing": "ingest/missing_layers.tsv",
    "shown": "review/thickness.js",  # to look at, also when the gate does not open
}
if TAKEOVER["zcoords"]:  # nothing is measured
    JUDGED_Z = {"taken": "takeover/Zcoords.txt"}
# no param where nothing is scaled: a new one would run the job again
KEPT_Z = {"keep_thickness": config["zcorr"]["keep_thickness"], "made_with": ZCORR}
SCALED = {"scaled": config["zcorr"]["scale_z"]} if config["zcorr"]["scale_z"] else {}


localrules:
    check_thickness,


rule correlate_layers:
    input:
        **of_layers(
            STACK["align"],
            receipt=f"stacks/{STACK['align']}.json",
            chunks="ingest/chunks.tsv",
        ),
    output:
        correlations="zcorr/correlations/{chunk}.npz",
        layers="zcorr/layers/{chunk}.npz",
    log:
        "logs/correlate_layers/{chunk}.log",
    benchmark:
        "benchmarks/correlate_layers/{chunk}.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        # comparison_range + 1 pictures at low scale, and the tiles of one layer
        mem_mb=lambda wc, attempt: 3000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        **shown(STACK["align"], after=config["zcorr"]["comparison_range"]),
        **({"box": box_of_pictures} if IMAGING else {}),  # not read by the script
        render=RENDER,
        zcorr={key: config["zcorr"][key] for key in PICTURES.split()},
    script:
        "../scripts/zcorr/correlate_layers.py"


rule infer_z:
    input:
        **listed(STACK["align"]),
        correlations=chunks("zcorr/correlations/{chunk}.npz"),
        layers=chunks("zcorr/layers/{chunk}.npz"),
        names="ingest/layers.tsv",
        missing="ingest/missing_layers.tsv",
    output:
        coordinates="zcorr/coordinates.txt",
        report="zcorr/qc.json",
        page=in_report("zcorr/thickness.html", "thickness"),
        proposals="zcorr/proposals.yaml",
        regions="zcorr/regions.npz",
    log:
        "logs/infer_z/all.log",
    benchmark:
        "benchmarks/infer_z/all.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=lambda wc, attempt: 30 * attempt,
    params:
        volume=config["volume"],
        grid=(config["acquisition"]["rows"], config["acquisition"]["columns"]),
        zcorr=ZCORR,
    script:
        "../scripts/zcorr/infer_z.py"


rule check_thickness:
    input:
        **JUDGED_Z,
    output:
        gate="zcorr/gate.json",
        coordinates="zcorr/Zcoords.txt",
    log:
        "logs/check_thickness/all.log",
    benchmark:
        "benchmarks/check_thickness/all.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 500 * attempt,
        runtime=lambda wc, attempt: 10 * attempt,
    params:
        **SCALED,
        **(KEPT_Z if GROWS else {}),
        gate_problem_pct=config["zcorr"]["gate_problem_pct"],
        gate_few_layers=config["zcorr"]["gate_few_layers"],
        accept_layers=config["zcorr"]["accept_layers"],
    script:
        "../scripts/zcorr/check_thickness.py"
