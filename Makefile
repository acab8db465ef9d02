# `make train` and `make test` need only Python 3.11 or later and a package index.
PYTHON ?= python3
VENV   := .venv
RUN    := $(VENV)/bin/python

# The last files that the installations write; remade when the requirements change:
# what training needs, all that the tests use, and what the site is built with.
INSTALLED := $(VENV)/.installed
TESTABLE  := $(VENV)/.installed-dev
DOCUMENTED := $(VENV)/.installed-docs
REQUIREMENTS := setup.cfg setup.py pyproject.toml constraints.txt
INSTALL := $(RUN) -m pip install --quiet --disable-pip-version-check \
  --constraint constraints.txt --editable

.PHONY: train test test-full test-slow style docs install clean

train: $(INSTALLED)
	$(RUN) -m cnn_jax.main --config=configs/resnet.py

TEST := $(RUN) -m pytest -n 2 --dist worksteal

# The quick tests; these and the others; these and those of more than a minute each.
test: style
	$(TEST)

test-full: style
	$(TEST) --full

test-slow: style
	$(TEST) --slow

style: $(TESTABLE)
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy
	$(RUN) -m codespell_lib README.md CONTRIBUTING.md docs cnn_jax tests configs experiments

# The site, in site/; a broken link is an error.
docs: $(DOCUMENTED)
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

install: $(TESTABLE)

$(INSTALLED): $(REQUIREMENTS)
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; \
	  v >= (3, 11) or sys.exit("cnn_jax needs Python 3.11 or later; $(PYTHON) is %d.%d. Name another one: make PYTHON=python3.12 ..." % v)'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) .
	touch $@

$(TESTABLE): $(INSTALLED)
	$(INSTALL) '.[dev]'
	touch $@

$(DOCUMENTED): $(INSTALLED)
	$(INSTALL) '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) site .cache .pytest_cache .ruff_cache .mypy_cache .hypothesis
