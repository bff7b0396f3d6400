package tipsc

/**
 * An object in C, which calls of any thread enter and leave. It is given back once, and never while a
 * call is in it: whoever closes does not wait, the last call out gives it back.
 */
internal class Handle(private val what: String, private val address: Long, private val free: (Long) -> Unit) {
    private var calls = 0
    private var closed = false

    inline fun <T> use(call: (Long) -> T): T {
        val known = enter()
        try {
            return call(known)
        } finally {
            leave()
        }
    }

    @Synchronized
    fun enter(): Long {
        if (closed) throw TipscException(Code.CLOSED, "the $what is closed", "make another one")
        calls++
        return address
    }

    fun leave() {
        if (isLastOut()) free(address)
    }

    fun close() {
        if (isFirstClose()) free(address)
    }

    @Synchronized
    private fun isLastOut(): Boolean {
        calls--
        return closed && calls == 0
    }

    @Synchronized
    private fun isFirstClose(): Boolean {
        val last = !closed && calls == 0
        closed = true
        return last
    }
}
