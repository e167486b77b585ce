"""The texts that tell systemd and launchd how to run the daemon; pure.

`systemd/` and `launchd/` at the top of the repository hold what comes out for an ordinary user, as examples to read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import PurePath
from typing import Final

from msgspec import Struct

from selfdistill.errors import ServiceProblem

UNIT: Final = "selfdistill.service"
DROP_IN: Final = "hardening.conf"
LABEL: Final = "dev.selfdistill.daemon"


class Installation(Struct, frozen=True):
    """How the daemon is to be started: what the shell of `service install` knows and a supervisor does not.

    `program` is the absolute path of `selfdistill`, `options` stand between it and `daemon`. `environment` is set for
    the daemon, `unset` are variables that the shell does not have and that would move roots or state.
    """

    program: PurePath
    state: PurePath
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}
    unset: tuple[str, ...] = ()


def systemd_unit(installation: Installation) -> str:
    """The user unit; raises ServiceProblem for a path that no unit file can hold."""
    _refuse_quotes(installation.program)
    words = [_quoted(str(installation.program))]
    words += [_quoted(word).replace("$", "$$") for word in installation.options]
    lines = [f"Environment={_quoted(f'{name}={value}')}" for name, value in sorted(installation.environment.items())]
    if installation.unset:
        lines.append(f"UnsetEnvironment={' '.join(sorted(installation.unset))}")
    return _unit(_WRITTEN, " ".join([*words, "daemon"]), lines)


def systemd_drop_in(installation: Installation) -> str:
    """The drop-in that closes everything but the state directory."""
    return _DROP_IN.replace("@HEAD@", _WRITTEN_DROP_IN).replace("@STATE@", _quoted(str(installation.state)))


def launchd_agent(installation: Installation) -> str:
    """The agent's property list, as XML with comments."""
    return _agent(installation, _WRITTEN_AGENT)


def example_unit() -> str:
    """`systemd/selfdistill.service`: %h is the home of whoever runs it."""
    return _unit(_EXAMPLE, "%h/.local/bin/selfdistill daemon", ())


def example_drop_in() -> str:
    """`systemd/selfdistill.service.d/hardening.conf`."""
    return _DROP_IN.replace("@HEAD@", _EXAMPLE_DROP_IN).replace("@STATE@", "%h/.local/state/selfdistill")


def example_agent() -> str:
    """`launchd/dev.selfdistill.daemon.plist`."""
    support = PurePath("/Users/YOU/Library/Application Support/selfdistill")
    return _agent(Installation(PurePath("/Users/YOU/.local/bin/selfdistill"), support), _EXAMPLE_AGENT)


def _unit(head: str, command: str, environment: Sequence[str]) -> str:
    settings = "".join(f"{line}\n" for line in environment)
    if settings:
        settings = (
            f"# The user manager does not have what a shell exports: this decides where logs and state are.\n{settings}"
        )
    return _UNIT.replace("@HEAD@", head).replace("@COMMAND@", command).replace("@ENVIRONMENT@\n", settings)


def _quoted(text: str) -> str:
    """A text as one word of a unit file, if it needs that: quotes and backslashes escaped, % doubled."""
    _refuse_unprintable(text)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    plain = all(character.isalnum() or character in "/._-+=:@,%" for character in escaped)
    return escaped if plain else f'"{escaped}"'


def _refuse_quotes(program: PurePath) -> None:
    """Systemd refuses a program with quotes or backslashes in its path, however they are written (string_is_safe)."""
    if any(character in "\"'\\" for character in str(program)):
        raise ServiceProblem(
            f"systemd starts no program with quotes or backslashes in its path: {program}.",
            "Install selfdistill in another place.",
        )


def _refuse_unprintable(text: str) -> None:
    """Neither file format can hold control characters or bytes that are no UTF-8."""
    if not text.isprintable():
        raise ServiceProblem(
            f"A service file cannot name {text!a}: it holds a control character or is not UTF-8.",
            "Choose another place for it, e.g. with --state-dir, and try again.",
        )


def _agent(installation: Installation, head: str) -> str:
    words = [str(installation.program), *installation.options, "daemon", "--launchd"]
    log = str(installation.state / "daemon.log")
    for text in (*words, log, *installation.environment.values()):
        _refuse_unprintable(text)
    pairs = [
        f"    <key>{escape(name)}</key>\n    <string>{escape(value, quote=False)}</string>\n"
        for name, value in sorted(installation.environment.items())
    ]
    environment = "".join(pairs)
    if environment:
        environment = _ENVIRONMENT.replace("@PAIRS@\n", environment)
    strings = "\n".join(f"    <string>{escape(word, quote=False)}</string>" for word in words)
    text = _AGENT.replace("@HEAD@", head).replace("@LABEL@", LABEL).replace("@ENVIRONMENT@\n", environment)
    return text.replace("@WORDS@", strings).replace("@LOG@", escape(log, quote=False))


_EXAMPLE: Final = """\
# A user unit, as `selfdistill service install` writes it with your own paths. By hand: put it into
# ~/.config/systemd/user/, then
#   systemctl --user daemon-reload && systemctl --user enable --now selfdistill
# `loginctl enable-linger` lets it run while you are logged out.
#
# Everything here works in every user manager. What needs namespaces stands in selfdistill.service.d/hardening.conf."""

_WRITTEN: Final = """\
# Written by `selfdistill service install`, which replaces it; `selfdistill service uninstall` removes it.
# Settings of your own: systemctl --user edit selfdistill"""

_UNIT: Final = """\
@HEAD@

[Unit]
Description=selfdistill: lessons from your AI coding agents' logs
# A daemon that cannot start five times in five minutes needs a person, not a sixth attempt.
StartLimitIntervalSec=300
StartLimitBurst=5

[Service]
# READY=1 comes when lock and store are ours and the first scan is scheduled.
Type=notify
NotifyAccess=main
ExecStart=@COMMAND@
# SIGHUP: the configuration is read again.
ExecReload=/bin/kill -HUP $MAINPID
@ENVIRONMENT@
# The ping comes every 40 s, and only if every worker has ticked and the watcher's canary came back.
WatchdogSec=120
# It ends within 5 s; a migration asks for more by itself.
TimeoutStopSec=15
Restart=on-failure
RestartSec=5
# No restart heals these: 64 wrong usage, 69 another daemon runs, 77 permissions, 78 configuration.
RestartPreventExitStatus=64 69 77 78

# It reads transcripts: nobody else may read what it writes.
UMask=0077

# Lessons can wait; your compiler cannot.
Nice=10
IOSchedulingClass=idle
CPUWeight=20
MemoryHigh=256M
MemoryMax=512M
TasksMax=32
OOMScoreAdjust=500
# Where a log fills the memory, the process that reads it alone is the one to go, not the daemon.
OOMPolicy=continue

# Hardening by seccomp and prctl alone, which an unprivileged user manager may always set.
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
# AF_UNIX: the journal and sd_notify. AF_INET, AF_INET6: the model's API, if you configure one.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
# A refused call fails like any other; killing the process would lose the message that says which.
SystemCallErrorNumber=EPERM

[Install]
WantedBy=default.target
"""

_EXAMPLE_DROP_IN: Final = """\
# Optional: what needs a namespace of its own. `selfdistill service install` tries it and keeps it only if the daemon
# starts with it. By hand: put it into ~/.config/systemd/user/selfdistill.service.d/, start the service once, and take
# it away again if that fails at step NAMESPACE or USER: Ubuntu since 23.10 refuses user namespaces to unprivileged
# programs (kernel.apparmor_restrict_unprivileged_userns=1)."""

_WRITTEN_DROP_IN: Final = """\
# Written by `selfdistill service install`, because the daemon was seen to start with it: what needs a namespace."""

_DROP_IN: Final = """\
@HEAD@

[Service]
# An unprivileged manager can build the rest only inside a user namespace. Newer systemd implies it, 252 does not.
PrivateUsers=yes
# Inside that namespace there are capabilities to give up; outside, giving them up would itself need one.
CapabilityBoundingSet=

# The logs are sacred: your home is read-only, except for our own state.
ProtectSystem=strict
ProtectHome=read-only
# Must exist before the start, and be your state directory if XDG_STATE_HOME or SELFDISTILL_STATE_DIR moved it.
ReadWritePaths=@STATE@

PrivateTmp=yes
PrivateDevices=yes
PrivateMounts=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
# Other users' processes do not concern us. (ProcSubset=pid would also hide the inotify limits that we explain.)
ProtectProc=invisible
KeyringMode=private
RemoveIPC=yes
"""

_EXAMPLE_AGENT: Final = """\
  A launchd agent, as `selfdistill service install` writes it with your own paths. By hand: launchd expands neither ~
  nor variables, so put your own name for YOU, copy it to ~/Library/LaunchAgents/, make the state directory
  ("mkdir -m 700 -p"), then
    launchctl bootstrap gui/$(id -u) ~/Library/LaunchAgents/dev.selfdistill.daemon.plist"""

_WRITTEN_AGENT: Final = """\
  Written by `selfdistill service install`, which replaces it; `selfdistill service uninstall` removes it."""

_ENVIRONMENT: Final = """\

  <!-- launchd does not have what a shell exports: this decides where logs and state are. -->
  <key>EnvironmentVariables</key>
  <dict>
@PAIRS@
  </dict>
"""

_AGENT: Final = """\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!--
@HEAD@
-->
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>@LABEL@</string>

  <key>ProgramArguments</key>
  <array>
@WORDS@
  </array>
@ENVIRONMENT@

  <key>RunAtLoad</key>
  <true/>

  <!--
    Back after a crash, not after a clean end. launchd knows no "do not restart on 78": it starts whatever did not exit
    with 0 again, for ever (KeepAlive's Crashed looks at signals only, and would leave an exit with 70 alone). Hence the
    option launchd above: what no restart heals (64, 69, 77, 78) is told in the log and ends with 0.
  -->
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
  <!-- launchd counts no attempts: one start a minute at most. That delays no restart after a long life. -->
  <key>ThrottleInterval</key>
  <integer>60</integer>

  <!-- Seconds between SIGTERM and SIGKILL; it ends within 5. -->
  <key>ExitTimeOut</key>
  <integer>15</integer>

  <!-- Lessons can wait. -->
  <key>ProcessType</key>
  <string>Background</string>
  <key>LowPriorityIO</key>
  <true/>
  <key>Nice</key>
  <integer>10</integer>

  <!-- 63 is octal 077, which a plist cannot say: nobody else may read what it writes. -->
  <key>Umask</key>
  <integer>63</integer>

  <!-- In the state directory, which is 0700. -->
  <key>StandardOutPath</key>
  <string>@LOG@</string>
  <key>StandardErrorPath</key>
  <string>@LOG@</string>
</dict>
</plist>
"""
