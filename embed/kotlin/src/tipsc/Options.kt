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
 * @property cacheDir folder of the finalised engine; by default beside the engine, as in Python. On
 *   Android name one in the application's `cacheDir`: folders above it belong to the system there.
 * @property onlyRead check and describe the engine, and load no runtime: [Context.run] then is refused.
 * @property trustTflite give LiteRT a `.tflite` that only its hashes were checked of: for engines
 *   that you built, or whose signature you checked.
 * @property fileBytes most bytes of the engine file, 0 for no bound; [manifestBytes], [graphBytes],
 *   [tensorBytes] likewise, where 0 is tipsc.h's default.
 */
class Options(
    val threads: Int = 1,
    val paths: List<String> = emptyList(),
    val runtime: String? = null,
    val cacheDir: String? = null,
    val onlyRead: Boolean = false,
    val trustTflite: Boolean = false,
    val fileBytes: Long = 0,
    val manifestBytes: Long = 0,
    val graphBytes: Long = 0,
    val tensorBytes: Long = 0,
    val log: Log? = null,
) {
    init {
        checkNotNegative("threads", threads.toLong())
        limits.forEach { checkNotNegative("a limit", it) }
    }

    internal val flags get() = (if (onlyRead) 1 else 0) or (if (trustTflite) 2 else 0)
    internal val limits get() = longArrayOf(fileBytes, manifestBytes, graphBytes, tensorBytes)
}

/** Numbers of C have no sign. */
internal fun checkNotNegative(what: String, value: Long) {
    if (value < 0) throw TipscException(Code.USAGE, "$what is negative ($value)", "give 0 for the default")
}
