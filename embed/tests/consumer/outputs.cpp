// The same as outputs.c, by tipsc.hpp.
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <tipsc.hpp>

int main(int count, char **arguments) {
    if (count != 4) return 100;
    std::ifstream file(arguments[3], std::ios::binary);
    std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    std::vector<float> x(bytes.size() / sizeof(float));
    std::memcpy(x.data(), bytes.data(), bytes.size());

    tipsc_options options{};
    options.runtime = arguments[2];
    auto engine = tipsc::Engine::open(arguments[1], options);
    if (!engine) return std::fprintf(stderr, "%s; %s\n", engine.error().text, engine.error().fix), 1;
    auto context = engine->context();
    for (std::size_t path = 0; path < engine->info().path_count; path++) {
        std::vector<float> y(engine->output(path, 0)->bytes / sizeof(float));
        if (!context->run(path, {tipsc::buffer(x)}, {tipsc::buffer(y)})) return 2;
        std::fwrite(y.data(), sizeof(float), y.size(), stdout);
    }

    // What fails says why, and an engine that was moved is still one.
    auto moved = std::move(*engine);
    if (moved.find("no such path").code() != TIPSC_PATH || moved.path(9999).code() != TIPSC_PATH) return 3;
    if (tipsc::apply("missing", "missing", "missing").code() != TIPSC_USAGE) return 4;
    auto governor = moved.governor();
    if (governor) {
        std::vector<float> y(moved.output(0, 0)->bytes / sizeof(float));
        auto ran = governor->run(*context, {tipsc::buffer(x)}, {tipsc::buffer(y)}, 1e6);
        if (!ran || ran->elapsed_ms <= 0 || governor->slowdown() <= 0 || governor->explain(1e6)->empty()) return 5;
        if (!governor->observe(0, 1.0) || !governor->pick(1e6) || governor->pause_ms() < -1e9) return 6;
        if (governor->pick(tipsc::within(0, 5, 1)).code() != TIPSC_USAGE) return 10; /* no energy was measured */
        if (governor->pick(tipsc::within(1e6))->path != governor->pick(1e6)->path) return 11;
        if (moved.pick(-1).code() != TIPSC_USAGE || !moved.pick(1e9)) return 7;
    }
#ifdef TIPSC_EXCEPTIONS
    try {
        tipsc::Engine::open("missing").value();
        return 8;
    } catch (const tipsc::Exception &error) {
        if (!std::strstr(error.what(), "missing")) return 9;
    }
#endif
    return 0;
}
