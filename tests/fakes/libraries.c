/* What kgen asks NVIDIA's libraries for, in one: it is compiled under each of their names. */
#include <stddef.h>
size_t cudnnGetVersion(void) { return CUDNN; }
int cudaRuntimeGetVersion(int *version) { *version = 12080; return 0; }
int cublasGetProperty(int what, int *value) { int told[] = {12, 8, 4}; *value = told[what]; return 0; }
int ncclGetVersion(int *version) { *version = 22705; return 0; }
int nvrtcVersion(int *major, int *minor) { *major = 12; *minor = 8; return 0; }
