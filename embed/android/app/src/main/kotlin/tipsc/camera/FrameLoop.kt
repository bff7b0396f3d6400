package tipsc.camera

import java.io.File
import java.nio.ByteBuffer
import tipsc.Code
import tipsc.Context
import tipsc.Demand
import tipsc.Engine
import tipsc.Governor
import tipsc.LogLevel
import tipsc.Options
import tipsc.Path
import tipsc.Result
import tipsc.TipscException

/** What came of the frames of a second. */
class Second(val frames: Int, val late: Int, val dropped: Int, val path: Path, val reason: String, val slowdown: Double)

/**
 * Frames at a fixed rate, each with the time until the next one as its budget: when the device slows
 * down, the governor runs smaller paths. Nothing here is of Android.
 *
 * @param runtime file of ONNX Runtime's library, as dlopen takes it.
 * @param frame fills the inputs of a call with the present image.
 */
class FrameLoop(
    private val engine: File,
    private val runtime: String,
    private val perSecond: Int,
    private val frame: (Array<ByteBuffer>) -> Unit,
    private val log: (LogLevel, String) -> Unit,
    private val seen: (Second) -> Unit,
) {
    @Volatile private var stopped = false

    fun stop() {
        stopped = true
    }

    /** Returns when [stop] was called. Errors of tipsc are thrown. */
    fun run() {
        Engine.open(engine.path, Options(runtime = runtime, log = log)).use { engine ->
            log(LogLevel.INFO, "${engine.name} for ${engine.target}: ${engine.paths.size} paths")
            Context(engine).use { context ->
                Governor(engine, runFastest = true).use { governor -> frames(engine, context, governor) }
            }
        }
    }

    private fun frames(engine: Engine, context: Context, governor: Governor) {
        val periodNs = 1_000_000_000L / perSecond
        val shape = engine.paths[0] // all paths of one batch take and give the same
        val inputs = Array(shape.inputs.size) { shape.inputs[it].allocate() }
        val outputs = Array(shape.outputs.size) { shape.outputs[it].allocate() }
        val result = Result()
        var count = 0
        var late = 0
        var dropped = 0
        var due = System.nanoTime()
        while (!stopped) {
            frame(inputs)
            val leftMs = (due + periodNs - System.nanoTime()) / 1e6
            if (leftMs > 0) {
                governor.run(context, inputs, outputs, Demand.within(leftMs), result)
                if (!result.inTime) late++
                count++
            } else {
                dropped++
            }
            if (count + dropped >= perSecond && count > 0) {
                seen(Second(count, late, dropped, result.path, result.reason.text, result.slowdown))
                count = 0
                late = 0
                dropped = 0
            }
            due += periodNs
            val waitNs = due - System.nanoTime()
            if (waitNs > 0) Thread.sleep(waitNs / 1_000_000, (waitNs % 1_000_000).toInt())
            else due += -waitNs / periodNs * periodNs // frames that went by meanwhile
        }
    }
}

/** The sentence that a person should read about an error. */
fun explained(error: TipscException): String = when (error.code) {
    Code.DAMAGED -> "The engine is damaged: install it again. ${error.message}"
    else -> error.message.orEmpty()
}
