# mkOutputs :: { nixpkgs, locks, index ? …, netrc ? false, default ? null, preferred ? [ ], project ? … }
#           -> { devShells, packages, checks, legacyPackages }
#
# What a flake offers for a folder of locks. Of each environment, for each system it is locked for: a shell, the
# environment itself, an image of it, and a check. In `legacyPackages`, where Nix looks last and shows nothing, stands why a
# name is none. Short names are those of `kgen run`: `jax` is the one environment of JAX (`jax-cpu`, `jax-cuda12`), or the
# one of several that is in `preferred`; `jax-cpu` is `jax-cpu-py311` where that is the only Python. `default` is what
# `nix develop` takes when nothing is named; `project` is the folder of the project itself, null for none.
{
  locksIn,
  matrix,
  mkCheck,
  mkImage,
  mkKerasShell,
  mkVenv,
  pythonFor,
  readLock,
  systems,
}:
{
  nixpkgs,
  locks,
  index ? null,
  netrc ? false,
  default ? null,
  preferred ? [ ],
  project ? dirOf locks,
}:
let
  inherit (builtins)
    attrNames
    attrValues
    concatMap
    concatStringsSep
    deepSeq
    dirOf
    elem
    elemAt
    filter
    groupBy
    head
    isList
    length
    listToAttrs
    map
    match
    readFile
    seq
    split
    tryEval
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

  # An environment that this nixpkgs has no Python for, or whose sources nothing builds, must not take the others with it;
  # not even whoever lists them reads more of a lock than this.
  whyNot =
    pkgs: name: path:
    let
      text = readFile path;
      has = pattern: length (split pattern text) != 1;
      minors = filter isList (split "\npython = \"(3\\.[0-9]+)\"\n" text);
      there = tryEval (
        pythonFor {
          inherit pkgs;
          lock = {
            environment = name;
            python = head (head minors);
          };
        }
      );
    in
    if minors != [ ] && !there.success then
      "python"
    else if has "\n(sdist = |\\[packages\\.sdist])" && !has "\n\\[\\[tool\\.kgen\\.build]]\n" then
      "lock"
    else
      null;
  served =
    pkgs: paths:
    mapNames (name: paths.${name}) (filter (name: whyNot pkgs name paths.${name} == null) (attrNames paths));
  unserved =
    pkgs: paths:
    mapNames (
      name:
      let
        lock = readLock paths.${name};
      in
      seq lock (pythonFor {
        inherit pkgs lock;
      })
    ) (filter (name: whyNot pkgs name paths.${name} != null) (attrNames paths));

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

  # what an environment is called besides, in the order of how near that is to its name
  shortsOf =
    name:
    let
      parts = match matrix.named name;
      base = elemAt parts 0;
      backend = match "(${concatStringsSep "|" matrix.generations})-(.+)" base;
    in
    if parts == null then
      [ ]
    else
      [ base ]
      ++ (if elemAt parts 3 == null then [ ] else [ "${base}-${elemAt parts 1}" ])
      ++ (if backend == null then [ ] else [ (elemAt backend 1) ]);

  # short name -> the environments that it may stand for; Keras's older generations come where no other has the name
  groupsOf =
    paths:
    let
      named = concatMap (
        name:
        map (short: {
          inherit name short;
          base = elemAt (match matrix.named name) 0;
        }) (shortsOf name)
      ) (attrNames paths);
      nearest =
        members:
        let
          own = filter (one: one.base == one.short || match "${one.short}-py[0-9]+" one.name != null) members;
        in
        map (one: one.name) (if own == [ ] then members else own);
    in
    builtins.mapAttrs (_: nearest) (groupBy (one: one.short) named);

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

  # names that kgen gives to environments, of which none is locked for this system
  absent =
    system: paths:
    let
      there = groupsOf paths // paths;
      named = concatMap (
        backend: [ backend ] ++ map (suffix: "${backend}-${suffix}") matrix.suffixes
      ) matrix.backends;
      elsewhere = name: attrNames (all.${name} or { });
    in
    mapNames (
      name:
      throw (
        "kgen: `${name}` is not locked for ${system}; "
        + (
          if elsewhere name != [ ] then
            "it is for ${concatStringsSep ", " (elsewhere name)}, and `kgen lock --platform ${platformOf system}` adds this one"
          else if paths == { } then
            known
          else
            "there are ${concatStringsSep ", " (attrNames paths)} in ${toString locks}"
        )
        + " (a flake sees what is added to git: `git add locks`)"
      )
    ) (filter (name: !(there ? ${name})) (named ++ attrNames all));

  eachSystem =
    make:
    if strangers != [ ] then
      throw "kgen: `preferred` names ${concatStringsSep ", " strangers}; ${known}"
    else
      builtins.mapAttrs (
        system: paths:
        let
          pkgs = nixpkgs.legacyPackages.${system};
        in
        make pkgs (served pkgs paths)
      ) perSystem;

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
      inherit pkgs index netrc project;
      lock = path;
    };

  venv =
    pkgs: lock:
    mkVenv {
      inherit pkgs index netrc lock;
    };

  isSmall = lock: lock.accelerator == "cpu" && lock.size != null && lock.size <= small;

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
            deepSeq [
              lock.wheels
              lock.sources
              lock.build
            ] name
        ) (attrNames paths)
      );
    } ''printf '%s\n' "$environments" > "$out"'';
in
{
  devShells = eachSystem (
    pkgs: paths: withShortNames paths (builtins.mapAttrs (_: shell pkgs) paths)
  );

  legacyPackages = mapNames (
    system:
    let
      pkgs = nixpkgs.legacyPackages.${system};
      paths = perSystem.${system} or { };
    in
    absent system paths
    // (if paths == { } then { } else unserved pkgs paths // ambiguous (served pkgs paths))
  ) (attrValues systems);

  packages = eachSystem (
    pkgs: paths:
    let
      environments = withShortNames paths (builtins.mapAttrs (_: venv pkgs) paths);
      images = listToAttrs (
        map (name: {
          name = "${name}-image";
          value = mkImage {
            inherit pkgs;
            venv = environments.${name};
          };
        }) (filter (name: name != "default") (attrNames environments))
      );
    in
    (if match ".*-linux" pkgs.stdenv.hostPlatform.system == null then { } else images) // environments
  );

  checks = eachSystem (
    pkgs: paths:
    {
      locks = wellFormed pkgs paths;
    }
    // mapNames (
      name:
      mkCheck {
        inherit pkgs;
        venv = venv pkgs paths.${name};
      }
    ) (filter (name: isSmall (readLock paths.${name})) (attrNames paths))
  );
}
