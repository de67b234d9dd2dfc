# mkVenv :: { pkgs, lock, index ? …, python ? … } -> a virtual environment in the store
#
# Each wheel is fetched and unpacked (and byte-compiled) by itself, so that environments share what they have in common,
# and an environment is links to that. `lock` is a folder of an environment, a lock in it, or what readLock gave.
{
  chooseLock,
  fetchWheel,
  pythonFor,
}:
{
  pkgs,
  lock,
  index ? null,
  python ? null,
}:
let
  inherit (builtins)
    concatStringsSep
    replaceStrings
    toJSON
    ;
  inherit (pkgs.stdenv.hostPlatform) system;

  locked = chooseLock { inherit lock system; };
  cpython =
    if python != null then
      python
    else
      pythonFor {
        inherit pkgs;
        lock = locked;
      };
  isLinux = builtins.match ".*-linux" system != null;

  build =
    name: builder: arguments:
    derivation (
      {
        # of what a version may hold, a store name may not
        name = replaceStrings [ "!" ] [ "-" ] name;
        inherit system;
        builder = cpython.interpreter;
        args = [
          "-sS"
          builder
        ];
        PYTHONHASHSEED = "0";
        minor = locked.python;
      }
      // arguments
    );

  unpacked =
    wheel:
    build "${wheel.name}-${wheel.version}" ./builders/unpack_wheel.py {
      wheel = fetchWheel (
        {
          inherit pkgs wheel;
          python = cpython;
        }
        // (if index == null then { } else { inherit index; })
      );
      project = wheel.name;
      size = if wheel.size == null then "" else toString wheel.size;
    };

  venv = build locked.environment ./builders/link_venv.py {
    inherit (locked) environment;
    interpreter = cpython.interpreter;
    wheels = toJSON (
      map (wheel: {
        path = "${unpacked wheel}";
        project = wheel.name;
        owner = "${wheel.name} ${wheel.version}";
      }) locked.wheels
    );
    # on macOS wheels find everything that they need
    preload = if isLinux then ./builders/_kgen_preload.py else "";
    libraries = concatStringsSep " " (
      if isLinux then
        [
          "${pkgs.stdenv.cc.cc.lib}/lib/libstdc++.so.6"
          "${pkgs.zlib}/lib/libz.so.1"
        ]
      else
        [ ]
    );
    driver = locked.cuda != null;
    variables = toJSON locked.variables;
  };
in
venv
// {
  lock = locked;
  python = cpython;
  meta = {
    description = "The environment ${locked.environment} that kgen locked";
    mainProgram = "python";
  };
}
