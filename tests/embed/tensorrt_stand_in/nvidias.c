/* nvidias LIBRARY: NVIDIA's own libraries, as far as libtipsc gets with them where no GPU is. Prints the module and
 * version of TensorRT, what it says to a plan that is none, and what CUDA says. */
#include <stdio.h>

#include "tensorrt_api.h"
#include "tensorrt_cuda.h"

int main(int count, char **words) {
    tipsc_error error = {.size = sizeof error};
    trt *trt;
    trt_plan *plan;
    if (count != 2) return 2;
    if (trt_open(words[1], &trt, &error)) return fprintf(stderr, "%s; %s\n", error.text, error.fix), 1;
    printf("%s %s\n", trt_module(), trt_version(trt));
    if (trt_start(trt, &error)) return fprintf(stderr, "%s; %s\n", error.text, error.fix), 1;
    static const char none[100] = "this is not a plan";
    if (!trt_plan_load(trt, none, sizeof none, "a", &plan, &error)) return 3;
    printf("%s; %s\n", error.text, error.fix);
    trt_close(trt);
    cuda cuda;
    puts(cuda_load(&cuda, &error) ? error.text : "a device is here");
    return 0;
}
