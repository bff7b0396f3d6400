package tipsc

enum class LogLevel { WARNING, INFO }

/** Is given what is worth a line in a log, in the thread of the call; what it throws, the call throws. */
fun interface Log {
    fun write(level: LogLevel, text: String)
}

/**
 * How to open an engine: `tipsc_options` of tipsc.h.
 *
 * @property threads that one call may use.
 * @property paths ids of the paths to open; all if empty.
 * @property runtime file of the runtime's library, as dlopen takes it; by default
 *   `libonnxruntime.so.1` or `libLiteRt.so`. On Android: `libonnxruntime.so`.
 * @property cacheDir folder of the finalised engine, which then is of one engine and one version of the
 *   runtime. By default beside the engine, as in Python; on Android in the application's `cacheDir`.
 * @property onlyRead check and describe the engine, and load no runtime: [Context.run] then is refused.
 * @property fileBytes most bytes of the engine file, 0 for no bound; [manifestBytes], [graphBytes],
 *   [tensorBytes] likewise, where 0 is tipsc.h's default.
 * @property keys public keys of Ed25519, 32 bytes each: an engine that none of them has signed
 *   (`tipsc sign`) is refused with [Code.SIGNATURE]. Null: nobody looks for a signature.
 * @property sodium file of libsodium's library, which verifies signatures; by default the system's.
 *   On Android: `libsodium.so`, which the application brings.
 */
class Options(
    val threads: Int = 1,
    val paths: List<String> = emptyList(),
    val runtime: String? = null,
    val cacheDir: String? = null,
    val onlyRead: Boolean = false,
    val fileBytes: Long = 0,
    val manifestBytes: Long = 0,
    val graphBytes: Long = 0,
    val tensorBytes: Long = 0,
    val log: Log? = null,
    val keys: List<ByteArray>? = null,
    val sodium: String? = null,
) {
    init {
        checkNotNegative("threads", threads.toLong())
        limits.forEach { checkNotNegative("a limit", it) }
        if (keys.orEmpty().any { it.size != 32 }) throw TipscException(Code.USAGE, "a key is not 32 bytes", "")
    }

    internal val flags get() = if (onlyRead) 1 else 0
    internal val keyBytes get() = keys?.fold(ByteArray(0)) { all, key -> all + key }
    internal val limits get() = longArrayOf(fileBytes, manifestBytes, graphBytes, tensorBytes)
}

/** Numbers of C have no sign. */
internal fun checkNotNegative(what: String, value: Long) {
    if (value < 0) throw TipscException(Code.USAGE, "$what is negative ($value)", "give 0 for the default")
}
