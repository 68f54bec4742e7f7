# Everything the book needs, one target each. `make book` and `make test` do all of their own set-up.

# The first Python that is recent enough; name another with PYTHON=...
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
# Where the packages go. In an active conda environment: VENV="$CONDA_PREFIX".
VENV ?= .venv
# On Linux the plain torch wheel brings gigabytes of CUDA; this index has the CPU build. For a GPU name another,
# such as https://download.pytorch.org/whl/cu128. Elsewhere the plain wheel is the small one, and this is not used.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# Processes that run tests and notebooks side by side, and what else to tell pytest (make test ARGS="-k oracle -x").
JOBS ?= 2
ARGS ?=
# Notebooks that `make notebooks` runs; all of them by default.
NB ?=

# Two-thread torch collapses when other work holds the cores, so each process gets one and work runs side by side.
export OMP_NUM_THREADS ?= 1
# Outputs are stored and compared, so nothing that varies between runs may reach them.
export PYTHONHASHSEED = 0
export TQDM_DISABLE = 1
# Dates in the site are those of the commit, and two builds of a commit agree.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || date +%s)

BIN := $(VENV)/bin
READY := $(VENV)/.icl-nb-ready
PYTEST := $(BIN)/python -m pytest
# Scopes stay in the order of collection, which conftest.py sorts: slow notebooks first.
SIDE_BY_SIDE := -n $(JOBS) --dist loadscope --no-loadscope-reorder

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{ printf "  make %-14s %s\n", $$1, $$2 }'

.PHONY: book
book: env ## Build the book into _build/html/index.html; a warning fails it
	@# All of it every time: a partial build repeats no warning of the pages that it skips, and passes.
	$(BIN)/jupyter-book build . --all -W --keep-going

.PHONY: test
test: env ## Run unit tests, doctests and every notebook (ARGS=... goes to pytest)
	$(PYTEST) tests icl_nb book $(SIDE_BY_SIDE) $(ARGS)

.PHONY: test-portable
test-portable: env ## Run the notebooks as other processors and two threads would
	ATEN_CPU_CAPABILITY=default $(PYTEST) book $(SIDE_BY_SIDE) $(ARGS)
	ATEN_CPU_CAPABILITY=avx2 $(PYTEST) book $(SIDE_BY_SIDE) $(ARGS)
	OMP_NUM_THREADS=2 $(PYTEST) book $(ARGS)

.PHONY: notebooks
notebooks: env ## Re-execute the notebooks in place (NB=book/01-data.ipynb for one)
	$(BIN)/python tools/execute.py --jobs $(JOBS) $(NB)

.PHONY: checkpoints
checkpoints: env ## Retrain every checkpoint that ships
	$(BIN)/icl-nb checkpoints --retrain
	$(BIN)/icl-nb checkpoints --retrain --part 2

.PHONY: tables
tables: env ## Repeat the benchmarks of chapter 8 (real tables, and all sizes: about 40 minutes)
	$(BIN)/python -m icl_nb.benchmark
	$(BIN)/python -m icl_nb.sizes

.PHONY: bench
bench: env ## Time the package on this machine
	$(BIN)/icl-nb bench

.PHONY: lab
lab: env ## Open the notebooks in JupyterLab
	$(BIN)/jupyter lab book

.PHONY: lint
lint: env ## Check style, in code and notebooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: format
format: env ## Mend style, in code and notebooks
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: pins
pins: env ## Write the versions now installed to constraints.txt
	@# A local label such as torch's +cpu names a build that other systems do not have.
	{ sed '/^#/!d' constraints.txt; $(BIN)/python -m pip freeze --all --exclude pip --exclude-editable | sed 's/+.*//'; } > constraints.new
	mv constraints.new constraints.txt
	touch $(READY)

.PHONY: env
env: $(READY) ## Set up only: the packages, into .venv

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or later was found; install one, or name it: make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		"icl-nb needs Python 3.11 or later; $(PYTHON) is %d.%d. Name another: make PYTHON=..." % sys.version_info[:2])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test "$$(uname -s)" != Linux || \
		$(BIN)/python -m pip install -qqq --no-deps --timeout 10 --retries 0 --index-url $(TORCH_INDEX) --constraint constraints.txt torch || \
		echo "Warning: no torch from $(TORCH_INDEX); taking the one that pip finds elsewhere, which may be large." >&2
	@echo 'Installing about 1.6 GB of packages into $(VENV): a few minutes, and once only.'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[book,test,dev]'
	@touch $@

.PHONY: clean
clean: ## Remove what was built, .venv included
	rm -rf _build .venv .pytest_cache .ruff_cache .hypothesis
	find book icl_nb tests tools \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +
