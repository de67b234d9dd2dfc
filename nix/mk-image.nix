# mkImage :: { pkgs, venv } -> a program that writes a container image of an environment to its standard output
#
# `nix build .#jax-cpu-image && ./result | docker load`, or `./result > image.tar` and `skopeo copy
# docker-archive:image.tar oci:folder`. Its layers are store paths, so that images share what their environments share. Of
# the driver nothing is in it: container runtimes lend that, and find by these variables that they should.
{ pkgs, venv }:
let
  inherit (builtins) attrNames map;
  lock = venv.lock;
  lent = {
    cuda = {
      NVIDIA_VISIBLE_DEVICES = "all";
      NVIDIA_DRIVER_CAPABILITIES = "compute,utility";
    };
  };
  variables = {
    PATH = "${venv}/bin:/bin";
    HOME = "/tmp";
    # whatever user a container is run as, no file of users names them, and Python looks here first
    USER = "keras";
    SSL_CERT_FILE = "${pkgs.cacert}/etc/ssl/certs/ca-bundle.crt";
  }
  // (lent.${lock.accelerator} or { })
  // lock.variables;
in
pkgs.dockerTools.streamLayeredImage {
  name = lock.environment;
  tag = "latest";
  contents = [
    pkgs.bashInteractive
    pkgs.coreutils
  ];
  extraCommands = "mkdir -m 1777 tmp";
  config = {
    Entrypoint = [ "${venv}/bin/python" ];
    Env = map (name: "${name}=${variables.${name}}") (attrNames variables);
    WorkingDir = "/tmp";
  };
}
