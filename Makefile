# Everything the book needs, one target each. `make book` and `make test` do all of their own set-up.

# The first Python that fits; name another with PYTHON=...
FITS := (3, 11) <= sys.version_info[:2] <= (3, 14)
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(not $(FITS))' 2>/dev/null && echo $$p && break; done)
# Where the packages go. In an active conda environment: VENV="$CONDA_PREFIX".
VENV ?= .venv
# On Linux the plain torch wheel brings gigabytes of CUDA; this index has the CPU build. For a GPU name another,
# such as https://download.pytorch.org/whl/cu128. Elsewhere the plain wheel is the small one, and this is not used.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# Processes that run tests and notebooks side by side, and what else to tell pytest (make test ARGS="-k oracle -x").
JOBS ?= 2
ARGS ?=
# Notebooks that `make notebooks` runs, and settings that `make test-portable` tries; all of them by default.
NB ?=
SETTINGS ?=

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
# Torch has packages for macOS from 14 on.
COMPILE := MACOSX_DEPLOYMENT_TARGET=14.0 UV_PYTHON_DOWNLOADS=never \
	$(BIN)/python -m uv pip compile --quiet --no-header --no-annotate --all-extras pyproject.toml

# What may be wrong with a Python and with the folder VENV, each in one sentence, before anything is made or removed.
define REFUSE_VERSION
$(1) -c 'import sys; sys.exit(not $(FITS) and "icl-nb needs Python 3.11 to 3.14, and $(1) is %d.%d; " \
	"name another: make PYTHON=..., in a VENV without one." % sys.version_info[:2])'
endef
define MAKE_VENV
{ test -n "$(PYTHON)" || { echo "No Python 3.11 to 3.14 was found; install one, or name it: make PYTHON=..." >&2; exit 1; }; \
	$(call REFUSE_VERSION,$(PYTHON)) || exit 1; \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make a virtual environment; on Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }; \
	test ! -e $(VENV) || test -e $(VENV)/pyvenv.cfg || test -z "$$(ls -A $(VENV))" || \
		{ echo "$(VENV) is no virtual environment and has no pip; remove it, or name another: make VENV=..." >&2; exit 1; }; \
	$(PYTHON) -m venv --clear $(VENV); }
endef

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{ printf "  make %-14s %s\n", $$1, $$2 }'

.PHONY: book
book: env ## Build the book into _build/html/index.html; a warning fails it
	@# All of it every time: a partial build repeats no warning of the pages that it skips, and passes.
	$(BIN)/python tools/address.py --config _build/config.yml
	PYTHONPATH=. $(BIN)/jupyter-book build . --config _build/config.yml --all -W --keep-going
	$(BIN)/python tools/slim.py _build/html
	@# The package lies beside the pages, where a notebook on Colab finds it.
	rm -f _build/html/icl_nb-*.whl
	$(BIN)/python -m hatchling build -t wheel -d _build/html

.PHONY: browser
browser: env ## Test the built site in the system's Chromium (CHROMIUM=... names another); `make book` comes first
	ICL_NB_BROWSER=required $(PYTEST) tests/test_browser.py tests/test_live.py -n $(JOBS) $(ARGS)

.PHONY: archive
archive: book ## Pack the built site into one zip file, with its SHA-256 beside it
	$(BIN)/python tools/archive.py

.PHONY: test
test: env ## Run unit tests, doctests and every notebook (ARGS=... goes to pytest)
	$(PYTEST) tests icl_nb book $(SIDE_BY_SIDE) $(ARGS)

.PHONY: test-portable
test-portable: env ## Run all of it as other processors would, and jittered (SETTINGS=prescott,jitter-0 ARGS=book/01-data.ipynb)
	$(BIN)/python tools/portable.py --jobs $(JOBS) $(if $(SETTINGS),--settings $(SETTINGS)) $(ARGS)

.PHONY: notebooks
notebooks: env ## Re-execute the notebooks in place (NB=book/01-data.ipynb for one)
	$(BIN)/python tools/execute.py --jobs $(JOBS) $(NB)

.PHONY: pages
pages: env ## Write the reference pages of the package and of the command line, and the ledger of claims
	$(BIN)/python -m tools.pages
	$(BIN)/python -m tools.claims

.PHONY: checkpoints
checkpoints: env ## Retrain every checkpoint that ships, go on where it was broken off, verify, and put in place
	$(BIN)/icl-nb checkpoints --retrain --resume --folder _build/checkpoints --jobs $(JOBS)
	$(BIN)/icl-nb checkpoints --verify --folder _build/checkpoints
	cp _build/checkpoints/*.safetensors icl_nb/shipped/checkpoints/

.PHONY: tables
tables: env ## Repeat the benchmarks of chapters 5 (equal depth), 7 (the law, depth) and 11 (real tables, all sizes): about an hour
	$(BIN)/python -m icl_nb.shipped.depth
	$(BIN)/python -m icl_nb.shipped.tables
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m icl_nb.shipped.real
	$(BIN)/python -m icl_nb.shipped.regret
	$(BIN)/python -m icl_nb.shipped.trained
	$(BIN)/python -m icl_nb.shipped.ladder
	$(BIN)/python -m icl_nb.shipped.rates
	$(BIN)/python -m icl_nb.shipped.exponents

.PHONY: variations
variations: env ## Repeat the short runs of chapters 13 and 14 (about a quarter of an hour)
	$(BIN)/python -m icl_nb.shipped.variations selection ablations "public code"

.PHONY: bench
bench: env ## Time the package on this machine, and write the page of the book that shows it
	$(BIN)/python -m tools.performance --measure

.PHONY: fuzz
fuzz: env ## Try 2,000 bad inputs on each public function, on the command line and on the file formats
	ICL_NB_SLOW=1 $(PYTEST) tests/test_faults.py tests/models/test_state.py $(ARGS)

.PHONY: mutants
mutants: env ## Change the formulas in one small way at a time, and see what no test notices (ARGS=icl_nb/recursion.py)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt mutmut==3.8.1
	$(BIN)/python -m tools.mutants $(ARGS)

.PHONY: proofs
proofs: ## Check the proofs with Coq, and that none rests on an axiom (ARGS=--write writes their page; needs no packages)
	@$(or $(PYTHON),python3) tools/proofs.py $(ARGS)

.PHONY: lab
lab: env ## Open the notebooks in JupyterLab
	@# Jupyter refuses to run as root, which is who one is in a container, unless told.
	$(BIN)/jupyter lab book $$(test "$$(id -u)" != 0 || echo --allow-root)

.PHONY: lint
lint: env ## Check style, in code and notebooks, and the types of the package
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ty check --python $(VENV)

.PHONY: format
format: env ## Mend style, in code and notebooks
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: address
address: env ## Fit the notebooks to the addresses in pyproject.toml
	$(BIN)/python tools/address.py

.PHONY: pins
pins: env ## Write the versions now installed to constraints.txt, with those of other systems and Pythons
	$(BIN)/python -m pip install --quiet uv
	@# uv keeps what the file already holds, so that it adds only what other systems and Pythons need. It knows no
	@# local label such as torch's +cpu, which names a build that other systems do not have.
	$(BIN)/python -m pip freeze --all --exclude pip --exclude uv --exclude-editable | sed 's/+.*//' > constraints.new
	$(COMPILE) --universal --python-version 3.11 --output-file constraints.new
	@# What the CUDA build of torch needs, it names exactly itself, and another build needs other versions.
	{ sed '/^#/!d' constraints.txt; sed -E '/^(cuda-|nvidia-|triton==)/d' constraints.new; } > constraints.newer
	mv constraints.newer constraints.txt
	rm constraints.new
	touch $(READY)
	$(MAKE) resolve

.PHONY: resolve
resolve: env ## Ask the package index whether every system can install the pins, as ready-made packages
	$(BIN)/python -m pip install --quiet uv
	for platform in linux macos windows; do for version in 3.11.0 3.11.2 3.12 3.13 3.14; do \
		echo "$$platform, Python $$version"; \
		$(COMPILE) --python-platform $$platform --python-version $$version \
			--constraint constraints.txt --only-binary :all: > /dev/null || exit 1; done; done

.PHONY: env
env: $(READY) ## Set up only: the packages, into .venv

$(READY): pyproject.toml constraints.txt
	@# Left half made (by an interrupt, or for want of ensurepip) it has no pip, and is made anew.
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(MAKE_VENV)
	@$(call REFUSE_VERSION,$(BIN)/python)
	@test "$$(uname -s)" != Linux || \
		$(BIN)/python -m pip install -qqq --no-deps --timeout 10 --retries 0 --index-url $(TORCH_INDEX) --constraint constraints.txt torch \
			2>/dev/null || echo "Warning: no torch from $(TORCH_INDEX); taking the one that pip finds elsewhere, which may be large." >&2
	@echo 'Installing about 1.6 GB of packages into $(VENV): a few minutes, and once only.'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[book,test,dev]'
	@touch $@

.PHONY: clean
clean: ## Remove what was built, .venv included
	rm -rf _build .venv .pytest_cache .ruff_cache .hypothesis
	find book icl_nb tests tools \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +
