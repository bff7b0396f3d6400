/* libtipsc: open an engine of tipsc and run its paths, in C11.
 *
 *     tipsc_engine *engine;
 *     tipsc_context *context;
 *     tipsc_error error = {.size = sizeof error};
 *     size_t path;
 *     if (tipsc_open("model-host.tipsc", NULL, &engine, &error) ||
 *         tipsc_context_new(engine, &context, &error) ||
 *         tipsc_pick(engine, 12.0, NULL, &path, &error) ||
 *         tipsc_run(context, path, &image, 1, &logits, 1, &error))
 *         fprintf(stderr, "%s; %s\n", error.text, error.fix);
 *
 * Rules that hold for all of it:
 *
 * - A function that can fail returns a tipsc_code, TIPSC_OK (0) if it did what it says; what else it
 *   gives comes through pointers, which are untouched if it failed. `error` may be NULL.
 * - A struct that crosses this border begins with `size`. The caller sets it to sizeof of what he was
 *   compiled with, and zeroes what he does not use; the library reads and writes no byte beyond. So
 *   later versions may add fields at the end.
 * - Texts are UTF-8 and end with a zero byte. Those that the library gives live as long as the engine
 *   (after tipsc_close: as long as the last context of it).
 * - Nothing is thrown, nothing is printed, no signal is caught. There is no state outside of the objects
 *   here, but for what the runtime keeps for a process, and the environment variable
 *   ORT_DISABLE_TELEMETRY, which is set to 1 before ONNX Runtime is loaded unless it is there.
 * - Engine and governor may be used by several threads at once, a context by one at a time.
 */
#ifndef TIPSC_H
#define TIPSC_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define TIPSC_API
#else
#define TIPSC_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Version of this border: raised when a function goes or changes its meaning. */
#define TIPSC_ABI 1

/* The TIPSC_ABI that the library was compiled with: compare it if the library is loaded at run time. */
TIPSC_API uint32_t tipsc_abi(void);

/* What went wrong; the names are those of tipsc's exceptions in Python. */
typedef enum tipsc_code {
    TIPSC_OK = 0,
    TIPSC_USAGE = 1,   /* an argument, a file that cannot be read, data of another size */
    TIPSC_PATH = 2,    /* the engine, as it was opened, has no such path */
    TIPSC_BUDGET = 3,  /* no path fits the time budget */
    TIPSC_DAMAGED = 4, /* truncated, altered, no engine, or beyond a limit */
    TIPSC_VERSION = 5, /* written in a format that this version does not read */
    TIPSC_DEVICE = 6,  /* the runtime is not there, or refuses the engine */
    TIPSC_CLOSED = 7,  /* the engine was closed */
    TIPSC_MEMORY = 8,  /* no memory is left */
    TIPSC_SIGNATURE = 9 /* not signed by a key that is trusted */
} tipsc_code;

/* Filled when a function fails. */
typedef struct tipsc_error {
    uint32_t size;
    int32_t code;   /* a tipsc_code */
    char text[512]; /* what is wrong, where, what was expected and found */
    char fix[256];  /* what to do about it; may be empty */
} tipsc_error;

/* ---- Engines ------------------------------------------------------------------------------------- */

typedef struct tipsc_engine tipsc_engine;
typedef struct tipsc_context tipsc_context;

/* Levels of tipsc_log. */
enum { TIPSC_LOG_WARNING = 1, TIPSC_LOG_INFO = 2 };

/* Called with what is worth a line in a log; may be called by any thread that calls the library. */
typedef void (*tipsc_log)(void *user, int level, const char *text);

/* Bits of tipsc_options.flags. */
enum {
    /* Check and describe the engine, and load no runtime: tipsc_run then is refused. The graphs, or
     * the .tflite, are checked inside as well, which otherwise waits until they are needed. */
    TIPSC_ONLY_READ = 1
};

/* How to open an engine. NULL, or zero in a field, stands for the default. */
typedef struct tipsc_options {
    uint32_t size;
    uint32_t flags;
    uint32_t threads;          /* that one call may use; default 1 */
    uint32_t path_count;       /* how many `paths` */
    const char *const *paths;  /* ids of the paths to open; default all */
    const char *runtime;       /* file of the runtime's library, as dlopen takes it; default
                                  libonnxruntime.so.1, libLiteRt.so, or the libnvinfer.so of the
                                  headers that this library was compiled with */
    const char *cache_dir;     /* folder of the finalised engine; default: that of Python, see docs */
    uint64_t file_bytes;       /* most bytes of the engine file; default no bound */
    uint64_t manifest_bytes;   /* of its manifest; default 4 MiB */
    uint64_t graph_bytes;      /* of all path graphs, unpacked; default 128 MiB */
    uint64_t tensor_bytes;     /* of inputs and outputs of one call; default 1 GiB */
    tipsc_log log;             /* default: nothing is logged */
    void *user;                /* handed to `log` */
    const uint8_t *keys;       /* public keys of Ed25519, 32 bytes each, one behind the other: an engine
                                  that none of them has signed (`tipsc sign`) is refused, by the file
                                  <engine file>.sig. Default: nobody looks for a signature */
    uint32_t key_count;        /* how many `keys`; at least 1 if there are any */
    uint32_t reserved;
    const char *sodium;        /* file of libsodium's library, which verifies signatures, as dlopen takes
                                  it; default libsodium.so.23, libsodium.so.26 or libsodium.so */
} tipsc_options;

/* Checks every byte of the file, and makes its paths ready. The first time on a machine this finalises
 * the engine, which may take seconds; the result is kept as a cache that Python uses as well. */
TIPSC_API tipsc_code tipsc_open(const char *file, const tipsc_options *options, tipsc_engine **engine,
                                tipsc_error *error);

/* The same for an engine in memory, which is not copied: it must stay as it is until tipsc_close. */
TIPSC_API tipsc_code tipsc_open_memory(const void *data, size_t bytes, const tipsc_options *options,
                                       tipsc_engine **engine, tipsc_error *error);

/* Waits for the calls that other threads are in, and gives the memory back. The handle ends here;
 * contexts and governors of it live on until they are freed, and get TIPSC_CLOSED. NULL does nothing. */
TIPSC_API void tipsc_close(tipsc_engine *engine);

/* What an engine says about itself. */
typedef struct tipsc_engine_info {
    uint32_t size;
    uint32_t input_count;
    uint32_t output_count;
    uint32_t path_count; /* opened paths: they are numbered from 0, the fastest first */
    const char *name;
    const char *target;  /* that it was built for */
    const char *backend; /* "onnxruntime", "litert" or "tensorrt" */
    const char *form;    /* "onnx" or "tflite" */
    const char *hash;    /* SHA-256 that covers the whole file, 64 hexadecimal digits */
    const char *noise;   /* what makes its latencies doubtful; empty if nothing does */
} tipsc_engine_info;

TIPSC_API tipsc_code tipsc_describe(const tipsc_engine *engine, tipsc_engine_info *info, tipsc_error *error);

/* One path. What was not measured is NaN, and `quality_name` then NULL. */
typedef struct tipsc_path_info {
    uint32_t size;
    uint32_t batch;           /* examples that a call takes */
    const char *id;
    const char *quality_name; /* of the measure, such as "accuracy" */
    const char *quality_unit; /* "share": from 0 to 1 */
    double quality;
    int32_t quality_higher;   /* 1: higher is better, 0: lower is */
    int32_t reserved;
    double p10_ms, p50_ms, p95_ms; /* of calls back to back on the target, milliseconds */
    double pause_ms;          /* what the median call takes beyond p50_ms after a pause */
    int64_t macs;             /* multiply-accumulates of one call */
    int64_t parameters;
    int64_t shared_bytes;     /* of its weights, those that other paths use too */
    int64_t private_bytes;    /* and its own */
    double energy_mj;         /* millijoules of one call on the target, idle power included */
} tipsc_path_info;

/* TIPSC_PATH if there is no path of this number. */
TIPSC_API tipsc_code tipsc_describe_path(const tipsc_engine *engine, size_t path, tipsc_path_info *info,
                                         tipsc_error *error);

/* The number of the path with this id. */
TIPSC_API tipsc_code tipsc_find(const tipsc_engine *engine, const char *id, size_t *path,
                                tipsc_error *error);

typedef enum tipsc_dtype {
    TIPSC_FLOAT32 = 1,
    TIPSC_UINT8 = 2,
    TIPSC_INT8 = 3,
    TIPSC_INT16 = 5,
    TIPSC_INT32 = 6,
    TIPSC_INT64 = 7,
    TIPSC_BOOL = 9, /* a byte, 0 or 1 */
    TIPSC_FLOAT16 = 10,
    TIPSC_FLOAT64 = 11
} tipsc_dtype;

/* An input or output of a path. */
typedef struct tipsc_tensor_info {
    uint32_t size;
    int32_t dtype;        /* a tipsc_dtype */
    const char *name;
    const char *layout;   /* a letter for each axis: N batch, C channels, D H W L places, - other */
    size_t rank;
    const int64_t *shape; /* `rank` sizes, the batch included */
    uint64_t bytes;       /* of all elements, which lie in row-major order */
} tipsc_tensor_info;

/* Input or output `index`, in the order in which tipsc_run takes and gives them. */
TIPSC_API tipsc_code tipsc_describe_input(const tipsc_engine *engine, size_t path, size_t index,
                                          tipsc_tensor_info *info, tipsc_error *error);
TIPSC_API tipsc_code tipsc_describe_output(const tipsc_engine *engine, size_t path, size_t index,
                                           tipsc_tensor_info *info, tipsc_error *error);

/* ---- Calls --------------------------------------------------------------------------------------- */

/* What one thread runs an engine with. Cheap: make one for each thread. */
TIPSC_API tipsc_code tipsc_context_new(tipsc_engine *engine, tipsc_context **context, tipsc_error *error);

/* NULL does nothing. May come before or after tipsc_close. */
TIPSC_API void tipsc_context_free(tipsc_context *context);

/* Memory of the caller that holds one tensor; `bytes` must be those of its tipsc_tensor_info, and the
 * address a multiple of the size of an element. */
typedef struct tipsc_buffer {
    void *data;
    size_t bytes;
} tipsc_buffer;

/* Runs a path: reads `inputs`, fills `outputs`; both in the engine's order. Calls of a path with the
 * same addresses as its call before allocate nothing in this library. */
TIPSC_API tipsc_code tipsc_run(tipsc_context *context, size_t path, const tipsc_buffer *inputs,
                               size_t input_count, const tipsc_buffer *outputs, size_t output_count,
                               tipsc_error *error);

/* ---- Which path ---------------------------------------------------------------------------------- */

/* What tipsc_pick may be told. NULL, or zero in a field, is the default. */
typedef struct tipsc_choice {
    uint32_t size;
    uint32_t batch;      /* examples of a call; default: as few as any path takes */
    uint32_t percentile; /* which latency has to fit: 10, 50 or 95; default 95 */
    uint32_t reserved;
    double slowdown;     /* how much slower the device is than when it was profiled; default 1 */
} tipsc_choice;

/* The best path whose profiled latency is within the budget; of equally good ones the fastest. */
TIPSC_API tipsc_code tipsc_pick(const tipsc_engine *engine, double budget_ms, const tipsc_choice *choice,
                                size_t *path, tipsc_error *error);

/* ---- The governor: docs/engine.md, "Which path runs" --------------------------------------------- */

typedef struct tipsc_governor tipsc_governor;

typedef enum tipsc_mode { TIPSC_DEADLINE = 0, TIPSC_THROUGHPUT = 1, TIPSC_PINNED = 2, TIPSC_ENERGY = 3 } tipsc_mode;

/* Why a path ran; tipsc_reason_text says it in words. */
typedef enum tipsc_reason {
    TIPSC_MOST_ACCURATE = 0,
    TIPSC_HELD = 1,
    TIPSC_TRIED = 2,
    TIPSC_LIKELIEST = 3,
    TIPSC_TOO_LATE = 4,
    TIPSC_ASKED_FOR = 5,
    TIPSC_TOO_COSTLY = 6
} tipsc_reason;

TIPSC_API const char *tipsc_reason_text(tipsc_reason reason);

/* One call of a governor. Before it has run, `elapsed_ms` and `ended` are NaN. */
typedef struct tipsc_result {
    uint32_t size;
    int32_t mode;        /* a tipsc_mode: what the call was held to */
    int32_t reason;      /* a tipsc_reason */
    int32_t in_time;     /* 1: it took no longer than the budget */
    size_t path;         /* that ran */
    double budget_ms;    /* that it had; the period of a throughput; infinite where none was given */
    double predicted_ms; /* what it was most likely to take */
    double elapsed_ms;   /* that it took */
    double gap_ms;       /* since the call before; infinite for the first */
    double slowdown;     /* how many times slower than profiled the device was taken to be */
    double ended;        /* seconds, by the governor's clock */
    double budget_mj;    /* energy that it might take; infinite but for TIPSC_ENERGY */
    double energy_mj;    /* that a call of this path took when the engine was measured; else NaN */
} tipsc_result;

/* How a governor works. NULL, or zero in a field, is the default. */
typedef struct tipsc_governor_options {
    uint32_t size;
    uint32_t batch;       /* examples of its calls; default: as few as any path takes */
    uint32_t percentile;  /* which latency of the profile has to fit until calls have shown what they
                             take: 10, 50 or 95; default 95 */
    uint32_t run_fastest; /* 1 runs the fastest path where none is likely to fit, and the thriftiest where none
                             is as thrifty as asked for; 0 gives TIPSC_BUDGET */
    uint32_t hysteresis;  /* calls in which a better path was to run before it does; default 0 */
    uint32_t reserved;
    void (*on_call)(void *user, const tipsc_result *result); /* is given each call that has ended, in its
                             thread and outside of any lock */
    double (*clock)(void *user); /* seconds, monotone; default the system's */
    void *user;           /* handed to both */
} tipsc_governor_options;

/* Learns from each call. No call waits for another one: its lock is held while it decides and while it
 * learns, and never while a path runs. */
TIPSC_API tipsc_code tipsc_governor_new(tipsc_engine *engine, const tipsc_governor_options *options,
                                        tipsc_governor **governor, tipsc_error *error);
TIPSC_API void tipsc_governor_free(tipsc_governor *governor);

/* What a call is held to: a budget, a rate, a path (with a budget that only says what is late), or an energy
 * (with a budget as well, or without). */
typedef struct tipsc_demand {
    uint32_t size;
    uint32_t pinned;   /* 1: run `path` */
    double budget_ms;  /* the call should end within it; 0: none */
    double per_second; /* in the mean so many calls a second should be possible; 0: none */
    size_t path;
    double budget_mj;  /* the call should take no more millijoules, by tipsc_path_info.energy_mj; 0: none */
    double watts;      /* calls that are held to it should take no more in the mean: what a call leaves, those
                          after it may take; 0: none */
} tipsc_demand;

/* Pick, run, time, learn. `context` must be of the same engine. `result` may be NULL. */
TIPSC_API tipsc_code tipsc_governor_run(tipsc_governor *governor, tipsc_context *context,
                                        const tipsc_buffer *inputs, size_t input_count,
                                        const tipsc_buffer *outputs, size_t output_count,
                                        const tipsc_demand *demand, tipsc_result *result,
                                        tipsc_error *error);

/* What tipsc_governor_run would run now; TIPSC_BUDGET as there. */
TIPSC_API tipsc_code tipsc_governor_pick(tipsc_governor *governor, const tipsc_demand *demand,
                                         tipsc_result *result, tipsc_error *error);

/* The same in words, and what speaks against each other path: a table with a line for each. Writes at
 * most `room` bytes, the zero at the end included; changes nothing. */
TIPSC_API tipsc_code tipsc_governor_explain(tipsc_governor *governor, const tipsc_demand *demand, char *text,
                                            size_t room, tipsc_error *error);

/* Learn from a call that was timed elsewhere and has just ended. Paths without a latency, and those for
 * other batches, teach nothing. */
TIPSC_API tipsc_code tipsc_governor_observe(tipsc_governor *governor, size_t path, double elapsed_ms,
                                            tipsc_error *error);

/* How many times slower the device is now than when it was profiled. */
TIPSC_API double tipsc_governor_slowdown(tipsc_governor *governor);

/* What a call costs beside, after a gap as the present one, in milliseconds. */
TIPSC_API double tipsc_governor_pause_ms(tipsc_governor *governor);

/* ---- Updates ------------------------------------------------------------------------------------- */

/* Makes the file `new_file` from `old_file` and a delta that `tipsc delta` wrote; both names may be the
 * same. The new file is compared by its hash before it gets its name by a rename: whoever is
 * interrupted finds the old file or the new one, whole, and may call again. What an interrupted call
 * left beside `new_file` is removed by the next one. */
TIPSC_API tipsc_code tipsc_apply(const char *old_file, const char *delta, const char *new_file,
                                 tipsc_error *error);

#ifdef __cplusplus
}
#endif

#endif
