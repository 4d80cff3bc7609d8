#include "log.h"

#include <c10/util/Exception.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <mutex>

namespace simgpu {
namespace {

constexpr int64_t kCapacity = 1 << 18;

// The log lies in a mapped file, because an agent ends without clean-up and the log must outlive it.
struct LogFile {
  int64_t count;
  Record records[kCapacity];
};

std::mutex log_mutex;
std::string* log_stem = new std::string;  // never destroyed: threads may still log when the process ends
LogFile* log_file = nullptr;

// Opens the file at the first record, so that a process that does not use the accelerator leaves none.
void open_log() {
  const std::string path = *log_stem + "." + std::to_string(getpid());
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  TORCH_CHECK(descriptor >= 0 && ftruncate(descriptor, sizeof(LogFile)) == 0, "simgpu: the log cannot be written to ", path);
  void* mapped = mmap(nullptr, sizeof(LogFile), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  close(descriptor);
  TORCH_CHECK(mapped != MAP_FAILED, "simgpu: the log cannot be mapped");
  log_file = static_cast<LogFile*>(mapped);
}

}  // namespace

void set_log_stem(const std::string& stem) {
  std::lock_guard<std::mutex> lock(log_mutex);
  *log_stem = stem;
}

void write_record(const Record& record) {
  std::lock_guard<std::mutex> lock(log_mutex);
  if (!log_file) open_log();
  TORCH_CHECK(log_file->count < kCapacity, "simgpu: the log is full");
  log_file->records[log_file->count] = record;
  std::atomic_ref(log_file->count).store(log_file->count + 1, std::memory_order_release);  // other processes read the log
}

size_t record_count() {
  std::lock_guard<std::mutex> lock(log_mutex);
  return log_file ? size_t(log_file->count) : 0;
}

std::vector<Record> records_from(size_t first) {
  std::lock_guard<std::mutex> lock(log_mutex);
  if (!log_file) return {};
  return {log_file->records + first, log_file->records + log_file->count};
}

}  // namespace simgpu
