# `nix develop`: the tools on PATH. It does no work: `process-compose up` in it begins with set-up.
{
  pkgs,
  programs,
  tools,
}:
pkgs.mkShellNoCC {
  name = "proto_loc";
  env = tools.environment;
  packages = [
    programs.packages.loc
    programs.packages.process-compose
  ]
  ++ tools.onPath;
  shellHook = ''
    # Nix sets these for builds, and outside of one each breaks something: a TMPDIR that goes away with the shell
    # (sockets, detached services), dates of 1980 (zip), foreign packages (Python), no certificates (downloads).
    unset TMPDIR TMP TEMP TEMPDIR NIX_BUILD_TOP SOURCE_DATE_EPOCH
    unset PYTHONPATH PYTHONHASHSEED PYTHONNOUSERSITE DETERMINISTIC_BUILD _PYTHON_HOST_PLATFORM
    unset _PYTHON_SYSCONFIGDATA_NAME NODE_PATH
    for name in SSL_CERT_FILE NIX_SSL_CERT_FILE; do
      if [ "''${!name-}" = /no-cert-file.crt ]; then unset "$name"; fi
    done
    unset name
    # --ignore-environment takes it too, and caches and settings of the user are in it.
    if [ -z "''${HOME-}" ]; then export HOME=~; fi
    if [ -t 1 ]; then echo "proto_loc: start with  process-compose up  or  loc up -d"; fi
  '';
}
