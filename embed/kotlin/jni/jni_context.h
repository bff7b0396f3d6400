/* A context, with room for the buffers of a call, so that a call allocates nothing. */
#ifndef TIPSC_JNI_CONTEXT_H
#define TIPSC_JNI_CONTEXT_H

#include "jni_error.h"

typedef struct jni_context {
    tipsc_context *context;
    jsize input_count, output_count;
    tipsc_buffer buffers[]; /* inputs, then outputs */
} jni_context;

/* Fills context->buffers; false where an exception was thrown. */
_Bool take_buffers(JNIEnv *env, jni_context *context, jobjectArray inputs, jobjectArray outputs);

#endif
