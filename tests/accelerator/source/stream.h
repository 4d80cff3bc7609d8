// The streams of the devices, and which of them a thread uses.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/Stream.h>

#include <functional>

#include "work_queue.h"

namespace simgpu {

constexpr c10::DeviceType kType = c10::DeviceType::PrivateUse1;
constexpr c10::DeviceIndex kDevices = 2;

// Chooses between streams that plan and streams that work in real time; see work_queue.h. Call it before the accelerator starts.
void set_in_real_time(bool in_real_time);
bool is_in_real_time();

// Adds work to a stream; see WorkQueue::add.
void enqueue(const c10::Stream& stream, Kind kind, int64_t duration_ns, std::function<void()> change_data = {});

Mark mark(const c10::Stream& stream);

// Lets later work of the stream begin only when the mark is passed.
void wait_for(const c10::Stream& stream, const Mark& mark);

// Blocks the caller until all streams of the device have done their work, and logs the wait.
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
