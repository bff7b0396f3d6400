#define _GNU_SOURCE
#include "ort_library.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define TAKE(member, place) memcpy(&ort->member, &api[place], sizeof ort->member)

tipsc_code ort_load(ort *ort, const char *file, tipsc_error *error) {
    static const char fix[] = "install ONNX Runtime 1.20 or later, or name its library in options.runtime";
    const OrtApiBase *(*base)(void) = NULL;
    /* Without this ONNX Runtime writes an id of the device into the user's home as soon as it is loaded. */
    setenv("ORT_DISABLE_TELEMETRY", "1", 0);
    /* It keeps threads and thread-local data: once loaded it is never unloaded. */
    ort->library = dlopen(file ? file : "libonnxruntime.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!ort->library) return fail(error, TIPSC_DEVICE, fix, "ONNX Runtime cannot be loaded: %s", dlerror());
    void *symbol = dlsym(ort->library, "OrtGetApiBase");
    memcpy(&base, &symbol, sizeof base);
    const void *const *api = base ? base()->GetApi(ORT_VERSION) : NULL;
    if (!api) {
        dlclose(ort->library);
        return fail(error, TIPSC_DEVICE, fix, "%s: this is no ONNX Runtime, or too old a one", file ? file : "libonnxruntime.so.1");
    }
    ort->version = base()->GetVersionString();
    TAKE(get_error_message, ORT_GET_ERROR_MESSAGE);
    TAKE(create_env, ORT_CREATE_ENV);
    TAKE(disable_telemetry, ORT_DISABLE_TELEMETRY);
    TAKE(create_session, ORT_CREATE_SESSION);
    TAKE(run, ORT_RUN);
    TAKE(create_session_options, ORT_CREATE_SESSION_OPTIONS);
    TAKE(set_optimized_model, ORT_SET_OPTIMIZED_MODEL);
    TAKE(set_log_severity, ORT_SET_LOG_SEVERITY);
    TAKE(set_optimization, ORT_SET_OPTIMIZATION);
    TAKE(set_intra_threads, ORT_SET_INTRA_THREADS);
    TAKE(set_inter_threads, ORT_SET_INTER_THREADS);
    TAKE(create_tensor, ORT_CREATE_TENSOR);
    TAKE(create_cpu_memory, ORT_CREATE_CPU_MEMORY);
    TAKE(release_env, ORT_RELEASE_ENV);
    TAKE(release_status, ORT_RELEASE_STATUS);
    TAKE(release_memory, ORT_RELEASE_MEMORY);
    TAKE(release_session, ORT_RELEASE_SESSION);
    TAKE(release_value, ORT_RELEASE_VALUE);
    TAKE(release_session_options, ORT_RELEASE_SESSION_OPTIONS);
    TAKE(add_config, ORT_ADD_CONFIG);
    TAKE(register_allocator, ORT_REGISTER_ALLOCATOR);
    TAKE(add_initializer, ORT_ADD_INITIALIZER);
    return TIPSC_OK;
}

tipsc_code ort_done(const ort *ort, OrtStatus *status, const char *about, tipsc_error *error) {
    if (!status) return TIPSC_OK;
    tipsc_code code = fail(error, TIPSC_DEVICE, NULL, "ONNX Runtime refuses %s: %.380s", about,
                           ort->get_error_message(status));
    ort->release_status(status);
    return code;
}
