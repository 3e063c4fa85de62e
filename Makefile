# make search   searches an augmentation policy for handwritten digits with NNI (about 4 minutes on 2 cores)
# make test     checks the project: ruff, mypy, pytest with the end-to-end tests
# make docs     builds the documentation as a site, into site/; a warning is an error
# make test-all as `make test`, with 200 faults injected in place of 50, and hypothesis and fuzzing deeper (some 20 minutes)
# All first install what they need into .venv, once. The end-to-end tests, whose processes need the machine, run first and
# one after the other; then the others, two at a time.

PYTHON ?= python3
UV := uv==0.13.9
VENV := .venv
INSTALLED := $(VENV)/.installed

.PHONY: search test test-all docs

search: $(INSTALLED)
	$(VENV)/bin/tuun-da search --config nni_configs/digits.yml --confirm

test: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy --strict
	status=0; \
	$(VENV)/bin/python -m pytest -m e2e || status=1; \
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -m "not e2e" -n 2 --dist loadfile || status=1; \
	exit $$status

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

test-all: test
	TUUN_DA_FAULTS=200 $(VENV)/bin/python -m pytest tests/faults
	TUUN_DA_DEEP=20 $(VENV)/bin/python -m pytest tests/safety

# uv installs in seconds what takes pip minutes; where uv does not reach the package index (it does not read pip's
# configuration), pip does it.
$(INSTALLED): requirements.lock setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else "tuun_da needs Python 3.11 to 3.13, and $(PYTHON) is %d.%d; name another: make PYTHON=python3.12" % v)'
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(UV)
	$(VENV)/bin/uv pip install --quiet --python $(VENV)/bin/python -r requirements.lock \
		|| $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
