#include "work_queue.h"

#include <time.h>

#include "process.h"

namespace simgpu {
namespace {

constexpr int64_t kUnknown = -1;
constexpr int64_t kWakeUpNs = 100000;  // a sleeping thread may wake up this much late

}  // namespace

int64_t now_ns() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return int64_t(time.tv_sec) * 1000000000 + time.tv_nsec;
}

void sleep_until(int64_t ns) {
  const int64_t coarse_ns = ns - kWakeUpNs;
  if (coarse_ns > now_ns()) {
    const timespec until{time_t(coarse_ns / 1000000000), long(coarse_ns % 1000000000)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
  }
  while (now_ns() < ns) {
  }
}

Mark::Mark(c10::DeviceIndex device, c10::StreamId stream)
    : device_(device), stream_(stream), passed_ns_(std::make_shared<std::atomic<int64_t>>(kUnknown)) {}

void Mark::set_passed_ns(int64_t ns) const {
  *passed_ns_ = ns;
  passed_ns_->notify_all();
}

int64_t Mark::passed_ns() const {
  passed_ns_->wait(kUnknown);
  return *passed_ns_;
}

bool Mark::is_passed(int64_t delay_ns) const {
  check_not_lost();
  const int64_t passed_ns = *passed_ns_;
  return passed_ns != kUnknown && now_ns() >= passed_ns + delay_ns;
}

void Mark::wait(Kind kind, int64_t delay_ns) const {
  check_not_lost();
  const int64_t start_ns = now_ns();
  sleep_until(passed_ns() + delay_ns);
  write_record({kind, device_, stream_, start_ns, now_ns()});
  check_not_lost();
}

}  // namespace simgpu
