// libtipsc for C++17: the objects of tipsc.h, which give their memory back by themselves.
//
//     auto engine = tipsc::Engine::open("model-host.tipsc");
//     if (!engine) return std::fprintf(stderr, "%s\n", engine.error().text), 1;
//     auto context = engine->context();
//     auto path = engine->pick(12.0);
//     auto ran = context->run(*path, {tipsc::buffer(image)}, {tipsc::buffer(logits)});
//
// Nothing is thrown: what can fail gives a Result, which has a value or an error. Who prefers exceptions
// defines TIPSC_EXCEPTIONS before including this, and calls value(), which then throws a tipsc::Exception.
// Objects can be moved and not copied. An Engine that ends waits for the calls that run.
#ifndef TIPSC_HPP
#define TIPSC_HPP

#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tipsc.h"

#ifdef TIPSC_EXCEPTIONS
#include <stdexcept>
#endif

namespace tipsc {

/// What went wrong; see tipsc_error.
struct Error : tipsc_error {
    Error() : tipsc_error{sizeof(tipsc_error), TIPSC_OK, {0}, {0}} {}
};

#ifdef TIPSC_EXCEPTIONS
class Exception : public std::runtime_error {
public:
    explicit Exception(const Error &error)
        : std::runtime_error(std::string(error.text) + (error.fix[0] ? std::string("; ") + error.fix : "")),
          error_(error) {}
    const Error &error() const noexcept { return error_; }

private:
    Error error_;
};
#endif

/// A value, or why there is none.
template <typename T>
class [[nodiscard]] Result {
public:
    Result(T value) : value_(std::move(value)) {}
    Result(const Error &error) : error_(error) {}

    explicit operator bool() const noexcept { return value_.has_value(); }
    const Error &error() const noexcept { return error_; }
    tipsc_code code() const noexcept { return static_cast<tipsc_code>(error_.code); }

    /// The value; without one, an Exception if they were asked for, else the process ends.
    T &value() & {
        if (!value_) {
#ifdef TIPSC_EXCEPTIONS
            throw Exception(error_);
#else
            std::abort();
#endif
        }
        return *value_;
    }
    T &&value() && { return std::move(static_cast<Result &>(*this).value()); }
    T &operator*() & { return value(); }
    T *operator->() { return &value(); }

private:
    std::optional<T> value_;
    Error error_;
};

/// Of what gives nothing but may fail.
struct Done {};

/// Memory of the caller with one tensor: anything with data() and size(), such as std::vector or std::span.
template <typename Container>
tipsc_buffer buffer(Container &&container) {
    using Element = std::remove_pointer_t<decltype(container.data())>;
    return {const_cast<std::remove_const_t<Element> *>(container.data()), container.size() * sizeof(Element)};
}

namespace detail {
struct Close {
    void operator()(tipsc_engine *engine) const noexcept { tipsc_close(engine); }
    void operator()(tipsc_context *context) const noexcept { tipsc_context_free(context); }
    void operator()(tipsc_governor *governor) const noexcept { tipsc_governor_free(governor); }
};
template <typename T>
using Handle = std::unique_ptr<T, Close>;
}  // namespace detail

/// What one thread runs an engine with; see tipsc_context.
class Context {
public:
    using Buffers = std::initializer_list<tipsc_buffer>;

    Result<Done> run(std::size_t path, Buffers inputs, Buffers outputs) {
        return run(path, inputs.begin(), inputs.size(), outputs.begin(), outputs.size());
    }
    Result<Done> run(std::size_t path, const tipsc_buffer *inputs, std::size_t input_count,
                     const tipsc_buffer *outputs, std::size_t output_count) {
        Error error;
        if (tipsc_run(handle_.get(), path, inputs, input_count, outputs, output_count, &error)) return error;
        return Done{};
    }
    tipsc_context *get() const noexcept { return handle_.get(); }

private:
    friend class Engine;
    explicit Context(tipsc_context *handle) : handle_(handle) {}
    detail::Handle<tipsc_context> handle_;
};

/// A call that should end within `budget_ms` (0: no such bound), take no more than `budget_mj`, and keep to `watts`
/// in the mean (0: neither).
inline tipsc_demand within(double budget_ms, double budget_mj = 0, double watts = 0) {
    tipsc_demand demand{};
    demand.size = sizeof demand;
    demand.budget_ms = budget_ms;
    demand.budget_mj = budget_mj;
    demand.watts = watts;
    return demand;
}

/// Picks paths by what calls have taken; see tipsc_governor.
class Governor {
public:
    Result<tipsc_result> run(Context &context, Context::Buffers inputs, Context::Buffers outputs,
                             const tipsc_demand &demand) {
        Error error;
        tipsc_result result{};
        result.size = sizeof result;
        if (tipsc_governor_run(handle_.get(), context.get(), inputs.begin(), inputs.size(), outputs.begin(),
                               outputs.size(), &demand, &result, &error))
            return error;
        return result;
    }
    Result<tipsc_result> run(Context &context, Context::Buffers inputs, Context::Buffers outputs, double budget_ms) {
        return run(context, inputs, outputs, within(budget_ms));
    }
    Result<tipsc_result> pick(double budget_ms) { return pick(within(budget_ms)); }
    Result<tipsc_result> pick(const tipsc_demand &demand) {
        Error error;
        tipsc_result result{};
        result.size = sizeof result;
        if (tipsc_governor_pick(handle_.get(), &demand, &result, &error)) return error;
        return result;
    }
    Result<std::string> explain(double budget_ms) { return explain(within(budget_ms)); }
    Result<std::string> explain(const tipsc_demand &demand) {
        Error error;
        std::string text(1 << 14, '\0');
        if (tipsc_governor_explain(handle_.get(), &demand, text.data(), text.size(), &error)) return error;
        text.resize(text.find('\0'));
        return text;
    }
    Result<Done> observe(std::size_t path, double elapsed_ms) {
        Error error;
        if (tipsc_governor_observe(handle_.get(), path, elapsed_ms, &error)) return error;
        return Done{};
    }
    double slowdown() const noexcept { return tipsc_governor_slowdown(handle_.get()); }
    double pause_ms() const noexcept { return tipsc_governor_pause_ms(handle_.get()); }
    tipsc_governor *get() const noexcept { return handle_.get(); }

private:
    friend class Engine;
    explicit Governor(tipsc_governor *handle) : handle_(handle) {}
    detail::Handle<tipsc_governor> handle_;
};

/// An engine file; see tipsc_open.
class Engine {
public:
    static Result<Engine> open(const std::string &file, tipsc_options options = {}) {
        Error error;
        tipsc_engine *handle = nullptr;
        options.size = sizeof options;
        if (tipsc_open(file.c_str(), &options, &handle, &error)) return error;
        return Engine(handle);
    }

    Result<Context> context() {
        Error error;
        tipsc_context *made = nullptr;
        if (tipsc_context_new(handle_.get(), &made, &error)) return error;
        return Context(made);
    }
    Result<Governor> governor(tipsc_governor_options options = {}) {
        Error error;
        tipsc_governor *made = nullptr;
        options.size = sizeof options;
        if (tipsc_governor_new(handle_.get(), &options, &made, &error)) return error;
        return Governor(made);
    }

    tipsc_engine_info info() const {
        tipsc_engine_info found{};
        found.size = sizeof found;
        tipsc_describe(handle_.get(), &found, nullptr);
        return found;
    }
    Result<tipsc_path_info> path(std::size_t path) const {
        Error error;
        tipsc_path_info found{};
        found.size = sizeof found;
        if (tipsc_describe_path(handle_.get(), path, &found, &error)) return error;
        return found;
    }
    Result<tipsc_tensor_info> input(std::size_t path, std::size_t index) const {
        return tensor(tipsc_describe_input, path, index);
    }
    Result<tipsc_tensor_info> output(std::size_t path, std::size_t index) const {
        return tensor(tipsc_describe_output, path, index);
    }
    Result<std::size_t> find(const std::string &id) const {
        Error error;
        std::size_t found = 0;
        if (tipsc_find(handle_.get(), id.c_str(), &found, &error)) return error;
        return found;
    }
    Result<std::size_t> pick(double budget_ms, tipsc_choice choice = {}) const {
        Error error;
        std::size_t found = 0;
        choice.size = sizeof choice;
        if (tipsc_pick(handle_.get(), budget_ms, &choice, &found, &error)) return error;
        return found;
    }
    tipsc_engine *get() const noexcept { return handle_.get(); }

private:
    explicit Engine(tipsc_engine *handle) : handle_(handle) {}
    Result<tipsc_tensor_info> tensor(decltype(&tipsc_describe_input) describe, std::size_t path,
                                     std::size_t index) const {
        Error error;
        tipsc_tensor_info found{};
        found.size = sizeof found;
        if (describe(handle_.get(), path, index, &found, &error)) return error;
        return found;
    }
    detail::Handle<tipsc_engine> handle_;
};

/// Turns an engine file into another one; see tipsc_apply.
inline Result<Done> apply(const std::string &old_file, const std::string &delta, const std::string &new_file) {
    Error error;
    if (tipsc_apply(old_file.c_str(), delta.c_str(), new_file.c_str(), &error)) return error;
    return Done{};
}

}  // namespace tipsc

#endif
