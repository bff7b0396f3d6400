/** The little of Android that embed/android calls, over a folder and the standard output. */

package android.app

import android.content.res.AssetManager
import android.os.Bundle
import android.view.View
import java.io.File

open class Activity {
    val filesDir = File(System.getProperty("activity.files"))
    val cacheDir = File(System.getProperty("activity.cache"))
    val assets = AssetManager()

    open fun onCreate(state: Bundle?) {}

    open fun onStart() {}

    open fun onStop() {}

    fun setContentView(view: View) = check(view is android.widget.TextView)

    fun runOnUiThread(what: Runnable) = what.run()
}
