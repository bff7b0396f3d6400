package tipsc

import java.io.File

/**
 * Where Android keeps the finalised form of an engine unless the options name a folder: in the
 * application's cache, which `java.io.tmpdir` names there. Null elsewhere, where C knows a place: beside
 * the engine, if no other user can write there. On Android the folders above belong to the system.
 */
internal fun cacheOnAndroid(engine: String): File? {
    if (System.getProperty("java.vm.name") != "Dalvik") return null // as ART calls itself, too
    val file = File(engine).absoluteFile
    return File(System.getProperty("java.io.tmpdir"), "tipsc-${file.name}-${Integer.toHexString(file.hashCode())}")
}

/**
 * Opens with such a folder. It may have the form of an engine or a runtime before an update, which is
 * refused: then it is made again, once.
 */
internal fun <T> openedIn(folder: File, open: (String) -> T): T {
    val known = folder.exists()
    return try {
        open(folder.path)
    } catch (error: TipscException) {
        if (error.code != Code.DEVICE || !known || !folder.deleteRecursively()) throw error
        open(folder.path)
    }
}
