/* Native.kt: governors. */
#include <stdlib.h>

#include "jni_context.h"

NATIVE(jlong, newGovernor, jlong engine, jint batch, jint percentile, jboolean run_fastest, jint hysteresis) {
    tipsc_error error = {.size = sizeof error};
    const tipsc_governor_options options = {
        .size = sizeof options,
        .batch = (uint32_t)batch,
        .percentile = (uint32_t)percentile,
        .run_fastest = run_fastest,
        .hysteresis = (uint32_t)hysteresis,
    };
    tipsc_governor *governor = NULL;
    if (tipsc_governor_new(HANDLE(tipsc_engine, engine), &options, &governor, &error)) throw_error(env, &error);
    return (jlong)(intptr_t)governor;
}

NATIVE(void, freeGovernor, jlong governor) {
    (void)env;
    tipsc_governor_free(HANDLE(tipsc_governor, governor));
}

static tipsc_demand demand_of(jdouble budget_ms, jdouble per_second, jint path, jdouble budget_mj, jdouble watts) {
    return (tipsc_demand){
        .size = sizeof(tipsc_demand),
        .pinned = path >= 0,
        .budget_ms = budget_ms,
        .per_second = per_second,
        .path = path >= 0 ? (size_t)path : 0,
        .budget_mj = budget_mj,
        .watts = watts,
    };
}

static void give_result(JNIEnv *env, const tipsc_result *found, jdoubleArray result) {
    const jdouble values[] = {(jdouble)found->path, found->mode,       found->reason, found->in_time,  found->budget_ms,
                              found->predicted_ms,  found->elapsed_ms, found->gap_ms, found->slowdown, found->ended,
                              found->budget_mj,     found->energy_mj};
    (*env)->SetDoubleArrayRegion(env, result, 0, sizeof values / sizeof *values, values);
}

NATIVE(void, runGoverned, jlong governor, jlong context, jobjectArray inputs, jobjectArray outputs, jdouble budget_ms,
       jdouble per_second, jint path, jdouble budget_mj, jdouble watts, jdoubleArray result) {
    tipsc_error error = {.size = sizeof error};
    tipsc_result found = {.size = sizeof found};
    jni_context *known = HANDLE(jni_context, context);
    const tipsc_demand demand = demand_of(budget_ms, per_second, path, budget_mj, watts);
    if (!take_buffers(env, known, inputs, outputs)) return;
    if (tipsc_governor_run(HANDLE(tipsc_governor, governor), known->context, known->buffers, (size_t)known->input_count,
                           known->buffers + known->input_count, (size_t)known->output_count, &demand, &found, &error))
        throw_error(env, &error);
    else
        give_result(env, &found, result);
}

NATIVE(void, pickGoverned, jlong governor, jdouble budget_ms, jdouble per_second, jint path, jdouble budget_mj,
       jdouble watts, jdoubleArray result) {
    tipsc_error error = {.size = sizeof error};
    tipsc_result found = {.size = sizeof found};
    const tipsc_demand demand = demand_of(budget_ms, per_second, path, budget_mj, watts);
    if (tipsc_governor_pick(HANDLE(tipsc_governor, governor), &demand, &found, &error))
        throw_error(env, &error);
    else
        give_result(env, &found, result);
}

NATIVE(jbyteArray, explain, jlong governor, jdouble budget_ms, jdouble per_second, jint path, jdouble budget_mj,
       jdouble watts, jint room) {
    tipsc_error error = {.size = sizeof error};
    const tipsc_demand demand = demand_of(budget_ms, per_second, path, budget_mj, watts);
    jbyteArray bytes = NULL;
    char *text = malloc((size_t)room);
    if (!text)
        throw_no_memory(env);
    else if (tipsc_governor_explain(HANDLE(tipsc_governor, governor), &demand, text, (size_t)room, &error))
        throw_error(env, &error);
    else
        bytes = bytes_of(env, text);
    free(text);
    return bytes;
}

NATIVE(void, observe, jlong governor, jint path, jdouble elapsed_ms) {
    tipsc_error error = {.size = sizeof error};
    if (tipsc_governor_observe(HANDLE(tipsc_governor, governor), (size_t)path, elapsed_ms, &error))
        throw_error(env, &error);
}

NATIVE(jdouble, slowdown, jlong governor) {
    (void)env;
    return tipsc_governor_slowdown(HANDLE(tipsc_governor, governor));
}

NATIVE(jdouble, pauseMs, jlong governor) {
    (void)env;
    return tipsc_governor_pause_ms(HANDLE(tipsc_governor, governor));
}

NATIVE(jbyteArray, reasonText, jint reason) {
    return bytes_of(env, tipsc_reason_text((tipsc_reason)reason));
}
