#define _GNU_SOURCE
#include "tensorrt_cuda.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

enum { MAJOR = 75, MINOR = 76 }; /* cudaDevAttrComputeCapabilityMajor and Minor */

static tipsc_code no_device(const char *got, tipsc_error *error) {
    return fail(error, TIPSC_DEVICE, "run this on the device that the engine was finished for",
                "no CUDA device is here, so that plans cannot be run (got %.200s)", got);
}

static void *found_library(void) {
    static const char *const folders[] = {"", "/usr/local/cuda/lib64/", "/usr/local/cuda/targets/aarch64-linux/lib/"};
    static const char *const names[] = {"libcudart.so", "libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0"};
    char file[128];
    /* What TensorRT loaded is the one whose stream it can take. */
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD | RTLD_NODELETE);
        if (library) return library;
    }
    for (size_t k = 0; k < sizeof folders / sizeof *folders; k++)
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            snprintf(file, sizeof file, "%s%s", folders[k], names[i]);
            void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
            if (library) return library;
        }
    return NULL;
}

#define CUDA_TAKE(name, arguments)                                                                    \
    symbol = dlsym(library, "cuda" #name);                                                            \
    if (!symbol) return dlclose(library), no_device("a libcudart without cuda" #name, error);         \
    memcpy(&cuda->name, &symbol, sizeof symbol);

tipsc_code cuda_load(cuda *cuda, tipsc_error *error) {
    void *symbol, *library = found_library();
    if (!library) return no_device("libcudart is not installed", error);
    CUDA_FUNCTIONS(CUDA_TAKE)
    CUDA_TAKE(GetErrorString, )
    int count = 0, code = cuda->GetDeviceCount(&count);
    if (code) return no_device(cuda->GetErrorString(code), error);
    return count ? TIPSC_OK : no_device("none is attached", error);
}

tipsc_code cuda_done(const cuda *cuda, int code, const char *function, tipsc_error *error) {
    if (!code) return TIPSC_OK;
    const char *said = cuda->GetErrorString(code);
    return fail(error, TIPSC_DEVICE, NULL, "CUDA: %s: %.200s (its code is %d)", function, said ? said : "unknown error", code);
}

tipsc_code cuda_capability(const cuda *cuda, char *text, tipsc_error *error) {
    int major = 0, minor = 0;
    TRY(cuda_done(cuda, cuda->DeviceGetAttribute(&major, MAJOR, 0), "cudaDeviceGetAttribute", error));
    TRY(cuda_done(cuda, cuda->DeviceGetAttribute(&minor, MINOR, 0), "cudaDeviceGetAttribute", error));
    snprintf(text, 16, "%d.%d", major, minor);
    return TIPSC_OK;
}
