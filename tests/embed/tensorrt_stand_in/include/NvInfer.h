/* A stand-in of tipsc's own, not NVIDIA's header: of the interface of TensorRT, the names that libtipsc uses, so
 * that embed/src/tensorrt_api.cpp compiles, and runs with nvinfer.cpp beside it, where TensorRT is not.
 *
 * STAND_IN_MAJOR chooses what is declared: 10 (names of TensorRT 10.3), 8 (of 8.6) or 1 (TensorRT for RTX 1.7). As
 * in NVIDIA's, objects are one pointer to a table of virtual functions behind the object's own. Only in VRuntime do
 * they lie where those of TensorRT 10 do: there NVIDIA's library for RTX is called for real. */
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda_runtime_api.h"

#ifndef STAND_IN_MAJOR
#define STAND_IN_MAJOR 10
#endif
#if STAND_IN_MAJOR == 1
#define TRT_MAJOR_RTX 1
#define NV_TENSORRT_MAJOR TRT_MAJOR_RTX
#define NV_TENSORRT_MINOR 7
#define NV_TENSORRT_PATCH 1
#elif STAND_IN_MAJOR == 8
#define NV_TENSORRT_MAJOR 8
#define NV_TENSORRT_MINOR 6
#define NV_TENSORRT_PATCH 1
#else
#define NV_TENSORRT_MAJOR 10
#define NV_TENSORRT_MINOR 3
#define NV_TENSORRT_PATCH 0
#endif
#if NV_TENSORRT_MAJOR == 8
#define NV_TENSORRT_VERSION (NV_TENSORRT_MAJOR * 1000 + NV_TENSORRT_MINOR * 100 + NV_TENSORRT_PATCH)
#else
#define NV_TENSORRT_VERSION (NV_TENSORRT_MAJOR * 10000L + NV_TENSORRT_MINOR * 100L + NV_TENSORRT_PATCH)
#endif

namespace nvinfer1 {

enum class DataType : int32_t {
    kFLOAT = 0,
    kHALF = 1,
    kINT8 = 2,
    kINT32 = 3,
    kBOOL = 4,
    kUINT8 = 5,
#if NV_TENSORRT_MAJOR != 8
    kINT64 = 8,
#endif
};
enum class TensorLocation : int32_t { kDEVICE = 0, kHOST = 1 };
#if NV_TENSORRT_MAJOR != 8
enum class ExecutionContextAllocationStrategy : int32_t { kSTATIC = 0, kON_PROFILE_CHANGE = 1, kUSER_MANAGED = 2 };
#endif

struct Dims {
    static constexpr int32_t MAX_DIMS = 8;
    int32_t nbDims;
#if NV_TENSORRT_MAJOR == 8
    int32_t d[MAX_DIMS];
#else
    int64_t d[MAX_DIMS];
#endif
};

#if NV_TENSORRT_MAJOR == 1 /* before, a logger had no such base */
struct InterfaceInfo {
    char const *kind;
    int32_t major, minor;
};
class IVersionedInterface {
  public:
    virtual int32_t getAPILanguage() const noexcept { return 0; }
    virtual InterfaceInfo getInterfaceInfo() const noexcept = 0;
    virtual ~IVersionedInterface() noexcept = default;
};
#endif

class ILogger
#if NV_TENSORRT_MAJOR == 1
    : public IVersionedInterface
#endif
{
  public:
    enum class Severity : int32_t { kINTERNAL_ERROR = 0, kERROR = 1, kWARNING = 2, kINFO = 3, kVERBOSE = 4 };
#if NV_TENSORRT_MAJOR == 1
    InterfaceInfo getInterfaceInfo() const noexcept override { return {"ILogger", 1, 0}; }
#endif
    virtual void log(Severity severity, char const *text) noexcept = 0;
    virtual ~ILogger() = default;
};

class ICudaEngine;
class IExecutionContext;
class IRefitter;
class IRuntime;

namespace apiv {

struct VRoot {
    virtual ~VRoot() noexcept = default;
};

struct VRuntime : VRoot {
    virtual IRuntime *getPImpl() noexcept = 0;
    virtual ICudaEngine *deserializeCudaEngine(void const *plan, std::size_t bytes) noexcept = 0;
};

struct VRefitter : VRoot {
    virtual bool refitCudaEngine() noexcept = 0;
};

struct VCudaEngine : VRoot {
    virtual IExecutionContext *make_context(bool user_managed) noexcept = 0;
    virtual int64_t memory() const noexcept = 0;
    virtual DataType getTensorDataType(char const *tensor) const noexcept = 0;
    virtual TensorLocation getTensorLocation(char const *tensor) const noexcept = 0;
};

struct VExecutionContext : VRoot {
    virtual void take_memory(void *memory, int64_t bytes) noexcept = 0;
    virtual Dims getTensorShape(char const *tensor) const noexcept = 0;
    virtual bool setTensorAddress(char const *tensor, void *data) noexcept = 0;
    virtual bool enqueueV3(cudaStream_t stream) noexcept = 0;
};

}  // namespace apiv

class INoCopy {
  protected:
    INoCopy() = default;
    virtual ~INoCopy() = default;
    INoCopy(INoCopy const &) = delete;
    INoCopy &operator=(INoCopy const &) = delete;
};

class IRuntime : public INoCopy {
  public:
    virtual ~IRuntime() noexcept = default;
    ICudaEngine *deserializeCudaEngine(void const *plan, std::size_t bytes) noexcept {
        return mImpl->deserializeCudaEngine(plan, bytes);
    }

  protected:
    apiv::VRuntime *mImpl;
};

class IRefitter : public INoCopy {
  public:
    virtual ~IRefitter() noexcept = default;
    bool refitCudaEngine() noexcept { return mImpl->refitCudaEngine(); }

  protected:
    apiv::VRefitter *mImpl;
};

class ICudaEngine : public INoCopy {
  public:
    virtual ~ICudaEngine() noexcept = default;
#if NV_TENSORRT_MAJOR != 8
    IExecutionContext *createExecutionContext(
        ExecutionContextAllocationStrategy strategy = ExecutionContextAllocationStrategy::kSTATIC) noexcept {
        return mImpl->make_context(strategy == ExecutionContextAllocationStrategy::kUSER_MANAGED);
    }
    int64_t getDeviceMemorySizeV2() const noexcept { return mImpl->memory(); }
#else
    IExecutionContext *createExecutionContext() noexcept { return mImpl->make_context(false); }
#endif
#if NV_TENSORRT_MAJOR != 1 /* as after 10, where the older names went */
    [[deprecated]] IExecutionContext *createExecutionContextWithoutDeviceMemory() noexcept {
        return mImpl->make_context(true);
    }
    [[deprecated]] std::size_t getDeviceMemorySize() const noexcept { return std::size_t(mImpl->memory()); }
#endif
    DataType getTensorDataType(char const *tensor) const noexcept { return mImpl->getTensorDataType(tensor); }
    TensorLocation getTensorLocation(char const *tensor) const noexcept { return mImpl->getTensorLocation(tensor); }

  protected:
    apiv::VCudaEngine *mImpl;
};

class IExecutionContext : public INoCopy {
  public:
    virtual ~IExecutionContext() noexcept = default;
#if NV_TENSORRT_MAJOR != 8
    void setDeviceMemoryV2(void *memory, int64_t bytes) noexcept { mImpl->take_memory(memory, bytes); }
#endif
#if NV_TENSORRT_MAJOR != 1
    [[deprecated]] void setDeviceMemory(void *memory) noexcept { mImpl->take_memory(memory, INT64_MAX); }
#endif
    Dims getTensorShape(char const *tensor) const noexcept { return mImpl->getTensorShape(tensor); }
    bool setTensorAddress(char const *tensor, void *data) noexcept { return mImpl->setTensorAddress(tensor, data); }
    bool enqueueV3(cudaStream_t stream) noexcept { return mImpl->enqueueV3(stream); }

  protected:
    apiv::VExecutionContext *mImpl;
};

}  // namespace nvinfer1

extern "C" void *createInferRuntime_INTERNAL(void *logger, int32_t version) noexcept;
extern "C" void *createInferRefitter_INTERNAL(void *engine, void *logger, int32_t version) noexcept;
extern "C" int32_t getInferLibVersion() noexcept;
