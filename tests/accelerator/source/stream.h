// Streams that plan: each keeps only the time at which it will have done its work.
//
// Work gets its start and its end when it is queued, so no thread has to be busy for it: nothing competes with the processes that
// a test measures, and the log is exact. The data of a copy or of an operator change at once, in the thread that queues it.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/Stream.h>

#include "log.h"

namespace simgpu {

constexpr c10::DeviceType kType = c10::DeviceType::PrivateUse1;
constexpr c10::DeviceIndex kDevices = 2;

int64_t now_ns();

// A place in the order of a stream's work.
struct Mark {
  c10::DeviceIndex device;
  c10::StreamId stream;
  int64_t passed_ns;  // when the stream has done all work before this place

  bool is_passed() const;

  // Blocks the caller until the stream has passed this place, and logs the wait.
  void wait(Kind kind) const;
};

// Work that begins as soon as the stream is free.
void enqueue(const c10::Stream& stream, Kind kind, int64_t duration_ns);

Mark mark(const c10::Stream& stream);

// Lets later work of the stream begin only when the mark is passed.
void wait_for(const c10::Stream& stream, const Mark& mark);

// Blocks the caller until all streams of the device have done their work.
void synchronize(c10::DeviceIndex device);

// The device and the streams that the calling thread uses, as in CUDA.
c10::DeviceIndex current_device();
void set_current_device(c10::DeviceIndex device);
c10::Stream current_stream(c10::DeviceIndex device);
void set_current_stream(const c10::Stream& stream);
c10::Stream default_stream(c10::DeviceIndex device);

// Another stream than the default one. The streams of a pool are handed out in turn, because nobody gives one back.
c10::Stream pool_stream(c10::DeviceIndex device);

}  // namespace simgpu
