# Engines of TensorRT: compiled where NVIDIA's headers are, which sets TIPSC_WITH_TENSORRT. No library of NVIDIA is
# linked: libnvinfer and libcudart are loaded when such an engine is opened.
set(TIPSC_TENSORRT AUTO CACHE STRING "Engines of TensorRT: AUTO (where its headers are found), ON or OFF")
set_property(CACHE TIPSC_TENSORRT PROPERTY STRINGS AUTO ON OFF)
set(TIPSC_WITH_TENSORRT OFF)
if(NOT TIPSC_TENSORRT STREQUAL "OFF")
  find_path(TensorRT_INCLUDE_DIR NvInfer.h DOC "Folder of NvInfer.h and NvOnnxParser.h")
  find_path(CUDART_INCLUDE_DIR cuda_runtime_api.h DOC "Folder of cuda_runtime_api.h"
    PATHS /usr/local/cuda/include /usr/local/cuda/targets/aarch64-linux/include)
  if(TensorRT_INCLUDE_DIR AND CUDART_INCLUDE_DIR)
    include(CheckLanguage)
    check_language(CXX)
  endif()
  if(TensorRT_INCLUDE_DIR AND CUDART_INCLUDE_DIR AND CMAKE_CXX_COMPILER)
    set(TIPSC_WITH_TENSORRT ON)
  elseif(TIPSC_TENSORRT STREQUAL "ON")
    message(FATAL_ERROR "TIPSC_TENSORRT=ON needs a C++ compiler, NvInfer.h and cuda_runtime_api.h: on a Jetson run "
      "sudo apt-get install libnvinfer-dev libnvonnxparsers-dev cuda-cudart-dev-12-6 (JetPack 6.1), or give "
      "-DTensorRT_INCLUDE_DIR=... and -DCUDART_INCLUDE_DIR=...")
  endif()
endif()
message(STATUS "Engines of TensorRT: ${TIPSC_WITH_TENSORRT}")
