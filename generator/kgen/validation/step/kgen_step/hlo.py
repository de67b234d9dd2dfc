"""What is in the text of an optimised HLO module: the proof that XLA compiled a training step with a convolution."""

import collections
import hashlib
import re

_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%?(?P<name>[\w.$-]+) = .*?[\])}] (?P<opcode>[a-z][a-z0-9-]*)\(", re.MULTILINE)
_TARGET = re.compile(r'custom_call_target="([^"]+)"')
_CONVOLUTION = re.compile(r"conv", re.IGNORECASE)
_METADATA = re.compile(r", (?:metadata|frontend_attributes)=\{[^{}]*\}")
_MODULE = re.compile(r"^HloModule ([\w.$-]+)", re.MULTILINE)
_TABLES = re.compile(r"^(?:FileNames|FunctionNames|FileLocations|StackFrames)\n(?:\d.*\n)*", re.MULTILINE)
_SHOWN = 12


def facts(text):
    """Gives what a module holds; `sha256` is of the text without what names source files."""
    bare = _TABLES.sub("", _METADATA.sub("", text))
    opcodes = collections.Counter()
    convolutions = []
    for line in bare.splitlines():
        match = _INSTRUCTION.match(line)
        if match is None:
            continue
        opcode = match.group("opcode")
        opcodes[opcode] += 1
        target = _TARGET.search(line)
        if opcode == "convolution" or (target is not None and _CONVOLUTION.search(target.group(1))):
            convolutions.append(match.group("name"))
    module = _MODULE.search(bare)
    return {
        "module": module.group(1) if module else "",
        "instructions": sum(opcodes.values()),
        "opcodes": {name: count for name, count in sorted(opcodes.items()) if count},
        "convolutions": len(convolutions),
        "convolution_names": convolutions[:_SHOWN],
        "custom_calls": sorted(set(_TARGET.findall(bare))),
        "sha256": hashlib.sha256(bare.encode("utf-8")).hexdigest(),
    }
