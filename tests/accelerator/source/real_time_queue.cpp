#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "work_queue.h"

namespace simgpu {
namespace {

class RealTimeQueue final : public WorkQueue {
 public:
  using WorkQueue::WorkQueue;

  void add(Kind kind, int64_t duration_ns, std::function<void()> change_data) override {
    push([=, this] {
      const int64_t start_ns = now_ns();
      sleep_until(start_ns + duration_ns);
      if (change_data) change_data();
      write_record({kind, device_, stream_, start_ns, now_ns()});
    });
  }

  Mark mark() override {
    const Mark mark(device_, stream_);
    if (is_idle()) {
      mark.set_passed_ns(now_ns());  // no thread has to wake up for it
    } else {
      push([=] { mark.set_passed_ns(now_ns()); });
    }
    return mark;
  }

  void wait_for(const Mark& mark) override {
    push([=] { mark.passed_ns(); });
  }

 private:
  bool is_idle() {
    std::lock_guard<std::mutex> lock(mutex_);
    return tasks_.empty() && !is_working_;
  }

  void push(std::function<void()> task) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!has_thread_) std::thread([this] { run(); }).detach();
    has_thread_ = true;
    tasks_.push_back(std::move(task));
    added_.notify_one();
  }

  void run() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      is_working_ = false;
      added_.wait(lock, [this] { return !tasks_.empty(); });
      is_working_ = true;
      auto task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
      task = nullptr;  // lets memory of the task be freed now
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable added_;
  std::deque<std::function<void()>> tasks_;
  bool has_thread_ = false, is_working_ = false;
};

}  // namespace

std::unique_ptr<WorkQueue> real_time_queue(c10::DeviceIndex device, c10::StreamId stream) {
  return std::make_unique<RealTimeQueue>(device, stream);
}

}  // namespace simgpu
