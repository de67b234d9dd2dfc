/* A driver's NVML with GPUs that do not exist: FAKE_GPUS of them, of which FAKE_TAKEN is kept by a process. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
typedef struct { unsigned long long total, free, used; } memory;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu, compute; } process;
static int taken(void *handle) { const char *text = getenv("FAKE_TAKEN"); return text && atoi(text) == (long)handle - 1; }
int nvmlInitWithFlags(unsigned flags) { return 0; }
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { strncpy(text, "535.183.01", size); return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) {
  const char *text = getenv("FAKE_GPUS");
  *count = text ? atoi(text) : 1;
  return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) { *handle = (void *)(index + 1L); return 0; }
int nvmlDeviceGetCudaComputeCapability(void *handle, int *major, int *minor) { *major = 9; *minor = 0; return 0; }
int nvmlDeviceGetName(void *handle, char *text, unsigned size) { strncpy(text, "NVIDIA Made-up 9000", size); return 0; }
int nvmlDeviceGetUUID(void *handle, char *text, unsigned size) {
  snprintf(text, size, "GPU-0000000%ld-0000-4000-8000-000000000000", (long)handle - 1);
  return 0;
}
int nvmlDeviceGetMemoryInfo(void *handle, memory *told) { told->total = told->free = 1ULL << 34; told->used = 0; return 0; }
int nvmlDeviceGetComputeMode(void *handle, unsigned *mode) { *mode = taken(handle) ? 3 : 0; return 0; }
int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count, process *found) {
  unsigned room = *count;
  *count = taken(handle) ? 1 : 0;
  if (*count > room) return 7;
  if (*count) { memset(found, 0, sizeof *found); found->pid = 4711; }
  return 0;
}
