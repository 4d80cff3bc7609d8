#include <algorithm>
#include <mutex>

#include "work_queue.h"

namespace simgpu {
namespace {

class PlannedQueue final : public WorkQueue {
 public:
  using WorkQueue::WorkQueue;

  void add(Kind kind, int64_t duration_ns, std::function<void()> change_data) override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      const int64_t start_ns = std::max(now_ns(), free_ns_);
      free_ns_ = start_ns + duration_ns;
      write_record({kind, device_, stream_, start_ns, free_ns_});
    }
    if (change_data) change_data();
  }

  Mark mark() override {
    const Mark mark(device_, stream_);
    std::lock_guard<std::mutex> lock(mutex_);
    mark.set_passed_ns(std::max(now_ns(), free_ns_));
    return mark;
  }

  void wait_for(const Mark& mark) override {
    std::lock_guard<std::mutex> lock(mutex_);
    free_ns_ = std::max(free_ns_, mark.passed_ns());
  }

 private:
  std::mutex mutex_;
  int64_t free_ns_ = 0;  // when the stream has done its work
};

}  // namespace

std::unique_ptr<WorkQueue> planned_queue(c10::DeviceIndex device, c10::StreamId stream) {
  return std::make_unique<PlannedQueue>(device, stream);
}

}  // namespace simgpu
