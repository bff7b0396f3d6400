package tipsc

import java.nio.ByteBuffer

/**
 * What one thread runs an engine with. Cheap: make one for each thread; calls of several threads
 * through one wait for each other. May be closed before or after its engine.
 */
class Context(internal val engine: Engine) : AutoCloseable {
    internal val handle: Handle

    init {
        val path = engine.paths[0]
        val made = engine.handle.use { Native.newContext(it, path.inputs.size, path.outputs.size) }
        handle = Handle("context", made, Native::freeContext)
    }

    /**
     * Runs a path: reads [inputs], fills [outputs], both in the order of [Path.inputs] and
     * [Path.outputs]. The library works in the memory of these buffers: nothing is copied, and with
     * the same buffers as in the path's call before nothing is allocated.
     *
     * @param inputs direct buffers of the tensors' size; all of a buffer is taken, whatever its
     *   position and limit.
     */
    @Synchronized
    fun run(path: Path, inputs: Array<ByteBuffer>, outputs: Array<ByteBuffer>) {
        checkWritable(outputs)
        handle.use { Native.run(it, engine.numberOf(path), inputs, outputs) }
    }

    override fun close() = handle.close()
}

/** JNI would write into a buffer that is read-only. */
internal fun checkWritable(outputs: Array<ByteBuffer>) {
    for (buffer in outputs) {
        if (buffer.isReadOnly) throw TipscException(Code.USAGE, "an output is a read-only buffer", "use Tensor.allocate")
    }
}
