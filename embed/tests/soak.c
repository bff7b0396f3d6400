/* Many threads on one engine: no wrong output, and no memory that is not given back.
 *
 *     soak ENGINE RUNTIME THREADS SECONDS
 *
 * Each thread runs random paths, by number or by a governor with random budgets, and makes a context anew now
 * and then; another one opens and closes engines of its own meanwhile. Each output is compared with what the
 * path gave alone.
 *
 * The warm-up ends when each thread has run each path and has made CONTEXTS contexts, and ENGINES engines were
 * opened; SECONDS begin then. Prints, as JSON: calls, engines opened, and samples of the process's memory. Of
 * these `resident` is what the kernel counts, and `in_use` what was allocated and not freed: a leak makes both
 * grow, an allocator that keeps freed memory the first alone. A sample is taken between two engines of the thread
 * that opens them: one more that is open just then is no leak. At both ends freed memory is given back to the
 * system, and what is resident then is printed as well. */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tipsc.h"

enum { MOST_TENSORS = 16, MOST_PATHS = 256, CONTEXTS = 8, ENGINES = 32, SAMPLES = 20 };

typedef struct tensors {
    size_t count;
    tipsc_buffer buffers[MOST_TENSORS];
} tensors;

typedef struct soak {
    const char *file;
    tipsc_options options;
    tipsc_engine *engine;
    tipsc_governor *governor;
    size_t paths;
    tensors inputs, expected[MOST_PATHS];
    atomic_bool stop, hold, held; /* the last two: no more engines, please; none is open */
    atomic_ulong calls, opened, refused;
    atomic_size_t warm; /* threads */
} soak;

static void must(tipsc_code code, const tipsc_error *error) {
    if (!code) return;
    fprintf(stderr, "%s; %s\n", error->text, error->fix);
    exit(1);
}

static uint64_t random_next(uint64_t *state) { /* xorshift64 */
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

static tensors make(const tipsc_engine *engine, size_t path, int inputs, uint64_t seed) {
    tipsc_error error = {.size = sizeof error};
    tipsc_engine_info about = {.size = sizeof about};
    tensors made = {0};
    must(tipsc_describe(engine, &about, &error), &error);
    made.count = inputs ? about.input_count : about.output_count;
    if (made.count > MOST_TENSORS) exit(2);
    for (size_t i = 0; i < made.count; i++) {
        tipsc_tensor_info info = {.size = sizeof info};
        must(inputs ? tipsc_describe_input(engine, path, i, &info, &error)
                    : tipsc_describe_output(engine, path, i, &info, &error), &error);
        made.buffers[i].bytes = (size_t)info.bytes;
        made.buffers[i].data = aligned_alloc(64, ((size_t)info.bytes + 63) / 64 * 64);
        if (!made.buffers[i].data) exit(2);
        memset(made.buffers[i].data, 0, made.buffers[i].bytes);
        for (size_t k = 0; seed && info.dtype == TIPSC_FLOAT32 && k < info.bytes / 4; k++)
            ((float *)made.buffers[i].data)[k] = (float)(random_next(&seed) % 2000) / 1000 - 1;
    }
    return made;
}

static void give_back(tensors *tensors) {
    for (size_t i = 0; i < tensors->count; i++) free(tensors->buffers[i].data);
}

static void compare(const soak *soak, size_t path, const tensors *found) {
    for (size_t i = 0; i < found->count; i++)
        if (memcmp(found->buffers[i].data, soak->expected[path].buffers[i].data, found->buffers[i].bytes) != 0) {
            fprintf(stderr, "path %zu gave something else\n", path);
            exit(1);
        }
}

static void *work(void *given) {
    soak *soak = given;
    tipsc_error error = {.size = sizeof error};
    tipsc_context *context = NULL;
    uint64_t state = (uint64_t)(uintptr_t)&context | 1;
    tensors outputs = make(soak->engine, 0, 0, 0);
    bool seen[MOST_PATHS] = {false};
    size_t left = soak->paths, contexts = 1;
    must(tipsc_context_new(soak->engine, &context, &error), &error);
    while (!atomic_load(&soak->stop)) {
        uint64_t dice = random_next(&state);
        size_t path = dice % soak->paths;
        for (size_t i = 0; i < outputs.count; i++) memset(outputs.buffers[i].data, 0xff, outputs.buffers[i].bytes);
        if (dice >> 32 & 1) {
            tipsc_demand demand = {.size = sizeof demand, .budget_ms = 0.001 * (double)(dice >> 40 & 0x3fff) + 1e-6};
            tipsc_result result = {.size = sizeof result};
            tipsc_code code = tipsc_governor_run(soak->governor, context, soak->inputs.buffers, soak->inputs.count,
                                                 outputs.buffers, outputs.count, &demand, &result, &error);
            if (code == TIPSC_BUDGET) {
                atomic_fetch_add(&soak->refused, 1);
                continue;
            }
            must(code, &error);
            path = result.path;
        } else {
            must(tipsc_run(context, path, soak->inputs.buffers, soak->inputs.count, outputs.buffers, outputs.count,
                           &error), &error);
        }
        compare(soak, path, &outputs);
        atomic_fetch_add(&soak->calls, 1);
        bool was_warm = !left && contexts >= CONTEXTS;
        left -= !seen[path];
        seen[path] = true;
        if (!(dice >> 56 & 31)) {
            tipsc_context_free(context);
            must(tipsc_context_new(soak->engine, &context, &error), &error);
            contexts++;
        }
        if (!was_warm && !left && contexts >= CONTEXTS) atomic_fetch_add(&soak->warm, 1);
    }
    tipsc_context_free(context);
    give_back(&outputs);
    return NULL;
}

typedef struct late {
    const soak *soak;
    tipsc_context *context;
    atomic_ulong calls;
} late;

/* Calls until the engine is closed, which waits for the call that runs. */
static void *until_closed(void *given) {
    late *late = given;
    tipsc_error error = {.size = sizeof error};
    tensors outputs = make(late->soak->engine, 0, 0, 0);
    tipsc_code code;
    while (!(code = tipsc_run(late->context, 0, late->soak->inputs.buffers, late->soak->inputs.count, outputs.buffers,
                              outputs.count, &error))) {
        compare(late->soak, 0, &outputs);
        atomic_fetch_add(&late->calls, 1);
    }
    if (code != TIPSC_CLOSED) must(code, &error);
    give_back(&outputs);
    return NULL;
}

static void *reopen(void *given) {
    soak *soak = given;
    while (!atomic_load(&soak->stop)) {
        if (atomic_load(&soak->hold)) {
            atomic_store(&soak->held, 1);
            sched_yield();
            continue;
        }
        atomic_store(&soak->held, 0);
        tipsc_error error = {.size = sizeof error};
        tipsc_engine *engine = NULL;
        late late = {.soak = soak};
        pthread_t caller;
        must(tipsc_open(soak->file, &soak->options, &engine, &error), &error);
        must(tipsc_context_new(engine, &late.context, &error), &error);
        pthread_create(&caller, NULL, until_closed, &late);
        while (!atomic_load(&late.calls) && !atomic_load(&soak->stop)) sched_yield();
        tipsc_close(engine);
        pthread_join(caller, NULL);
        tipsc_context_free(late.context);
        atomic_fetch_add(&soak->opened, 1);
    }
    return NULL;
}

static long resident(void) {
    long pages = 0, ignored;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (statm && fscanf(statm, "%ld %ld", &ignored, &pages) != 2) pages = 0;
    if (statm) fclose(statm);
    return pages * sysconf(_SC_PAGESIZE);
}

static void pause_for(double seconds) {
    struct timespec time = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&time, NULL);
}

typedef struct sample {
    double seconds;
    long resident;
    size_t in_use; /* of all arenas of the allocator, and what it has mapped */
} sample;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static sample take(soak *soak, double start, long *without_freed) {
    atomic_store(&soak->held, 0);
    atomic_store(&soak->hold, 1);
    while (!atomic_load(&soak->held)) pause_for(0.001);
    struct mallinfo2 heap = mallinfo2();
    sample taken = {now() - start, resident(), heap.uordblks + heap.hblkhd};
    if (without_freed) {
        malloc_trim(0);
        *without_freed = resident();
    }
    atomic_store(&soak->hold, 0);
    return taken;
}

int main(int count, char **arguments) {
    tipsc_error error = {.size = sizeof error};
    static soak soak;
    if (count != 5) return 100;
    size_t threads = (size_t)atoi(arguments[3]);
    double seconds = atof(arguments[4]);
    pthread_t *started = calloc(threads + 1, sizeof *started);
    if (!started) return 2;
    soak.file = arguments[1];
    soak.options = (tipsc_options){.size = sizeof soak.options, .runtime = arguments[2]};
    must(tipsc_open(soak.file, &soak.options, &soak.engine, &error), &error);
    tipsc_engine_info about = {.size = sizeof about};
    must(tipsc_describe(soak.engine, &about, &error), &error);
    soak.paths = about.path_count;
    if (soak.paths > MOST_PATHS) return 2;
    soak.inputs = make(soak.engine, 0, 1, 7);
    tipsc_context *context = NULL;
    must(tipsc_context_new(soak.engine, &context, &error), &error);
    for (size_t path = 0; path < soak.paths; path++) {
        soak.expected[path] = make(soak.engine, path, 0, 0);
        must(tipsc_run(context, path, soak.inputs.buffers, soak.inputs.count, soak.expected[path].buffers,
                       soak.expected[path].count, &error), &error);
    }
    tipsc_context_free(context);
    must(tipsc_governor_new(soak.engine, NULL, &soak.governor, &error), &error);
    for (size_t i = 0; i < threads; i++) pthread_create(&started[i], NULL, work, &soak);
    pthread_create(&started[threads], NULL, reopen, &soak);
    double began = now();
    while (atomic_load(&soak.warm) < threads || atomic_load(&soak.opened) < ENGINES) pause_for(0.01);
    double start = now();
    unsigned long warm_calls = atomic_load(&soak.calls);
    long trimmed, trimmed_at_end;
    sample samples[SAMPLES + 1];
    samples[0] = take(&soak, start, &trimmed);
    for (size_t i = 1; i <= SAMPLES; i++) {
        pause_for(seconds / SAMPLES);
        samples[i] = take(&soak, start, i < SAMPLES ? NULL : &trimmed_at_end);
    }
    atomic_store(&soak.stop, 1);
    for (size_t i = 0; i <= threads; i++) pthread_join(started[i], NULL);
    printf("{\"threads\": %zu, \"seconds\": %g, \"warm_up_seconds\": %.1f, \"warm_up_calls\": %lu, \"calls\": %lu, "
           "\"refused\": %lu, \"engines_opened\": %lu, \"resident_after_warm_up\": %ld, \"resident_at_end\": %ld, "
           "\"resident_trimmed_after_warm_up\": %ld, \"resident_trimmed_at_end\": %ld, \"samples\": [",
           threads, seconds, start - began, warm_calls, atomic_load(&soak.calls), atomic_load(&soak.refused),
           atomic_load(&soak.opened), samples[0].resident, samples[SAMPLES].resident, trimmed, trimmed_at_end);
    for (size_t i = 0; i <= SAMPLES; i++)
        printf("%s{\"seconds\": %.1f, \"resident\": %ld, \"in_use\": %zu}", i ? ", " : "", samples[i].seconds,
               samples[i].resident, samples[i].in_use);
    printf("]}\n");
    tipsc_governor_free(soak.governor);
    tipsc_close(soak.engine);
    give_back(&soak.inputs);
    for (size_t path = 0; path < soak.paths; path++) give_back(&soak.expected[path]);
    free(started);
    return 0;
}
