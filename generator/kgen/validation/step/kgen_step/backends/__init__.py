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
places(array)           where an array lives: [`gpu:0`]; [] for what is no array of its
prepare(model)          only of who has it: compiles what Keras does not
switch()                only of who has it: has it compiled from here on, after a training without, which counts too
ROTATED                 only of who has it: True if its convolution is one, and not a correlation
prove(function, watch, folder)  what was compiled: {compiler, convolutions, …}; {engine: True} of a graph that is run
"""
