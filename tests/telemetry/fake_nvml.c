/* A libnvidia-ml with two GPUs, for machines without one: the real pynvml loads it. Power and memory clock of GPU 1 answer
   NVML_ERROR_NOT_SUPPORTED. Values change from call to call. Built with -DOLD it lacks the symbols of newer drivers.

   FAKE_NVML_INIT=N     initialising answers the error N
   FAKE_NVML_COUNT=N    the machine has N GPUs
   FAKE_NVML_LOST=N     after N readings of its utilisation GPU 1 is lost
   FAKE_NVML_GONE=N     after N readings of any utilisation the driver is gone
   FAKE_NVML_FLAKY=N    the first N readings of a temperature fail with an error that passes
   FAKE_NVML_MIG=1      GPU 0 is divided; its places 0 and 2 are taken

   Where LOADERSCOPE_TEST_ACCELERATOR_LOG is set, the GPUs are the devices of the simulated accelerator
   (tests/accelerator), with its load. */
#include "../accelerator/source/identity.h"
#include "accelerator_load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
enum { OK, UNINITIALIZED = 1, NOT_SUPPORTED = 3, NOT_FOUND = 6, TIMEOUT = 10, LOST = 15 };
static int readings, readings_of_1, temperatures;
static int setting(const char *name, int other) { const char *text = getenv(name); return text ? atoi(text) : other; }
static int index_of(void *device) { return (int)(long)device >= 100 ? 0 : (int)(long)device - 1; }
static int part_of(void *device) { return (int)(long)device >= 100 ? (int)(long)device - 100 : -1; }
static int state_of(void *device) {
    if (readings > setting("FAKE_NVML_GONE", 1 << 30)) return UNINITIALIZED;
    if (index_of(device) == 1 && readings_of_1 > setting("FAKE_NVML_LOST", 1 << 30)) return LOST;
    return OK;
}
static int is_divided(void *device) { return index_of(device) == 0 && setting("FAKE_NVML_MIG", 0); }
int nvmlInitWithFlags(unsigned flags) { return setting("FAKE_NVML_INIT", OK); }
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { return "fake error"; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = setting("FAKE_NVML_COUNT", 2); return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) { *device = (void *)(long)(index + 1); return OK; }
int nvmlDeviceGetUUID(void *device, char *text, unsigned size) {
    static const char *accelerator_uuids[] = SIMGPU_UUIDS;
    if (is_accelerator_simulated()) { snprintf(text, size, "GPU-%s", accelerator_uuids[index_of(device)]); return OK; }
    strncpy(text, index_of(device) ? "GPU-bbbbbbbb-1111-2222-3333-444444444444" : "GPU-aaaaaaaa-1111-2222-3333-444444444444", size);
    if (part_of(device) == 0) strncpy(text, "MIG-cccccccc-1111-2222-3333-444444444444", size);
    if (part_of(device) == 2) strncpy(text, "MIG-dddddddd-1111-2222-3333-444444444444", size);
    return OK;
}
int nvmlDeviceGetName(void *device, char *text, unsigned size) {
    if (is_accelerator_simulated()) { snprintf(text, size, "%s", SIMGPU_NAME); return OK; }
    strncpy(text, part_of(device) < 0 ? "Fake 100" : "Fake 100 MIG 1g", size);
    return OK;
}
struct utilisation { unsigned gpu, memory; };
int nvmlDeviceGetUtilizationRates(void *device, struct utilisation *rates) {
    readings++;
    readings_of_1 += index_of(device);
    if (state_of(device)) return state_of(device);
    if (is_divided(device)) return NOT_SUPPORTED;
    rates->gpu = is_accelerator_simulated() ? accelerator_busy_percent(index_of(device)) : 40 + 10 * index_of(device) + readings % 10;
    rates->memory = 10; return OK;
}
struct memory { unsigned long long total, free, used; };
int nvmlDeviceGetMemoryInfo(void *device, struct memory *memory) {
    if (state_of(device)) return state_of(device);
    memory->total = part_of(device) < 0 ? 1000 : 125; memory->used = part_of(device) < 0 ? 250 + index_of(device) : 7; memory->free = memory->total - memory->used;
    return OK;
}
int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts) {
    if (state_of(device)) return state_of(device);
    if (index_of(device)) return NOT_SUPPORTED;
    *milliwatts = 71500; return OK;
}
int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius) {
    if (state_of(device)) return state_of(device);
    if (temperatures++ < setting("FAKE_NVML_FLAKY", 0)) return TIMEOUT;
    *celsius = 55 + temperatures % 5; return OK;
}
int nvmlDeviceGetClockInfo(void *device, int clock, unsigned *megahertz) {
    if (state_of(device)) return state_of(device);
    if (clock == 2 && index_of(device)) return NOT_SUPPORTED;
    *megahertz = clock == 1 ? 1800 : 9000; return OK;
}
#ifndef OLD
int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *milliwatts) {
    if (state_of(device)) return state_of(device);
    *milliwatts = 300000; return OK;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *reasons) {
    if (state_of(device)) return state_of(device);
    *reasons = 0x04 | (readings > 4 ? 0x40 : 0); return OK;
}
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoules) {
    struct timespec now;
    if (state_of(device)) return state_of(device);
    if (index_of(device)) return NOT_SUPPORTED;
    clock_gettime(CLOCK_MONOTONIC, &now);
    *millijoules = 71.5 * (now.tv_sec * 1000ULL + now.tv_nsec / 1000000); return OK;
}
int nvmlDeviceGetPcieThroughput(void *device, int counter, unsigned *kilobytes_per_s) {
    usleep(20000);
    if (state_of(device)) return state_of(device);
    *kilobytes_per_s = counter ? 5000 : 1000; return OK; /* 0 sent, 1 received */
}
int nvmlDeviceGetMigMode(void *device, unsigned *now, unsigned *later) { *now = *later = is_divided(device); return index_of(device) ? NOT_SUPPORTED : OK; }
int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *count) { *count = 3; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned index, void **part) {
    if (index == 1) return NOT_FOUND;
    *part = (void *)(long)(100 + index); return OK;
}
#endif
