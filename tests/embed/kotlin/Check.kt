/** What tests/embed/test_kotlin.py runs: a name of one of the functions here, then its arguments. */

import com.sun.management.ThreadMXBean
import java.io.File
import java.io.RandomAccessFile
import java.lang.management.ManagementFactory
import java.nio.ByteBuffer
import java.nio.channels.FileChannel.MapMode.READ_ONLY
import java.util.Collections
import java.util.concurrent.CountDownLatch
import kotlin.concurrent.thread
import tipsc.Code
import tipsc.Context
import tipsc.Demand
import tipsc.Engine
import tipsc.Governor
import tipsc.LogLevel
import tipsc.Options
import tipsc.Path
import tipsc.Reason
import tipsc.Result
import tipsc.TipscException

class Calls(path: Path) {
    val inputs = Array(path.inputs.size) { path.inputs[it].allocate() }
    val outputs = Array(path.outputs.size) { path.outputs[it].allocate() }
}

fun bytes(buffer: ByteBuffer) = ByteArray(buffer.capacity()).also { buffer.duplicate().get(it) }

/** Runs every path on FOLDER/ID.in.I and writes FOLDER/ID.out.I, twice over the same buffers. */
fun outputs(file: String, folder: String, options: Options) = Engine.open(file, options).use { engine ->
    Context(engine).use { context ->
        for (path in engine.paths) {
            val calls = Calls(path)
            calls.inputs.forEachIndexed { i, buffer -> buffer.put(File(folder, "$path.in.$i").readBytes()) }
            context.run(path, calls.inputs, calls.outputs)
            val first = calls.outputs.map(::bytes)
            calls.outputs.forEach { for (i in 0 until it.capacity()) it.put(i, 85) }
            context.run(path, calls.inputs, calls.outputs)
            calls.outputs.forEachIndexed { i, buffer ->
                check(bytes(buffer).contentEquals(first[i]))
                File(folder, "$path.out.$i").writeBytes(first[i])
            }
            println(path)
        }
    }
}

/** A table of what an engine says of itself, a fact a line. */
fun describe(file: String, options: Options) = Engine.open(file, options).use { engine ->
    println(listOf(engine.name, engine.target, engine.backend, engine.form, engine.hash, engine.noise))
    for (path in engine.paths) {
        val quality = path.quality?.run { "$name $value $unit $higherIsBetter" }
        println(listOf(path, path.batch, quality, path.p10Ms, path.p50Ms, path.p95Ms, path.pauseMs, path.energyMj))
        println(listOf(path.macs, path.parameters, path.sharedBytes, path.privateBytes))
        for (it in path.inputs + path.outputs) println(listOf(it.name, it.dtype, it.shape, it.layout, it.bytes))
    }
}

fun governor(file: String, options: Options) = Engine.open(file, options).use { engine ->
    val slowest = engine.paths.maxBy { it.p50Ms }
    Context(engine).use { context ->
        Governor(engine).use { governor ->
            val calls = Calls(slowest)
            val first = governor.run(context, calls.inputs, calls.outputs, Demand.within(10_000.0))
            check(first.inTime && first.elapsedMs > 0 && first.gapMs.isInfinite() && first.budgetMs == 10_000.0)
            check(first.reason.text == "the most accurate path that fits" && !first.ended.isNaN())
            println(first.path)
            val pinned = governor.run(context, calls.inputs, calls.outputs, Demand.pinned(engine.paths[0]), first)
            check(pinned === first && first.reason == Reason.ASKED_FOR && first.path === engine.paths[0])
            check(governor.pick(Demand.perSecond(0.001)).mode == tipsc.Mode.THROUGHPUT)
            check(governor.slowdown > 0 && governor.pauseMs >= 0)
            check(governor.explain(Demand.within(10_000.0)).lines().size == 1 + engine.paths.size)
            val before = governor.slowdown
            repeat(50) { governor.observe(slowest, slowest.p50Ms * 20) }
            check(governor.slowdown > before)
            println(said { governor.pick(Demand.within(1e-6)) })
            println(said { governor.pick(Demand.withinEnergy(mj = 5.0)) })
            println(said { governor.pick(Demand.withinPower(watts = 1.0, ms = 10_000.0)) })
        }
    }
    Governor(engine, runFastest = true).use { println(it.pick(Demand.within(1e-6)).reason) }
    println(engine.pick(10_000.0))
}

/** Of an engine whose paths take 2, 4, ... mJ. */
fun energy(file: String, options: Options) = Engine.open(file, options).use { engine ->
    Context(engine).use { context ->
        val calls = Calls(engine.paths[0])
        Governor(engine).use { governor ->
            val result = governor.run(context, calls.inputs, calls.outputs, Demand.withinEnergy(mj = 4.5))
            println(with(result) { "$mode $path $budgetMs $budgetMj $energyMj" })
            check("takes more energy" in governor.explain(Demand.withinEnergy(mj = 4.5, ms = 10_000.0)))
            val little = Demand.withinPower(watts = 1e-9)
            val ran = List(20) { governor.run(context, calls.inputs, calls.outputs, little).path }
            println("${ran.first()} ${ran.last()}")
            println(said { governor.pick(Demand.withinEnergy(mj = 1.0)) })
        }
        Governor(engine, runFastest = true).use {
            val reason = it.run(context, calls.inputs, calls.outputs, Demand.withinEnergy(mj = 1.0)).reason
            println("$reason ${reason.text}")
        }
    }
}

fun said(what: () -> Any?): String = try {
    "nothing: ${what()}"
} catch (error: TipscException) {
    "${error.code}: ${error.text} | ${error.fix}"
}

/** What each mistake is answered by, a line for each. */
fun errors(file: String, options: Options) {
    println(said { Engine.open("/nowhere/ä😀.tipsc", options) })
    println(said { Engine.open(file, Options(runtime = "/nowhere/libonnxruntime.so")) })
    println(said { Engine.open(ByteBuffer.allocate(100), options) })
    println(said { Engine.open(ByteBuffer.allocateDirect(4096), options) })
    println(said { Engine.open("a\u0000b", options) })
    println(said { Options(threads = -1) })
    val engine = Engine.open(file, options)
    val context = Context(engine)
    val governor = Governor(engine)
    val calls = Calls(engine.paths[0])
    val heap = arrayOf(ByteBuffer.allocate(calls.outputs[0].capacity()))
    println(said { context.run(engine.paths[0], calls.inputs, heap) })
    println(said { context.run(engine.paths[0], calls.inputs, emptyArray()) })
    println(said { context.run(engine.paths[0], calls.inputs, arrayOf(calls.outputs[0].asReadOnlyBuffer())) })
    println(said { context.run(engine.paths[0], arrayOf(ByteBuffer.allocateDirect(8)), calls.outputs) })
    println(said { engine.find("none") })
    println(said { engine.pick(1e-6) })
    println(said { Demand.perSecond(Double.NaN) })
    Engine.open(file, options).use { other ->
        println(said { context.run(other.paths[0], calls.inputs, calls.outputs) })
        Context(other).use {
            println(said { governor.run(it, calls.inputs, calls.outputs, Demand.within(10_000.0)) })
        }
    }
    engine.close()
    engine.close()
    println(said { context.run(engine.paths[0], calls.inputs, calls.outputs) })
    println(said { engine.pick(100.0) })
    println(said { Context(engine) })
    context.close()
    println(said { context.run(engine.paths[0], calls.inputs, calls.outputs) })
    governor.close()
    println(said { governor.slowdown })
}

/** From a mapped file, by a path of it alone. */
fun memory(file: String, options: Options) = RandomAccessFile(file, "r").use {
    val mapped = it.channel.map(READ_ONLY, 0, it.length())
    Engine.open(mapped, options).use { engine ->
        val calls = Calls(engine.paths.single())
        Context(engine).use { context -> context.run(engine.paths[0], calls.inputs, calls.outputs) }
        println(engine.paths)
    }
}

/** What a log gets while an engine is opened; and an exception of the log ends up with who opened it. */
fun log(file: String, options: Options) {
    val lines = ArrayList<String>()
    val hook = tipsc.Log { level, text -> lines.add("${level == LogLevel.WARNING} $text") }
    Engine.open(file, Options(runtime = options.runtime, cacheDir = options.cacheDir, log = hook)).close()
    lines.forEach(::println)
    val refuse = tipsc.Log { _, text -> throw IllegalStateException(text) }
    try {
        Engine.open(file, Options(runtime = options.runtime, cacheDir = options.cacheDir, log = refuse)).close()
    } catch (error: IllegalStateException) {
        println("thrown")
    }
}

/** Bytes of the heap that so many calls take, by context and by governor. */
fun allocation(file: String, options: Options) = Engine.open(file, options).use { engine ->
    val beans = ManagementFactory.getThreadMXBean() as ThreadMXBean
    val path = engine.paths.last()
    val calls = Calls(path)
    val demand = Demand.within(10_000.0)
    val result = Result()
    Context(engine).use { context ->
        Governor(engine).use { governor ->
            val plain = { context.run(path, calls.inputs, calls.outputs) }
            val governed = { governor.run(context, calls.inputs, calls.outputs, demand, result) }
            for (call in listOf(plain, governed)) {
                repeat(100) { call() }
                val before = beans.currentThreadAllocatedBytes
                for (i in 1..1000) call()
                println(beans.currentThreadAllocatedBytes - before)
            }
        }
    }
}

/** Threads that call until what they use is closed under them: each is told so, and nothing crashes. */
fun closing(file: String, options: Options) = repeat(10) { round ->
    val engine = Engine.open(file, options)
    val shared = Context(engine)
    val governor = Governor(engine, runFastest = true)
    val running = CountDownLatch(4)
    val wrong = Collections.synchronizedList(ArrayList<String>())
    val threads = List(4) { number ->
        thread {
            val context = if (number == 0) shared else Context(engine)
            val calls = Calls(engine.paths[0])
            try {
                var count = 0
                while (true) {
                    if (number < 2) context.run(engine.paths[0], calls.inputs, calls.outputs)
                    else governor.run(context, calls.inputs, calls.outputs, Demand.within(1.0))
                    engine.pick(10_000.0)
                    if (count++ == 5) running.countDown()
                }
            } catch (error: TipscException) {
                if (error.code != Code.CLOSED) wrong.add(error.toString())
            }
            context.close()
        }
    }
    running.await()
    val all = listOf<AutoCloseable>(engine, shared, governor)
    (if (round % 2 == 0) all else all.reversed()).forEach { it.close() }
    threads.forEach { it.join() }
    check(wrong.isEmpty()) { wrong }
}

/** What lies in the cache of an application after its engine was opened, and after another one was. */
fun android(file: String, runtime: String, cache: String) {
    System.setProperty("java.vm.name", "Dalvik")
    System.setProperty("java.io.tmpdir", cache)
    fun kept() = java.io.File(cache).listFiles().orEmpty().single { it.isDirectory }.let { folder ->
        println(folder.name)
        java.io.File(folder, "cache.json").readText()
    }
    Engine.open(file, Options(runtime = runtime)).close()
    val first = kept()
    java.io.File("$file.new").renameTo(java.io.File(file))
    Engine.open(file, Options(runtime = runtime)).close()
    println(kept() != first)
}

/** Keys in hexadecimal; the word "none" is no key. */
fun signedBy(keys: List<String>) = Options(
    onlyRead = true,
    keys = keys.filter { it != "none" }.map { key -> key.chunked(2).map { it.toInt(16).toByte() }.toByteArray() },
)

fun main(arguments: Array<String>) {
    val (what, file, runtime, cacheDir, more) = arguments
    val options = Options(
        runtime = runtime, cacheDir = cacheDir.ifEmpty { null },
        paths = if (what == "memory") listOf(more) else emptyList(),
    )
    when (what) {
        "outputs" -> outputs(file, more, options)
        "describe" -> describe(file, options)
        "governor" -> governor(file, options)
        "energy" -> energy(file, options)
        "errors" -> errors(file, options)
        "signed" -> println(said { Engine.open(file, signedBy(more.split(" "))).close() })
        "android" -> android(file, runtime, more)
        "memory" -> memory(file, options)
        "log" -> log(file, options)
        "allocation" -> allocation(file, options)
        "closing" -> closing(file, options)
        "apply" -> println(said { Engine.apply(file, more, more.removeSuffix(".delta") + ".made") })
        else -> error("there is no check $what")
    }
}
