# What another pipeline made of this volume: looked at, listed, and gone on from; see section takeover of the config.
# The folders and collections are params: no rule makes them, and none writes there.
SOURCE = TAKEOVER["render"]
if SOURCE:  # where it is, is deployment, as render.url is
    os.environ.setdefault("RENDER_WS_TAKEOVER_URL", SOURCE.pop("url") or "")
TAKEN_MATCHES = "takeover/matches.json" if SOURCE and SOURCE["matches"] else []
TAKEN_TILES = "takeover/tiles.tsv" if SOURCE and SOURCE["stack"] else []
# no param of a volume that takes nothing over: a new one would match it again
OF_SOURCE = {"source": SOURCE} if TAKEN_MATCHES else {}


localrules:
    take_layers,
    take_thickness,


rule take_layers:
    output:
        layers="takeover/layers.tsv",
        receipt="takeover/align.json",
    log:
        "logs/take_layers/layers.log",
    benchmark:
        "benchmarks/take_layers/layers.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 120 * attempt,
    params:
        align_h5=verbatim(TAKEOVER["align_h5"]),
        raw_h5=verbatim(TAKEOVER["raw_h5"]),
        acquisition=verbatim(ENDS | GRID),
        whole=config["transfer"]["dat_root"] is None,
        files=layers_to_take,  # not read by the script
    script:
        "../scripts/transfer/take_layers.py"


rule take_matches:
    input:
        acquire=f"stacks/{STACK['acquire']}.json",
    output:
        "takeover/matches.json",
    log:
        "logs/take_matches/matches.log",
    benchmark:
        "benchmarks/take_matches/matches.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        render=RENDER,
        source=SOURCE,
    script:
        "../scripts/match/take_matches.py"


rule take_stack:
    input:
        acquire=f"stacks/{STACK['acquire']}.json",
    output:
        transforms="takeover/transforms.json.gz",
        tiles="takeover/tiles.tsv",
        receipt="takeover/stack.json",
    log:
        "logs/take_stack/stack.log",
    benchmark:
        "benchmarks/take_stack/stack.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        render=RENDER,
        source=SOURCE,
        patch=config["review"]["patch"],
        z_range=config["solve"]["z_range"],
    script:
        "../scripts/solve/take_stack.py"


rule take_thickness:
    input:
        align=f"stacks/{STACK['align']}.json",
    output:
        coordinates="takeover/Zcoords.txt",
        receipt="takeover/zcoords.json",
    log:
        "logs/take_thickness/zcoords.log",
    benchmark:
        "benchmarks/take_thickness/zcoords.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 500 * attempt,
        runtime=lambda wc, attempt: 10 * attempt,
    params:
        zcoords=verbatim(TAKEOVER["zcoords"]),
        content=content_to_take,  # not read by the script
        render=RENDER,
        z_range=config["solve"]["z_range"],
    script:
        "../scripts/zcorr/take_thickness.py"
