package tipsc

import java.nio.ByteBuffer

enum class Mode { DEADLINE, THROUGHPUT, PINNED, ENERGY }

/** Why a path ran. */
enum class Reason {
    MOST_ACCURATE, HELD, TRIED, LIKELIEST, TOO_LATE, ASKED_FOR, TOO_COSTLY;

    /** In words. */
    val text: String by lazy { String(Native.reasonText(ordinal)) }
}

/** What a call is held to. Make it once and use it again. */
class Demand private constructor(
    internal val budgetMs: Double, internal val perSecond: Double, internal val path: Path?,
    internal val budgetMj: Double = 0.0, internal val watts: Double = 0.0,
) {
    companion object {
        /** The call should end within so many milliseconds. */
        @JvmStatic fun within(ms: Double) = Demand(ms, 0.0, null)

        /** In the mean so many calls a second should be possible. */
        @JvmStatic
        fun perSecond(rate: Double): Demand {
            if (rate > 0) return Demand(0.0, rate, null)
            throw TipscException(Code.USAGE, "this is no rate (expected calls a second above 0, got $rate)", "")
        }

        /** The call should take no more millijoules, and end within [ms]; 0 is no such bound. */
        @JvmStatic
        @JvmOverloads
        fun withinEnergy(mj: Double, ms: Double = 0.0): Demand {
            if (mj > 0) return Demand(ms, 0.0, null, budgetMj = mj)
            throw TipscException(Code.USAGE, "this is no energy of a call (expected millijoules above 0, got $mj)", "")
        }

        /**
         * Calls should take no more in the mean: what one leaves, those after it may take. Each should end
         * within [ms] and take no more than [mj]; 0 is no such bound.
         */
        @JvmStatic
        @JvmOverloads
        fun withinPower(watts: Double, ms: Double = 0.0, mj: Double = 0.0): Demand {
            if (watts > 0) return Demand(ms, 0.0, null, mj, watts)
            throw TipscException(Code.USAGE, "this is no power (expected watts above 0, got $watts)", "")
        }

        /** Run this path; the budget only says what is late, 0 is none. */
        @JvmStatic
        @JvmOverloads
        fun pinned(path: Path, budgetMs: Double = 0.0) = Demand(budgetMs, 0.0, path)
    }
}

/**
 * One call of a governor, which may be given to the next call to be filled again. What a call that has
 * not run cannot know is NaN.
 */
class Result {
    internal val values = DoubleArray(12)

    /** That ran. */
    lateinit var path: Path
        private set
    val mode get() = Mode.entries[values[1].toInt()]
    val reason get() = Reason.entries[values[2].toInt()]

    /** It took no longer than the budget. */
    val inTime get() = values[3] == 1.0

    /** That it had; the period of a throughput; infinite where none was given. */
    val budgetMs get() = values[4]

    /** What it was most likely to take. */
    val predictedMs get() = values[5]
    val elapsedMs get() = values[6]

    /** Since the call before; infinite for the first. */
    val gapMs get() = values[7]

    /** How many times slower than profiled the device was taken to be. */
    val slowdown get() = values[8]

    /** Seconds, by the clock of System.nanoTime. */
    val ended get() = values[9]

    /** Energy that it might take, in millijoules; infinite but for [Mode.ENERGY]. */
    val budgetMj get() = values[10]

    /** What a call of this path took when the engine was measured; NaN if that was not. */
    val energyMj get() = values[11]

    internal fun filled(engine: Engine): Result {
        path = engine.paths[values[0].toInt()]
        return this
    }
}

/**
 * Picks a path for each call, and learns from it. May be used by several threads at once, each with a
 * context of its own; no call waits for another one.
 *
 * @param batch examples of its calls; 0: as few as any path takes.
 * @param percentile which latency of the profile has to fit until calls have shown what they take:
 *   10, 50 or 95.
 * @param runFastest run the fastest path where none is likely to fit, and the thriftiest where none is as
 *   thrifty as asked for, instead of [Code.BUDGET].
 * @param hysteresis calls in which a better path was to run before it does.
 */
class Governor @JvmOverloads constructor(
    private val engine: Engine,
    batch: Int = 0,
    percentile: Int = 95,
    runFastest: Boolean = false,
    hysteresis: Int = 0,
) : AutoCloseable {
    init {
        checkNotNegative("batch", batch.toLong())
        checkNotNegative("hysteresis", hysteresis.toLong())
    }

    private val handle = Handle(
        "governor",
        engine.handle.use { Native.newGovernor(it, batch, percentile, runFastest, hysteresis) },
        Native::freeGovernor,
    )

    /** Pick, run, time, learn; buffers as in [Context.run]. Fills [result] and returns it. */
    @JvmOverloads
    fun run(
        context: Context, inputs: Array<ByteBuffer>, outputs: Array<ByteBuffer>, demand: Demand,
        result: Result = Result(),
    ): Result = synchronized(context) {
        checkWritable(outputs)
        handle.use { governor ->
            context.handle.use {
                Native.runGoverned(
                    governor, it, inputs, outputs, demand.budgetMs, demand.perSecond, numberOf(demand),
                    demand.budgetMj, demand.watts, result.values,
                )
            }
        }
        result.filled(engine)
    }

    /** What [run] would run now. */
    fun pick(demand: Demand): Result {
        val result = Result()
        handle.use {
            Native.pickGoverned(
                it, demand.budgetMs, demand.perSecond, numberOf(demand), demand.budgetMj, demand.watts, result.values,
            )
        }
        return result.filled(engine)
    }

    /** The same in words, and what speaks against each other path: a table with a line for each. */
    fun explain(demand: Demand): String {
        val room = 512 + engine.paths.sumOf { it.id.length * 4 + 128 }
        val text = handle.use {
            Native.explain(
                it, demand.budgetMs, demand.perSecond, numberOf(demand), demand.budgetMj, demand.watts, room,
            )
        }
        return String(text)
    }

    /** Learn from a call that was timed elsewhere and has just ended. */
    fun observe(path: Path, elapsedMs: Double) =
        handle.use { Native.observe(it, engine.numberOf(path), elapsedMs) }

    /** How many times slower the device is now than when it was profiled. */
    val slowdown: Double get() = handle.use(Native::slowdown)

    /** What a call costs beside, after a gap as the present one, in milliseconds. */
    val pauseMs: Double get() = handle.use(Native::pauseMs)

    override fun close() = handle.close()

    private fun numberOf(demand: Demand): Int = demand.path?.let(engine::numberOf) ?: -1
}
