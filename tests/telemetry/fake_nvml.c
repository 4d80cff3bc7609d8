/* A libnvidia-ml with two GPUs, for machines without one: the real pynvml loads it. What it lacks (memory clock of GPU 1,
   power of GPU 1) answers NVML_ERROR_NOT_SUPPORTED; throttle reasons are no symbol at all. */
#include <string.h>
#include <stdlib.h>
#define OK 0
#define NOT_SUPPORTED 3
static int index_of(void *device) { return (int)(long)device - 1; }
int nvmlInitWithFlags(unsigned flags) { const char *rc = getenv("FAKE_NVML_INIT"); return rc ? atoi(rc) : OK; }
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { return "fake error"; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = getenv("FAKE_NVML_COUNT") ? atoi(getenv("FAKE_NVML_COUNT")) : 2; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) { *device = (void *)(long)(index + 1); return OK; }
int nvmlDeviceGetUUID(void *device, char *text, unsigned size) { strncpy(text, index_of(device) ? "GPU-bbbb" : "GPU-aaaa", size); return OK; }
int nvmlDeviceGetName(void *device, char *text, unsigned size) { strncpy(text, "Fake 100", size); return OK; }
struct utilisation { unsigned gpu, memory; };
int nvmlDeviceGetUtilizationRates(void *device, struct utilisation *rates) { rates->gpu = 40 + index_of(device); rates->memory = 10; return OK; }
struct memory { unsigned long long total, free, used; };
int nvmlDeviceGetMemoryInfo(void *device, struct memory *memory) {
    memory->total = 1000; memory->used = 250 + index_of(device); memory->free = 750; return OK;
}
int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts) {
    if (index_of(device)) return NOT_SUPPORTED;
    *milliwatts = 71500; return OK;
}
int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius) { *celsius = 55; return OK; }
int nvmlDeviceGetClockInfo(void *device, int clock, unsigned *megahertz) {
    if (clock == 2 && index_of(device)) return NOT_SUPPORTED;
    *megahertz = clock == 1 ? 1800 : 9000; return OK;
}
