#include "process.h"

#include <c10/util/Exception.h>
#include <pthread.h>

#include <atomic>
#include <mutex>

namespace simgpu {
namespace {

std::atomic<bool> started{false};
std::atomic<bool> forked_after_start{false};
std::atomic<bool> lost{false};
std::once_flag start_once;

}  // namespace

void start() {
  check_not_lost();
  TORCH_CHECK(!forked_after_start,
              "Cannot re-initialize simgpu in forked subprocess. To use simgpu with multiprocessing, "
              "you must use the 'spawn' start method");
  std::call_once(start_once, [] {
    pthread_atfork(nullptr, nullptr, [] { forked_after_start = true; });
    started = true;
  });
}

void lose_devices() { lost = true; }

void check_not_lost() { TORCH_CHECK(!lost, "simgpu error: device lost"); }

bool is_started() { return started; }

bool is_in_bad_fork() { return forked_after_start; }

}  // namespace simgpu
