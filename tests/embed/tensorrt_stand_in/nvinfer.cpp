/* What stands for libnvinfer and libnvonnxparser in tests: plans are texts, and the rule is trivial.
 *
 *     memory BYTES                   of activations, all of which a run writes to
 *     input NAME TYPE AXES PLACE     TYPE as in DataType, AXES as 1x3x8 or -, PLACE device or host
 *     output NAME TYPE AXES PLACE    a switch is an input of kBOOL
 *     factors NUMBER...              of each path: output k of n elements is factor * (first input, again and
 *                                    again) + k; the first path whose switch is true counts, or else the last
 *     stripped                       one path; its factor is the size of the file of weights that it is given */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "NvInfer.h"
#include "NvOnnxParser.h"

extern "C" int put_into_stream(void *stream, void (*call)(void *), void *user);

using namespace nvinfer1;

static ILogger *log_of_process; /* as NVIDIA's: the first */

static void complain(const char *what) { log_of_process->log(ILogger::Severity::kERROR, what); }

struct Tensor {
    std::string type;
    std::vector<int64_t> shape;
    bool is_input, on_host;
    size_t count() const {
        size_t product = 1;
        for (int64_t axis : shape) product *= size_t(axis);
        return product;
    }
};

struct Plan {
    int64_t memory = 0;
    std::map<std::string, Tensor> tensors;
    std::string first; /* input */
    std::vector<std::string> outputs;
    std::vector<double> factors;
    bool stripped = false;
};

static bool read_plan(const std::string &text, Plan &plan) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string kind, name, axes, place;
        Tensor tensor;
        words >> kind;
        if (kind == "memory") {
            words >> plan.memory;
        } else if (kind == "input" || kind == "output") {
            words >> name >> tensor.type >> axes >> place;
            tensor.is_input = kind == "input";
            tensor.on_host = place == "host";
            std::istringstream numbers(axes == "-" ? "" : axes);
            for (std::string axis; std::getline(numbers, axis, 'x');) tensor.shape.push_back(std::stol(axis));
            plan.tensors[name] = tensor;
            if (!tensor.is_input) plan.outputs.push_back(name);
            else if (plan.first.empty()) plan.first = name;
        } else if (kind == "factors") {
            for (double factor; words >> factor;) plan.factors.push_back(factor);
        } else if (kind == "stripped") {
            plan.stripped = true;
        } else {
            return false;
        }
    }
    return !plan.tensors.empty();
}

template <class T>
static void spread(void *to, size_t n, double factor, const std::vector<double> &x, double more) {
    for (size_t i = 0; i < n; i++) static_cast<T *>(to)[i] = T(factor * x[i % x.size()] + more);
}

static std::vector<double> numbers_of(const Tensor &tensor, const void *at) {
    std::vector<double> found;
    for (size_t i = 0; i < tensor.count(); i++) {
        if (tensor.type == "kINT32") found.push_back(static_cast<const int32_t *>(at)[i]);
        else if (tensor.type == "kINT64") found.push_back(double(static_cast<const int64_t *>(at)[i]));
        else found.push_back(static_cast<const float *>(at)[i]);
    }
    return found;
}

struct Context final : IExecutionContext, apiv::VExecutionContext {
    const Plan &plan;
    bool user_managed;
    void *activations = nullptr;
    int64_t activation_bytes = 0;
    std::map<std::string, void *> addresses;

    Context(const Plan &of, bool user) : plan(of), user_managed(user) { mImpl = this; }
    void take_memory(void *memory, int64_t bytes) noexcept override { activations = memory, activation_bytes = bytes; }
    Dims getTensorShape(char const *tensor) const noexcept override {
        Dims dims{-1, {}};
        auto found = plan.tensors.find(tensor);
        if (found == plan.tensors.end()) return dims;
        dims.nbDims = int32_t(found->second.shape.size());
        for (int i = 0; i < dims.nbDims; i++) dims.d[i] = decltype(+dims.d[0])(found->second.shape[size_t(i)]);
        return dims;
    }
    bool setTensorAddress(char const *tensor, void *data) noexcept override {
        if (!plan.tensors.count(tensor) || !data) return false;
        addresses[tensor] = data;
        return true;
    }
    bool enqueueV3(cudaStream_t stream) noexcept override {
        bool ready = user_managed && activations && activation_bytes >= plan.memory && !plan.factors.empty();
        if (ready && addresses.size() == plan.tensors.size() && !put_into_stream(stream, compute, this)) return true;
        complain("IExecutionContext::enqueueV3: something was not set");
        return false;
    }
    static void compute(void *given) {
        auto *self = static_cast<Context *>(given);
        memset(self->activations, 0x5a, size_t(self->plan.memory)); /* all of it is the engine's */
        size_t path = 0;
        while (path + 1 < self->plan.factors.size() &&
               !*static_cast<bool *>(self->addresses.at("runs" + std::to_string(path))))
            path++;
        const Plan &plan = self->plan;
        const std::vector<double> x = numbers_of(plan.tensors.at(plan.first), self->addresses.at(plan.first));
        double factor = plan.factors[path], more = 0;
        for (const std::string &name : plan.outputs) {
            const Tensor &tensor = plan.tensors.at(name);
            void *to = self->addresses.at(name);
            if (tensor.type == "kINT32") spread<int32_t>(to, tensor.count(), factor, x, more);
            else if (tensor.type == "kINT64") spread<int64_t>(to, tensor.count(), factor, x, more);
            else if (tensor.type == "kBOOL") spread<bool>(to, tensor.count(), factor, x, more);
            else spread<float>(to, tensor.count(), factor, x, more);
            more++;
        }
    }
};

struct Engine final : ICudaEngine, apiv::VCudaEngine {
    Plan plan;

    explicit Engine(const Plan &of) : plan(of) { mImpl = this; }
    IExecutionContext *make_context(bool user_managed) noexcept override { return new Context(plan, user_managed); }
    int64_t memory() const noexcept override { return plan.memory; }
    DataType getTensorDataType(char const *tensor) const noexcept override {
        auto found = plan.tensors.find(tensor);
        if (found == plan.tensors.end()) return DataType::kFLOAT; /* as NVIDIA's */
        const std::string &type = found->second.type;
        return type == "kINT32"   ? DataType::kINT32
               : type == "kINT64" ? DataType(8)
               : type == "kBOOL"  ? DataType::kBOOL
                                  : DataType::kFLOAT;
    }
    TensorLocation getTensorLocation(char const *tensor) const noexcept override {
        auto found = plan.tensors.find(tensor);
        return found != plan.tensors.end() && found->second.on_host ? TensorLocation::kHOST : TensorLocation::kDEVICE;
    }
};

struct Runtime final : IRuntime, apiv::VRuntime {
    Runtime() { mImpl = this; }
    IRuntime *getPImpl() noexcept override { return this; }
    ICudaEngine *deserializeCudaEngine(void const *content, std::size_t bytes) noexcept override {
        Plan plan;
        if (read_plan(std::string(static_cast<const char *>(content), bytes), plan)) return new Engine(plan);
        complain("IRuntime::deserializeCudaEngine: no plan");
        return nullptr;
    }
};

struct Refitter final : IRefitter, apiv::VRefitter {
    Engine *engine;
    double found = 0;
    explicit Refitter(Engine *of) : engine(of) { mImpl = this; }
    bool refitCudaEngine() noexcept override {
        if (!engine->plan.stripped || !(found > 0)) return false;
        engine->plan.factors = {found};
        return true;
    }
};

extern "C" void *createInferRuntime_INTERNAL(void *logger, int32_t version) noexcept {
    if (!log_of_process) log_of_process = static_cast<ILogger *>(logger);
    return version == NV_TENSORRT_VERSION ? static_cast<IRuntime *>(new Runtime) : nullptr;
}
extern "C" void *createInferRefitter_INTERNAL(void *engine, void *, int32_t) noexcept {
    return static_cast<IRefitter *>(new Refitter(static_cast<Engine *>(static_cast<ICudaEngine *>(engine))));
}
extern "C" int32_t getInferLibVersion() noexcept {
    const char *told = getenv("STAND_IN_VERSION");
    return told ? atoi(told) : NV_TENSORRT_VERSION;
}

#if NV_TENSORRT_MAJOR != 8
struct Parser final : nvonnxparser::IParserRefitter {
    Refitter *refitter;
    explicit Parser(Refitter *of) : refitter(of) {}
    bool refitFromBytes(void const *, std::size_t, char const *) noexcept override { return false; }
    bool refitFromFile(char const *file) noexcept override {
        std::string graph(file), folder = graph.substr(0, graph.rfind('/'));
        std::ifstream first(graph, std::ios::binary), weights(folder + "/weights", std::ios::binary | std::ios::ate);
        if (!first || first.peek() == EOF || !weights) return false;
        refitter->found = double(weights.tellg());
        return true;
    }
};

extern "C" void *createNvOnnxParserRefitter_INTERNAL(void *refitter, void *, int32_t) noexcept {
    auto *found = static_cast<Refitter *>(static_cast<IRefitter *>(refitter));
    return static_cast<nvonnxparser::IParserRefitter *>(new Parser(found));
}
#endif
