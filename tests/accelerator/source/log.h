// What happened: when each stream was busy, and when the host waited for the accelerator.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace simgpu {

// accelerator_log.py has the same numbers.
enum class Kind : int64_t {
  Kernel,
  CopyToDevice,
  CopyToHost,
  CopyOnDevice,
  WaitForStream,  // from here on: the host waits
  WaitForEvent,
  WaitForDevice,
  WaitForCopy,
};

// A period on the monotonic clock, which is Python's perf_counter_ns. `stream` is -1 if the host waits for all streams.
struct Record {
  Kind kind;
  int64_t device, stream, start_ns, end_ns;
};

// Names the log file of each process that uses the accelerator: `stem` and the process's pid.
void set_log_stem(const std::string& stem);

void write_record(const Record& record);

size_t record_count();

std::vector<Record> records_from(size_t first);

}  // namespace simgpu
