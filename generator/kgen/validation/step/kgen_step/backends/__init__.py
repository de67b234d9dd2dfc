"""What differs from backend to backend: a module for each, called as `KERAS_BACKEND` is. All have the same shape.

TRAINS                  whether Keras can train on it
MODULES                 modules whose versions count
WATCHED                 environment variables that can turn it aside; told if they are set
hold(environ, device, folder)   sets what must stand before the framework is imported
device(kind)            settles its switches, gives {name, capability} of the device, of a GPU also {accelerator}, as
                        the framework calls what computes; raises Refused without one
built()                 what it says that it was built for: {cuda, cudnn}
compile_options()       what Keras's `compile` is told to have the training step compiled
watch()                 begins to listen to its compiler, just before the first step
places(array)           where an array lives: [`gpu:0`]; [] for what is not an array of its
prepare(model)          only of who has it: what Keras does not do before the first step
batch(array)            only of who has it: batches as the training step takes them, in place of NumPy's arrays
SHORT_CUTS              only of who has it: variables that save time, and are not set where the first step failed with
                        them, that is with the error CUT_SHORT; what the user has set stands
hasten()                only of who has it: has its compiler take less time; not called where short cuts failed
switch()                only of who has it: has it compiled from here on, after a training without, which counts too
ROTATED                 only of who has it: True if its convolution is one, and not a correlation
fused_attention(kind, query, key, value)   only of who has it: outputs of a fused kernel, and its name
CANNOT                  only of who has it: part of the full suite -> why its Keras cannot do it, which is its contract;
                        what shows itself when it is tried raises Cannot there
count(kind), join(kind, rank, addresses), mean(array)   only of who has it: how many processes can share the devices
                        out, Cannot where its build joins none; meets the others; the mean of an array of each, by
                        what, and where it was taken
prove(function, watch, folder)  what was compiled: {compiler, convolutions, …}; {engine: True} of a graph that is run
"""

TAKES_NO_LOADER = {"pipeline-dataloader": "this Keras takes no loader of PyTorch's"}
"""`CANNOT` of a Keras that is TensorFlow's own."""

TAKES_ARRAYS = dict(TAKES_NO_LOADER, **{"pipeline-tf-data": "this Keras takes arrays, generators and Sequences alone"})
"""`CANNOT` of Keras 2, whatever computes for it."""
