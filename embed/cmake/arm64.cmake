# Cross-compile for arm64 Linux: cmake -DCMAKE_TOOLCHAIN_FILE=cmake/arm64.cmake -DZLIB_ROOT=...
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
