/* Native.kt: engines. */
#include <stdlib.h>

#include "jni_error.h"

NATIVE(jlong, hold, jobject hook) {
    return hook ? (jlong)(intptr_t)(*env)->NewGlobalRef(env, hook) : 0;
}

NATIVE(void, letGo, jlong hook) {
    if (hook) (*env)->DeleteGlobalRef(env, (jobject)(intptr_t)hook);
}

static void free_paths(char **paths, uint32_t count) {
    for (uint32_t i = 0; paths && i < count; i++) free(paths[i]);
    free(paths);
}

/* Copies of all, for free_paths(); NULL where an exception was thrown. */
static char **paths_of(JNIEnv *env, jobjectArray paths, uint32_t count) {
    char **copies = calloc(count + 1, sizeof *copies);
    if (!copies) throw_no_memory(env);
    for (uint32_t i = 0; copies && i < count; i++) {
        jbyteArray path = (*env)->GetObjectArrayElement(env, paths, (jsize)i);
        copies[i] = text_of(env, path);
        (*env)->DeleteLocalRef(env, path);
        if (copies[i]) continue;
        free_paths(copies, count);
        return NULL;
    }
    return copies;
}

static tipsc_engine *open_either(JNIEnv *env, jbyteArray file, jobject memory, const tipsc_options *options) {
    tipsc_error error = {.size = sizeof error};
    tipsc_engine *engine = NULL;
    tipsc_code code;
    if (memory) {
        const void *data = (*env)->GetDirectBufferAddress(env, memory);
        const jlong bytes = (*env)->GetDirectBufferCapacity(env, memory);
        if (!data || bytes < 0) {
            throw_usage(env, "the engine is in no direct buffer", "use ByteBuffer.allocateDirect, or map the file");
            return NULL;
        }
        code = tipsc_open_memory(data, (size_t)bytes, options, &engine, &error);
    } else {
        char *name = text_of(env, file);
        if (!name) return NULL;
        code = tipsc_open(name, options, &engine, &error);
        free(name);
    }
    if (code) throw_error(env, &error);
    if (engine && (*env)->ExceptionCheck(env)) { /* thrown by the log */
        tipsc_close(engine);
        engine = NULL;
    }
    return engine;
}

NATIVE(jlong, open, jbyteArray file, jobject memory, jint flags, jint threads, jobjectArray paths, jbyteArray runtime,
       jbyteArray cache_dir, jlongArray limits, jlong log, jbyteArray keys, jbyteArray sodium_file) {
    jlong most[4];
    const uint32_t count = (uint32_t)(*env)->GetArrayLength(env, paths);
    (*env)->GetLongArrayRegion(env, limits, 0, 4, most);
    char **names = paths_of(env, paths, count);
    char *library = names ? text_of(env, runtime) : NULL;
    char *folder = (*env)->ExceptionCheck(env) ? NULL : text_of(env, cache_dir);
    char *trusted = (*env)->ExceptionCheck(env) ? NULL : text_of(env, keys);
    char *sodium = (*env)->ExceptionCheck(env) ? NULL : text_of(env, sodium_file);
    const tipsc_options options = {
        .size = sizeof options,
        .flags = (uint32_t)flags,
        .threads = (uint32_t)threads,
        .path_count = count,
        .paths = (const char *const *)names,
        .runtime = library,
        .cache_dir = folder,
        .file_bytes = (uint64_t)most[0],
        .manifest_bytes = (uint64_t)most[1],
        .graph_bytes = (uint64_t)most[2],
        .tensor_bytes = (uint64_t)most[3],
        .log = log ? log_line : NULL,
        .user = HANDLE(void, log),
        .keys = (const uint8_t *)trusted,
        .key_count = keys ? (uint32_t)(*env)->GetArrayLength(env, keys) / 32 : 0,
        .sodium = sodium,
    };
    tipsc_engine *engine = (*env)->ExceptionCheck(env) ? NULL : open_either(env, file, memory, &options);
    free_paths(names, count);
    free(library);
    free(folder);
    free(trusted);
    free(sodium);
    return (jlong)(intptr_t)engine;
}

NATIVE(void, close, jlong engine) {
    (void)env;
    tipsc_close(HANDLE(tipsc_engine, engine));
}

static void put_texts(JNIEnv *env, jobjectArray into, const char *const *texts, jsize count) {
    for (jsize i = 0; i < count && !(*env)->ExceptionCheck(env); i++)
        (*env)->SetObjectArrayElement(env, into, i, bytes_of(env, texts[i]));
}

/* An array that holds `numbers`; NULL where an exception was thrown. */
static jlongArray longs(JNIEnv *env, const jlong *numbers, jsize count) {
    jlongArray array = (*env)->ExceptionCheck(env) ? NULL : (*env)->NewLongArray(env, count);
    if (array) (*env)->SetLongArrayRegion(env, array, 0, count, numbers);
    return array;
}

NATIVE(jlongArray, describe, jlong engine, jobjectArray texts) {
    tipsc_error error = {.size = sizeof error};
    tipsc_engine_info info = {.size = sizeof info};
    if (tipsc_describe(HANDLE(tipsc_engine, engine), &info, &error)) {
        throw_error(env, &error);
        return NULL;
    }
    put_texts(env, texts, (const char *const[]){info.name, info.target, info.backend, info.form, info.hash, info.noise}, 6);
    return longs(env, (const jlong[]){info.input_count, info.output_count, info.path_count}, 3);
}

NATIVE(jlongArray, describePath, jlong engine, jint path, jobjectArray texts, jdoubleArray reals) {
    tipsc_error error = {.size = sizeof error};
    tipsc_path_info info = {.size = sizeof info};
    if (tipsc_describe_path(HANDLE(tipsc_engine, engine), (size_t)path, &info, &error)) {
        throw_error(env, &error);
        return NULL;
    }
    const jdouble known[] = {info.quality, info.p10_ms, info.p50_ms, info.p95_ms, info.pause_ms, info.energy_mj};
    (*env)->SetDoubleArrayRegion(env, reals, 0, sizeof known / sizeof *known, known);
    put_texts(env, texts, (const char *const[]){info.id, info.quality_name, info.quality_unit}, 3);
    return longs(env, (const jlong[]){info.batch, info.quality_higher, info.macs, info.parameters, info.shared_bytes,
                                      info.private_bytes}, 6);
}

NATIVE(jlongArray, describeTensor, jlong engine, jboolean output, jint path, jint index, jobjectArray texts) {
    tipsc_error error = {.size = sizeof error};
    tipsc_tensor_info info = {.size = sizeof info};
    tipsc_code (*describe)(const tipsc_engine *, size_t, size_t, tipsc_tensor_info *, tipsc_error *) =
        output ? tipsc_describe_output : tipsc_describe_input;
    if (describe(HANDLE(tipsc_engine, engine), (size_t)path, (size_t)index, &info, &error)) {
        throw_error(env, &error);
        return NULL;
    }
    put_texts(env, texts, (const char *const[]){info.name, info.layout}, 2);
    const jsize rank = (jsize)info.rank;
    jlongArray found = (*env)->ExceptionCheck(env) ? NULL : (*env)->NewLongArray(env, rank + 2);
    if (!found) return NULL;
    (*env)->SetLongArrayRegion(env, found, 0, 2, (const jlong[]){info.dtype, (jlong)info.bytes});
    for (jsize i = 0; i < rank; i++) {
        const jlong length = info.shape[i];
        (*env)->SetLongArrayRegion(env, found, i + 2, 1, &length);
    }
    return found;
}

NATIVE(jint, pick, jlong engine, jdouble budget_ms, jint batch, jint percentile, jdouble slowdown) {
    tipsc_error error = {.size = sizeof error};
    const tipsc_choice choice = {.size = sizeof choice, .batch = (uint32_t)batch, .percentile = (uint32_t)percentile,
                                 .slowdown = slowdown};
    size_t path = 0;
    if (tipsc_pick(HANDLE(tipsc_engine, engine), budget_ms, &choice, &path, &error)) throw_error(env, &error);
    return (jint)path;
}

NATIVE(void, apply, jbyteArray old_file, jbyteArray delta, jbyteArray new_file) {
    tipsc_error error = {.size = sizeof error};
    char *from = text_of(env, old_file);
    char *by = from ? text_of(env, delta) : NULL;
    char *to = by ? text_of(env, new_file) : NULL;
    if (to && tipsc_apply(from, by, to, &error)) throw_error(env, &error);
    free(from);
    free(by);
    free(to);
}
