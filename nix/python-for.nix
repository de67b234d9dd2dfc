# pythonFor :: { pkgs, lock } -> the CPython of the lock's minor version
{ pkgs, lock }:
let
  attribute = "python" + builtins.replaceStrings [ "." ] [ "" ] lock.python;
in
pkgs.${attribute} or (throw (
  "kgen: ${lock.environment} is locked for Python ${lock.python}, and this nixpkgs has no ${attribute}: "
  + "take another nixpkgs as input, or lock for another Python (`kgen lock --python`)"
))
