"""PyTorch: dynamo and inductor, through `torch.compile`."""

import os

from kgen_step import inductor, libraries
from kgen_step.events import Absent, Cannot, Refused

TRAINS = True
MODULES = ("torch", "triton")
WATCHED = (
    "KERAS_TORCH_DEVICE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "TORCHDYNAMO_DISABLE",
    "TORCH_COMPILE_DISABLE",
    "TORCHDYNAMO_SUPPRESS_ERRORS",
    "TORCHINDUCTOR_COMPILE_THREADS",
    "CXX",
    "CC",
)
SHORT_CUTS = {
    "TORCHINDUCTOR_VEC_ISA_OK": "1",
    "TORCHDYNAMO_CAPTURE_SCALAR_OUTPUTS": "1",
    "TORCH_DYNAMO_RUN_GC_AFTER_COMPILE": "0",
}
"""What the CPU can, its compiler is believed to know: inductor would compile a program with PyTorch's headers for each
of its sets of instructions first, a quarter of the whole. The optimiser's rate is a number that dynamo follows: else it
gives up at it, compiles what is around in six pieces, and leaves the rest to Python. And no cycles are looked for."""
CUT_SHORT = (
    "CppCompileError",
    "CompilationError",
    "Unsupported",
    "UserError",
    "LoweringException",
    "GuardOnDataDependentSymNode",
    "PendingUnbackedSymbolNotFound",
    "InternalTorchDynamoError",
)
"""What the compilers of a PyTorch that one of these is too much for would raise."""

_together = None
"""What was compiled together, where it was."""

_CPU = "cpu"
_ACCELERATORS = ("cuda", "mps", "xpu")
_SHOWN = 8
_PROCESSES = 2
_BETWEEN_CPUS, _BETWEEN_GPUS = "gloo", "nccl"
_AMPERE = (8, 0)


def hold(environ, device, folder):
    """A step that is really compiled: its caches are empty, and what fails in the compiler fails.

    Headers are compiled beforehand into the folder for temporary files, whatever the caches are told, for every program
    of the user. Where that folder is not the step's own, the step does without: it takes five seconds longer.
    """
    environ["TORCHINDUCTOR_CACHE_DIR"] = os.path.join(folder, "inductor")
    environ["TRITON_CACHE_DIR"] = os.path.join(folder, "triton")
    if os.path.dirname(environ.get("TMPDIR", "")) != folder:
        environ["TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS"] = "0"
    if device == _CPU:
        environ["CUDA_VISIBLE_DEVICES"] = "-1"
        environ["KERAS_TORCH_DEVICE"] = "cpu"


def device(kind):
    """The first GPU, or the CPU."""
    import torch

    if kind == _CPU:
        return {"name": None, "capability": None}
    if not torch.cuda.is_available():
        found = _other(torch)
        if found is not None:
            return found
        raise Refused("no-device", "PyTorch sees no GPU", reasons=_reasons(torch), **libraries.driver())
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    properties = torch.cuda.get_device_properties(0)
    if getattr(torch.version, "hip", None):
        name = str(getattr(properties, "gcnArchName", "")).partition(":")[0]
        return {"name": properties.name, "capability": name or None, "accelerator": "rocm"}
    capability = "{}.{}".format(properties.major, properties.minor)
    return {"name": properties.name, "capability": capability, "accelerator": "cuda"}


def _other(torch):
    """What Keras takes where there is no CUDA and no ROCm, in its order: an Apple GPU, then one of Intel's."""
    mps = getattr(torch.backends, "mps", None)
    if mps is not None and mps.is_available():
        return {"name": None, "capability": None, "accelerator": "mps"}
    xpu = getattr(torch, "xpu", None)
    if xpu is not None and xpu.is_available():
        return {"name": torch.xpu.get_device_properties(0).name, "capability": None, "accelerator": "xpu"}
    return None


def built():
    """What the build says; a CPU build has neither."""
    import torch

    # cuDNN is asked only where CUDA is: without a GPU the question would load it.
    found = {"cuda": torch.version.cuda}
    if torch.version.cuda and torch.cuda.is_available():
        found["cudnn"] = libraries.cudnn_version(torch.backends.cudnn.version())
    return {name: version for name, version in found.items() if version}


def compile_options():
    """Inductor, explicitly: `auto` is not a compilation."""
    return {"jit_compile": True}


def batch(array):
    """A batch as `fit` gives it to the training step: a tensor in the host's memory.

    Keras hands an array through, and then dynamo breaks its graph wherever the type of one is asked for: twelve
    programs in place of seven, for a step that nobody trains with.
    """
    import torch

    return torch.from_numpy(array)


def prepare(model):
    """Gradients are there before the first step as they are before every other: else the second compiles once more.

    And dynamo begins with the training step itself. Around it Keras has a function of one line, which dynamo would
    follow through the whole step up to `backward()`, to find that nothing of it can be kept.
    """
    import torch

    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    try:
        from torch._dynamo.decorators import skip
    except ImportError:
        return
    model.make_train_function()
    if hasattr(model.train_function, "_torchdynamo_orig_callable"):
        skip(model.train_function)


def hasten():
    """What saves time and is not a variable: kernels for the CPU are compiled together."""
    global _together  # noqa: PLW0603 - `prove` tells of it
    _together = inductor.compile_together()


def watch():
    """Has inductor show each graph that it is about to make a program of."""
    import torch
    import torch._dynamo
    import torch._inductor.config as settings

    graphs = []
    torch._dynamo.config.suppress_errors = False  # noqa: SLF001 - the only switch there is
    if os.environ.get("TORCHINDUCTOR_VEC_ISA_OK") == "1":
        _believe_the_compiler()
    listener = _Listener(graphs)
    if hasattr(settings, "post_grad_custom_post_pass"):
        settings.post_grad_custom_post_pass = listener
    else:
        _listen_to_lowering(listener)
    return graphs


def _believe_the_compiler():
    """Extensions of a set of instructions are taken for known too: the variable is not asked about them."""
    try:
        from torch._inductor.cpu_vec_isa import VecISA
    except ImportError:
        return
    VecISA.check_build = lambda *_: True


def _listen_to_lowering(listener):
    """Before 2.2 there is no place for a pass: what makes a program of a graph is told to show the graph afterwards."""
    from torch._inductor.graph import GraphLowering

    make = GraphLowering.compile_to_fn

    def compile_to_fn(self):
        made = make(self)
        listener(self.module.graph)
        return made

    GraphLowering.compile_to_fn = compile_to_fn


class _Listener:
    """A pass of inductor's that changes nothing."""

    def __init__(self, graphs):
        self._graphs = graphs

    def __call__(self, graph):
        self._graphs.append([str(node.target) for node in graph.nodes if node.op == "call_function"])

    def uuid(self):
        """No cache knows what was compiled with this."""


def places(array):
    """The device of a tensor: `cuda:0` is `gpu:0`, and so is that of any other accelerator."""
    found = getattr(array, "device", None)
    kind = getattr(found, "type", None)
    if kind is None:
        return []
    return ["{}:{}".format("gpu" if kind in _ACCELERATORS else kind, found.index or 0)]


def prove(_function, watch, _folder):
    """The graphs that inductor compiled, and how many of them hold a convolution."""
    from torch._dynamo.utils import counters

    names = [name for graph in watch for name in graph if "convolution" in name]
    found = {
        "compiler": "inductor",
        "programs": len(watch),
        "instructions": sum(len(graph) for graph in watch),
        "convolutions": len(names),
        "convolution_names": sorted(set(names))[:_SHOWN],
        "graphs_with_convolution": sum(any("convolution" in name for name in graph) for graph in watch),
        "frames": {name: int(count) for name, count in sorted(counters["frames"].items())},
        "aot": {name: int(count) for name, count in sorted(counters["aot_autograd"].items())},
    }
    if _together is not None:
        found.update(kernels=_together.kernels, compilations=_together.compilations)
    if not watch:
        found["instead"] = "inductor was given no graph"
    return found


def fused_attention(kind, query, key, value):
    """Attention by a fused kernel, in bfloat16: cuDNN's on NVIDIA's GPUs, PyTorch's own flash attention elsewhere.

    Arrays are (batch, length, heads, size); gives (outputs, the kernel's name).
    """
    import torch

    try:
        from torch.nn.attention import SDPBackend, sdpa_kernel

        kernel = SDPBackend.FLASH_ATTENTION if kind == _CPU else SDPBackend.CUDNN_ATTENTION
    except (ImportError, AttributeError):
        raise Absent("this PyTorch has no choice of kernels for attention") from None
    if kind != _CPU and not (torch.cuda.is_available() and _takes_half(torch)):
        raise Absent("this device has no such kernel")
    where = _CPU if kind == _CPU else torch.device("cuda", 0)
    arrays = [
        torch.from_numpy(array).to(where).to(torch.bfloat16).transpose(1, 2).contiguous()
        for array in (query, key, value)
    ]
    # No other kernel may take over: without this one it is an error.
    with torch.no_grad(), sdpa_kernel([kernel]):
        found = torch.nn.functional.scaled_dot_product_attention(*arrays)
    return found.transpose(1, 2).float().cpu().numpy(), kernel.name


def _takes_half(torch):
    """Whether cuDNN's fused attention runs here: NVIDIA's, from Ampere on."""
    return not getattr(torch.version, "hip", None) and torch.cuda.get_device_capability(0) >= _AMPERE


def count(kind):
    """How many devices processes can share out; on the CPU a process is one."""
    import torch
    import torch.distributed

    if not torch.distributed.is_available():
        raise Cannot("this PyTorch is built without torch.distributed")
    return _PROCESSES if kind == _CPU else torch.cuda.device_count()


def join(kind, rank, addresses):
    """Meets the other process, over loopback."""
    import torch.distributed

    by = _BETWEEN_CPUS if kind == _CPU else _BETWEEN_GPUS
    torch.distributed.init_process_group(by, init_method="tcp://" + addresses[0], rank=rank, world_size=_PROCESSES)


def mean(array):
    """The mean of an array of each process, by what, and where it was taken."""
    import torch
    import torch.distributed

    by = torch.distributed.get_backend()
    where = torch.device("cuda", 0) if by == _BETWEEN_GPUS else torch.device(_CPU)
    found = torch.from_numpy(array.copy()).to(where)
    torch.distributed.all_reduce(found)
    torch.distributed.barrier()
    return (found / _PROCESSES).cpu().numpy(), by, places(found)[0]


def _reasons(torch):
    if torch.version.cuda is None and not getattr(torch.version, "hip", None):
        mps = getattr(torch.backends, "mps", None)
        if mps is not None and mps.is_built():
            return ["this PyTorch computes on Apple's GPUs, and finds none that this macOS offers it"]
        return ["this PyTorch is a build without CUDA: {}".format(torch.__version__)]
    try:
        torch.cuda.init()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the reason
        return [str(error)]
    return []
