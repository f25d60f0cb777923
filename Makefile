# Everything a reader or a contributor types. `make` alone says what there is.
.DEFAULT_GOAL := help
PYTHON ?= python3
JOBS ?= 2
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
STAMP := $(VENV)/.installed
LMFS := $(BIN)/lm-from-scratch

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONUTF8 := 1

.PHONY: help course variants kills models test lab export clean-notebooks images results readme docs recall wheel clean setup book

help:  ## what you are reading
	@echo "A language model from scratch. Targets:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-24s %s\n", $$1, $$2}'

# torch comes first and by exact version: a range would make pip fetch several gigabytes of CUDA.
$(STAMP): constraints.txt settings.ini pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.10 or newer is needed; this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12 …" if sys.version_info < (3,10) else 0)'
	@echo "Setting up $(VENV) (once; a few minutes)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --upgrade "pip>=24"
	@$(BIN)/python -m pip install -q -c constraints.txt $$(grep '^torch==' constraints.txt)
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install -q -c constraints.txt -e '.[dev,docs]'
	@touch $@

setup: $(STAMP)  ## create .venv and install the course into it

# What does not hold here is told, and told again at the end; the rest is made all the same. STORE=1 is for contributors.
course: $(STAMP)  ## run and compare the chapters (STORE=1: store them), train the ladder, build the site
	@good=0; $(LMFS) course nbs --jobs $(JOBS) $(if $(STORE),--store) || good=$$?; [ $$good -le 1 ] || exit $$good; \
	$(LMFS) ladder --jobs $(JOBS) --cache .course/ladder.jsonl || exit $$?; \
	JOBS=$(JOBS) $(BIN)/python docs/build_site.py || [ $$? = 3 ] || exit 1; \
	echo "Read on: \`make lab\` opens the notebooks; begin with nbs/00_data.ipynb."; \
	[ $$good = 0 ] || { echo "Not everything in the chapters holds here: see above, or \`$(LMFS) course nbs\`."; exit 1; }

variants: $(STAMP)  ## run the chapters as other machines would calculate them: what moves, what breaks?
	@$(LMFS) course nbs --jobs $(JOBS) --variant all

kills: $(STAMP)  ## kill a training fifty times, go on with it, compare its end; store the count
	@OMP_NUM_THREADS=1 $(BIN)/python tests/kill_runs.py --kills 50 --store

models: $(STAMP)  ## train the models that come with the package, five minutes on one core
	@OMP_NUM_THREADS=1 $(BIN)/python docs/export_models.py

test: $(STAMP)  ## run everything that must hold: notebooks, tests, site, export, style, spelling
	@sh tests/tools.sh
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

lab: $(STAMP)  ## open JupyterLab on the course
	@$(BIN)/jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/nbs/00_data.ipynb

export: $(STAMP)  ## write the modules from the notebooks, and clean the notebooks
	@$(BIN)/nbdev-export
	@$(BIN)/nbdev-clean

results: $(STAMP)  ## train ladder, claims and copying, time the LSTM, store the figures of the course
	@$(LMFS) ladder --jobs $(JOBS) --store
	@$(LMFS) claims --jobs $(JOBS) --store
	@$(LMFS) claims norm-lstm tying-lstm rnn-lr --seeds 10 --jobs $(JOBS) --store
	@$(LMFS) copying --jobs $(JOBS) --store
	@$(LMFS) copying --recipes borrow --seeds 5 --jobs $(JOBS) --store
	@$(BIN)/python benchmarks/lstm_speed.py --threads 1 2 --compile --store
	@$(BIN)/python benchmarks/loop_speed.py --store
	@$(BIN)/python benchmarks/after_speed.py --store
	@$(BIN)/python -c "from lm_from_scratch.course.afters import run_afters, results_file; run_afters(cache=results_file('after'))"

images: $(STAMP)  ## draw the figures again
	@$(BIN)/python -c "from lm_from_scratch.course.figures import draw_all; draw_all('images')"

readme: $(STAMP)  ## write README.md from nbs/index.ipynb, and the map of the modules in CONTRIBUTING.md
	@$(BIN)/python docs/readme.py
	@$(BIN)/python docs/rooms.py

docs: $(STAMP)  ## build the site into docs/_site: no network, warnings are errors
	@JOBS=$(JOBS) $(BIN)/python docs/build_site.py

book: $(STAMP)  ## build the EPUB into docs/_book; PDF=1: print it, too, through a headless Chromium
	@JOBS=$(JOBS) $(BIN)/python docs/book.py $(if $(PDF),--pdf)

recall: $(STAMP)  ## copy the chapters without their prose into nbs/_recall, to tell the story yourself
	@$(BIN)/python docs/takeaway.py nbs/_recall

wheel: $(STAMP)  ## build the package into dist/
	@$(BIN)/python -m build -q

clean:  ## remove what can be made again (.venv stays)
	@rm -rf build dist .course .pytest_cache .ruff_cache .hypothesis docs/_* *.egg-info
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
