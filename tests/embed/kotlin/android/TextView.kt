package android.widget

import android.app.Activity
import android.view.View

class TextView(@Suppress("unused") val activity: Activity) : View() {
    var text: CharSequence = ""
        set(value) {
            field = value
            println("screen: $value")
        }
}
