/* The functions of CUDA's runtime that tipsc calls, in host memory: it tests how they are called,
   and nothing of what a GPU does. live() counts what was made and not given back. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int made = 0;
int live(void) { return made; }

int cudaRuntimeGetVersion(int *version) { *version = 12000; return 0; }
int cudaGetDeviceCount(int *count) { *count = 1; return 0; }
int cudaDeviceGetAttribute(int *value, int attribute, int device) {
  *value = attribute == 75 ? 8 : attribute == 76 ? 7 : -1;
  return device;
}
int cudaMemGetInfo(size_t *available, size_t *total) { *available = 1u << 30; *total = 2u << 30; return 0; }
int cudaMalloc(void **pointer, size_t size) {
  if (size > (1u << 30)) return 2;
  made++;
  return posix_memalign(pointer, 256, size);
}
int cudaFree(void *pointer) {
  if ((size_t)pointer % 256) return 1;
  made--;
  free(pointer);
  return 0;
}
int cudaMemcpyAsync(void *to, const void *from, size_t size, int kind, void *stream) {
  if (kind != 1 && kind != 2) return 21;
  if (!stream) return 400;
  memcpy(to, from, size);
  return 0;
}
int cudaStreamCreate(void **stream) { made++; *stream = malloc(1); return 0; }
int cudaStreamSynchronize(void *stream) { return stream ? 0 : 400; }
int cudaStreamDestroy(void *stream) { made--; free(stream); return 0; }
int cudaEventCreate(void **event) { made++; *event = malloc(sizeof(struct timespec)); return 0; }
int cudaEventRecord(void *event, void *stream) {
  return stream ? clock_gettime(CLOCK_MONOTONIC, event) : 400;
}
int cudaEventSynchronize(void *event) { return event ? 0 : 400; }
int cudaEventElapsedTime(float *ms, void *from, void *to) {
  struct timespec *a = from, *b = to;
  *ms = (b->tv_sec - a->tv_sec) * 1e3f + (b->tv_nsec - a->tv_nsec) / 1e6f;
  return 0;
}
int cudaEventDestroy(void *event) { made--; free(event); return 0; }
const char *cudaGetErrorString(int code) { return code == 2 ? "out of memory" : "invalid argument"; }
