# `loc` from anywhere: in a clone that clone's, elsewhere that of the project folder; and the apps of `nix run`.
{
  environments,
  lib,
  name,
  pkgs,
  source,
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

  # The clone around the current folder, or nothing; and the folder of a platform that runs outside of a clone.
  places = ''
    clone=$PWD
    until [ -f "$clone/loc" ] && [ -f "$clone/golden.toml" ]; do
      [ -n "$clone" ] || break
      clone=''${clone%/*}
    done
    project=''${LOC_PROJECT:-''${XDG_DATA_HOME:-''${HOME:-}/.local/share}/${name}}
  '';

  # It installs what a clone needs from locks/, as without Nix, unless .environments is linked.
  loc = pkgs.writeShellApplication {
    name = "loc";
    runtimeInputs = tools.onPath ++ [ process-compose ];
    runtimeEnv = tools.environment;
    text = ''
      ${places}
      if [ -z "$clone" ] && [ -e "$project/.environments" ]; then clone=$project; fi
      if [ -z "$clone" ]; then
        printf 'error: %s\nwhy: %s\nfix: %s\n' "$PWD is not in a clone of proto_loc." \
          "Neither it nor a folder above it holds loc and golden.toml, and there is no project folder $project." \
          "cd into a clone, or start without one: nix run REPOSITORY. A fork: nix flake init -t REPOSITORY" >&2
        exit 1
      fi
      if [ ! -x "$clone/loc" ]; then
        printf 'error: %s\nwhy: %s\nfix: %s\n' "$clone/loc cannot be executed." \
          "nix flake init copies files without their mode." \
          "cd '$clone' && chmod +x loc .ci/* .devcontainer/run" >&2
        exit 1
      fi
      exec "$clone/loc" "$@"
    '';
  };

  # The same with everything in its closure: the environments, and the files of this version for a project folder.
  platform = pkgs.writeShellApplication {
    name = "loc";
    runtimeInputs = tools.onPath;
    text = ''
      ${places}
      root() { # LINK: to the environments, as a root that a collection of Nix keeps
        nix-store --realise ${environments} --add-root "$1" --indirect >/dev/null 2>&1 || ln -sfn ${environments} "$1"
      }
      if [ -z "$clone" ]; then
        if [ "''${1-}" = up ] || [ ! -e "$project/.environments" ]; then
          PYTHONPATH=${source} ${environments}/platform/bin/python -P -B -m proto_loc.setup.project \
            ${source} "$project" ${environments}
        fi
      elif [ ! -e "$clone/.venvs/platform/.stamp" ]; then
        sums=$(cd "$clone" && cksum locks/platform.txt locks/build.txt locks/uv.txt)
        read -r made <${environments}/platform/.stamp
        if [ "''${made% *}" = "''${sums//$'\n'/ }" ]; then root "$clone/.environments"; fi
      fi
      exec ${lib.getExe loc} "$@"
    '';
  };

  app = program: command: description: {
    type = "app";
    program = lib.getExe (
      pkgs.writeShellApplication {
        name = "loc-${command}";
        text = ''exec ${lib.getExe program} ${command} "$@"'';
      }
    );
    meta = { inherit description; };
  };
in
{
  # `default` runs without a registry; `loc` is the one of the shell.
  packages = {
    inherit loc process-compose;
    inherit (pkgs) direnv; # for the terminals of the devcontainer
    default = platform;
  };

  apps = rec {
    default = up;
    up = app platform "up" "Start the services, in a clone or outside; -- -d leaves them running";
    test = app loc "test" "Run the tests; -- NAME runs one suite";
    doctor = app loc "doctor" "Check this machine and this clone";
  };
}
