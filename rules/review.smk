# Is the match graph fit to be solved? Clusters, decisions, the gate, the trimmed stack.


rule review_connectivity:
    input:
        acquire=f"stacks/{STACK['acquire']}.json",
        matches=f"matches/{COLLECTION}.json",
        results=chunks("match/results/{run}/{chunk}.tsv.gz"),
    output:
        clusters="review/clusters.json",
        tiles="review/tiles.tsv",
        edges="review/edges.tsv",
        proposals="review/proposals.yaml",
    log:
        "logs/review_connectivity/review.log",
    benchmark:
        "benchmarks/review_connectivity/review.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=60,
    params:
        render=RENDER,
        review={
            key: config["review"][key]
            for key in ("auto", "exclude", "resin_texture", "texture_samples")
        },
    script:
        "../scripts/review/review_connectivity.py"


rule check_gate:
    input:
        clusters="review/clusters.json",
        tiles="review/tiles.tsv",
        edges="review/edges.tsv",
        proposals="review/proposals.yaml",
        matches=f"matches/{COLLECTION}.json",
    output:
        "review/gate.json",
    log:
        "logs/check_gate/gate.log",
    benchmark:
        "benchmarks/check_gate/gate.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=15,
    params:
        review=config["review"],
    script:
        "../scripts/review/check_gate.py"


rule publish_trimmed:
    input:
        acquire=f"stacks/{STACK['acquire']}.json",
        tiles="review/tiles.tsv",
        gate="review/gate.json",
    output:
        f"stacks/{STACK['trimmed']}.json",
    log:
        "logs/publish_trimmed/publish.log",
    benchmark:
        "benchmarks/publish_trimmed/publish.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=60,
    params:
        render=RENDER,
        stack=STACK["trimmed"],
    script:
        "../scripts/review/publish_trimmed.py"
