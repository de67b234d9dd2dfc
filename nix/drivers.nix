# Of each kind of accelerator, the libraries that a machine's driver has and no wheel, and that are asked for by name where
# the driver's own folder is not searched. The last is the one that shows that a folder has the driver. Everything of the
# kinds without a row is in their wheels, or found by a path of its own.
{
  cuda = [
    "libdxcore.so"
    "libnvidia-ml.so.1"
    "libnvidia-ptxjitcompiler.so.1"
    "libnvidia-nvvm.so.4"
    "libnvidia-nvvm70.so.4"
    "libnvidia-gpucomp.so"
    "libcuda.so.1"
  ];
}
