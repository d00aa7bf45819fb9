# An archive of the package index, by the name of its file and its SHA-256. nixpkgs knows the public index; another one
# is what uv and npm use too, and counts with --impure:  UV_DEFAULT_INDEX=ADDRESS nix build --impure .#environments
# The output is the same, so that later builds find it in the store.
{ lib, pkgs }:
let
  # An address becomes part of the store, which every user can read.
  address =
    variable:
    let
      value = builtins.getEnv variable;
    in
    if builtins.match "([^/]*//)?[^/?#]*@.*" value == null then
      value
    else
      throw ''
        ${variable} has a user or a password, which every user of this machine could read in the Nix store.
        why: What a build uses is written into the store, and stays there.
        fix: name an address without them (a mirror on this machine can add them), or download the files yourself:
             nix-store --add-fixed sha256 FILES for Python, sha512 for npm'';
  index = address "UV_DEFAULT_INDEX";
  registry = address "npm_config_registry";

  download = {
    impureEnvVars = lib.fetchers.proxyImpureEnvVars ++ [ "NIX_SSL_CERT_FILE" ];
    outputHashMode = "flat";
    preferLocalBuild = true;
  };
  certificates = "\${NIX_SSL_CERT_FILE:-${pkgs.cacert}/etc/ssl/certs/ca-bundle.crt}";

  # NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl, or NAME-VERSION.tar.gz
  wheel =
    file:
    let
      parts = lib.splitString "-" (lib.removeSuffix ".whl" file);
      fromEnd = place: builtins.elemAt parts (builtins.length parts - place);
    in
    {
      format = "wheel";
      pname = builtins.elemAt parts 0;
      version = lib.concatStringsSep "-" (lib.sublist 1 (builtins.length parts - 4) parts);
      dist = fromEnd 3;
      python = fromEnd 3;
      abi = fromEnd 2;
      platform = fromEnd 1;
    };
  source =
    file:
    let
      parts = builtins.match "(.+)-([^-]+)\\.(tar\\.gz|zip)" file;
    in
    {
      pname = builtins.elemAt parts 0;
      version = builtins.elemAt parts 1;
      extension = builtins.elemAt parts 2;
    };
in
{
  python =
    { file, sha256 }:
    let
      names = (if lib.hasSuffix ".whl" file then wheel else source) file;
    in
    if index == "" then
      pkgs.fetchPypi (names // { inherit sha256; })
    else
      pkgs.runCommand file (
        download
        // {
          nativeBuildInputs = [ pkgs.python3 ];
          outputHash = sha256;
          outputHashAlgo = "sha256";
        }
      ) "SSL_CERT_FILE=${certificates} python3 -I ${./fetch.py} '${index}' ${names.pname} ${file} $out";

  # npm itself knows its public registry.
  npm =
    node:
    {
      name,
      version,
      integrity,
    }:
    pkgs.runCommand "${lib.replaceStrings [ "@" "/" ] [ "" "-" ] name}-${version}.tgz"
      (
        download
        // {
          nativeBuildInputs = [ node ];
          outputHash = integrity;
        }
        // lib.optionalAttrs (registry != "") { npm_config_registry = registry; }
      )
      ''
        HOME=$TMPDIR NODE_EXTRA_CA_CERTS=${certificates} npm pack --loglevel=error ${name}@${version}
        mv *.tgz $out
      '';
}
