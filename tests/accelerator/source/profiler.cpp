// Shows the work of the accelerator to torch.profiler.
#define USE_KINETO
#include <torch/csrc/profiler/standalone/privateuse1_profiler.h>

#include <libkineto.h>
#include <output_base.h>
#include <time.h>

#include "log.h"

namespace simgpu {
namespace {

using libkineto::ActivityType;
using ActivityTypes = std::set<ActivityType>;

// How far the Unix clock, which Kineto uses, is ahead of the clock of the log.
int64_t unix_offset_ns() {
  timespec unix_time, log_time;
  clock_gettime(CLOCK_REALTIME, &unix_time);
  clock_gettime(CLOCK_MONOTONIC, &log_time);
  return int64_t(unix_time.tv_sec - log_time.tv_sec) * 1000000000 + unix_time.tv_nsec - log_time.tv_nsec;
}

const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::Kernel:
      return "kernel";
    case Kind::CopyToDevice:
      return "Memcpy HtoD";
    case Kind::CopyToHost:
      return "Memcpy DtoH";
    case Kind::CopyOnDevice:
      return "Memcpy DtoD";
    default:
      return nullptr;  // the host waits: no work of the device
  }
}

class Session final : public libkineto::IActivityProfilerSession {
 public:
  void start() override { first_record_ = record_count(); }
  void stop() override {}
  std::vector<std::string> errors() override { return {}; }
  void processTrace(libkineto::ActivityLogger& logger) override {
    const int64_t offset_ns = unix_offset_ns();
    for (const Record& record : records_from(first_record_)) {
      const char* name = name_of(record.kind);
      if (!name) continue;
      const bool is_kernel = record.kind == Kind::Kernel;
      buffer_->emplace_activity(buffer_->span, is_kernel ? ActivityType::CONCURRENT_KERNEL : ActivityType::GPU_MEMCPY, name);
      auto& activity = *buffer_->activities.back();
      activity.startTime = record.start_ns + offset_ns;
      activity.endTime = record.end_ns + offset_ns;
      activity.device = int32_t(record.device);
      activity.resource = int32_t(record.stream);
      logger.handleGenericActivity(activity);
    }
  }
  std::unique_ptr<libkineto::DeviceInfo> getDeviceInfo() override { return nullptr; }
  std::vector<libkineto::ResourceInfo> getResourceInfos() override { return {}; }
  std::unique_ptr<libkineto::CpuTraceBuffer> getTraceBuffer() override { return std::move(buffer_); }

 private:
  std::unique_ptr<libkineto::CpuTraceBuffer> buffer_ = std::make_unique<libkineto::CpuTraceBuffer>();
  size_t first_record_ = 0;
};

class Profiler final : public libkineto::IActivityProfiler {
 public:
  const std::string& name() const override { return name_; }
  const ActivityTypes& availableActivities() const override { return activities_; }
  std::unique_ptr<libkineto::IActivityProfilerSession> configure(const ActivityTypes&, const libkineto::Config&) override {
    return std::make_unique<Session>();
  }
  std::unique_ptr<libkineto::IActivityProfilerSession> configure(int64_t, int64_t, const ActivityTypes& types,
                                                                 const libkineto::Config& config) override {
    return configure(types, config);
  }

 private:
  const std::string name_ = "simgpu";
  const ActivityTypes activities_{ActivityType::CONCURRENT_KERNEL, ActivityType::GPU_MEMCPY};
};

const bool is_registered = [] {
  auto& registry = torch::profiler::impl::PrivateUse1ProfilerRegistry::instance();
  registry.registerFactory([] { return std::make_unique<Profiler>(); });
  return true;
}();

}  // namespace
}  // namespace simgpu
