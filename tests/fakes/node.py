"""A kgen on a node that is none: it leaves the receipt that the test has made, or fails as the test wants it.

`node.py HOW RECEIPTS LOG validate ENV … --receipts DIR`; HOW is a receipt `RECEIPTS/ENV/HOW.json`, or one of those
below.
"""

import json
import os
import shutil
import sys
import time

how, made, log = sys.argv[1:4]
words = sys.argv[4:]
environment, target = words[1], words[words.index("--receipts") + 1]
with open(log, "a") as stream:
    stream.write(how + " " + " ".join(words[:-2]) + "\n")
if how == "hangs":
    time.sleep(60)
if how == "recovers":
    # the first try leaves nothing
    tried = os.path.join(made, "tried-" + environment)
    if not os.path.exists(tried):
        open(tried, "w").close()
        sys.exit(1)
    how = "passed"
if how == "dies":
    sys.stderr.write("error: there is no environment `x`\n\nhint: kgen lock\n")
    sys.exit(137)
if how in ("skips", "errs"):
    row = {"environment": environment, "steps": [{"backend": "x", "verdict": "skipped", "message": "no GPU here"}]}
    if how == "errs":
        row.update(steps=[], error={"message": "there is no CPython 3.12", "hints": []})
    print(json.dumps({"environments": [row]}))
    sys.exit(1)
os.makedirs(os.path.join(target, environment))
shutil.copy(os.path.join(made, environment, how + ".json"), os.path.join(target, environment, "gpu.json"))
