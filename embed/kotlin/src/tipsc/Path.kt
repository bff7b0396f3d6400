package tipsc

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** Types of elements; [code] as in `tipsc_dtype`. */
enum class Dtype(internal val code: Int) {
    FLOAT32(1), UINT8(2), INT8(3), INT16(5), INT32(6), INT64(7), BOOL(9), FLOAT16(10), FLOAT64(11)
}

/**
 * An input or output of a path.
 *
 * @property shape sizes of all axes, the batch included.
 * @property layout a letter for each axis: N batch, C channels, D H W L places, - other.
 * @property bytes of all elements, which lie in row-major order.
 */
class Tensor internal constructor(
    val name: String, val dtype: Dtype, val shape: List<Long>, val layout: String, val bytes: Long,
) {
    /** A buffer that [Context.run] takes for this: direct, of the right size, in native byte order. */
    fun allocate(): ByteBuffer =
        ByteBuffer.allocateDirect(Math.toIntExact(bytes)).order(ByteOrder.nativeOrder())
}

/** @property unit "share" is from 0 to 1. */
class Quality internal constructor(
    val name: String, val value: Double, val unit: String, val higherIsBetter: Boolean,
)

/**
 * One path of an engine.
 *
 * @property number in [Engine.paths], 0 is the fastest.
 * @property batch examples that a call takes.
 * @property p50Ms with [p10Ms] and [p95Ms]: of calls back to back on the target; NaN if not measured.
 * @property pauseMs what the median call takes beyond [p50Ms] after a pause; NaN if not measured.
 * @property energyMj millijoules of one call on the target, idle power included; NaN if not measured.
 * @property macs multiply-accumulates of one call.
 * @property sharedBytes of its weights, those that other paths use too; [privateBytes] are its own.
 */
class Path internal constructor(
    internal val engine: Engine,
    val number: Int,
    val id: String,
    val batch: Int,
    val quality: Quality?,
    val p10Ms: Double,
    val p50Ms: Double,
    val p95Ms: Double,
    val pauseMs: Double,
    val energyMj: Double,
    val macs: Long,
    val parameters: Long,
    val sharedBytes: Long,
    val privateBytes: Long,
    val inputs: List<Tensor>,
    val outputs: List<Tensor>,
) {
    override fun toString() = id
}
