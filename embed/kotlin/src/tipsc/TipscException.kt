package tipsc

/** What went wrong: `tipsc_code` of tipsc.h, whose names are those of tipsc's exceptions in Python. */
enum class Code {
    OK,
    /** An argument, a file that cannot be read, data of another size. */
    USAGE,
    /** The engine, as it was opened, has no such path. */
    PATH,
    /** No path fits the time budget. */
    BUDGET,
    /** Truncated, altered, no engine, or beyond a limit. */
    DAMAGED,
    /** Written in a format that this version does not read. */
    VERSION,
    /** The runtime is not there, or refuses the engine. */
    DEVICE,
    /** The engine, context or governor was closed. */
    CLOSED,
    /** No memory is left. */
    MEMORY,
    /** Not signed by a key that is trusted. */
    SIGNATURE,
}

/**
 * The one exception of this package.
 *
 * @property text what is wrong, where, what was expected and found.
 * @property fix what to do about it; may be empty.
 */
class TipscException(val code: Code, val text: String, val fix: String) :
    RuntimeException(if (fix.isEmpty()) text else "$text; $fix")
