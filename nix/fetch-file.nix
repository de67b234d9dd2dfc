# fetchFile :: { pkgs, file, index ? …, python ? …, netrc ? false } -> a wheel, or a source distribution, in the store
#
# A fixed-output derivation: what comes out is of the lock's sha256, wherever it came from, and its store path depends
# on the file's name and hash alone. So a change of index rebuilds nothing, both forms of a lock share their files, and
# `nix-store --add-fixed sha256 FILE…` puts files where this would.
#
# Asked are, in this order and to the first that is there:
#   index          simple repositories (roots of project pages): a URL or a list of them
#   $KGEN_INDEX    the same, separated by spaces, of whoever evaluates (only where Nix is told to be impure), or else of
#                  the process that builds
#   the lock       where it has URLs
#   nixpkgs        where fetchPypi would look for the file
#
# With `netrc` Nix's own fetcher asks the URL of the lock, and nobody else: it has the logins of Nix's setting `netrc-file`,
# which no derivation and no sandbox sees. Else: who may ask, a netrc file says that $NETRC of the process that builds names. No URL here holds a login: everybody can
# read derivations.
{
  pkgs,
  file,
  index ? builtins.getEnv "KGEN_INDEX",
  python ? pkgs.python3,
  netrc ? false,
}:
let
  inherit (builtins)
    concatStringsSep
    elemAt
    filter
    isList
    isString
    match
    split
    ;

  asked = if isList index then index else filter (one: isString one && one != "") (split " " index);
  withLogin = url: match "[A-Za-z][A-Za-z0-9+.-]*://[^/@]*@.*" url != null;
  roots =
    if builtins.any withLogin asked then
      throw (
        "kgen: an `index`, or KGEN_INDEX, holds a login, and everybody can read what Nix makes of it; put the login into"
        + " a netrc file and name that to whoever builds: `export NETRC=PATH` (with a sandbox, PATH in its"
        + " `extra-sandbox-paths`)"
      )
    else
      concatStringsSep " " asked;

  parts = match "([^-]+)-([^-]+(-[0-9][^-]*)?)-([^-]+)-([^-]+)-([^-]+)\\.whl" file.filename;
  sourceParts = match "(.+)-([^-]+)\\.(tar\\.gz|zip)" file.filename;
  urlsOf =
    wheel:
    (pkgs.fetchPypi (
      {
        format = "wheel";
        inherit (file) sha256;
      }
      // wheel
    )).urls;
  # nixpkgs knows the host, and where it has wheels: sources lie beside them
  beside =
    project: map (url: elemAt (match "(.*)/packages/.*" url) 0 + "/packages/source/${project}/${file.filename}") (
      urlsOf {
        pname = "x";
        version = "0";
        dist = "py3";
        python = "py3";
        abi = "none";
        platform = "any";
      }
    );
  known =
    if parts != null then
      urlsOf {
        pname = elemAt parts 0;
        version = elemAt parts 1;
        dist = elemAt parts 3;
        python = elemAt parts 3;
        abi = elemAt parts 4;
        platform = elemAt parts 5;
      }
    else if sourceParts != null then
      beside "${builtins.substring 0 1 (elemAt sourceParts 0)}/${elemAt sourceParts 0}"
    else
      throw "kgen: ${file.filename} is not a name of a wheel or a source distribution";
  # a store name may not hold "!"
  name = builtins.replaceStrings [ "!" ] [ "-" ] file.filename;

  byNix =
    if file.url == null then
      throw (
        "kgen: the lock has no URL of ${file.filename}, and with `netrc` nothing else is asked: lock without `--portable`,"
        + " or name an `index` and the logins for it by NETRC"
      )
    else
      import <nix/fetchurl.nix> {
        inherit name;
        inherit (file) url sha256;
      };

  byKgen = derivation {
  inherit name;
  inherit (pkgs.stdenv.hostPlatform) system;
  builder = python.interpreter;
  args = [
    "-sS"
    ./builders/fetch_file.py
  ];
  outputHashMode = "flat";
  outputHashAlgo = "sha256";
  outputHash = file.sha256;
  preferLocalBuild = true;
  impureEnvVars = [
    "KGEN_INDEX"
    "NETRC"
    "NIX_SSL_CERT_FILE"
    "http_proxy"
    "https_proxy"
    "all_proxy"
    "no_proxy"
    "HTTP_PROXY"
    "HTTPS_PROXY"
    "ALL_PROXY"
    "NO_PROXY"
  ];
  certificates = "${pkgs.cacert}/etc/ssl/certs/ca-bundle.crt";
  inherit (file) filename sha256;
  project = file.name;
  inherit roots;
  urls = if file.url != null then file.url else toString known;
  };
in
if netrc then byNix else byKgen
