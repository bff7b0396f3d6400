/* Runs every signature of a .tflite through LiteRT's C interface, with nothing of tipsc.
 *
 *     run_signatures MODEL.tflite INPUT
 *
 * INPUT is a file of the float32 values that every signature is given. Each signature prints one
 * line: its key and its output, with all the digits of a float32.
 *
 * The wheel of ai-edge-litert has the library and no headers, so what is called is declared here,
 * as version 2.3 has it. Shapes are passed from one call to the next without being looked into:
 * their form has changed between releases.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Environment *Environment;
typedef struct Model *Model;
typedef struct Signature *Signature;
typedef struct Tensor *Tensor;
typedef struct Options *Options;
typedef struct Compiled *Compiled;
typedef struct Requirements *Requirements;
typedef struct Buffer *Buffer;
typedef struct {
  unsigned char opaque[256]; /* larger than in any release */
} TensorType;
typedef struct {
  int tag;
  struct {
    int type;
    long long value;
  } any;
} EnvironmentOption;
enum { AUTO_REGISTER = 24, INTEGER = 2, ON_CPU = 1, FOR_READING = 0, FOR_WRITING = 1 };

int LiteRtCreateEnvironment(int count, const EnvironmentOption *options, Environment *);
int LiteRtCreateModelFromFile(Environment, const char *file, Model *);
int LiteRtGetNumModelSignatures(Model, size_t *count);
int LiteRtGetModelSignature(Model, size_t index, Signature *);
int LiteRtGetSignatureKey(Signature, const char **key);
int LiteRtGetSignatureInputTensorByIndex(Signature, size_t index, Tensor *);
int LiteRtGetSignatureOutputTensorByIndex(Signature, size_t index, Tensor *);
int LiteRtGetRankedTensorType(Tensor, TensorType *);
int LiteRtCreateOptions(Options *);
int LiteRtSetOptionsHardwareAccelerators(Options, int accelerators);
int LiteRtCreateCompiledModel(Environment, Model, Options, Compiled *);
int LiteRtGetCompiledModelInputBufferRequirements(Compiled, size_t signature, size_t input,
                                                  Requirements *);
int LiteRtGetCompiledModelOutputBufferRequirements(Compiled, size_t signature, size_t output,
                                                   Requirements *);
int LiteRtCreateManagedTensorBufferFromRequirements(Environment, const TensorType *, Requirements,
                                                    Buffer *);
int LiteRtGetTensorBufferPackedSize(Buffer, size_t *bytes);
int LiteRtLockTensorBuffer(Buffer, void **memory, int mode);
int LiteRtUnlockTensorBuffer(Buffer);
int LiteRtRunCompiledModel(Compiled, size_t signature, size_t inputs, Buffer *, size_t outputs,
                           Buffer *);
void LiteRtDestroyTensorBuffer(Buffer);
void LiteRtDestroyCompiledModel(Compiled);
void LiteRtDestroyOptions(Options);
void LiteRtDestroyModel(Model);
void LiteRtDestroyEnvironment(Environment);

static void must(int status, const char *what) {
  if (status != 0) {
    fprintf(stderr, "%s failed with status %d\n", what, status);
    exit(1);
  }
}
#define MUST(call) must(call, #call)

static float *read_values(const char *name, size_t *bytes) {
  FILE *file = fopen(name, "rb");
  must(file == NULL || fseek(file, 0, SEEK_END) != 0, "opening the input");
  *bytes = (size_t)ftell(file);
  rewind(file);
  float *values = malloc(*bytes);
  must(values == NULL || fread(values, 1, *bytes, file) != *bytes, "reading the input");
  fclose(file);
  return values;
}

static Buffer input_of(Environment environment, Compiled compiled, Signature signature, size_t index,
                       const float *values, size_t bytes) {
  Tensor tensor;
  TensorType type;
  Requirements requirements;
  Buffer buffer;
  size_t expected;
  void *memory;
  MUST(LiteRtGetSignatureInputTensorByIndex(signature, 0, &tensor));
  MUST(LiteRtGetRankedTensorType(tensor, &type));
  MUST(LiteRtGetCompiledModelInputBufferRequirements(compiled, index, 0, &requirements));
  MUST(LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, requirements, &buffer));
  MUST(LiteRtGetTensorBufferPackedSize(buffer, &expected));
  must(expected != bytes, "comparing the input's size");
  MUST(LiteRtLockTensorBuffer(buffer, &memory, FOR_WRITING));
  memcpy(memory, values, bytes);
  MUST(LiteRtUnlockTensorBuffer(buffer));
  return buffer;
}

static Buffer output_of(Environment environment, Compiled compiled, Signature signature,
                        size_t index) {
  Tensor tensor;
  TensorType type;
  Requirements requirements;
  Buffer buffer;
  MUST(LiteRtGetSignatureOutputTensorByIndex(signature, 0, &tensor));
  MUST(LiteRtGetRankedTensorType(tensor, &type));
  MUST(LiteRtGetCompiledModelOutputBufferRequirements(compiled, index, 0, &requirements));
  MUST(LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, requirements, &buffer));
  return buffer;
}

static void print_values(Buffer buffer) {
  size_t bytes;
  void *memory;
  MUST(LiteRtGetTensorBufferPackedSize(buffer, &bytes));
  MUST(LiteRtLockTensorBuffer(buffer, &memory, FOR_READING));
  const float *values = memory;
  for (size_t i = 0; i < bytes / sizeof(float); i++) printf(" %.9g", values[i]);
  printf("\n");
  MUST(LiteRtUnlockTensorBuffer(buffer));
}

int main(int count, char **arguments) {
  if (count != 3) {
    fprintf(stderr, "usage: %s MODEL.tflite INPUT\n", arguments[0]);
    return 2;
  }
  size_t bytes, signatures;
  float *values = read_values(arguments[2], &bytes);
  Environment environment;
  Model model;
  Options options;
  Compiled compiled;
  /* Otherwise LiteRT opens the libraries of GPUs that it finds, too. */
  EnvironmentOption cpu_only = {AUTO_REGISTER, {INTEGER, ON_CPU}};
  MUST(LiteRtCreateEnvironment(1, &cpu_only, &environment));
  MUST(LiteRtCreateModelFromFile(environment, arguments[1], &model));
  MUST(LiteRtCreateOptions(&options));
  MUST(LiteRtSetOptionsHardwareAccelerators(options, ON_CPU));
  MUST(LiteRtCreateCompiledModel(environment, model, options, &compiled));
  MUST(LiteRtGetNumModelSignatures(model, &signatures));
  for (size_t index = 0; index < signatures; index++) {
    Signature signature;
    const char *key;
    MUST(LiteRtGetModelSignature(model, index, &signature));
    MUST(LiteRtGetSignatureKey(signature, &key));
    Buffer input = input_of(environment, compiled, signature, index, values, bytes);
    Buffer output = output_of(environment, compiled, signature, index);
    MUST(LiteRtRunCompiledModel(compiled, index, 1, &input, 1, &output));
    printf("%s", key);
    print_values(output);
    LiteRtDestroyTensorBuffer(input);
    LiteRtDestroyTensorBuffer(output);
  }
  LiteRtDestroyCompiledModel(compiled);
  LiteRtDestroyOptions(options);
  LiteRtDestroyModel(model);
  LiteRtDestroyEnvironment(environment);
  free(values);
  return 0;
}
