#include "stream.h"

#include <c10/util/Exception.h>
#include <time.h>

#include <algorithm>
#include <mutex>

#include "process.h"

namespace simgpu {
namespace {

using c10::DeviceIndex;
using c10::Stream;
using c10::StreamId;

constexpr StreamId kStreams = 33;  // the default one, and as many as a pool of CUDA has (c10/cuda/CUDAStream.cpp)
constexpr int64_t kWakeUpNs = 100000;  // a sleeping thread may wake up this much late

std::mutex streams_mutex;
int64_t free_ns[kDevices][kStreams] = {};  // when each stream has done its work
StreamId newest_stream[kDevices] = {};

thread_local DeviceIndex thread_device = 0;
thread_local StreamId thread_stream[kDevices] = {};

void sleep_until(int64_t ns) {
  const int64_t coarse_ns = ns - kWakeUpNs;
  if (coarse_ns > now_ns()) {
    const timespec until{time_t(coarse_ns / 1000000000), long(coarse_ns % 1000000000)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
  }
  while (now_ns() < ns) {
  }
}

void check_device(DeviceIndex device) {
  TORCH_CHECK(device >= 0 && device < kDevices, "simgpu error: invalid device ordinal ", int(device));
}

int64_t& free_ns_of(const Stream& stream) { return free_ns[stream.device_index()][stream.id()]; }

Stream stream_of(DeviceIndex device, StreamId id) {
  check_device(device);
  return Stream(Stream::UNSAFE, c10::Device(kType, device), id);
}

}  // namespace

int64_t now_ns() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return int64_t(time.tv_sec) * 1000000000 + time.tv_nsec;
}

bool Mark::is_passed() const { return now_ns() >= passed_ns; }

void Mark::wait(Kind kind) const {
  const int64_t start_ns = now_ns();
  sleep_until(passed_ns);
  write_record({kind, device, stream, start_ns, now_ns()});
}

void enqueue(const Stream& stream, Kind kind, int64_t duration_ns) {
  start();
  std::lock_guard<std::mutex> lock(streams_mutex);
  int64_t& free = free_ns_of(stream);
  const int64_t start_ns = std::max(now_ns(), free);
  free = start_ns + duration_ns;
  write_record({kind, stream.device_index(), stream.id(), start_ns, free});
}

Mark mark(const Stream& stream) {
  start();
  std::lock_guard<std::mutex> lock(streams_mutex);
  return {stream.device_index(), stream.id(), std::max(now_ns(), free_ns_of(stream))};
}

void wait_for(const Stream& stream, const Mark& mark) {
  start();
  std::lock_guard<std::mutex> lock(streams_mutex);
  int64_t& free = free_ns_of(stream);
  free = std::max(free, mark.passed_ns);
}

void synchronize(DeviceIndex device) {
  start();
  check_device(device);
  Mark last{device, -1, 0};
  {
    std::lock_guard<std::mutex> lock(streams_mutex);
    last.passed_ns = *std::max_element(free_ns[device], free_ns[device] + kStreams);
  }
  last.wait(Kind::WaitForDevice);
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
  std::lock_guard<std::mutex> lock(streams_mutex);
  newest_stream[device] = newest_stream[device] % (kStreams - 1) + 1;
  return stream_of(device, newest_stream[device]);
}

}  // namespace simgpu
