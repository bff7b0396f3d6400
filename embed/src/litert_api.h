/* What this library uses of LiteRT's C interface, declared as version 2.3 has it; no header is needed.
 *
 * Versions before 2.3 take other arguments. They lack the last of the names here, by which they are refused.
 * Shapes are passed from one call to the next without being looked into: their form has changed between
 * releases. */
#ifndef TIPSC_LITERT_API_H
#define TIPSC_LITERT_API_H

#include <stddef.h>

#include "error.h"

typedef struct LrEnvironment *LrEnvironment;
typedef struct LrModel *LrModel;
typedef struct LrSignature *LrSignature;
typedef struct LrTensor *LrTensor;
typedef struct LrOptions *LrOptions;
typedef struct LrOpaque *LrOpaque;
typedef struct LrCompiled *LrCompiled;
typedef struct LrRequirements *LrRequirements;
typedef struct LrBuffer *LrBuffer;
typedef struct {
    unsigned char opaque[256]; /* larger than in any release */
} LrType;
typedef struct {
    int tag;
    struct {
        int type;
        long long value;
    } any;
} LrEnvironmentOption;
enum { LR_AUTO_REGISTER = 24, LR_LOG_SEVERITY = 25, LR_INTEGER = 2, LR_CPU = 1, LR_LOG_ERRORS = 3 };
enum { LR_READ = 0, LR_WRITE = 1 };

#define LITERT_FUNCTIONS(X)                                                                                     \
    X(int, CreateEnvironment, (int count, const LrEnvironmentOption *options, LrEnvironment *))                 \
    X(int, CreateModelFromFile, (LrEnvironment, const char *file, LrModel *))                                   \
    X(int, GetNumModelSignatures, (LrModel, size_t *count))                                                     \
    X(int, GetModelSignature, (LrModel, size_t index, LrSignature *))                                           \
    X(int, GetSignatureKey, (LrSignature, const char **key))                                                    \
    X(int, GetNumSignatureInputs, (LrSignature, size_t *count))                                                 \
    X(int, GetNumSignatureOutputs, (LrSignature, size_t *count))                                                \
    X(int, GetSignatureInputTensorByIndex, (LrSignature, size_t index, LrTensor *))                             \
    X(int, GetSignatureOutputTensorByIndex, (LrSignature, size_t index, LrTensor *))                            \
    X(int, GetRankedTensorType, (LrTensor, LrType *))                                                           \
    X(int, CreateOptions, (LrOptions *))                                                                        \
    X(int, SetOptionsHardwareAccelerators, (LrOptions, int accelerators))                                       \
    X(int, CreateOpaqueOptions, (const char *name, void *data, void (*destroy)(void *), LrOpaque *))            \
    X(int, AddOpaqueOptions, (LrOptions, LrOpaque))                                                             \
    X(int, CreateCompiledModel, (LrEnvironment, LrModel, LrOptions, LrCompiled *))                              \
    X(int, GetCompiledModelInputBufferRequirements, (LrCompiled, size_t signature, size_t index, LrRequirements *))  \
    X(int, GetCompiledModelOutputBufferRequirements, (LrCompiled, size_t signature, size_t index, LrRequirements *)) \
    X(int, CreateManagedTensorBufferFromRequirements, (LrEnvironment, const LrType *, LrRequirements, LrBuffer *))   \
    X(int, GetTensorBufferPackedSize, (LrBuffer, size_t *bytes))                                                \
    X(int, LockTensorBuffer, (LrBuffer, void **memory, int mode))                                               \
    X(int, UnlockTensorBuffer, (LrBuffer))                                                                      \
    X(int, RunCompiledModel, (LrCompiled, size_t signature, size_t inputs, LrBuffer *, size_t outputs, LrBuffer *))  \
    X(void, DestroyTensorBuffer, (LrBuffer))                                                                    \
    X(void, DestroyCompiledModel, (LrCompiled))                                                                 \
    X(void, DestroyOptions, (LrOptions))                                                                        \
    X(void, DestroyModel, (LrModel))                                                                            \
    X(void, DestroyEnvironment, (LrEnvironment))                                                                \
    X(int, CreateModelFromFd, (LrEnvironment, int descriptor, size_t offset, size_t length, LrModel *))

#define LITERT_MEMBER(type, name, arguments) type(*name) arguments;
typedef struct litert {
    LITERT_FUNCTIONS(LITERT_MEMBER)
    char version[32]; /* of the Python package that carries the library; empty: it is no part of one */
} litert;

/* Loads LiteRT from a file, as dlopen takes it; NULL: libLiteRt.so. It stays loaded. */
tipsc_code litert_load(litert *litert, const char *file, tipsc_error *error);

#endif
