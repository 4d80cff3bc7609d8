#include "stream.h"

#include <c10/util/Exception.h>

#include <atomic>
#include <memory>
#include <vector>

#include "process.h"

namespace simgpu {
namespace {

using c10::DeviceIndex;
using c10::Stream;
using c10::StreamId;

constexpr StreamId kStreams = 33;  // the default one, and as many as a pool of CUDA has (c10/cuda/CUDAStream.cpp)

std::atomic<bool> in_real_time{false};
std::atomic<StreamId> pool_streams_given[kDevices] = {};

thread_local DeviceIndex thread_device = 0;
thread_local StreamId thread_stream[kDevices] = {};

void check_device(DeviceIndex device) {
  TORCH_CHECK(device >= 0 && device < kDevices, "simgpu error: invalid device ordinal ", int(device));
}

using Queues = std::vector<std::unique_ptr<WorkQueue>>;

Queues* new_queues() {
  auto* queues = new Queues;
  for (DeviceIndex device = 0; device < kDevices; ++device)
    for (StreamId stream = 0; stream < kStreams; ++stream)
      queues->push_back((in_real_time ? real_time_queue : planned_queue)(device, stream));
  return queues;
}

WorkQueue& queue_of(DeviceIndex device, StreamId stream) {
  start();
  static Queues* queues = new_queues();  // never destroyed: their threads may still run when the process ends
  return *queues->at(size_t(device * kStreams + stream));
}

WorkQueue& queue_of(const Stream& stream) { return queue_of(stream.device_index(), stream.id()); }

Stream stream_of(DeviceIndex device, StreamId id) {
  check_device(device);
  return Stream(Stream::UNSAFE, c10::Device(kType, device), id);
}

}  // namespace

void set_in_real_time(bool chosen) {
  TORCH_CHECK(!is_started(), "simgpu: the streams have started");
  in_real_time = chosen;
}

bool is_in_real_time() { return in_real_time; }

void enqueue(const Stream& stream, Kind kind, int64_t duration_ns, std::function<void()> change_data) {
  queue_of(stream).add(kind, duration_ns, std::move(change_data));
}

Mark mark(const Stream& stream) { return queue_of(stream).mark(); }

void wait_for(const Stream& stream, const Mark& mark) { queue_of(stream).wait_for(mark); }

void synchronize(DeviceIndex device) {
  check_device(device);
  const int64_t start_ns = now_ns();
  std::vector<Mark> marks;  // made before the first wait, so that work that comes later is not waited for
  for (StreamId stream = 0; stream < kStreams; ++stream) marks.push_back(queue_of(device, stream).mark());
  for (const Mark& mark : marks) sleep_until(mark.passed_ns());
  write_record({Kind::WaitForDevice, device, -1, start_ns, now_ns()});
  check_not_lost();
}

DeviceIndex current_device() { return thread_device; }

void set_current_device(DeviceIndex device) {
  check_device(device);
  thread_device = device;
}

Stream current_stream(DeviceIndex device) {
  check_device(device);
  return stream_of(device, thread_stream[device]);
}

void set_current_stream(const Stream& stream) { thread_stream[stream.device_index()] = stream.id(); }

Stream default_stream(DeviceIndex device) { return stream_of(device, 0); }

Stream pool_stream(DeviceIndex device) {
  check_device(device);
  return stream_of(device, pool_streams_given[device]++ % (kStreams - 1) + 1);
}

}  // namespace simgpu
