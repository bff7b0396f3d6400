package tipsc

import java.nio.ByteBuffer

/**
 * An engine of tipsc, opened. May be used by several threads at once.
 *
 * ```
 * Engine.open("model-host.tipsc").use { engine ->
 *     Context(engine).use { context ->
 *         val path = engine.pick(budgetMs = 12.0)
 *         val inputs = Array(path.inputs.size) { path.inputs[it].allocate() }
 *         val outputs = Array(path.outputs.size) { path.outputs[it].allocate() }
 *         inputs[0].asFloatBuffer().put(image)
 *         context.run(path, inputs, outputs)
 *         outputs[0].asFloatBuffer().get(logits)
 *     }
 * }
 * ```
 *
 * @property target that it was built for.
 * @property backend "onnxruntime", "litert" or "tensorrt".
 * @property hash SHA-256 that covers the whole file, 64 hexadecimal digits.
 * @property noise what makes its latencies doubtful; empty if nothing does.
 * @property paths that were opened, the fastest first.
 */
class Engine private constructor(address: Long, log: Long, private val memory: ByteBuffer?) : AutoCloseable {
    internal val handle = Handle("engine", address) {
        Native.close(it)
        Native.letGo(log)
    }
    val name: String
    val target: String
    val backend: String
    val form: String
    val hash: String
    val noise: String
    val paths: List<Path>

    init {
        val texts = arrayOfNulls<ByteArray>(6)
        val counts = Native.describe(address, texts)
        name = textOf(texts[0])
        target = textOf(texts[1])
        backend = textOf(texts[2])
        form = textOf(texts[3])
        hash = textOf(texts[4])
        noise = textOf(texts[5])
        paths = List(counts[2].toInt()) { path(address, it, counts[0].toInt(), counts[1].toInt()) }
    }

    private fun path(address: Long, number: Int, inputs: Int, outputs: Int): Path {
        val texts = arrayOfNulls<ByteArray>(3)
        val reals = DoubleArray(6)
        val whole = Native.describePath(address, number, texts, reals)
        val quality = texts[1]?.let { Quality(textOf(it), reals[0], textOf(texts[2]), whole[1] == 1L) }
        return Path(
            this, number, textOf(texts[0]), whole[0].toInt(), quality, reals[1], reals[2], reals[3],
            reals[4], reals[5], whole[2], whole[3], whole[4], whole[5],
            List(inputs) { tensor(address, false, number, it) },
            List(outputs) { tensor(address, true, number, it) },
        )
    }

    private fun tensor(address: Long, output: Boolean, path: Int, index: Int): Tensor {
        val texts = arrayOfNulls<ByteArray>(2)
        val found = Native.describeTensor(address, output, path, index, texts)
        val dtype = Dtype.entries.first { it.code == found[0].toInt() }
        return Tensor(textOf(texts[0]), dtype, found.drop(2), textOf(texts[1]), found[1])
    }

    /** The path with this id. */
    fun find(id: String): Path = paths.find { it.id == id }
        ?: throw TipscException(Code.PATH, "the engine has no path $id", "its paths are ${paths.joinToString()}")

    /**
     * The best path whose profiled latency is within the budget; of equally good ones the fastest.
     *
     * @param batch examples of a call; 0: as few as any path takes.
     * @param percentile which latency has to fit: 10, 50 or 95.
     * @param slowdown how much slower the device is than when it was profiled.
     */
    fun pick(budgetMs: Double, batch: Int = 0, percentile: Int = 95, slowdown: Double = 1.0): Path {
        checkNotNegative("batch", batch.toLong())
        return paths[handle.use { Native.pick(it, budgetMs, batch, percentile, slowdown) }]
    }

    /** Waits for the calls that other threads are in; later ones get [Code.CLOSED]. */
    override fun close() = handle.close()

    /** The number of a path of this engine. */
    internal fun numberOf(path: Path): Int {
        if (path.engine !== this) throw TipscException(Code.PATH, "path $path is of another engine", "find it here")
        return path.number
    }

    companion object {
        /**
         * Checks every byte of the file, and makes its paths ready. The first time on a machine this
         * finalises the engine, which may take seconds; the result is kept as a cache.
         */
        @JvmStatic
        @JvmOverloads
        fun open(file: String, options: Options = Options()): Engine {
            val chosen = if (options.cacheDir == null) cacheOnAndroid(file) else null
            val name = bytesOf(file)
            if (chosen == null) return opened(name, null, options, options.cacheDir)
            return openedIn(chosen) { opened(name, null, options, it) }
        }

        /** The same for an engine in memory: a direct buffer, which must stay as it is until it is closed. */
        @JvmStatic
        @JvmOverloads
        fun open(memory: ByteBuffer, options: Options = Options()): Engine =
            opened(null, memory, options, options.cacheDir)

        /**
         * Makes the file [new] from [old] and a delta that `tipsc delta` wrote; [new] may be [old].
         * Whoever is interrupted finds the old file or the new one, whole, and may call again.
         */
        @JvmStatic
        fun apply(old: String, delta: String, new: String) =
            Native.apply(bytesOf(old), bytesOf(delta), bytesOf(new))

        private fun opened(file: ByteArray?, memory: ByteBuffer?, options: Options, folder: String?): Engine {
            val paths = Array(options.paths.size) { bytesOf(options.paths[it]) }
            val runtime = options.runtime?.let(::bytesOf)
            val cacheDir = folder?.let(::bytesOf)
            val sodium = options.sodium?.let(::bytesOf)
            val log = Native.hold(options.log)
            var address = 0L
            try {
                address = Native.open(
                    file, memory, options.flags, options.threads, paths, runtime, cacheDir, options.limits, log,
                    options.keyBytes, sodium,
                )
                return Engine(address, log, memory)
            } catch (error: Throwable) {
                Native.close(address)
                Native.letGo(log)
                throw error
            }
        }
    }
}

private fun textOf(bytes: ByteArray?): String = String(bytes ?: ByteArray(0))
