# make demo: the main job on a fresh clone. make test: everything a change must pass. Both set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := schemas reference_server conformance docs_gen
# Tests, demo and selftest start Python hundreds of times: it need not compile everything each time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test lint types imports tree docs docs-check selftest selftest-sample bench clean
help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 17

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "relaykit needs Python 3.11 or newer: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,fast]'
	@touch $@

DEMO := .relaykit/demo
demo: $(STAMP) ## start the reference server, run the suite against it, say where the report is
	@rm -rf $(DEMO) && mkdir -p $(DEMO)
	@echo 'The HTML report will be file://$(CURDIR)/$(DEMO)/report.html'
	@RELAYKIT_SECRET=$$($(BIN)/python -c 'import secrets; print(secrets.token_hex(32))') \
	$(BIN)/relaykit test -t examples/reference.target.yaml \
	  --launch '$(BIN)/relaykit serve --port {port} --control-port {control_port} --store $(DEMO)/store.db --limits waiting_per_user=140' \
	  --report html=$(DEMO)/report.html --report json=$(DEMO)/report.json
	@echo 'The HTML report is file://$(CURDIR)/$(DEMO)/report.html'

# Many tests wait for a server: three at a time keep two cores busy.
test: $(STAMP) ## all tests
	$(BIN)/python -m pytest -n 3 --dist loadgroup

lint: $(STAMP) ## ruff: rules and format; no file beyond 400 lines
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@find . -name '*.py' -not -path './.venv/*' -not -path './build/*' -not -path '*/node_modules/*' \
	  -exec wc -l {} + | awk '$$1 > 400 && $$2 != "total" {long = 1; print $$2 ": " $$1 " lines; split what is longer than 400 by subject"} END {exit long}'

# mypy and import-linter want a real tree; the packages stand at the top level, so links lay one.
tree:
	@rm -rf build/tree && mkdir -p build/tree/relaykit
	@for file in relaykit/*; do ln -s ../../../$$file build/tree/$$file; done
	@for name in $(PACKAGES); do ln -sfn ../../../$$name build/tree/relaykit/$$name; done

types: $(STAMP) tree ## mypy, strict
	$(BIN)/mypy -p relaykit

imports: $(STAMP) tree ## the direction of imports between the packages
	cd build/tree && PYTHONPATH=. ../../$(BIN)/lint-imports ../../pyproject.toml --no-cache

docs: $(STAMP) ## the documentation: a site under build/docs, and docs/ as Markdown
	$(BIN)/relaykit docs build --out build/docs
	$(BIN)/relaykit docs build --markdown --out docs

docs-check: $(STAMP) ## whether docs/ says what schemas, requirements and scenarios say
	$(BIN)/relaykit docs build --markdown --out docs --check

selftest: $(STAMP) ## prove that the suite finds what is wrong, on servers with one defect each
	$(BIN)/relaykit selftest

# Others for each commit, and the same ones whenever that commit is checked again.
selftest-sample: $(STAMP) ## the same on a dozen of them
	$(BIN)/relaykit selftest --sample 12 --seed "$$(git rev-parse HEAD 2>/dev/null || echo none)"

bench: $(STAMP) ## the figures that end within minutes; run it on a quiet machine
	@for file in validate suite server fuzz docs; do \
	  echo "== benchmarks/$$file.py"; $(BIN)/python benchmarks/$$file.py || exit 1; done

clean: ## remove what make has made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .relaykit
