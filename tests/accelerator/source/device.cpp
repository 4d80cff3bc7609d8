#include "device.h"

#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <atomic>
#include <utility>

#include "memory.h"
#include "process.h"
#include "stream.h"

namespace simgpu {
namespace {

using c10::Device;
using c10::DeviceIndex;
using c10::Stream;

std::atomic<double> drift_ppm{0};
std::atomic<int64_t> event_delay_ns{0};

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kType; }
  DeviceIndex deviceCount() const noexcept override { return kDevices; }

  Device getDevice() const override { return Device(kType, current_device()); }
  void setDevice(Device device) const override { set_current_device(device.index()); }
  void uncheckedSetDevice(Device device) const noexcept override { set_current_device(device.index()); }
  Device exchangeDevice(Device device) const override {
    const Device old = getDevice();
    setDevice(device);
    return old;
  }

  Stream getStream(Device device) const override { return current_stream(index_of(device)); }
  Stream getDefaultStream(Device device) const override { return default_stream(index_of(device)); }
  Stream getNewStream(Device device, int) const override { return pool_stream(index_of(device)); }
  Stream getStreamFromGlobalPool(Device device, bool) const override { return pool_stream(index_of(device)); }
  Stream exchangeStream(Stream stream) const override {
    const Stream old = current_stream(stream.device_index());
    set_current_stream(stream);
    return old;
  }
  bool queryStream(const Stream& stream) const override { return mark(stream).is_passed(); }
  void synchronizeStream(const Stream& stream) const override { mark(stream).wait(Kind::WaitForStream); }
  void synchronizeDevice(DeviceIndex device) const override { synchronize(device < 0 ? current_device() : device); }

  // PyTorch keeps a pointer for each event; recording an event again replaces its mark.
  void record(void** event, const Stream& stream, DeviceIndex, c10::EventFlag) const override {
    const Mark newest = mark(stream);
    delete static_cast<Mark*>(*event);
    *event = new Mark(newest);
  }
  void destroyEvent(void* event, DeviceIndex) const noexcept override { delete static_cast<Mark*>(event); }
  bool queryEvent(void* event) const override { return !event || mark_of(event).is_passed(event_delay_ns); }
  void block(void* event, const Stream& stream) const override {
    if (event) wait_for(stream, mark_of(event));
  }
  void synchronizeEvent(void* event) const override {
    if (event) mark_of(event).wait(Kind::WaitForEvent, event_delay_ns);
  }
  double elapsedTime(void* first, void* second, DeviceIndex) const override {
    TORCH_CHECK(mark_of(first).device() == mark_of(second).device(), "simgpu: the events are of two devices");
    const double host_ms = double(mark_of(second).passed_ns() - mark_of(first).passed_ns()) / 1e6;
    return float(host_ms * (1 + drift_ppm * 1e-6));  // a float, as CUDA's
  }

 private:
  static DeviceIndex index_of(Device device) { return device.has_index() ? device.index() : current_device(); }
  static const Mark& mark_of(void* event) { return *static_cast<Mark*>(event); }
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return is_started(); }
  DeviceIndex deviceCount() const override { return kDevices; }
  DeviceIndex getCurrentDevice() const override { return current_device(); }
  void setCurrentDevice(DeviceIndex device) const override { set_current_device(device); }
  DeviceIndex exchangeDevice(DeviceIndex device) const override {
    const DeviceIndex old = current_device();
    set_current_device(device);
    return old;
  }
  DeviceIndex maybeExchangeDevice(DeviceIndex device) const override { return device < 0 ? current_device() : exchangeDevice(device); }
  bool isPinnedPtr(const void* pointer) const override { return is_pinned(pointer); }
  c10::Allocator* getPinnedMemoryAllocator() const override { return pinned_memory(); }
};

const bool is_registered = [] {
  at::RegisterPrivateUse1HooksInterface(new Hooks);
  c10::SetAllocator(kType, device_memory());
  return true;
}();

}  // namespace

void set_drift_ppm(double ppm) { drift_ppm = ppm; }

void set_event_delay_ns(int64_t ns) { event_delay_ns = ns; }

}  // namespace simgpu
