package tipsc

import java.nio.ByteBuffer

/**
 * What libtipsc_jni has, function by function. Texts cross as UTF-8 bytes: the strings of JNI are
 * another encoding, and an error may end in the middle of a character.
 */
internal object Native {
    init {
        System.loadLibrary("tipsc_jni")
    }

    /** One of [file] and [memory]; [limits] as in `tipsc_options`, from `file_bytes` on; [keys] one behind the other. */
    @JvmStatic
    external fun open(
        file: ByteArray?, memory: ByteBuffer?, flags: Int, threads: Int, paths: Array<ByteArray>,
        runtime: ByteArray?, cacheDir: ByteArray?, limits: LongArray, log: Long,
        keys: ByteArray?, sodium: ByteArray?,
    ): Long

    @JvmStatic external fun close(engine: Long)

    /** A reference to a hook that C may keep; 0 for none. [letGo] ends it. */
    @JvmStatic external fun hold(hook: Any?): Long

    @JvmStatic external fun letGo(hook: Long)

    /** Counts of inputs, outputs, paths; into [texts] name, target, backend, form, hash, noise. */
    @JvmStatic external fun describe(engine: Long, texts: Array<ByteArray?>): LongArray

    /**
     * Batch, whether higher is better, MACs, parameters, shared and private bytes; into [texts] the
     * id and the name and unit of the quality, into [reals] quality, p10, p50, p95, pause and energy.
     */
    @JvmStatic
    external fun describePath(
        engine: Long, path: Int, texts: Array<ByteArray?>, reals: DoubleArray,
    ): LongArray

    /** Dtype, bytes, then the shape; into [texts] name and layout. */
    @JvmStatic
    external fun describeTensor(
        engine: Long, output: Boolean, path: Int, index: Int, texts: Array<ByteArray?>,
    ): LongArray

    @JvmStatic
    external fun pick(
        engine: Long, budgetMs: Double, batch: Int, percentile: Int, slowdown: Double,
    ): Int

    @JvmStatic external fun newContext(engine: Long, inputs: Int, outputs: Int): Long

    @JvmStatic external fun freeContext(context: Long)

    @JvmStatic
    external fun run(
        context: Long, path: Int, inputs: Array<ByteBuffer>, outputs: Array<ByteBuffer>,
    )

    @JvmStatic
    external fun newGovernor(
        engine: Long, batch: Int, percentile: Int, runFastest: Boolean, hysteresis: Int,
    ): Long

    @JvmStatic external fun freeGovernor(governor: Long)

    /** A demand is a budget, a rate, a pinned path, an energy and a power; -1 is no path, 0 none of the others. */
    @JvmStatic
    external fun runGoverned(
        governor: Long, context: Long, inputs: Array<ByteBuffer>, outputs: Array<ByteBuffer>,
        budgetMs: Double, perSecond: Double, path: Int, budgetMj: Double, watts: Double, result: DoubleArray,
    )

    @JvmStatic
    external fun pickGoverned(
        governor: Long, budgetMs: Double, perSecond: Double, path: Int, budgetMj: Double, watts: Double,
        result: DoubleArray,
    )

    @JvmStatic
    external fun explain(
        governor: Long, budgetMs: Double, perSecond: Double, path: Int, budgetMj: Double, watts: Double,
        room: Int,
    ): ByteArray

    @JvmStatic external fun observe(governor: Long, path: Int, elapsedMs: Double)

    @JvmStatic external fun slowdown(governor: Long): Double

    @JvmStatic external fun pauseMs(governor: Long): Double

    @JvmStatic external fun reasonText(reason: Int): ByteArray

    @JvmStatic external fun apply(old: ByteArray, delta: ByteArray, new: ByteArray)

    /** Called from C for each error: throws it. */
    @JvmStatic
    fun failed(code: Int, text: ByteArray, fix: ByteArray): Unit =
        throw TipscException(Code.entries[code], String(text), String(fix))

    /** Called from C with what a log should have. */
    @JvmStatic
    fun logged(hook: Any, level: Int, text: ByteArray) {
        val known = if (level == 1) LogLevel.WARNING else LogLevel.INFO
        (hook as Log).write(known, String(text))
    }
}

/** UTF-8 for C, where a zero would end the text early. */
internal fun bytesOf(text: String): ByteArray {
    if ('\u0000' in text) {
        throw TipscException(Code.USAGE, "a text with a zero character in it: ${text.replace('\u0000', '?')}", "")
    }
    return text.toByteArray()
}
