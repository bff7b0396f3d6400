/* What this library uses of ONNX Runtime's C API, declared here so that no header of it is needed.
 *
 * OrtApi is a struct of pointers to functions whose order never changes; new ones come at its end. GetApi
 * gives it for a version that the library has, NULL for a later one. So a place in it holds since the version
 * named here, and ORT_VERSION is the lowest that has all of them (1.12; the finalised form needs no less). */
#ifndef TIPSC_ORT_API_H
#define TIPSC_ORT_API_H

#include <stddef.h>
#include <stdint.h>

enum { ORT_VERSION = 12 };

typedef struct OrtApiBase {
    const void *const *(*GetApi)(uint32_t version);
    const char *(*GetVersionString)(void);
} OrtApiBase;

typedef struct OrtStatus OrtStatus; /* NULL: it went well */
typedef struct OrtEnv OrtEnv;
typedef struct OrtSession OrtSession;
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtMemoryInfo OrtMemoryInfo;
typedef struct OrtValue OrtValue;

/* Places in OrtApi. */
enum {
    ORT_GET_ERROR_MESSAGE = 2,
    ORT_CREATE_ENV = 3,
    ORT_DISABLE_TELEMETRY = 6,
    ORT_CREATE_SESSION = 7,
    ORT_RUN = 9,
    ORT_CREATE_SESSION_OPTIONS = 10,
    ORT_SET_OPTIMIZED_MODEL = 11,
    ORT_SET_LOG_SEVERITY = 22,
    ORT_SET_OPTIMIZATION = 23,
    ORT_SET_INTRA_THREADS = 24,
    ORT_SET_INTER_THREADS = 25,
    ORT_CREATE_TENSOR = 49,
    ORT_CREATE_CPU_MEMORY = 69,
    ORT_RELEASE_ENV = 92,
    ORT_RELEASE_STATUS = 93,
    ORT_RELEASE_MEMORY = 94,
    ORT_RELEASE_SESSION = 95,
    ORT_RELEASE_VALUE = 96,
    ORT_RELEASE_SESSION_OPTIONS = 100,
    ORT_ADD_CONFIG = 130,
    ORT_REGISTER_ALLOCATOR = 144,
    ORT_ADD_INITIALIZER = 150
};

enum { ORT_ARENA_ALLOCATOR = 1, ORT_MEMORY_DEFAULT = 0, ORT_LOG_ERROR = 3, ORT_OPTIMIZE_NOTHING = 0,
       ORT_OPTIMIZE_ALL = 99 };

/* The functions behind them. */
typedef struct ort {
    void *library;
    const char *version;
    const char *(*get_error_message)(const OrtStatus *);
    OrtStatus *(*create_env)(int level, const char *name, OrtEnv **);
    OrtStatus *(*disable_telemetry)(const OrtEnv *);
    OrtStatus *(*create_session)(const OrtEnv *, const char *file, const OrtSessionOptions *, OrtSession **);
    OrtStatus *(*run)(OrtSession *, const void *options, const char *const *input_names,
                      const OrtValue *const *inputs, size_t input_count, const char *const *output_names,
                      size_t output_count, OrtValue **outputs);
    OrtStatus *(*create_session_options)(OrtSessionOptions **);
    OrtStatus *(*set_optimized_model)(OrtSessionOptions *, const char *file);
    OrtStatus *(*set_log_severity)(OrtSessionOptions *, int level);
    OrtStatus *(*set_optimization)(OrtSessionOptions *, int level);
    OrtStatus *(*set_intra_threads)(OrtSessionOptions *, int threads);
    OrtStatus *(*set_inter_threads)(OrtSessionOptions *, int threads);
    OrtStatus *(*create_tensor)(const OrtMemoryInfo *, void *data, size_t bytes, const int64_t *shape, size_t rank,
                                int element_type, OrtValue **);
    OrtStatus *(*create_cpu_memory)(int allocator, int memory, OrtMemoryInfo **);
    void (*release_env)(OrtEnv *);
    void (*release_status)(OrtStatus *);
    void (*release_memory)(OrtMemoryInfo *);
    void (*release_session)(OrtSession *);
    void (*release_value)(OrtValue *);
    void (*release_session_options)(OrtSessionOptions *);
    OrtStatus *(*add_config)(OrtSessionOptions *, const char *key, const char *value);
    OrtStatus *(*register_allocator)(OrtEnv *, const OrtMemoryInfo *, const void *arena);
    OrtStatus *(*add_initializer)(OrtSessionOptions *, const char *name, const OrtValue *);
} ort;

#endif
