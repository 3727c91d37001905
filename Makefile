# make demo    segment the digital phantom with its report, in a real napari window
# make test    run the tests, under virtual screens; TESTS=tests/plugin/test_session.py: some of them
# make screenshots   make the pictures of docs/ again
# make fuzz    read 20,000 damaged files: each is an image or one sentence; goes on where it stopped (SECONDS=360: a part)
# make check   lint, types, import order, manifest
# make benchmark DATA=FOLDER   peers, speed, a short evaluation; then the tables of docs/benchmark.md from all that is stored

PYTHON := .venv/bin/python
# A software-rendered screen of a known size; never QT_QPA_PLATFORM=offscreen, which has no OpenGL.
SCREEN := xvfb-run -a -s "-screen 0 1920x1080x24 +extension GLX"
HAS_DISPLAY := $(DISPLAY)$(WAYLAND_DISPLAY)

OUT ?= demo_out
MUTANTS ?= 20000
DEMO_ARGUMENTS := --out "$(OUT)" $(if $(SCAN),--scan "$(SCAN)") $(if $(REPORT),--report "$(REPORT)")

# Minutes of the processor that each method is trained for; a comparison worth its name takes 30 and more.
MINUTES ?= 1
PEERS := $(if $(LVIT),--lvit "$(LVIT)") $(if $(LANGUIDEMEDSEG),--languidemedseg "$(LANGUIDEMEDSEG)")

.PHONY: demo test fuzz check screenshots benchmark setup

demo: setup
ifeq ($(HAS_DISPLAY),)
	TMCA_DEMO_HEADLESS=1 $(SCREEN) $(PYTHON) -m napari_tmca.demo $(DEMO_ARGUMENTS)
else
	$(PYTHON) -m napari_tmca.demo $(DEMO_ARGUMENTS)
endif

# Tests run side by side, in processes with a thread and a screen each (tests/conftest.py); those with windows take more
# memory, and are the second part.
SIDE_BY_SIDE := OMP_NUM_THREADS=1 $(PYTHON) -m pytest --dist worksteal

test: setup
ifdef TESTS
	$(SCREEN) $(PYTHON) -m pytest $(TESTS)
else
	$(SIDE_BY_SIDE) -n auto tests --ignore=tests/plugin --ignore=tests/e2e
	$(SIDE_BY_SIDE) -n auto --maxprocesses 4 tests/e2e tests/plugin
endif

fuzz: setup
	$(PYTHON) scripts/fuzz.py --mutants $(MUTANTS) $(if $(SECONDS),--seconds $(SECONDS))

check: setup
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	.venv/bin/lint-imports
	.venv/bin/npe2 validate napari.yaml
	.venv/bin/validate-pyproject pyproject.toml

benchmark: setup
	$(PYTHON) benchmarks/peers/run.py $(PEERS) $(if $(DATA),--data "$(DATA)" --limit 400 --val-limit 300 --cpu-minutes $(MINUTES)) --json benchmarks/results/peers.json
	$(PYTHON) benchmarks/training.py $(PEERS) --json benchmarks/results/speed.json
	$(PYTHON) benchmarks/loader.py --json benchmarks/results/loader.json
	$(if $(DATA),$(PYTHON) benchmarks/folders.py "$(DATA)")
	$(if $(DATA),$(PYTHON) benchmarks/evaluation.py "$(DATA):val" --limit 100)
	$(PYTHON) benchmarks/report.py

screenshots: setup
	$(SCREEN) $(PYTHON) scripts/screenshots.py --out docs/images

setup:
	@./scripts/setup.sh
