// Operators: memory and copies of the accelerator's own, and the CPU's for all others.
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/Tensor.h>
#include <ATen/EmptyTensor.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include <array>
#include <atomic>
#include <cstring>

#include "device.h"
#include "identity.h"
#include "memory.h"
#include "process.h"
#include "stream.h"

namespace simgpu {
namespace {

using at::IntArrayRef;
using at::Tensor;
using c10::Device;

std::atomic<double> copy_bytes_per_ns{8.0};
constexpr int64_t kCopyNs = 10000;  // of the smallest copy
constexpr double kOperationsPerNs = 20000;  // of a matrix product: 20 TFLOP/s
constexpr std::array<const char*, kDevices> kUuids = SIMGPU_UUIDS;

// ---- memory

const c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

Tensor empty(IntArrayRef size, std::optional<at::ScalarType> type, std::optional<at::Layout>, std::optional<Device> device,
             std::optional<bool>, std::optional<at::MemoryFormat> format) {
  const c10::DeviceGuard guard(device.value_or(Device(kType, current_device())));
  return at::detail::empty_generic(size, device_memory(), kKeys, c10::dtype_or_default(type), format);
}

Tensor empty_strided(IntArrayRef size, IntArrayRef stride, std::optional<at::ScalarType> type, std::optional<at::Layout>,
                     std::optional<Device> device, std::optional<bool>) {
  const c10::DeviceGuard guard(device.value_or(Device(kType, current_device())));
  return at::detail::empty_strided_generic(size, stride, device_memory(), kKeys, c10::dtype_or_default(type));
}

const Tensor& resize(const Tensor& tensor, IntArrayRef size, std::optional<at::MemoryFormat> format) {
  auto* impl = tensor.unsafeGetTensorImpl();
  impl->set_sizes_contiguous(size);
  const size_t needed_bytes = size_t(impl->numel() + tensor.storage_offset()) * tensor.itemsize();
  auto* storage = tensor.storage().unsafeGetStorageImpl();
  if (needed_bytes > storage->nbytes()) {
    const c10::DeviceGuard guard(tensor.device());
    auto larger = device_memory()->allocate(needed_bytes);
    if (storage->nbytes()) {
      synchronize(tensor.device().index());  // queued work uses the old memory
      std::memcpy(larger.get(), storage->data(), storage->nbytes());
    }
    storage->set_data_ptr_noswap(std::move(larger));
    storage->set_nbytes(needed_bytes);
  }
  if (format) impl->empty_tensor_restride(*format);
  return tensor;
}

Tensor& set_storage(Tensor& tensor, at::Storage storage) { return at::native::set_(tensor, std::move(storage)); }

// ---- copies

// The same memory as a tensor of the CPU, which keeps the memory alive. It holds no tensor, because the end of a tensor may need
// Python's lock, for which a stream must not wait.
Tensor on_cpu(const Tensor& tensor) {
  const auto options = tensor.options().device(at::kCPU);
  return at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(), [memory = tensor.storage()](void*) {}, options);
}

// Copies between tensors of the CPU.
void copy_data(const Tensor& from, const Tensor& to) {
  if (from.is_contiguous() && to.is_contiguous() && from.scalar_type() == to.scalar_type() && from.sizes() == to.sizes()) {
    std::memcpy(to.data_ptr(), from.data_ptr(), from.nbytes());  // in this thread only: threads of OpenMP would compete with workers
  } else {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    to.copy_(from);
  }
}

Tensor copy_from(const Tensor& from, const Tensor& to, bool non_blocking) {
  const bool is_to_device = from.is_cpu(), is_to_host = to.is_cpu();
  const c10::Stream stream = current_stream((is_to_host ? from : to).get_device());
  if (!is_to_device && !is_to_host && from.device() != to.device()) wait_for(stream, mark(current_stream(from.get_device())));
  const Kind kind = is_to_device ? Kind::CopyToDevice : is_to_host ? Kind::CopyToHost : Kind::CopyOnDevice;
  // As in CUDA, a copy from memory that is not pinned returns when its data are staged, and one to such memory when it has ended.
  const bool returns_early = is_to_device ? non_blocking : is_to_host ? non_blocking && is_pinned(to.data_ptr()) : true;
  const bool is_staged = is_in_real_time() && is_to_device && non_blocking && !is_pinned(from.data_ptr());
  enqueue(stream, kind, kCopyNs + int64_t(double(to.nbytes()) / copy_bytes_per_ns),
          [source = is_staged ? from.clone() : on_cpu(from), target = on_cpu(to)] { copy_data(source, target); });
  if (!returns_early) mark(stream).wait(Kind::WaitForCopy);
  return to;
}

Tensor copy_from_and_resize(const Tensor& from, const Tensor& to) {
  if (to.sizes() != from.sizes()) to.resize_(from.sizes());
  return copy_from(from, to, false);
}

void record_stream(Tensor&, at::Stream) {}  // memory is never given to another tensor while work uses it, see memory.cpp

// ---- work

void busy(const Tensor& tensor, int64_t microseconds) {
  enqueue(current_stream(tensor.get_device()), Kind::Kernel, microseconds * 1000);
}

// A load that takes the time of a matrix product and leaves the data of `out` as they are. The fallback, which does compute, would make
// the host wait. Models use the other overloads.
Tensor& mm_out(const Tensor& first, const Tensor& second, Tensor& out) {
  TORCH_CHECK(first.dim() == 2 && second.dim() == 2 && first.size(1) == second.size(0), "simgpu: these are no factors of a product");
  TORCH_CHECK(out.sizes() == IntArrayRef({first.size(0), second.size(1)}), "simgpu: out has not the size of the product");
  const double operations = 2.0 * double(first.size(0)) * double(first.size(1)) * double(second.size(1));
  enqueue(current_stream(out.get_device()), Kind::Kernel, int64_t(operations / kOperationsPerNs));
  return out;
}

// Convolutions are the one common operator for which PyTorch does not take the fallback.
Tensor convolution(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias, IntArrayRef stride, IntArrayRef padding,
                   IntArrayRef dilation, bool transposed, IntArrayRef output_padding, int64_t groups) {
  std::optional<Tensor> host_bias;
  if (bias && bias->defined()) host_bias = bias->cpu();
  return at::convolution(input.cpu(), weight.cpu(), host_bias, stride, padding, dilation, transposed, output_padding, groups)
      .to(input.device());
}

std::tuple<Tensor, Tensor, Tensor> convolution_backward(const Tensor& grad, const Tensor& input, const Tensor& weight, IntArrayRef stride,
                                                        IntArrayRef padding, IntArrayRef dilation, bool transposed,
                                                        IntArrayRef output_padding, int64_t groups, std::array<bool, 3> mask) {
  const auto [of_input, of_weight, of_bias] =
      at::convolution_backward(grad.cpu(), input.cpu(), weight.cpu(), at::IntArrayRef({weight.size(0)}), stride, padding, dilation,
                               transposed, output_padding, groups, mask);
  const auto back = [&](const Tensor& gradient) { return gradient.defined() ? gradient.to(input.device()) : gradient; };
  return {back(of_input), back(of_weight), back(of_bias)};
}

void run_on_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) { at::native::cpu_fallback(op, stack); }

}  // namespace

TORCH_LIBRARY(simgpu, m) {
  m.def("busy(Tensor self, int microseconds) -> ()");
  m.def("set_log_stem(str stem) -> ()", set_log_stem);
  m.def("set_drift_ppm(float ppm) -> ()", set_drift_ppm);
  m.def("set_event_delay(int ns) -> ()", set_event_delay_ns);
  m.def("set_in_real_time(bool chosen) -> ()", set_in_real_time);
  m.def("lose_device() -> ()", lose_devices);
  m.def("set_copy_rate(float bytes_per_ns) -> ()", [](double bytes_per_ns) { copy_bytes_per_ns = bytes_per_ns; });
  m.def("device_name() -> str", [] { return std::string(SIMGPU_NAME); });
  m.def("device_uuid(int device) -> str", [](int64_t device) { return std::string(kUuids.at(size_t(device))); });
  m.def("device_count() -> int", [] { return int64_t(kDevices); });
  m.def("is_started() -> bool", is_started);
  m.def("is_in_bad_fork() -> bool", is_in_bad_fork);
  m.def("held_bytes(int device) -> int", [](int64_t device) { return held_bytes(c10::DeviceIndex(device)); });
}

TORCH_LIBRARY_IMPL(simgpu, PrivateUse1, m) { m.impl("busy", busy); }

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("resize_", resize);
  m.impl("as_strided", at::native::as_strided_tensorimpl);
  m.impl("view", [](const Tensor& tensor, IntArrayRef size) { return at::native::view(tensor, size); });
  m.impl("_reshape_alias", at::native::_reshape_alias);
  m.impl("set_.source_Storage_storage_offset", at::native::set_storage_cpu_);
  m.impl("set_.source_Storage", set_storage);
  m.impl("set_.source_Tensor", at::native::set_tensor_);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("record_stream", record_stream);
  m.impl("mm", torch::CppFunction::makeFromBoxedFunction<&run_on_cpu>());  // else PyTorch makes it of mm.out
  m.impl("mm.out", mm_out);
  m.impl("convolution_overrideable", convolution);
  m.impl("convolution_backward_overrideable", convolution_backward);
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&run_on_cpu>()); }

}  // namespace simgpu
