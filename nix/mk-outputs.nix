# mkOutputs :: { nixpkgs, locks, index ? …, default ? null, preferred ? [ ] } -> { devShells, packages, checks, legacyPackages }
#
# What a flake offers for a folder of locks: of each environment, for each system it is locked for, a shell, the
# environment itself, and checks; and in `legacyPackages`, where Nix looks last and shows nothing, why a name is none. `jax` is short for the one environment of that name (`jax-cpu`, `jax-cuda12`), or for
# the one of several that is in `preferred`; `default` is what `nix develop` takes when nothing is named.
{
  locksIn,
  mkKerasShell,
  mkVenv,
  readLock,
  systems,
}:
{
  nixpkgs,
  locks,
  index ? null,
  default ? null,
  preferred ? [ ],
}:
let
  inherit (builtins)
    attrNames
    attrValues
    concatMap
    concatStringsSep
    deepSeq
    elem
    elemAt
    filter
    groupBy
    head
    length
    listToAttrs
    map
    match
    ;

  # bytes of wheels; a check that downloads gigabytes is none that anybody runs
  small = 512 * 1024 * 1024;

  all = locksIn locks;
  known = "there are ${concatStringsSep ", " (attrNames all)} in ${toString locks}";
  strangers = filter (name: !(all ? ${name})) preferred;

  mapNames =
    make: names:
    listToAttrs (
      map (name: {
        inherit name;
        value = make name;
      }) names
    );

  # an environment with a package that has no wheel must not take the others with it: not even whoever lists them reads
  # more of a lock than this
  isServed = path: length (builtins.split "\n(sdist = |\\[packages\\.sdist])" (builtins.readFile path)) == 1;
  served = paths: mapNames (name: paths.${name}) (filter (name: isServed paths.${name}) (attrNames paths));
  unserved =
    paths:
    mapNames (name: deepSeq (readLock paths.${name}).wheels null) (
      filter (name: !isServed paths.${name}) (attrNames paths)
    );

  platformOf = system: head (filter (platform: systems.${platform} == system) (attrNames systems));

  # system -> environment -> path of its lock; systems without locks are left out
  perSystem = listToAttrs (
    filter (one: one.value != { }) (
      map (
        system:
        let
          platform = platformOf system;
        in
        {
          name = system;
          value = mapNames (name: all.${name}.${platform}) (
            filter (name: all.${name} ? ${platform}) (attrNames all)
          );
        }
      ) (attrValues systems)
    )
  );

  # short name -> the environments that it may stand for
  groupsOf =
    paths:
    let
      short = name: elemAt (match "(.*)-[a-z]+[0-9]*" name) 0;
    in
    groupBy short (filter (name: match ".*-[a-z]+[0-9]*" name != null) (attrNames paths));

  # short name -> environment
  shortNames =
    paths:
    let
      groups = groupsOf paths;
      chosen =
        name:
        let
          members = groups.${name};
          marked = filter (member: elem member preferred) members;
        in
        if length members == 1 then
          members
        else if length marked == 1 then
          marked
        else
          [ ];
    in
    listToAttrs (
      concatMap (
        name:
        map (value: { inherit name value; }) (if paths ? ${name} then [ ] else chosen name)
      ) (attrNames groups)
    );

  # short names of several environments, of which none is preferred
  ambiguous =
    paths:
    let
      groups = groupsOf paths;
      settled = shortNames paths;
    in
    mapNames
      (
        name:
        throw (
          "kgen: `${name}` may be ${concatStringsSep " or " groups.${name}}: name one of them, or choose the one that it"
          + " stands for: `preferred = [ \"${head groups.${name}}\" ];`"
        )
      )
      (filter (name: !(settled ? ${name}) && !(paths ? ${name})) (attrNames groups));

  eachSystem =
    make:
    if strangers != [ ] then
      throw "kgen: `preferred` names ${concatStringsSep ", " strangers}; ${known}"
    else
      builtins.mapAttrs (system: paths: make nixpkgs.legacyPackages.${system} (served paths)) perSystem;

  # an environment that went must not take the others with it: only who asks for the default hears of it
  unnamed =
    named:
    if default == null || (all ? ${default} && !(named ? ${default})) then
      { }
    else
      { default = named.${default} or (throw "kgen: `default` names ${default}; ${known}"); };

  withShortNames =
    paths: named: named // builtins.mapAttrs (_: name: named.${name}) (shortNames paths) // unnamed named;

  shell =
    pkgs: path:
    mkKerasShell {
      inherit pkgs index;
      lock = path;
    };

  # Keras, imported in the environment with what its hook sets, is on the backend that the hook names
  imports =
    pkgs: path:
    let
      made = shell pkgs path;
    in
    pkgs.runCommand "${made.lock.environment}-imports-keras" { } ''
      export HOME="$TMPDIR" KERAS_HOME="$TMPDIR/keras"
      . ${made.lock.activate}
      ${made.venv}/bin/python -c '
      import os, keras
      backend, asked = keras.backend.backend(), os.environ["KERAS_BACKEND"]
      assert backend == asked, f"Keras is on {backend}, and the hook asks for {asked}"
      print("keras", keras.__version__, "on", backend)
      ' > "$out"
    '';

  isSmall = lock: lock.cuda == null && lock.size != null && lock.size <= small;

  # every lock of the system can be read, and lies in the folder of its name
  wellFormed =
    pkgs: paths:
    pkgs.runCommand "kgen-locks" {
      environments = concatStringsSep "\n" (
        map (
          name:
          let
            lock = readLock paths.${name};
          in
          if lock.environment != name then
            throw "kgen: the lock ${toString paths.${name}} is one of ${lock.environment}, and lies in the folder of ${name}"
          else
            deepSeq lock.wheels name
        ) (attrNames paths)
      );
    } ''printf '%s\n' "$environments" > "$out"'';
in
{
  devShells = eachSystem (
    pkgs: paths: withShortNames paths (builtins.mapAttrs (_: shell pkgs) paths)
  );

  legacyPackages = builtins.mapAttrs (_: paths: unserved paths // ambiguous (served paths)) perSystem;

  packages = eachSystem (
    pkgs: paths:
    withShortNames paths (
      builtins.mapAttrs (
        _: lock:
        mkVenv {
          inherit pkgs index lock;
        }
      ) paths
    )
  );

  checks = eachSystem (
    pkgs: paths:
    {
      locks = wellFormed pkgs paths;
    }
    // listToAttrs (
      map (name: {
        name = "${name}-imports-keras";
        value = imports pkgs paths.${name};
      }) (filter (name: isSmall (readLock paths.${name})) (attrNames paths))
    )
  );
}
