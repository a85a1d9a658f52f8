# Stack v1_acquire -> pairs -> point matches in the collection -> its receipt.
DECISIONS = config["match"]["decisions"]
BY_HAND = flow.by_hand(ROOT, config["match"]["by_hand"])
# without an entry nothing asks for their files: what was made before there was such a key stands
DECIDED = bool(DECISIONS or BY_HAND)


rule derive_pairs:
    input:
        **of_layers(
            STACK["acquire"],
            stack=f"stacks/{STACK['acquire']}.json",
            chunks="ingest/chunks.tsv",
        ),
    output:
        "match/pairs/{run}/{chunk}.tsv.gz",
    log:
        "logs/derive_pairs/{run}/{chunk}.log",
    benchmark:
        "benchmarks/derive_pairs/{run}/{chunk}.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=lambda wc, attempt: 30 * attempt,
    params:
        **shown(STACK["acquire"], after=config["match"]["z_distance"]),
        render=RENDER,
        stage_tables=STAGE_TABLES,
        z_distance=config["match"]["z_distance"],
    script:
        "../scripts/match/derive_pairs.py"


rule match_pairs:
    input:
        **of_layers(STACK["acquire"], stack=f"stacks/{STACK['acquire']}.json"),
        pairs="match/pairs/{run}/{chunk}.tsv.gz",
        contrast=ancient("review/contrast.json"),
        taken=TAKEN_MATCHES,
    output:
        results="match/results/{run}/{chunk}.tsv.gz",
        # read first: pairs whose tiles and stages are as they were stand; no rule depends on it
        timing=update("match/timing/{run}/{chunk}.tsv.gz"),
    log:
        "logs/match_pairs/{run}/{chunk}.log",
    benchmark:
        "benchmarks/match_pairs/{run}/{chunk}.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=match_mb,
        runtime=lambda wc, attempt: 240 * attempt,
    params:
        **OF_SOURCE,
        **shown(STACK["acquire"], after=config["match"]["z_distance"]),
        render=RENDER,
        collection=COLLECTION,
        stage_tables=STAGE_TABLES,
        feature_cache_mb=config["match"]["feature_cache_mb"],
    script:
        "../scripts/match/match_pairs.py"


rule search_wide:
    input:
        **listed(STACK["acquire"]),
        stack=f"stacks/{STACK['acquire']}.json",
        results=chunks("match/results/{run}/{chunk}.tsv.gz"),
    output:
        results="match/wide/results.tsv.gz",
        parts="match/wide/parts.tsv",
    log:
        "logs/search_wide/search.log",
    benchmark:
        "benchmarks/search_wide/search.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        # the specs of all tiles, besides
        mem_mb=lambda wc, attempt: 2000 * attempt + match_mb(wc, attempt),
        runtime=lambda wc, attempt: 240 * attempt,
    params:
        render=RENDER,
        collection=COLLECTION,
        runs=RUNS,
        stage_tables=STAGE_TABLES,
        z_distance=config["match"]["z_distance"],
        most=config["match"]["wide_comparisons"],
        feature_cache_mb=config["match"]["feature_cache_mb"],
    script:
        "../scripts/match/search_wide.py"


# only where something is decided: `close_matches` runs since its inputs are others then
rule read_decisions:
    input:
        acquire=f"stacks/{STACK['acquire']}.json",
        # one that is not there is told before the first job, with all that is wrong
        landmarks=[
            one["landmarks"] for one in BY_HAND if Path(one["landmarks"]).is_file()
        ],
    output:
        "match/decided.json",
    log:
        "logs/read_decisions/read.log",
    benchmark:
        "benchmarks/read_decisions/read.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=lambda wc, attempt: 30 * attempt,
    params:
        render=RENDER,
        decisions=DECISIONS,
        by_hand=BY_HAND,
        dz_exponent=config["solve"]["dz_exponent"],
    script:
        "../scripts/match/read_decisions.py"


# match/decisions.tsv is no declared output: an output that older volumes lack would hide from Snakemake what
# changed in the inputs of the job
rule close_matches:
    input:
        **listed(STACK["acquire"]),
        **({"acquire": f"stacks/{STACK['acquire']}.json"} if DECIDED else {}),
        **({"plan": "match/decided.json"} if DECIDED else {}),
        pairs=chunks("match/pairs/{run}/{chunk}.tsv.gz"),
        results=chunks("match/results/{run}/{chunk}.tsv.gz"),
        wide="match/wide/results.tsv.gz",
    output:
        receipt=f"matches/{COLLECTION}.json",
        summary=in_report("match/summary.tsv", "match"),
    log:
        "logs/close_matches/close.log",
    benchmark:
        "benchmarks/close_matches/close.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        render=RENDER,
        collection=COLLECTION,
        preset=config["match"]["preset"],
        z_distance=config["match"]["z_distance"],
    script:
        "../scripts/match/close_matches.py"


rule match_trial:
    input:
        **listed(STACK["acquire"]),
        **{run: chunks(f"match/pairs/{run}/{{chunk}}.tsv.gz") for run in RUNS},
        stack=f"stacks/{STACK['acquire']}.json",
    output:
        table="match/trial/variants.tsv",
        preset="match/trial/preset.yaml",
        page="match/trial/index.html",
    log:
        "logs/match_trial/trial.log",
    benchmark:
        "benchmarks/match_trial/trial.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=match_mb,
        runtime=lambda wc, attempt: 240 * attempt,
    params:
        render=RENDER,
        runs=RUNS,
        stage_tables=STAGE_TABLES,
        pairs_per_run=config["match"]["trial"]["pairs_per_run"],
        sweep=config["match"]["trial"]["sweep"],
        feature_cache_mb=config["match"]["feature_cache_mb"],
    script:
        "../scripts/match/match_trial.py"
