/** Drives the Activity of embed/android through its life, over android/ instead of Android. */

package tipsc.camera

object Phone {
    @JvmStatic
    fun main(arguments: Array<String>) {
        System.setProperty("java.vm.name", "Dalvik")
        System.setProperty("java.io.tmpdir", System.getProperty("activity.cache"))
        val activity = MainActivity()
        activity.onCreate(null)
        activity.onStart()
        Thread.sleep(arguments[0].toLong())
        activity.onStop()
    }
}
