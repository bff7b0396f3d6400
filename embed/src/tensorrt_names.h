/* What TensorRT calls differently from version to version: the newest name that the headers have is taken.
 *
 * As in Python, a capability is there when its name is; versions are not asked. `newer` converts to `older`, so of
 * two functions that compile the first is better. */
#ifndef TIPSC_TENSORRT_NAMES_H
#define TIPSC_TENSORRT_NAMES_H

#include <NvInfer.h>

#include <cstdint>

/* Names that are marked as old are called only where there is no other. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

namespace nvinfer1 {
enum class ExecutionContextAllocationStrategy : int32_t; /* from 10 on; declared again it is the same */
}

namespace tipsc {

struct older {};
struct newer : older {};

constexpr auto USER_MANAGED = static_cast<nvinfer1::ExecutionContextAllocationStrategy>(2);

template <class Engine>
auto new_context(Engine &engine, newer) -> decltype(engine.createExecutionContext(USER_MANAGED)) {
    return engine.createExecutionContext(USER_MANAGED);
}
template <class Engine>
auto new_context(Engine &engine, older) -> decltype(engine.createExecutionContextWithoutDeviceMemory()) {
    return engine.createExecutionContextWithoutDeviceMemory();
}

template <class Engine>
auto memory_of(const Engine &engine, newer) -> decltype(int64_t(engine.getDeviceMemorySizeV2())) {
    return engine.getDeviceMemorySizeV2();
}
template <class Engine>
auto memory_of(const Engine &engine, older) -> decltype(int64_t(engine.getDeviceMemorySize())) {
    return int64_t(engine.getDeviceMemorySize());
}

template <class Context>
auto give_memory(Context &context, void *memory, int64_t bytes, newer)
    -> decltype(context.setDeviceMemoryV2(memory, bytes)) {
    return context.setDeviceMemoryV2(memory, bytes);
}
template <class Context>
auto give_memory(Context &context, void *memory, int64_t, older) -> decltype(context.setDeviceMemory(memory)) {
    return context.setDeviceMemory(memory);
}

}  // namespace tipsc

#pragma GCC diagnostic pop

#endif
