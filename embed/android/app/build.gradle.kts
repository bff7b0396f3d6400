plugins {
    id("com.android.application")
    id("org.jetbrains.kotlin.android")
}

android {
    namespace = "tipsc.camera"
    compileSdk = 35
    defaultConfig {
        applicationId = "tipsc.camera"
        minSdk = 24 // libtipsc calls getgrgid_r, and so does the published ONNX Runtime ask for it
        targetSdk = 35
        versionCode = 1
        versionName = "0.1.0"
        ndk { abiFilters += listOf("arm64-v8a", "x86_64") }
        externalNativeBuild {
            cmake {
                arguments += listOf(
                    "-DTIPSC_JNI=ON", "-DTIPSC_SHARED=OFF", "-DANDROID_SUPPORT_FLEXIBLE_PAGE_SIZES=ON",
                )
                targets += "tipsc_jni"
            }
        }
    }
    buildTypes {
        release {
            isMinifyEnabled = true
            proguardFiles("../../kotlin/keep.pro")
        }
    }
    externalNativeBuild {
        cmake { path = file("../../CMakeLists.txt") }
    }
    sourceSets["main"].kotlin.srcDir("../../kotlin/src")
    androidResources { noCompress += "tipsc" } // it is compressed where that helps
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
    kotlinOptions { jvmTarget = "17" }
}

dependencies {
    // For libonnxruntime.so alone, which libtipsc_jni.so loads when an engine is opened.
    implementation("com.microsoft.onnxruntime:onnxruntime-android:1.20.0")
}
