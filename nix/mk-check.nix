# mkCheck :: { pkgs, venv } -> kgen's training step, run on the CPU and compared with the reference
#
# Passes where each backend of the environment takes the steps that it must. What it leaves is a line for each.
{ matrix }:
{ pkgs, venv }:
let
  inherit (builtins) filter map toJSON;
  lock = venv.lock;
  # what selects the backend of an environment of several; the others are asked for by name
  steps = filter (step: step != null) (map matrix.stepOf lock.backends);
  validation = (import ./sources.nix).package + "/validation";
in
pkgs.runCommandCC "${lock.environment}-trains"
  {
    steps = toJSON steps;
    variables = toJSON lock.variables;
    inherit (lock) environment;
  }
  ''
    ${pkgs.python3.interpreter} -sS ${./builders/check_step.py} ${venv}/bin/python ${validation} > "$out"
  ''
