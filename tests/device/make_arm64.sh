#!/usr/bin/env bash
# An emulated aarch64 userland for tests/device/test_arm64.py: FOLDER/python3 runs there.
# Needs root, mmdebstrap (apt-get install mmdebstrap) and pip; no binfmt, no chroot.
set -euo pipefail
folder=$(realpath -m "${1:?usage: make_arm64.sh FOLDER}")
mkdir -p "$folder"
cd "$folder"
[ -d rootfs ] || mmdebstrap --mode=root --variant=extract --architectures=arm64 \
  --include=python3-minimal,libpython3.11-stdlib,libstdc++6,libgomp1,libgcc-s1 bookworm rootfs
# Debian 12's own qemu crashes in onnxruntime; the next release's is static, and runs here as well.
[ -d emulator ] || mmdebstrap --mode=root --variant=extract --include=qemu-user trixie emulator
if [ ! -d site ]; then
  platforms=(manylinux_2_28_aarch64 manylinux_2_27_aarch64 manylinux2014_aarch64
    manylinux_2_17_aarch64)
  python3 -m pip download --quiet --only-binary :all: --python-version 3.11 --dest wheels \
    "${platforms[@]/#/--platform=}" numpy==2.4.6 onnxruntime==1.32.0 ai-edge-litert==2.3.0
  mkdir site
  for wheel in wheels/*.whl; do python3 -m zipfile -e "$wheel" site; done
fi
# A Raspberry Pi 5's processor: LiteRT's compiled models need its atomics, which a Pi 4's has not.
# With -0 the interpreter takes this script for itself, and starts its jobs through it.
cat > python3 <<END
#!/bin/sh
PYTHONHOME=$folder/rootfs/usr PYTHONPATH=$folder/site exec $folder/emulator/usr/bin/qemu-aarch64 \\
  -cpu cortex-a76 -0 $folder/python3 -L $folder/rootfs $folder/rootfs/usr/bin/python3.11 "\$@"
END
chmod +x python3
./python3 -c 'import platform, numpy, onnxruntime; print(platform.machine(), onnxruntime.__version__)'
