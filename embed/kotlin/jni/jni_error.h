/* Errors of libtipsc as exceptions of Kotlin, texts as bytes, and what each native function begins with. */
#ifndef TIPSC_JNI_ERROR_H
#define TIPSC_JNI_ERROR_H

#include <jni.h>
#include <tipsc.h>

/* A static method of Native.kt. */
#define NATIVE(type, name, ...)                                                                                        \
    JNIEXPORT type JNICALL Java_tipsc_Native_##name(JNIEnv *env, __attribute__((unused)) jclass owner, __VA_ARGS__)

/* A handle is an address. */
#define HANDLE(type, address) ((type *)(intptr_t)(address))

/* Throws `error`, unless something has been thrown. */
void throw_error(JNIEnv *env, const tipsc_error *error);

/* Throws TIPSC_USAGE. */
void throw_usage(JNIEnv *env, const char *text, const char *fix);

/* Throws TIPSC_MEMORY. */
void throw_no_memory(JNIEnv *env);

/* NULL of NULL, and where an exception was thrown. */
jbyteArray bytes_of(JNIEnv *env, const char *text);

/* A text that free() takes; NULL of NULL, and where an exception was thrown. */
char *text_of(JNIEnv *env, jbyteArray bytes);

/* A tipsc_log; `user` is what Native.hold gave. */
void log_line(void *user, int level, const char *text);

#endif
