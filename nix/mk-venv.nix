# mkVenv :: { pkgs, lock, index ? …, netrc ? false, python ? … } -> a virtual environment in the store
#
# `lock` is a folder of an environment, a lock in it, or what readLock gave.
{ chooseLock, installed }:
{
  pkgs,
  lock,
  index ? null,
  netrc ? false,
  python ? null,
}:
let
  locked = chooseLock {
    inherit lock;
    inherit (pkgs.stdenv.hostPlatform) system;
  };
  made = installed {
    inherit pkgs index netrc python;
    lock = locked;
  };
in
made.venv
// {
  lock = locked;
  python = made.cpython;
  inherit (made) editable;
  meta = {
    description = "The environment ${locked.environment} that kgen locked";
    mainProgram = "python";
  };
}
