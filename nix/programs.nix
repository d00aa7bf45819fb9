# `loc` from anywhere in a clone, with the tools on its PATH, and the apps of `nix run`.
{
  lib,
  pkgs,
  tools,
}:
let
  # .pc_env names a token and a socket, which set-up has yet to make in a fresh clone. `loc up` brings its own.
  process-compose = pkgs.writeShellApplication {
    name = "process-compose";
    text = ''
      if [ -f .pc_env ] && [ -z "''${PC_API_TOKEN_PATH:-}" ]; then
        run=''${LOC_RUN:-.run}
        export PC_SOCKET_PATH=$run/process-compose.sock PC_LOG_FILE=$run/logs/process-compose.log
        export PC_API_TOKEN_PATH=$run/secrets/process-compose
        case "''${1-up}" in
          up | -*)
            if [ ! -s "$PC_API_TOKEN_PATH" ]; then
              (umask 077 && mkdir -p "$run/logs" "$run/secrets" &&
                od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$PC_API_TOKEN_PATH")
            fi
            ;;
        esac
      fi
      exec ${lib.getExe tools.golden.process-compose} "$@"
    '';
  };

  loc = pkgs.writeShellApplication {
    name = "loc";
    runtimeInputs = tools.onPath ++ [ process-compose ];
    runtimeEnv = tools.environment;
    text = ''
      clone=$PWD
      until [ -f "$clone/loc" ] && [ -f "$clone/golden.toml" ]; do
        if [ -z "$clone" ]; then
          printf 'error: %s\nwhy: %s\nfix: %s\n' "$PWD is not in a clone of proto_loc." \
            "Neither it nor a folder above it holds loc and golden.toml." \
            "cd into a clone, or start a fork in an empty folder: nix flake init -t REPOSITORY" >&2
          exit 1
        fi
        clone=''${clone%/*}
      done
      if [ ! -x "$clone/loc" ]; then
        printf 'error: %s\nwhy: %s\nfix: %s\n' "$clone/loc cannot be executed." \
          "nix flake init copies files without their mode." \
          "cd '$clone' && chmod +x loc .ci/* .devcontainer/run" >&2
        exit 1
      fi
      exec "$clone/loc" "$@"
    '';
  };

  app = command: description: {
    type = "app";
    program = lib.getExe (
      pkgs.writeShellApplication {
        name = "loc-${command}";
        runtimeInputs = [ loc ];
        text = ''exec loc ${command} "$@"'';
      }
    );
    meta = { inherit description; };
  };
in
{
  packages = {
    inherit loc process-compose;
    inherit (pkgs) direnv; # for the terminals of the devcontainer
    default = loc;
  };

  apps = rec {
    default = up;
    up = app "up" "Start the services; -- -d leaves them running";
    test = app "test" "Run the tests; -- NAME runs one suite";
    doctor = app "doctor" "Check this machine and this clone";
  };
}
