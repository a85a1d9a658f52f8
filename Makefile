# What a person types. Needs Python 3.11 or newer, git and make; everything else comes from
# envs/lock.txt into .venv. `make demo PYTHON=python3.12` uses another interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# the stamp is a copy of the lock file that is installed: equal means nothing to do
STAMP := $(VENV)/lock.installed
SNAKEMAKE := $(BIN)/snakemake --profile profiles/local
# real volume and generator beside the project, for `make real`
DATA ?= ../shared/data

.PHONY: help env demo real real-single real-grid accuracy mixtures bars test neuroglancer viewer slurm lint bench mutants lock docs site clean

help:
	@echo "make demo    a synthetic acquisition through the whole workflow, with its score"
	@echo "make test    all tests"
	@echo "make neuroglancer  draws exported volumes in neuroglancer itself (npm, Chromium)"
	@echo "make slurm   jobs and runs that fail on a real Slurm of one node (as root; slurm-wlm, munge)"
	@echo "make lint    formats, types, spelling, Snakemake's own lint"
	@echo "make bench   measure; figures in build/bench/"
	@echo "make mutants test the tests: faults put in one at a time (SAMPLE=40 of them a module; hours without)"
	@echo "make real    the workflow on acquisitions cut from a real volume in $(DATA)"
	@echo "make accuracy  errors and findings under the troubles of real runs (STRESS=turn VOLUME=fib25 SEED=1: those rows)"
	@echo "make mixtures  the same of several troubles at a time, on seeds that were tried once"
	@echo "make bars    what other programs left of the same acquisitions, and fields of tiles that are bent"
	@echo "make docs    rewrite the pages that are made from the schema"
	@echo "make site    the documents as a site, with search: build/site/index.html"
	@echo "make lock    renew the exact versions in envs/ after a change of pyproject.toml"
	@echo "make clean   remove what demo, real and bench made"

env: $(STAMP)

$(STAMP): envs/lock.txt
	@if cmp -s envs/lock.txt $@; then touch $@; exit 0; fi; set -e; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	|| { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }; \
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); \
	echo "installing envs/lock.txt into $(VENV): once, a minute or two"; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r envs/lock.txt; \
	cp envs/lock.txt $@

# ---- run -------------------------------------------------------------------------------------

demo: build/demo/acquisition/truth.json
	$(SNAKEMAKE)
	@$(BIN)/python -m scripts.demo.score build/demo build/demo/acquisition/truth.json

build/demo/acquisition/truth.json: | $(STAMP)
	$(BIN)/python -m scripts.demo.acquire $(@D)

real: real-single real-grid

CUT_single := --layers 200 --grid 1 1 --tile 200 200 --seed 1
CUT_grid := --layers 60 --grid 2 2 --tile 120 120 --overlap 0.2 --seed 2

real-single real-grid: real-%: build/real/%/acquisition/truth.json
	$(SNAKEMAKE) --configfile config/volumes/fib25_$*.yaml \
	    --config report='{truth: $(CURDIR)/$<}'
	@$(BIN)/python -m scripts.demo.score build/real/$*/work $< --source $(DATA)/fib25/fib25_250.h5

.PRECIOUS: build/real/%/acquisition/truth.json
build/real/%/acquisition/truth.json: | $(STAMP)
	$(BIN)/python $(DATA)/make_misaligned.py $(DATA)/fib25/fib25_250.h5 $(@D) $(CUT_$*)

# rows that are in build/accuracy/accuracy.json are not run again
accuracy: $(STAMP)
	nice $(BIN)/python -m tests.accuracy.run --data $(DATA) \
	    $(if $(STRESS),--stress $(STRESS)) $(if $(VOLUME),--volume $(VOLUME)) $(if $(SEED),--seed $(SEED))

# mixtures of troubles, each tried once; NAME="u1 u2": some of them
mixtures: $(STAMP)
	nice $(BIN)/python -m tests.accuracy.mixtures --data $(DATA) $(if $(NAME),--name $(NAME))

# what other programs left of the same acquisitions, and fields of bent tiles; NAME="grid_z single_x"
bars: $(STAMP)
	nice $(BIN)/python -m tests.accuracy.bars --data $(DATA) $(if $(NAME),--name $(NAME))

# ---- check -----------------------------------------------------------------------------------

test: $(STAMP)
	$(BIN)/pytest -n auto --dist loadfile

# the viewer at the version of tests/neuroglancer, made into one page; its test skips without it
VIEWER := build/neuroglancer
neuroglancer: $(STAMP) viewer
	$(BIN)/pytest -n 0 -rs tests/export/test_neuroglancer.py

viewer: $(VIEWER)/page/index.html

$(VIEWER)/page/index.html: $(wildcard tests/neuroglancer/*)
	mkdir -p $(VIEWER)
	cp tests/neuroglancer/*.json $(VIEWER)
	npm ci --prefix $(VIEWER) --ignore-scripts --no-audit --no-fund --loglevel error
	node tests/neuroglancer/bundle.mjs $(VIEWER) $(VIEWER)/page

# the plugin in a folder of its own: nothing else needs it, or what it brings
SLURM := build/slurm_plugin
slurm: $(STAMP) $(SLURM)/installed
	SLURM_PLUGIN_PATH=$(abspath $(SLURM)) $(BIN)/pytest -n 0 -rs tests/workflow/test_real_slurm.py

$(SLURM)/installed:
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(SLURM) \
	    snakemake-executor-plugin-slurm==2.8.0 snakemake-executor-plugin-slurm-jobstep throttler \
	    pandas python-dateutil pytz six tzdata
	touch $@

# modules whose public functions are documented in full, parameters and returned values: all of
# these folders but those in tests/undocumented.txt
DOCUMENTED := lib correct export ingest match report review solve transfer zcorr
METHODS := $(filter-out $(shell cat tests/undocumented.txt), \
    $(shell git ls-files $(foreach s,$(DOCUMENTED),'scripts/$(s)/*.py')))

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/codespell $$(git ls-files)
	$(BIN)/numpydoc lint $(METHODS)
	$(BIN)/snakemake --lint

bench: $(STAMP)
	$(BIN)/pytest -n 0 --benchmark-enable --benchmark-disable-gc -q tests/benchmarks
	@ls build/bench/*.json

# MODULES=review-gate takes some of tests/mutants/modules.toml; SAMPLE=0 takes every mutant
mutants: $(STAMP)
	nice $(BIN)/python tests/mutants/run.py --sample $(or $(SAMPLE),0) $(MODULES)

# ---- keep ------------------------------------------------------------------------------------

# Exact versions of all runtime and dev dependencies, without any index or host in the file;
# then the conda files with the same pins. Every interpreter from 3.11 can install the result.
lock: $(STAMP)
	$(BIN)/uv pip compile --quiet --extra dev --python-version 3.11 --upgrade \
	    --no-emit-index-url --no-emit-find-links --no-header pyproject.toml -o envs/lock.txt
	$(BIN)/python envs/update.py

docs: $(STAMP)
	$(BIN)/python -m scripts.lib.schema_doc

# strictly: a link that leads nowhere fails; nothing is loaded from elsewhere
site: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "open build/site/index.html"

clean:
	rm -rf build
