# locksIn :: folder -> { <environment> = { <platform> = path of the lock; }; }
#
# Looks at names only: no lock is read, so that one that is broken, or for another platform, stands in nobody's way.
{ systems }:
folder:
let
  inherit (builtins)
    attrNames
    baseNameOf
    concatMap
    listToAttrs
    match
    readDir
    ;

  environments = filterNames (
    name: type: type == "directory" && match "[a-z0-9]([a-z0-9-]*[a-z0-9])?" name != null
  ) (
    if builtins.pathExists folder then
      readDir folder
    else
      throw (
        "kgen: there is no folder of locks at ${toString folder}; `kgen lock` writes it, and a flake sees it once it is"
        + " added to git: `git add ${baseNameOf (toString folder)}`"
      )
  );

  filterNames = keep: entries: builtins.filter (name: keep name entries.${name}) (attrNames entries);

  platformsOf =
    environment:
    let
      place = folder + "/${environment}";
      entries = readDir place;
    in
    listToAttrs (
      concatMap (
        platform:
        let
          name = "pylock.${platform}.toml";
        in
        if entries ? ${name} then
          [
            {
              name = platform;
              value = place + "/${name}";
            }
          ]
        else
          [ ]
      ) (attrNames systems)
    );
in
listToAttrs (
  builtins.filter (one: one.value != { }) (
    map (name: {
      inherit name;
      value = platformsOf name;
    }) environments
  )
)
