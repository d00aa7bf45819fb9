# An OCI image of the platform for servers, from the same store paths as `nix run`. docs/air-gap.md runs it.
{
  lib,
  name,
  pkgs,
  programs,
  tools,
}:
pkgs.dockerTools.buildLayeredImage {
  name = lib.toLower name;
  tag = "latest";
  # What a person or a script inside expects: /bin/sh, /usr/bin/env, certificates for sources, and `loc`.
  contents = [
    programs.packages.default
    pkgs.dockerTools.binSh
    pkgs.dockerTools.usrBinEnv
    pkgs.dockerTools.caCertificates
  ]
  ++ tools.onPath;
  # A user of its own: as root, Python would write into the store.
  fakeRootCommands = ''
    mkdir -p etc project home/loc
    mkdir -p -m 1777 tmp
    echo 'loc:x:1000:1000::/home/loc:/bin/sh' >etc/passwd
    echo 'loc:x:1000:' >etc/group
    chown -R 1000:1000 project home/loc
  '';
  config = {
    Entrypoint = [ (lib.getExe programs.packages.default) ];
    Cmd = [ "up" ];
    User = "1000:1000";
    WorkingDir = "/home/loc";
    Volumes."/project" = { };
    Env = [
      "HOME=/home/loc"
      "LANG=C.UTF-8"
      "LOC_PROJECT=/project"
      "PATH=/bin"
    ];
    StopSignal = "SIGTERM";
  };
}
