/* A stand-in of tipsc's own, not NVIDIA's header: see NvInfer.h. */
#pragma once

#include "NvInfer.h"

static constexpr int NV_ONNX_PARSER_VERSION = 100;

#if NV_TENSORRT_MAJOR != 8
namespace nvonnxparser {
class IParserRefitter {
  public:
    virtual bool refitFromBytes(void const *graph, std::size_t bytes, char const *path = nullptr) noexcept = 0;
    virtual bool refitFromFile(char const *file) noexcept = 0;
    virtual ~IParserRefitter() noexcept = default;
};
}  // namespace nvonnxparser

extern "C" void *createNvOnnxParserRefitter_INTERNAL(void *refitter, void *logger, int32_t version) noexcept;
#endif
