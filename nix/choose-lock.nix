# chooseLock :: { system, lock } -> lock
#
# `lock` is whatever is at hand: the folder of an environment, the file of one platform, or what readLock gave. The
# answer is the lock for the system, or an error that says which there are.
{
  locksIn,
  readLock,
  systems,
}:
{ system, lock }:
let
  inherit (builtins)
    attrNames
    baseNameOf
    concatStringsSep
    dirOf
    filter
    isAttrs
    ;

  platformOf =
    builtins.listToAttrs (
      map (platform: {
        name = systems.${platform};
        value = platform;
      }) (attrNames systems)
    );
  platform = platformOf.${system} or (throw "kgen: there are no locks for ${system}");

  isFile = builtins.match ".*\\.toml" (baseNameOf lock) != null;
  environment = baseNameOf lock;
  platforms = (locksIn (dirOf lock)).${environment} or { };
  missing =
    there:
    throw (
      "kgen: ${there.environment} has no lock for ${platform} (${system}); it has one for ${there.has}: "
      + "`kgen lock --platform ${platform}`, then `git add` it"
    );

  chosen =
    if isAttrs lock then
      lock
    else if isFile then
      readLock lock
    else
      readLock (
        platforms.${platform} or (missing {
          inherit environment;
          has = if platforms == { } then "nothing in ${toString lock}" else concatStringsSep ", " (attrNames platforms);
        })
      );
in
if chosen.system == system then
  chosen
else
  missing {
    inherit (chosen) environment;
    has = chosen.platform;
  }
