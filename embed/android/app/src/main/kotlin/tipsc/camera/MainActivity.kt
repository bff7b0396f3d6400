package tipsc.camera

import android.app.Activity
import android.os.Bundle
import android.util.Log
import android.widget.TextView
import java.io.File
import java.nio.ByteBuffer
import tipsc.LogLevel
import tipsc.TipscException

private const val TAG = "tipsc"
private const val ENGINE = "engine.tipsc"

/** Runs the engine in assets on 30 frames a second while it is seen, and shows what came of them. */
class MainActivity : Activity() {
    private lateinit var text: TextView
    private var loop: FrameLoop? = null

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        text = TextView(this)
        setContentView(text)
    }

    override fun onStart() {
        super.onStart()
        val made = FrameLoop(
            File(filesDir, ENGINE), "libonnxruntime.so", 30, ::stripes, ::logged, ::shown,
        )
        loop = made
        Thread({ start(made) }, "frames").start()
    }

    override fun onStop() {
        loop?.stop()
        super.onStop()
    }

    private fun start(made: FrameLoop) = try {
        install()
        made.run()
    } catch (error: TipscException) {
        Log.e(TAG, "the loop ended", error)
        say(explained(error))
    }

    /** The engine as a file, which an update can replace (Engine.apply) and which is mapped, not read. */
    private fun install() {
        val file = File(filesDir, ENGINE)
        if (file.exists()) return
        val part = File(filesDir, "$ENGINE.part")
        assets.open(ENGINE).use { from -> part.outputStream().use { from.copyTo(it) } }
        if (!part.renameTo(file)) Log.e(TAG, "$file could not be written")
    }

    /** In place of a camera: stripes that move. */
    private fun stripes(inputs: Array<ByteBuffer>) {
        val image = inputs[0].asFloatBuffer()
        val shift = (System.nanoTime() / 16_000_000).toInt()
        for (i in 0 until image.capacity()) image.put(i, if ((i + shift) / 8 % 2 == 0) 1f else 0f)
    }

    private fun logged(level: LogLevel, line: String) {
        Log.println(if (level == LogLevel.WARNING) Log.WARN else Log.INFO, TAG, line)
    }

    private fun shown(second: Second) {
        val line = "${second.path}: ${second.frames} frames, ${second.late} late, ${second.dropped} dropped; " +
            "${second.reason}; slowdown %.2f".format(second.slowdown)
        Log.i(TAG, line)
        say(line)
    }

    private fun say(line: String) = runOnUiThread { text.text = line }
}
