#include "memory.h"

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "process.h"
#include "stream.h"

namespace simgpu {
namespace {

using c10::DataPtr;
using c10::Device;
using c10::DeviceIndex;

constexpr DeviceIndex kHost = -1;
constexpr size_t kAlignment = 64;

struct Block {
  size_t bytes;
  DeviceIndex device;
};

std::mutex memory_mutex;
auto* blocks = new std::map<const char*, Block>;  // by address; never destroyed, because tensors may be freed when the process ends
int64_t device_bytes[kDevices] = {};

// Frees at once although streams may still use the block: work that will change data keeps their storage alive, see copy_from.
void release(void* pointer) {
  if (!pointer || is_in_bad_fork()) return;  // another thread may have held the mutex when this process was forked
  std::lock_guard<std::mutex> lock(memory_mutex);
  const auto entry = blocks->find(static_cast<char*>(pointer));
  if (entry == blocks->end()) return;
  if (entry->second.device != kHost) device_bytes[entry->second.device] -= int64_t(entry->second.bytes);
  blocks->erase(entry);
  std::free(pointer);
}

DataPtr allocate_on(DeviceIndex device, size_t bytes) {
  start();
  void* pointer = nullptr;
  TORCH_CHECK(posix_memalign(&pointer, kAlignment, std::max(bytes, kAlignment)) == 0, "simgpu out of memory");
  std::lock_guard<std::mutex> lock(memory_mutex);
  (*blocks)[static_cast<char*>(pointer)] = {bytes, device};
  if (device != kHost) device_bytes[device] += int64_t(bytes);
  if (is_in_real_time()) std::memset(pointer, 0xff, bytes);  // not the data of the block before, which may by chance be right
  return {pointer, pointer, &release, device == kHost ? Device(c10::DeviceType::CPU) : Device(kType, device)};
}

// A DeviceAllocator, because torch.accelerator.memory_allocated and the like need one.
struct DeviceMemory final : c10::DeviceAllocator {
  DataPtr allocate(size_t bytes) override { return allocate_on(current_device(), bytes); }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }
  bool initialized() override { return is_started(); }
  void emptyCache(c10::MempoolId_t) override {}
  void recordStream(const DataPtr&, c10::Stream) override {}
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(DeviceIndex device) override {
    c10::CachingDeviceAllocator::DeviceStats stats;
    stats.allocated_bytes[0].current = stats.reserved_bytes[0].current = held_bytes(device);
    return stats;
  }
  void resetAccumulatedStats(DeviceIndex) override {}
  void resetPeakStats(DeviceIndex) override {}
};

struct PinnedMemory final : c10::Allocator {
  DataPtr allocate(size_t bytes) override { return allocate_on(kHost, bytes); }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }
};

}  // namespace

c10::Allocator* device_memory() {
  static auto* allocator = new DeviceMemory;
  return allocator;
}

c10::Allocator* pinned_memory() {
  static auto* allocator = new PinnedMemory;
  return allocator;
}

bool is_pinned(const void* pointer) {
  if (is_in_bad_fork()) return false;
  const char* address = static_cast<const char*>(pointer);
  std::lock_guard<std::mutex> lock(memory_mutex);
  auto after = blocks->upper_bound(address);
  if (after == blocks->begin()) return false;
  const auto& [first, block] = *--after;
  return block.device == kHost && address < first + std::max<size_t>(block.bytes, 1);
}

int64_t held_bytes(DeviceIndex device) {
  std::lock_guard<std::mutex> lock(memory_mutex);
  return device_bytes[device];
}

}  // namespace simgpu
