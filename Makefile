# The two commands of the README: make results, make test. Everything else is a part of them.
PYTHON ?= python3
VENV   ?= .venv
CORES  ?= all
BIN    := $(VENV)/bin
RUN    := PATH="$(abspath $(BIN)):$$PATH"

.PHONY: help env results smoke night published benchmarks tools docs links dist sbom test test-slurm pull \
  lint format lock clean
help:                            ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/'

env: $(VENV)/.stamp              ## virtual environment with the locked packages and wavloc
$(VENV)/.stamp: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "wavloc: error: $(PYTHON) is older than 3.11; set PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -r requirements.txt
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps -q -e .
	@touch $@

results: env                     ## the default run: every table and figure
	$(RUN) python workflow/run.py --cores $(CORES) all

smoke: env                       ## the same DAG, small, in results/smoke
	$(RUN) python workflow/run.py --cores $(CORES) --configfile config/smoke.yaml -- all

night: env                       ## train the profile night, one model at a time; keeps what is predicted
	$(RUN) nice python workflow/night.py

published: env                   ## keep what the finished run PROFILE shows, in results/published
	$(if $(PROFILE),,$(error PROFILE=name of a finished run, e.g. twin))
	$(RUN) wavloc publish --config results/$(PROFILE)/plan.json --out results/published/$(PROFILE)

BENCH := $(RUN) nice python benchmarks
benchmarks: env                  ## csv and plots of all comparisons, at a modest size
	$(BENCH)/simulation.py --rounds 3 --out results/benchmarks
	$(BENCH)/features.py --batch 1 --rounds 3 --out results/benchmarks
	$(BENCH)/multilateration.py --frames 100 --out results/benchmarks
	$(BENCH)/training.py --batch 1 --rounds 3 --out results/benchmarks
	$(BENCH)/inference.py --mics 5 8 16 --counts 4 8 16 --frames 2 --out results/benchmarks

tools: $(VENV)/.tools            ## what docs, dist and sbom need more
$(VENV)/.tools: $(VENV)/.stamp requirements-tools.txt
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -r requirements-tools.txt
	@touch $@

docs: tools                      ## the documentation site in build/site; a warning is an error
	$(RUN) python -m mkdocs build --strict

links: docs                      ## every link of the site, also those to elsewhere (needs a network)
	$(RUN) linkchecker --check-extern --no-status build/site/index.html

dist: tools                      ## wheel and sdist in dist/
	$(RUN) python -m build --no-isolation --outdir dist .

sbom: tools                      ## bill of materials (CycloneDX) of the lock, dist/wavloc.cdx.json
	@mkdir -p dist
	$(RUN) cyclonedx-py requirements --output-reproducible --pyproject pyproject.toml \
	  --mc-type library -o dist/wavloc.cdx.json requirements.txt

test: env                        ## all tests
	$(RUN) python -m pytest -q -n 2 --dist worksteal tests

test-slurm: env                  ## the smoke profile through a Slurm node of its own (root, apt-get install slurm-wlm munge)
	$(RUN) python -m pytest -q --slurm tests/workflow/test_slurm.py

pull: env                        ## results from the DVC remote, marked as up to date for Snakemake
	@git rev-parse --git-dir >/dev/null 2>&1 || \
	  { echo "wavloc: error: DVC needs a git repository, and this is none; type: git init" >&2; exit 2; }
	$(RUN) dvc pull && $(RUN) python workflow/run.py --touch --cores 1 all

lint: env                        ## formatting, style and types of Python, formatting of Snakemake files
	$(RUN) ruff format --check . && $(RUN) ruff check . && $(RUN) mypy && \
	  $(RUN) snakefmt --check Snakefile workflow

format: env                      ## reformat
	$(RUN) ruff format . && $(RUN) ruff check --fix . && $(RUN) snakefmt Snakefile workflow

lock: env                        ## both locks anew from requirements.in and requirements-tools.in
	$(PYTHON) -m venv .lock && .lock/bin/python -m pip install -q -r requirements.in
	{ sed -n 's/^# lock: /# /p' requirements.in; .lock/bin/python -m pip freeze --all | \
	  sed -E 's/\+cpu$$//; /^(pip|wheel)==/d'; } > requirements.txt.new
	mv requirements.txt.new requirements.txt
	.lock/bin/python -m pip install -q -r requirements-tools.in -c requirements.txt
	{ echo "# The lock of requirements-tools.in (make lock): what goes over requirements.txt."; \
	  echo "-r requirements.txt"; .lock/bin/python -m pip freeze --all | sed -E 's/\+cpu$$//; /^(pip|wheel)==/d' | \
	  grep -vixF -f requirements.txt; } > requirements-tools.txt.new
	mv requirements-tools.txt.new requirements-tools.txt && rm -rf .lock

clean:                           ## remove results of the default run (not downloads, not published)
	rm -rf results/data results/predictions results/metrics results/tables results/figures \
	  results/logs results/benchmarks results/features results/report.html
