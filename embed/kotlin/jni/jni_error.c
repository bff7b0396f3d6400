#include "jni_error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Found once, when the library is loaded: a thread may have another class loader. */
static JavaVM *machine;
static jclass native;
static jmethodID failed, logged;

JNIEXPORT jint JNICALL JNI_OnLoad(JavaVM *vm, void *reserved) {
    JNIEnv *env;
    (void)reserved;
    machine = vm;
    if ((*vm)->GetEnv(vm, (void **)&env, JNI_VERSION_1_6) != JNI_OK) return JNI_ERR;
    jclass found = (*env)->FindClass(env, "tipsc/Native");
    if (!found) return JNI_ERR;
    native = (*env)->NewGlobalRef(env, found);
    if (!native) return JNI_ERR;
    failed = (*env)->GetStaticMethodID(env, native, "failed", "(I[B[B)V");
    if (!failed) return JNI_ERR;
    logged = (*env)->GetStaticMethodID(env, native, "logged", "(Ljava/lang/Object;I[B)V");
    return logged ? JNI_VERSION_1_6 : JNI_ERR;
}

void throw_error(JNIEnv *env, const tipsc_error *error) {
    if ((*env)->ExceptionCheck(env)) return;
    jbyteArray text = bytes_of(env, error->text);
    jbyteArray fix = text ? bytes_of(env, error->fix) : NULL;
    if (fix) (*env)->CallStaticVoidMethod(env, native, failed, (jint)error->code, text, fix);
}

void throw_usage(JNIEnv *env, const char *text, const char *fix) {
    tipsc_error error = {.code = TIPSC_USAGE};
    snprintf(error.text, sizeof error.text, "%s", text);
    snprintf(error.fix, sizeof error.fix, "%s", fix);
    throw_error(env, &error);
}

void throw_no_memory(JNIEnv *env) {
    const tipsc_error error = {.code = TIPSC_MEMORY, .text = "no memory is left"};
    throw_error(env, &error);
}

jbyteArray bytes_of(JNIEnv *env, const char *text) {
    if (!text) return NULL;
    const jsize length = (jsize)strlen(text);
    jbyteArray bytes = (*env)->NewByteArray(env, length);
    if (bytes) (*env)->SetByteArrayRegion(env, bytes, 0, length, (const jbyte *)text);
    return bytes;
}

char *text_of(JNIEnv *env, jbyteArray bytes) {
    if (!bytes) return NULL;
    const jsize length = (*env)->GetArrayLength(env, bytes);
    char *text = malloc((size_t)length + 1);
    if (!text) {
        throw_no_memory(env);
        return NULL;
    }
    (*env)->GetByteArrayRegion(env, bytes, 0, length, (jbyte *)text);
    text[length] = 0;
    return text;
}

/* The library logs in the thread that calls it, so the thread is known to the virtual machine. */
void log_line(void *user, int level, const char *text) {
    JNIEnv *env;
    if ((*machine)->GetEnv(machine, (void **)&env, JNI_VERSION_1_6) != JNI_OK) return;
    if ((*env)->ExceptionCheck(env)) return;
    jbyteArray bytes = bytes_of(env, text);
    if (!bytes) return;
    (*env)->CallStaticVoidMethod(env, native, logged, (jobject)user, (jint)level, bytes);
    (*env)->DeleteLocalRef(env, bytes);
}
