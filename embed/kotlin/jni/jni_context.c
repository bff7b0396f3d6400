/* Native.kt: contexts and calls. */
#include "jni_context.h"

#include <stdio.h>
#include <stdlib.h>

NATIVE(jlong, newContext, jlong engine, jint inputs, jint outputs) {
    tipsc_error error = {.size = sizeof error};
    jni_context *made = calloc(1, sizeof *made + ((size_t)inputs + (size_t)outputs) * sizeof *made->buffers);
    if (!made) {
        throw_no_memory(env);
        return 0;
    }
    made->input_count = inputs;
    made->output_count = outputs;
    if (tipsc_context_new(HANDLE(tipsc_engine, engine), &made->context, &error)) {
        free(made);
        throw_error(env, &error);
        return 0;
    }
    return (jlong)(intptr_t)made;
}

NATIVE(void, freeContext, jlong context) {
    (void)env;
    tipsc_context_free(HANDLE(jni_context, context)->context);
    free(HANDLE(jni_context, context));
}

/* The references that this leaves keep the buffers alive until the call has returned. */
static _Bool take(JNIEnv *env, jobjectArray from, jsize expected, tipsc_buffer *buffers, const char *what) {
    char text[128];
    const jsize count = (*env)->GetArrayLength(env, from);
    if (count != expected) {
        snprintf(text, sizeof text, "wrong number of %ss (expected %d, got %d)", what, (int)expected, (int)count);
        throw_usage(env, text, "give one buffer for each tensor of the path");
        return 0;
    }
    for (jsize i = 0; i < count; i++) {
        jobject buffer = (*env)->GetObjectArrayElement(env, from, i);
        void *data = buffer ? (*env)->GetDirectBufferAddress(env, buffer) : NULL;
        if (!data) {
            snprintf(text, sizeof text, "%s %d is no direct buffer", what, (int)i);
            throw_usage(env, text, "use Tensor.allocate or ByteBuffer.allocateDirect");
            return 0;
        }
        buffers[i].data = data;
        buffers[i].bytes = (size_t)(*env)->GetDirectBufferCapacity(env, buffer);
    }
    return 1;
}

_Bool take_buffers(JNIEnv *env, jni_context *context, jobjectArray inputs, jobjectArray outputs) {
    return !(*env)->EnsureLocalCapacity(env, context->input_count + context->output_count + 8) &&
           take(env, inputs, context->input_count, context->buffers, "input") &&
           take(env, outputs, context->output_count, context->buffers + context->input_count, "output");
}

NATIVE(void, run, jlong context, jint path, jobjectArray inputs, jobjectArray outputs) {
    tipsc_error error = {.size = sizeof error};
    jni_context *known = HANDLE(jni_context, context);
    if (!take_buffers(env, known, inputs, outputs)) return;
    if (tipsc_run(known->context, (size_t)path, known->buffers, (size_t)known->input_count,
                  known->buffers + known->input_count, (size_t)known->output_count, &error))
        throw_error(env, &error);
}
