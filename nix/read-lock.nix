# readLock :: path -> lock
#
# Reads a lock of kgen, the portable form and the one with URLs, and refuses what is none or does not hold together.
# Everything in it is data: nothing of it is evaluated, and each value that gets any further has been looked at here.
#
#   readLock ./locks/numpy-cpu/pylock.linux-64.toml
#   => { environment = "numpy-cpu"; platform = "linux-64"; system = "x86_64-linux"; python = "3.12";
#        accelerator = "cpu"; runtime = null;
#        size = 152000000; wheels = [ { name = "absl-py"; version = …; filename = …; sha256 = …; size = …; url = null; } … ];
#        activate = ./locks/numpy-cpu/activate.d/kgen.sh; … }
{ matrix, systems }:
path:
let
  inherit (builtins)
    addErrorContext
    attrNames
    concatStringsSep
    dirOf
    elemAt
    filter
    foldl'
    fromTOML
    hashFile
    hashString
    isAttrs
    isInt
    isList
    isString
    length
    listToAttrs
    match
    pathExists
    readDir
    readFile
    replaceStrings
    stringLength
    substring
    toJSON
    ;

  schema = 1;
  # TOML's dates, which locks of others have, are beyond Nix, and its error would not say in which file they are
  header = "# Made by kgen:";
  file = toString path;
  refuse = what: throw "kgen: the lock ${file} ${what}";

  data =
    if !pathExists path then
      refuse "is not there; `kgen lock` writes it, and a flake sees it once it is `git add`ed"
    else if substring 0 (stringLength header) content != header then
      refuse "is none of kgen's: it does not begin with `${header}`"
    else
      addErrorContext "while reading the lock ${file}" (fromTOML content);
  content = readFile path;

  decided =
    if data ? tool.kgen.schema then
      data.tool.kgen
    else
      refuse "is none of kgen's: it has no table [tool.kgen] with a `schema`";

  text =
    where: table: key: pattern:
    let
      value = table.${key} or null;
    in
    if !isString value || match pattern value == null then
      refuse "has ${toJSON value} as ${where} `${key}`, which does not fit ${pattern}"
    else
      value;

  natural =
    where: value:
    if value == null || (isInt value && value >= 0) then
      value
    else
      refuse "has ${toJSON value} as ${where} `size`, which is not a number of bytes";

  environment = text "[tool.kgen]" decided "environment" "[a-z0-9]([a-z0-9-]*[a-z0-9])?";
  platform = text "[tool.kgen]" decided "platform" "[a-z0-9]+-[a-z0-9]+";
  accelerator = elemAt (match "([a-z]+)[0-9]*" (text "[tool.kgen]" decided "accelerator" "[a-z]+[0-9]*")) 0;
  python = text "[tool.kgen]" decided "python" "3\\.[0-9]+";
  size = natural "[tool.kgen]" (decided.size or null);

  # of the escapes that a URL may have, those that stand for what a wheel's name may hold
  unescaped = replaceStrings [ "%2B" "%2b" "%21" ] [ "+" "+" "!" ];
  last = parts: elemAt parts (length parts - 1);
  nameIn = url: unescaped (last (filter isString (builtins.split "/" (elemAt (match "([^?#]*).*" url) 0))));

  namePattern = "[A-Za-z0-9][A-Za-z0-9._+!]*(-[A-Za-z0-9._+!]+)+";
  patterns = {
    wheel = "${namePattern}\\.whl";
    sdist = "${namePattern}\\.(tar\\.gz|zip)";
  };

  # a file of a package: what kind it is, and where it stands in the lock
  fileOf =
    package: kind: file:
    let
      name = text "a package's" package "name" "[a-z0-9]+(-[a-z0-9]+)*";
      where = "${name}'s";
      url = if file ? url then text where file "url" "(https?|file)://[!-~]+" else null;
      located = { filename = if url == null then file.path or null else nameIn url; };
      hashes = file.hashes or { };
    in
    if file ? url == file ? path then
      refuse "has for ${name} not exactly one of `url` and `path`"
    else
      {
        inherit name url;
        version = text where package "version" "[A-Za-z0-9.!+]+";
        filename = text where located "filename" patterns.${kind};
        sha256 = text where hashes "sha256" "[0-9a-f]{64}";
        size = natural where (file.size or null);
      };

  wheelOf =
    package:
    let
      wheels = package.wheels or null;
    in
    if package ? archive || package ? directory || package ? vcs then
      refuse "takes ${toJSON (package.name or null)} from a place of its own, which only `kgen sync` installs"
    else if isList wheels && length wheels == 1 && isAttrs (elemAt wheels 0) then
      fileOf package "wheel" (elemAt wheels 0)
    else
      refuse "does not have exactly one wheel of ${toJSON (package.name or null)}";

  sourceOf =
    package:
    if package ? wheels || !isAttrs package.sdist then
      refuse "has of ${toJSON (package.name or null)} not exactly one of a wheel and a source distribution"
    else
      fileOf package "sdist" package.sdist;

  packages = data.packages or (refuse "has no packages");
  isSource = package: package ? sdist;
  wheels = map wheelOf (filter (package: !isSource package) packages);
  sources = map sourceOf (filter isSource packages);
  # what source distributions, and the project itself, are built with
  build = map wheelOf (decided.build or [ ]);
  files = wheels ++ sources;
  sizes = map (one: one.size) files;
  names = map (one: one.name) files;

  variables = decided.variables or { };

  # the last line is the sha256 of all above it; locks of older kgens have neither that nor the hooks' digest
  seal = "# sha256 of the lines above: ";
  sealed = stringLength content - stringLength seal - 64 - 1;
  asSealed = "${substring 0 sealed content}${seal}${hashString "sha256" (substring 0 sealed content)}\n" == content;

  # as `sha256sum` lists them, sorted
  folder = dirOf path;
  hookOfShell = folder + "/activate.d/kgen.sh";
  hooksIn =
    name:
    if pathExists (folder + "/${name}") then
      map (file: "${name}/${file}") (
        filter (file: match "kgen\\..*" file != null) (attrNames (readDir (folder + "/${name}")))
      )
    else
      [ ];
  listed = map (place: "${hashFile "sha256" (folder + "/${place}")}  ${place}\n") (
    hooksIn "activate.d" ++ hooksIn "deactivate.d"
  );
  asHooked = !(decided ? hooks) || hashString "sha256" (concatStringsSep "" listed) == decided.hooks;

  faults = filter (fault: fault.found) [
    {
      found = decided.schema != schema;
      what = "is of schema ${toJSON decided.schema}, and this flake reads ${toJSON schema}: `nix flake update kgen`, or lock again";
    }
    {
      found = !(builtins.elem accelerator matrix.kinds);
      what = "is for ${accelerator}, which this flake does not know: `nix flake update kgen`";
    }
    {
      found = (data.lock-version or null) != "1.0";
      what = "has the lock-version ${toJSON (data.lock-version or null)}; known is 1.0";
    }
    {
      found = (data.requires-python or null) != "==${python}.*";
      what = "was changed by hand: requires-python does not say Python ${python}, as [tool.kgen] does";
    }
    {
      found = length (attrNames (listToAttrs (map (name: { inherit name; value = null; }) names))) != length names;
      what = "was changed by hand: it names a package twice";
    }
    {
      found = sources != [ ] && build == [ ];
      what = "has a source distribution of ${(elemAt sources 0).name}, and not what that is built with; `kgen lock` writes it again";
    }
    {
      found = size != null && !(builtins.elem null sizes) && foldl' (sum: one: sum + one) 0 sizes != size;
      what = "was changed by hand: its files do not add up to the ${toJSON size} bytes that [tool.kgen] tells; `kgen lock` writes it again";
    }
    {
      found = decided ? hooks && !asSealed;
      what = "was changed by hand: the sha256 in its last line is not that of the lines above; `kgen lock` writes it again";
    }
  ];
in
if faults != [ ] then
  refuse (elemAt faults 0).what
else
  {
    inherit
      accelerator
      build
      environment
      platform
      python
      size
      sources
      wheels
      ;
    file = path;
    system = systems.${platform} or (refuse "is for ${platform}, where there is no Nix");
    backends = map (name: text "[tool.kgen]" { inherit name; } "name" "[a-z0-9-]+") (decided.backends or [ ]);
    # what selects the backend in the environment of a process
    variables = listToAttrs (
      map (name: {
        name = text "[tool.kgen.variables]" { inherit name; } "name" "[A-Za-z_][A-Za-z0-9_]*";
        value = text "[tool.kgen.variables]" variables name "[ -~]*";
      }) (attrNames variables)
    );
    # which version of what the accelerator is programmed with, where it has versions: 12.8 of CUDA
    runtime =
      if decided ? ${accelerator} then text "[tool.kgen]" decided accelerator "[0-9]+(\\.[0-9]+)*" else null;
    # whether what builds the project itself is locked along
    buildsProject = decided ? build-requires && build != [ ];
    # variables that name a place in the environment's own folder, which in a store nobody can write to
    places = map (name: text "[tool.kgen.places]" { inherit name; } "name" "[A-Za-z_][A-Za-z0-9_]*") (
      attrNames (decided.places or { })
    );
    activate =
      if asHooked || !(pathExists hookOfShell) then
        hookOfShell
      else
        refuse "has other hooks beside it than it was written with; `kgen lock` writes them again";
  }
