// The work of one stream, in order. A queue either plans its work or does it in real time.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/Stream.h>

#include <atomic>
#include <functional>
#include <memory>

#include "log.h"

namespace simgpu {

int64_t now_ns();

void sleep_until(int64_t ns);

// A place in the order of a stream's work. Copies of a mark are the same place.
class Mark {
 public:
  Mark(c10::DeviceIndex device, c10::StreamId stream);

  c10::DeviceIndex device() const { return device_; }

  // Says when the stream has done all work before this place; the time may lie in the future.
  void set_passed_ns(int64_t ns) const;

  // That time. Blocks until it is known.
  int64_t passed_ns() const;

  // Whether the stream has passed this place `delay_ns` ago.
  bool is_passed(int64_t delay_ns = 0) const;

  // Blocks until `delay_ns` after the stream has passed this place, and logs the wait.
  void wait(Kind kind, int64_t delay_ns = 0) const;

 private:
  c10::DeviceIndex device_;
  c10::StreamId stream_;
  std::shared_ptr<std::atomic<int64_t>> passed_ns_;
};

class WorkQueue {
 public:
  WorkQueue(c10::DeviceIndex device, c10::StreamId stream) : device_(device), stream_(stream) {}
  virtual ~WorkQueue() = default;

  // Adds work that begins as soon as all work before it has ended. `change_data` does to the data what the work does, or is empty.
  virtual void add(Kind kind, int64_t duration_ns, std::function<void()> change_data) = 0;

  virtual Mark mark() = 0;

  // Lets later work begin only when the mark is passed.
  virtual void wait_for(const Mark& mark) = 0;

 protected:
  const c10::DeviceIndex device_;
  const c10::StreamId stream_;
};

// A queue that keeps only the time at which it will have done its work.
//
// Work gets its start and its end when it is added, so no thread has to be busy for it: nothing competes with the processes that
// a test measures, and the log is exact. Data change at once, in the thread that adds the work.
std::unique_ptr<WorkQueue> planned_queue(c10::DeviceIndex device, c10::StreamId stream);

// A queue with a thread that works through it. Data change when the work ends, so whoever forgets to wait reads wrong data.
std::unique_ptr<WorkQueue> real_time_queue(c10::DeviceIndex device, c10::StreamId stream);

}  // namespace simgpu
