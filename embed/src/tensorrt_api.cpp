/* See tensorrt_api.h. Compiled where NVIDIA's headers are; no library of NVIDIA is linked, and none of this
 * library's own memory comes from `new`. */
#include "tensorrt_api.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "tensorrt_names.h"

#if __has_include(<NvOnnxParser.h>) && (NV_TENSORRT_MAJOR >= 10 || defined(TRT_MAJOR_RTX))
#include <NvOnnxParser.h>
#define CAN_REFIT 1
#endif

#define TEXT_OF(number) #number
#define NAMED(start, number) start TEXT_OF(number)
#ifdef TRT_MAJOR_RTX /* TensorRT for RTX: the same interface under other names */
#define MODULE "tensorrt_rtx"
#define LIBRARY NAMED("libtensorrt_rtx.so.", TRT_MAJOR_RTX)
#define PARSER NAMED("libtensorrt_onnxparser_rtx.so.", TRT_MAJOR_RTX)
#else
#define MODULE "tensorrt"
#define LIBRARY NAMED("libnvinfer.so.", NV_TENSORRT_MAJOR)
#define PARSER NAMED("libnvonnxparser.so.", NV_TENSORRT_MAJOR)
#define PLUGINS NAMED("libnvinfer_plugin.so.", NV_TENSORRT_MAJOR)
#endif

static const char INSTALL[] = "on a Jetson run: sudo apt-get install libnvinfer-dev; or name libnvinfer in options.runtime";

/* The first error that TensorRT wrote, in this thread and call; a call that fails tells nothing else. */
static thread_local char said[200];

namespace {

class Logger final : public nvinfer1::ILogger {
    void log(Severity severity, char const *text) noexcept override {
        if (severity <= Severity::kERROR && !said[0]) snprintf(said, sizeof said, "%s", text);
    }
};

}  // namespace

/* TensorRT keeps the first logger that it gets as long as the process lives, and so does this: the library that it
 * is in is never unloaded. */
static nvinfer1::ILogger *logger() noexcept {
    alignas(Logger) static unsigned char place[sizeof(Logger)];
    static nvinfer1::ILogger *made = new (place) Logger;
    Dl_info here;
    if (dladdr(place, &here) && here.dli_fname) dlopen(here.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
    return made;
}

struct trt {
    char file[4096]; /* that was named; empty if none was */
    char version[48];
    decltype(&createInferRuntime_INTERNAL) create_runtime;
    decltype(&createInferRefitter_INTERNAL) create_refitter;
    nvinfer1::IRuntime *runtime;
};

static nvinfer1::ICudaEngine *of(trt_plan *plan) { return reinterpret_cast<nvinfer1::ICudaEngine *>(plan); }
static const nvinfer1::ICudaEngine *of(const trt_plan *plan) {
    return reinterpret_cast<const nvinfer1::ICudaEngine *>(plan);
}
static nvinfer1::IExecutionContext *of(trt_context *context) {
    return reinterpret_cast<nvinfer1::IExecutionContext *>(context);
}

/* The error of a call that failed, with what TensorRT said of it. */
static tipsc_code refused(const char *what, const char *name, const char *fix, tipsc_error *error) {
    const char *between = said[0] ? ": " : "";
    return fail(error, TIPSC_DEVICE, fix, "%s %.100s%s%s", what, name, between, said);
}

template <class Function>
static bool take(Function *&function, void *library, const char *name) {
    void *symbol = dlsym(library, name);
    memcpy(&function, &symbol, sizeof symbol);
    return symbol != nullptr;
}

/* A library that belongs to TensorRT: beside the one that was named, or where the system has it. */
static void *opened_beside(const char *file, const char *name) {
    enum { FLAGS = RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE };
    char beside[4096 + 64];
    const char *slash = strrchr(file, '/');
    if (slash) {
        snprintf(beside, sizeof beside, "%.*s/%s", int(slash - file), file, name);
        if (void *library = dlopen(beside, FLAGS)) return library;
    }
    return dlopen(name, FLAGS);
}

/* Operators that are plugins of TensorRT's own (InstanceNormalization in 8.6) are known only then. */
static void register_plugins(const char *file) {
#ifdef PLUGINS
    bool (*initialise)(void *, const char *) = nullptr;
    void *library = opened_beside(file, PLUGINS);
    if (library && take(initialise, library, "initLibNvInferPlugins")) initialise(logger(), "");
#else
    (void)file;
#endif
}

/* Major, minor, patch and build of a library; -1 where it does not tell. */
static void read_version(void *library, int32_t parts[4]) {
    static const char *const names[] = {"getInferLibMajorVersion", "getInferLibMinorVersion", "getInferLibPatchVersion",
                                        "getInferLibBuildVersion"};
    int32_t (*get)() = nullptr;
    int32_t number = take(get, library, "getInferLibVersion") ? get() : 0;
    int32_t thousands = number < 10000 ? 1000 : 10000; /* before 10 */
    const int32_t older[] = {number / thousands, number % thousands / 100, number % 100, -1};
    for (int i = 0; i < 4; i++) parts[i] = take(get, library, names[i]) ? get() : older[i];
}

/* One that the headers do not describe is refused: what is newer within a major version has only more. */
static tipsc_code note_version(trt *trt, void *library, tipsc_error *error) {
    int32_t parts[4];
    read_version(library, parts);
    int length = snprintf(trt->version, sizeof trt->version, "%d.%d.%d", parts[0], parts[1], parts[2]);
    if (parts[3] >= 0) snprintf(trt->version + length, sizeof trt->version - size_t(length), ".%d", parts[3]);
    if (parts[0] == NV_TENSORRT_MAJOR && parts[1] >= NV_TENSORRT_MINOR) return TIPSC_OK;
    return fail(error, TIPSC_DEVICE, "compile libtipsc with the headers of the TensorRT that is installed",
                "libtipsc was compiled for another TensorRT (expected %d.%d or later of %d, got %s)", NV_TENSORRT_MAJOR,
                NV_TENSORRT_MINOR, NV_TENSORRT_MAJOR, trt->version);
}

tipsc_code trt_open(const char *file, trt **opened, tipsc_error *error) {
    const char *name = file ? file : LIBRARY;
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) return fail(error, TIPSC_DEVICE, INSTALL, "TensorRT cannot be loaded: %.300s", dlerror());
    auto *made = static_cast<trt *>(calloc(1, sizeof(trt)));
    if (!made) return no_memory(error);
    snprintf(made->file, sizeof made->file, "%s", file ? file : "");
    tipsc_code code = TIPSC_OK;
    if (!take(made->create_runtime, library, "createInferRuntime_INTERNAL"))
        code = fail(error, TIPSC_DEVICE, INSTALL, "%.200s: this is no TensorRT", name);
    if (code == TIPSC_OK) code = note_version(made, library, error);
    take(made->create_refitter, library, "createInferRefitter_INTERNAL");
    if (code != TIPSC_OK) free(made);
    else *opened = made;
    return code;
}

void trt_close(trt *trt) {
    if (!trt) return;
    delete trt->runtime;
    free(trt);
}

const char *trt_module(void) { return MODULE; }

const char *trt_version(const trt *trt) { return trt->version; }

tipsc_code trt_start(trt *trt, tipsc_error *error) {
    said[0] = 0;
    register_plugins(trt->file);
    trt->runtime = static_cast<nvinfer1::IRuntime *>(trt->create_runtime(logger(), NV_TENSORRT_VERSION));
    if (trt->runtime) return TIPSC_OK;
    return refused("TensorRT does not start, version", trt->version, "it needs a GPU with a driver that fits", error);
}

tipsc_code trt_plan_load(trt *trt, const void *plan, size_t bytes, const char *name, trt_plan **loaded,
                         tipsc_error *error) {
    said[0] = 0;
    nvinfer1::ICudaEngine *made = trt->runtime->deserializeCudaEngine(plan, bytes);
    if (!made) return refused("TensorRT refuses the plan of path", name, FINISH_AGAIN, error);
    *loaded = reinterpret_cast<trt_plan *>(made);
    return TIPSC_OK;
}

void trt_plan_free(trt_plan *plan) { delete of(plan); }

#ifdef CAN_REFIT
static bool refitted(trt *trt, nvinfer1::IRefitter *refitter, const char *file) {
    decltype(&createNvOnnxParserRefitter_INTERNAL) create = nullptr;
    void *library = opened_beside(trt->file, PARSER);
    if (!library || !take(create, library, "createNvOnnxParserRefitter_INTERNAL")) {
        snprintf(said, sizeof said, "%s is missing", PARSER);
        return false;
    }
    auto *parser = static_cast<nvonnxparser::IParserRefitter *>(create(refitter, logger(), NV_ONNX_PARSER_VERSION));
    bool ok = parser && parser->refitFromFile(file) && refitter->refitCudaEngine();
    delete parser;
    return ok;
}
#endif

tipsc_code trt_plan_refit(trt *trt, trt_plan *plan, const char *file, const char *name, tipsc_error *error) {
    said[0] = 0;
    bool ok = false;
#ifdef CAN_REFIT
    if (trt->create_refitter) {
        auto *refitter =
            static_cast<nvinfer1::IRefitter *>(trt->create_refitter(of(plan), logger(), NV_TENSORRT_VERSION));
        ok = refitter && refitted(trt, refitter, file);
        delete refitter;
    }
#else
    (void)trt, (void)plan, (void)file;
    snprintf(said, sizeof said, "libtipsc was compiled without NvOnnxParser.h of TensorRT 10 or later");
#endif
    if (ok) return TIPSC_OK;
    return refused("TensorRT does not take the weights of a stripped plan, of path", name,
                   "run tipsc finish again without --strip", error);
}

int64_t trt_plan_memory(const trt_plan *plan) { return tipsc::memory_of(*of(plan), tipsc::newer()); }

int trt_plan_dtype(const trt_plan *plan, const char *tensor) {
    using nvinfer1::DataType;
    const DataType type = of(plan)->getTensorDataType(tensor);
    if (type == DataType::kFLOAT) return TIPSC_FLOAT32;
    if (type == DataType::kHALF) return TIPSC_FLOAT16;
    if (type == DataType::kINT8) return TIPSC_INT8;
    if (type == DataType::kINT32) return TIPSC_INT32;
    if (type == DataType::kBOOL) return TIPSC_BOOL;
    if (type == DataType::kUINT8) return TIPSC_UINT8;
    return int(type) == 8 ? TIPSC_INT64 : 0; /* kINT64, which came with 10 */
}

bool trt_plan_on_host(const trt_plan *plan, const char *tensor) {
    return of(plan)->getTensorLocation(tensor) == nvinfer1::TensorLocation::kHOST;
}

tipsc_code trt_context_make(trt_plan *plan, void *memory, int64_t bytes, const char *name, trt_context **made,
                            tipsc_error *error) {
    said[0] = 0;
    nvinfer1::IExecutionContext *context = tipsc::new_context(*of(plan), tipsc::newer());
    if (!context) return refused("TensorRT gives no context for path", name, nullptr, error);
    if (bytes) tipsc::give_memory(*context, memory, bytes, tipsc::newer());
    *made = reinterpret_cast<trt_context *>(context);
    return TIPSC_OK;
}

void trt_context_free(trt_context *context) { delete of(context); }

/* Whether a tensor has so many elements, as far as its shape is known before a run. */
static bool has_elements(const nvinfer1::IExecutionContext *context, const char *tensor, uint64_t elements) {
    const nvinfer1::Dims shape = context->getTensorShape(tensor);
    uint64_t found = 1;
    for (int axis = 0; axis < shape.nbDims; axis++) {
        if (shape.d[axis] < 0) return true;
        found *= uint64_t(shape.d[axis]);
    }
    return shape.nbDims < 0 || found == elements;
}

tipsc_code trt_context_bind(trt_context *context, const char *tensor, void *address, uint64_t elements,
                            const char *name, tipsc_error *error) {
    if (!of(context)->setTensorAddress(tensor, address))
        return fail(error, TIPSC_DEVICE, FINISH_AGAIN, "the plan of path %.100s does not take %.100s", name, tensor);
    if (!has_elements(of(context), tensor, elements))
        return fail(error, TIPSC_DEVICE, FINISH_AGAIN,
                    "%.100s has another shape in the plan of path %.100s than in the engine", tensor, name);
    return TIPSC_OK;
}

tipsc_code trt_context_enqueue(trt_context *context, void *stream, const char *name, tipsc_error *error) {
    said[0] = 0;
    if (of(context)->enqueueV3(static_cast<cudaStream_t>(stream))) return TIPSC_OK;
    return refused("TensorRT does not run path", name, nullptr, error);
}
