package android.util

object Log {
    const val INFO = 4
    const val WARN = 5
    private const val ERROR = 6

    fun println(priority: Int, tag: String, line: String): Int {
        println("log $priority $tag: $line")
        return 0
    }

    fun i(tag: String, line: String) = println(INFO, tag, line)

    fun e(tag: String, line: String, error: Throwable? = null) = println(ERROR, tag, "$line $error")
}
